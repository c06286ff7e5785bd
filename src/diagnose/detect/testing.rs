//! What the detectors' tests share.

use super::{Detector, Judgement, Neighbours, Signal, Subject};
use crate::model::{Timestamp, Window};

/// A signal without a definition, judged a second after its newest sample.
pub(super) fn subject(signal: &Signal) -> Subject<'_> {
    let newest = signal.newest.map_or(Timestamp::default(), |newest| newest.received);
    Subject {
        signal,
        tag: None,
        neighbours: Neighbours::NONE,
        seen: None,
        from: None,
        now: newest.plus_millis(1000),
    }
}

/// Judges a window by a detector's usual setting.
pub(super) fn judged(detector: &Detector, window: &Window) -> Judgement {
    detector.judge(&subject(&Signal::of(window)))
}
