//! One call: who asks, until when, and how it hears of progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::time::Instant;

use super::ToolError;
use crate::model::Principal;

/// How far a call has come, for whoever watches it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU32>);

impl Progress {
    /// Says how many items are done.
    pub fn set(&self, items: u32) {
        self.0.store(items, Relaxed);
    }

    /// Gives how many items are done.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// The circumstances of one call. The door fills them in; no argument can.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub principal: Principal,
    /// The latest moment an answer is of use. Dropping the future cancels the call.
    pub deadline: Instant,
    /// How far it has come.
    pub progress: Progress,
    /// The same was asked of the device so often that a cached answer has to do, whatever its age.
    pub spares_device: bool,
}

/// Refuses what makes no sense at all, and clamps the rest as the reference does.
pub(super) fn clamped(name: &str, asked: i64, least: i64, most: i64) -> Result<i64, ToolError> {
    if asked < 0 || asked > most.saturating_mul(1000) {
        return Err(ToolError::argument(format!("{name} {asked} is outside {least}..{most}")));
    }
    Ok(asked.clamp(least, most))
}
