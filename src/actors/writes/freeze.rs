//! Why nothing may be written now, looked at again right before each write.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::RwLock;

/// What can freeze writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// An operator did.
    Hand,
    /// The policy can't be used.
    Policy,
    /// Nothing can be recorded.
    Audit,
    /// The collector ends with its last session: nobody answers for it.
    Transient,
}

/// The causes that hold now.
#[derive(Debug, Default)]
pub struct Freeze {
    causes: RwLock<[Option<String>; 4]>,
    /// Looked at without a lock by the poller.
    is_frozen: AtomicBool,
}

impl Freeze {
    /// Sets or lifts one cause.
    pub fn set(&self, cause: Cause, why: Option<String>) {
        let mut causes = self.causes.write();
        if let Some(place) = causes.get_mut(cause as usize) {
            *place = why;
        }
        self.is_frozen.store(causes.iter().any(Option::is_some), SeqCst);
    }

    /// Says why nothing may be written; `None` where it may.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        if !self.is_frozen.load(SeqCst) {
            return None;
        }
        let causes: Vec<String> = self.causes.read().iter().flatten().cloned().collect();
        (!causes.is_empty()).then(|| causes.join("; "))
    }

    /// Says whether one cause holds, and why.
    #[must_use]
    pub fn by(&self, cause: Cause) -> Option<String> {
        self.causes.read().get(cause as usize).cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_thaw_when_the_last_cause_is_gone() {
        let freeze = Freeze::default();
        assert_eq!(freeze.why(), None);
        freeze.set(Cause::Hand, Some("by hand".into()));
        freeze.set(Cause::Audit, Some("disk full".into()));
        assert_eq!(freeze.why().as_deref(), Some("by hand; disk full"));
        freeze.set(Cause::Hand, None);
        assert_eq!(freeze.why().as_deref(), Some("disk full"));
        freeze.set(Cause::Audit, None);
        assert_eq!(freeze.why(), None);
    }
}
