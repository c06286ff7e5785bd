//! Bottles on their way: infeed, accumulation behind the filler, labeller.

use super::super::rng::Rng;
use super::filler::{Bottles, Supply};
use super::lag;

/// Bottles the infeed holds.
pub(crate) const INFEED_MAX: f64 = 300.0;
/// Bottles the accumulation table holds.
pub(crate) const OUTFEED_MAX: f64 = 180.0;
/// Bottles that stop after the filler has been told: its own belt.
const MARGIN: f64 = 12.0;
/// Both neighbours of the filler are a little faster than it, bottles a second.
const DEPALLETISER_B_S: f64 = 11.0;
const LABELLER_B_S: f64 = 11.5;
const DEPALLETISER_JAM: Jam = Jam { every_s: 150.0, for_s: 22.0 };
const LABELLER_JAM: Jam = Jam { every_s: 75.0, for_s: 12.0 };
/// Labels on a fresh roll, and the time to change it.
const ROLL: f64 = 12_000.0;
const ROLL_CHANGE_S: f64 = 12.0;
/// The glue heater switches on below and off above.
const GLUE_C: (f64, f64) = (148.0, 152.0);

/// How often a machine jams and for how long, in the mean.
#[derive(Debug, Clone, Copy)]
struct Jam {
    every_s: f64,
    for_s: f64,
}

/// A machine that runs until its next jam.
#[derive(Debug, Clone)]
struct Neighbour {
    jam: Jam,
    jam_in_s: f64,
    down_s: f64,
}

impl Neighbour {
    fn new(jam: Jam, rng: &mut Rng) -> Self {
        Self { jam, jam_in_s: rng.wait_s(jam.every_s), down_s: 0.0 }
    }

    fn step(&mut self, dt: f64, rng: &mut Rng) {
        if self.down_s > 0.0 {
            self.down_s -= dt;
            return;
        }
        self.jam_in_s -= dt;
        if self.jam_in_s <= 0.0 {
            self.jam_in_s = rng.wait_s(self.jam.every_s);
            self.down_s = rng.wait_s(self.jam.for_s);
        }
    }

    fn runs(&self) -> bool {
        self.down_s <= 0.0
    }
}

/// Both belts and the labeller.
#[derive(Debug, Clone)]
pub(crate) struct Conveyors {
    /// Empty bottles before the filler.
    pub(crate) infeed: f64,
    /// Full bottles between filler and labeller.
    pub(crate) outfeed: f64,
    /// Bottles ever labelled.
    pub(crate) labelled: f64,
    /// Labels left on the roll.
    pub(crate) labels: f64,
    /// The glue pot.
    pub(crate) glue_c: f64,
    /// The glue heater is on.
    pub(crate) glue_heating: bool,
    /// The outfeed belt, metres a minute.
    pub(crate) belt_m_min: f64,
    rate_b_s: f64,
    depalletiser: Neighbour,
    labeller: Neighbour,
}

impl Conveyors {
    /// Makes belts as they are in the middle of a shift.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            infeed: 200.0,
            outfeed: 60.0,
            labelled: 0.0,
            labels: 0.8 * ROLL,
            glue_c: 150.0,
            glue_heating: false,
            belt_m_min: 0.0,
            rate_b_s: 0.0,
            depalletiser: Neighbour::new(DEPALLETISER_JAM, rng),
            labeller: Neighbour::new(LABELLER_JAM, rng),
        }
    }

    /// Tells what the filler finds before and behind it.
    pub(crate) fn supply(&self, bowl: f64) -> Supply {
        if self.outfeed > OUTFEED_MAX - MARGIN {
            Supply::Full
        } else if self.infeed < MARGIN || bowl < 0.15 {
            Supply::Empty
        } else if self.outfeed > 0.6 * OUTFEED_MAX {
            Supply::Tight
        } else if self.infeed < 80.0 || bowl < 0.35 {
            Supply::Low
        } else {
            Supply::Free
        }
    }

    /// Tells whether the labeller is able to run.
    pub(crate) fn labeller_runs(&self) -> bool {
        self.labeller.runs()
    }

    /// Gives the labeller's speed, 0 to 1.
    pub(crate) fn labeller_share(&self) -> f64 {
        self.rate_b_s / LABELLER_B_S
    }

    /// Gives the share of the accumulation table that is taken, 0 to 1.
    pub(crate) fn accumulation(&self) -> f64 {
        self.outfeed / OUTFEED_MAX
    }

    /// Advances by `dt` seconds and gives the bottles labelled meanwhile.
    pub(crate) fn step(&mut self, dt: f64, bottles: Bottles, rng: &mut Rng) -> f64 {
        self.depalletiser.step(dt, rng);
        self.labeller.step(dt, rng);
        let room = INFEED_MAX - self.infeed;
        let fed_b_s = if self.depalletiser.runs() { DEPALLETISER_B_S } else { 0.0 };
        self.infeed += (fed_b_s * dt).min(room.max(0.0)) - f64::from(bottles.filled);
        self.outfeed += f64::from(bottles.good);

        // The labeller follows the table: fuller is faster.
        let want_b_s = if self.labeller.runs() {
            LABELLER_B_S * (self.outfeed / 60.0).clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.rate_b_s = lag(self.rate_b_s, want_b_s, 1.0, dt);
        let labelled = (self.rate_b_s * dt).min(self.outfeed).min(self.labels);
        self.outfeed -= labelled;
        self.labelled += labelled;
        self.labels -= labelled;
        if self.labels <= 0.0 {
            self.labels = ROLL;
            self.labeller.down_s = self.labeller.down_s.max(ROLL_CHANGE_S);
        }
        self.belt_m_min = lag(self.belt_m_min, 8.0 + 30.0 * self.labeller_share(), 1.5, dt);
        self.glue(dt);
        labelled
    }

    fn glue(&mut self, dt: f64) {
        if self.glue_c < GLUE_C.0 {
            self.glue_heating = true;
        } else if self.glue_c > GLUE_C.1 {
            self.glue_heating = false;
        }
        // Fresh glue is drawn in while labels are put on.
        let heat_k_s = if self.glue_heating { 0.45 } else { 0.0 };
        self.glue_c += dt * (heat_k_s - 0.12 - 0.08 * self.labeller_share());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jammed_labeller_fills_the_table_and_stops_the_filler() {
        let mut rng = Rng::new(4);
        let mut belts = Conveyors::new(&mut rng);
        assert_eq!(belts.supply(0.6), Supply::Free);
        for _ in 0..30 {
            belts.labeller.down_s = 60.0;
            belts.step(0.5, Bottles { filled: 5, good: 5 }, &mut rng);
        }
        assert_eq!(belts.supply(0.6), Supply::Full);
    }

    #[test]
    fn an_empty_roll_stops_the_labeller_for_the_change() {
        let mut rng = Rng::new(4);
        let mut belts = Conveyors::new(&mut rng);
        belts.labels = 1.0;
        belts.rate_b_s = 10.0;
        belts.step(0.2, Bottles::default(), &mut rng);
        assert!(!belts.labeller_runs());
        assert_eq!(belts.labels, ROLL);
    }
}
