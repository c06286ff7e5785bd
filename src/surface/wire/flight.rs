//! Requests that were taken and not yet answered.

use std::collections::{HashSet, VecDeque};

use rmcp::model::RequestId;

/// Cancelled ids that are remembered: their handlers may still be ending, and an answer to the
/// old request must not be taken for one to the new.
const CANCELLED_MAX: usize = 256;

/// The ids under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    open: HashSet<RequestId>,
    cancelled: VecDeque<RequestId>,
}

/// Whether an id may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is new.
    Fresh,
    /// A request under way, or one just cancelled, bears it.
    Duplicate,
}

impl Flight {
    /// Takes an id.
    pub(super) fn admit(&mut self, id: &RequestId) -> Admission {
        if self.cancelled.contains(id) || !self.open.insert(id.clone()) {
            return Admission::Duplicate;
        }
        Admission::Fresh
    }

    /// Notes that an answer is on its way.
    pub(super) fn answered(&mut self, id: &RequestId) {
        self.open.remove(id);
    }

    /// Notes that no answer will come.
    pub(super) fn cancelled(&mut self, id: &RequestId) {
        if self.open.remove(id) {
            if self.cancelled.len() >= CANCELLED_MAX {
                self.cancelled.pop_front();
            }
            self.cancelled.push_back(id.clone());
        }
    }

    /// Counts the requests under way.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_free_again_once_answered_but_not_once_cancelled() {
        let mut flight = Flight::default();
        let id = RequestId::Number(1);
        assert_eq!(flight.admit(&id), Admission::Fresh);
        assert_eq!(flight.admit(&id), Admission::Duplicate);
        flight.answered(&id);
        assert_eq!(flight.admit(&id), Admission::Fresh);
        flight.cancelled(&id);
        assert_eq!(flight.len(), 0);
        assert_eq!(flight.admit(&id), Admission::Duplicate);
    }

    #[test]
    fn cancelled_ids_are_forgotten_at_the_bound() {
        let mut flight = Flight::default();
        for number in 0..1000 {
            flight.admit(&RequestId::Number(number));
            flight.cancelled(&RequestId::Number(number));
        }
        assert_eq!(flight.admit(&RequestId::Number(0)), Admission::Fresh);
        assert_eq!(flight.admit(&RequestId::Number(999)), Admission::Duplicate);
    }
}
