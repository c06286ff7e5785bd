//! One tenth of a second of the line, as its devices show it.

use super::faults::{Fault, Injector};
use super::points;
use super::process::Plant;
use super::rng::Rng;
use crate::model::{Timestamp, Value};

/// Simulated seconds between two frames; the demo runs at the pace of the clock.
pub(crate) const FRAME_S: f64 = 0.1;

/// The line starts in the middle of its shift: warm, and with counters that have counted.
const WARM_UP_S: f64 = 900.0;

/// What one sensor shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    /// The value.
    pub(crate) value: Value,
    /// When its device says it was so.
    pub(crate) source_ts: Timestamp,
    /// What its OPC UA status says instead of Good.
    pub(crate) status: Option<u32>,
}

/// What all sensors show, in the order of [`points::all`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Frame {
    /// A cell per point.
    pub(crate) cells: Vec<Cell>,
    /// A Modbus unit that answers no more.
    pub(crate) dead_unit: Option<u8>,
}

/// The process, its sensors and its faults.
#[derive(Debug)]
pub(crate) struct Line {
    plant: Plant,
    sensors: Rng,
    injector: Injector,
    frames: u32,
}

impl Line {
    /// Makes a warm line. The same faults and seed give the same frames.
    pub(crate) fn new(faults: &[&'static Fault], seed: u64) -> Self {
        let mut plant = Plant::new(seed);
        plant.step(WARM_UP_S);
        Self {
            plant,
            // Sensors draw from their own sequence, so that a new sensor leaves the line alone.
            sensors: Rng::new(!seed),
            injector: Injector::new(faults),
            frames: 0,
        }
    }

    /// Advances by [`FRAME_S`] and shows the line at this instant.
    pub(crate) fn next(&mut self, at: Timestamp) -> Frame {
        self.plant.step(FRAME_S);
        self.frames = self.frames.saturating_add(1);
        let values = points::measure(&self.plant, &mut self.sensors);
        let cells =
            values.into_iter().map(|value| Cell { value, source_ts: at, status: None }).collect();
        let mut frame = Frame { cells, dead_unit: None };
        self.injector.apply(f64::from(self.frames) * FRAME_S, &mut frame);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_shows_the_same_frames() {
        let run = |seed| {
            let mut line = Line::new(&[], seed);
            (0..50).map(|tick| line.next(Timestamp::from_millis(tick))).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
