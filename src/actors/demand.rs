//! A question on its way to a poller, and its answer on the way back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::link::{Answer, AskError};
use crate::driver::{Ask, DriverError, Reply, Toll};

/// What became of a demand.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    result: Result<Arc<Reply>, DriverError>,
    requests: u32,
}

impl Outcome {
    /// Turns it into the caller's answer; who joined caused no request.
    pub(crate) fn into_answer(self, led: bool) -> Result<Answer, AskError> {
        let requests = if led { self.requests } else { 0 };
        self.result.map(|reply| Answer { reply, requests }).map_err(AskError::Driver)
    }
}

/// A question for a device. It holds a permit, so only so many exist.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) ask: Ask,
    pub(crate) deadline: Instant,
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
        // The table of demands under way holds one receiver of its own.
        self.done.receiver_count() <= 1 || Instant::now() >= self.deadline
    }

    /// Answers everyone who waits.
    pub(crate) fn answer(self, result: Result<Arc<Reply>, DriverError>) {
        let requests = self.toll.spent();
        self.done.send_replace(Some(Outcome { result, requests }));
    }
}
