//! What a driver has learnt of its device, for as long as it lives.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Holes, Span, Stretch};

/// A refused value is tried once more after this long: a device that was starting up may have it
/// by now, and one request in ten minutes is no load.
const RETRY: Duration = Duration::from_secs(600);

#[derive(Debug, Clone)]
struct Refusal<E> {
    error: E,
    tried: Instant,
}

/// Holes, and the values that lie in one, each with the device's refusal.
#[derive(Debug)]
pub struct Memory<A, E> {
    holes: Holes<A>,
    refused: BTreeMap<Span<A>, Refusal<E>>,
    generation: u64,
}

impl<A, E> Default for Memory<A, E> {
    fn default() -> Self {
        Self { holes: Holes::default(), refused: BTreeMap::new(), generation: 0 }
    }
}

impl<A: Copy + Ord, E> Memory<A, E> {
    /// Makes a memory that has the holes of another and forgets apart from it.
    #[must_use]
    pub fn copy_of_holes(&self) -> Self {
        Self { holes: self.holes.clone(), ..Self::default() }
    }

    /// Gives what no read may cover.
    #[must_use]
    pub fn holes(&self) -> &Holes<A> {
        &self.holes
    }

    /// Counts what has been learnt and forgotten, so that a plan knows when it is outdated.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Remembers a hole between two values.
    pub fn learn(&mut self, area: A, hole: Stretch) {
        self.holes.learn(area, hole);
        self.generation += 1;
    }

    /// Remembers that the device refuses this value on its own.
    pub fn refuse(&mut self, span: &Span<A>, error: E, now: Instant) {
        self.holes.learn(span.area, span.stretch());
        if self.refused.insert(*span, Refusal { error, tried: now }).is_none() {
            self.generation += 1;
        }
    }

    /// Notes that a value was read, and forgets what spoke against it.
    pub fn accept(&mut self, span: &Span<A>) {
        // Every value of every scan comes by here.
        if !self.refused.is_empty() && self.refused.remove(span).is_some() {
            self.holes.forget(span.area, span.stretch());
            self.generation += 1;
        }
    }

    /// Gives the device's refusal of a value.
    #[must_use]
    pub fn refusal(&self, span: &Span<A>) -> Option<&E> {
        self.refused.get(span).map(|refusal| &refusal.error)
    }

    /// Finds the refused value that has waited longest, where one has waited long enough.
    #[must_use]
    pub fn due<'a>(
        &self,
        spans: impl IntoIterator<Item = &'a Span<A>>,
        now: Instant,
    ) -> Option<usize>
    where
        A: 'a,
    {
        if self.refused.is_empty() {
            return None;
        }
        let tried = |span| self.refused.get(span).map(|refusal| refusal.tried);
        let waiting = spans.into_iter().enumerate().filter_map(|(i, span)| Some((tried(span)?, i)));
        waiting.min().filter(|(tried, _)| *tried + RETRY <= now).map(|(_, position)| position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_value_rests_is_tried_again_and_forgiven() {
        let mut memory = Memory::default();
        let span = Span { area: 1_u8, start: 4, width: 2 };
        let error = "no such address";
        memory.refuse(&span, error, Instant::now());
        assert_eq!(memory.refusal(&span), Some(&error));
        assert!(memory.holes().refuse(1, (0, 8)));
        assert_eq!(memory.due([&span], Instant::now()), None);
        assert_eq!(memory.due([&span], Instant::now() + RETRY), Some(0));
        let before = memory.generation();
        memory.accept(&span);
        assert!(memory.refusal(&span).is_none() && memory.generation() > before);
        assert!(!memory.holes().refuse(1, (0, 8)));
    }
}
