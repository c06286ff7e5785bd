//! What a write sends to a poller, and what comes back: one fresh read, or one read and one write
//! with nothing in between.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::driver::{DriverError, ErrorKind, Inspected, Toll};
use crate::gate::{Authorized, Refusal};
use crate::model::{Setpoint, Tag};

/// Decides on the fresh value, in the poller, right before the one write.
pub(crate) type Decide =
    Box<dyn FnOnce(&Inspected) -> Result<Authorized<Setpoint>, Refusal> + Send + Sync>;

/// What became of an errand that may write.
#[derive(Debug)]
pub(crate) enum Operated {
    /// The fresh read came to nothing, so nothing was written.
    NotRead(DriverError),
    /// The gate refused on the fresh value: nothing was written.
    Refused(Refusal, Inspected),
    /// It was authorised, and certainly not sent.
    NotSent(DriverError, Inspected),
    /// One message went out; an error says nothing of what became of it.
    Sent {
        /// The fresh read before it.
        before: Inspected,
        /// What the device said to it.
        result: Result<(), DriverError>,
        /// From the fresh read to the answer of the write's sending, in microseconds.
        window_us: u64,
    },
}

/// What is common to both: a permit, so that only so many exist, and a deadline.
pub(crate) struct Errand<T> {
    pub(crate) tag: Arc<Tag>,
    pub(crate) deadline: Instant,
    pub(crate) toll: Toll,
    done: oneshot::Sender<T>,
    _permit: OwnedSemaphorePermit,
}

impl<T> std::fmt::Debug for Errand<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Errand({})", self.tag.name)
    }
}

impl<T> Errand<T> {
    pub(crate) fn new(
        tag: Arc<Tag>,
        deadline: Instant,
        toll: Toll,
        permit: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<T>) {
        let (done, heard) = oneshot::channel();
        (Self { tag, deadline, toll, done, _permit: permit }, heard)
    }

    /// Says what became of it; whoever asked may have gone.
    pub(crate) fn answer(self, what: T) {
        if self.done.send(what).is_err() {
            tracing::debug!("nobody waits for the errand any more");
        }
    }
}

/// A read of one tag.
pub(crate) type Inspection = Errand<Result<Inspected, DriverError>>;

/// A read of one tag, the decision on it, and the write.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) errand: Errand<Operated>,
    pub(crate) decide: Box<Deciding>,
}

/// The decision, with nothing to show of itself.
pub(crate) struct Deciding(pub(crate) Decide);

impl std::fmt::Debug for Deciding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Deciding")
    }
}

/// Says that an errand came too late to be worth beginning.
pub(crate) fn too_late() -> DriverError {
    DriverError::new(ErrorKind::Timeout, "the connection was busy until the deadline")
        .hint("see endpoint_status for what it is doing, and ask again")
}
