//! The other tags of an asset, as the detectors are shown them.

use std::cell::LazyCell;

use super::Signal;

/// Signals that are made ready when a detector first asks for them: where all is well none does.
pub type LaterSignals = LazyCell<Vec<Signal>, Box<dyn FnOnce() -> Vec<Signal>>>;

/// The other tags of the same asset: of the same area, or of the same unit of the endpoint where
/// the tag has none.
#[derive(Debug, Clone, Copy)]
pub enum Neighbours<'a> {
    /// They were needed anyway.
    Ready(&'a [&'a Signal]),
    /// They are made ready by the first who asks.
    Later(&'a LaterSignals),
}

impl<'a> Neighbours<'a> {
    /// A tag that is judged by itself.
    pub const NONE: Self = Self::Ready(&[]);

    /// Gives each of them.
    pub fn iter(self) -> impl Iterator<Item = &'a Signal> {
        let (ready, later) = match self {
            Self::Ready(signals) => (signals, &[][..]),
            Self::Later(signals) => (&[][..], signals.as_slice()),
        };
        ready.iter().copied().chain(later)
    }
}
