//! What the driver has learnt of its devices, for as long as it lives.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::address::{Area, Point};
use super::plan::{Holes, Stretch};
use crate::driver::DriverError;
use crate::model::UnitId;

/// A refused value is tried once more after this long: a device that was starting up may have it
/// by now, and one request in ten minutes is no load.
const RETRY: Duration = Duration::from_secs(600);

/// A value's registers or bits, whatever is made of them.
type Span = (UnitId, Area, u16, u16);

fn span(point: &Point) -> Span {
    (point.unit, point.area, point.start, point.width)
}

fn stretch(point: &Point) -> Stretch {
    (u32::from(point.start), point.end())
}

#[derive(Debug, Clone)]
struct Refusal {
    error: DriverError,
    tried: Instant,
}

/// Holes, and the values that lie in one.
#[derive(Debug, Default)]
pub(super) struct Memory {
    holes: Holes,
    refused: BTreeMap<Span, Refusal>,
    generation: u64,
}

impl Memory {
    /// Makes a memory that has the holes of another and forgets apart from it.
    pub(super) fn copy_of_holes(&self) -> Self {
        Self { holes: self.holes.clone(), ..Self::default() }
    }

    pub(super) fn holes(&self) -> &Holes {
        &self.holes
    }

    /// Counts what has been learnt and forgotten, so that a plan knows when it is outdated.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Remembers a hole between two values.
    pub(super) fn learn(&mut self, unit: UnitId, area: Area, hole: Stretch) {
        self.holes.learn(unit, area, hole);
        self.generation += 1;
    }

    /// Remembers that the device refuses this value on its own.
    pub(super) fn refuse(&mut self, point: &Point, error: DriverError, now: Instant) {
        self.holes.learn(point.unit, point.area, stretch(point));
        if self.refused.insert(span(point), Refusal { error, tried: now }).is_none() {
            self.generation += 1;
        }
    }

    /// Notes that a value was read, and forgets what spoke against it.
    pub(super) fn accept(&mut self, point: &Point) {
        // Every value of every scan comes by here.
        if !self.refused.is_empty() && self.refused.remove(&span(point)).is_some() {
            self.holes.forget(point.unit, point.area, stretch(point));
            self.generation += 1;
        }
    }

    /// Gives the device's refusal of a value.
    pub(super) fn refusal(&self, point: &Point) -> Option<&DriverError> {
        self.refused.get(&span(point)).map(|refusal| &refusal.error)
    }

    /// Finds the refused value that has waited longest, where one has waited long enough.
    pub(super) fn due(&self, points: &[Point], now: Instant) -> Option<usize> {
        if self.refused.is_empty() {
            return None;
        }
        let tried = |point| self.refused.get(&span(point)).map(|refusal| refusal.tried);
        let waiting = points.iter().enumerate().filter_map(|(i, point)| Some((tried(point)?, i)));
        waiting.min().filter(|(tried, _)| *tried + RETRY <= now).map(|(_, position)| position)
    }
}
