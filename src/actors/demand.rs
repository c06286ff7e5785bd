//! A question on its way to a poller, and its answer on the way back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::link::{Answer, AskError};
use crate::driver::{Ask, DriverError, ErrorKind, Reply, Toll};

/// What became of a demand.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    result: Result<Arc<Reply>, DriverError>,
    requests: u32,
}

impl Outcome {
    /// Gives the kind of failure, where it is one.
    pub(crate) fn error_kind(&self) -> Option<ErrorKind> {
        self.result.as_ref().err().map(|error| error.kind)
    }

    /// Turns it into the caller's answer. Who joined caused no request; who led caused these
    /// and those `before` them, which came to nothing.
    pub(crate) fn into_answer(self, led: bool, before: u32) -> Result<Answer, AskError> {
        let requests = if led { self.requests + before } else { before };
        match self.result {
            Ok(reply) => Ok(Answer { reply, requests }),
            Err(error) => Err(AskError::Driver { error, requests }),
        }
    }
}

/// A question for a device. It holds a permit, so only so many exist.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) ask: Ask,
    pub(crate) deadline: Instant,
    /// Knows who waits, too.
    pub(crate) toll: Toll,
    done: watch::Sender<Option<Outcome>>,
    _permit: OwnedSemaphorePermit,
}

impl Demand {
    pub(crate) fn new(
        ask: Ask,
        deadline: Instant,
        toll: Toll,
        done: watch::Sender<Option<Outcome>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { ask, deadline, toll, done, _permit: permit }
    }

    /// Tells whether nobody waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.toll.is_abandoned() || Instant::now() >= self.deadline
    }

    /// Answers everyone who waits.
    pub(crate) fn answer(self, result: Result<Arc<Reply>, DriverError>) {
        self.say(result);
    }

    fn say(&self, result: Result<Arc<Reply>, DriverError>) {
        let requests = self.toll.spent();
        self.done.send_replace(Some(Outcome { result, requests }));
    }
}

impl Drop for Demand {
    /// A demand that goes down with its poller is asked again of the next one, but the very one
    /// that brought it down must not bring that down as well.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.say(Err(DriverError::new(
                ErrorKind::Closed,
                "the driver failed while it answered this call",
            )
            .hint("report the log of this endpoint; other calls go on")));
        }
    }
}
