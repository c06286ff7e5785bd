//! The bottling line itself: mass, heat and bottles, pure and deterministic.
//!
//! Syrup and water meet in the mixer, pass the pasteuriser into the filler's bowl; bottles
//! come from the infeed, are filled and capped, labelled and packed. Air, energy and cleaning
//! run beside it. [`Plant::step`] advances all of it by simulated seconds.

mod cip;
mod conveyor;
mod filler;
mod mixer;
mod packer;
mod pasteuriser;
mod utilities;

pub(crate) use cip::Cip;
pub(crate) use conveyor::Conveyors;
pub(crate) use filler::{Filler, FillerState};
pub(crate) use mixer::Mixer;
pub(crate) use packer::Packer;
pub(crate) use pasteuriser::Pasteuriser;
pub(crate) use utilities::{Loads, Utilities};

use super::rng::Rng;

/// The longest step the explicit integration is stable for: a tenth of the fastest lag.
pub(crate) const STEP_S_MAX: f64 = 0.5;

/// What a litre of product, water or syrup stores, in kJ per kelvin.
pub(crate) const HEAT_KJ_PER_L_K: f64 = 4.0;

/// The whole line at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Plant {
    /// Simulated seconds since the start.
    pub(crate) clock_s: f64,
    /// The hall's temperature.
    pub(crate) ambient_c: f64,
    /// Where syrup and water meet.
    pub(crate) mixer: Mixer,
    /// Heats, holds, cools.
    pub(crate) pasteuriser: Pasteuriser,
    /// Fills and caps.
    pub(crate) filler: Filler,
    /// Bottles on their way to and from the filler, and the labeller.
    pub(crate) conveyors: Conveyors,
    /// Packs bottles into cases.
    pub(crate) packer: Packer,
    /// Cleans the syrup line.
    pub(crate) cip: Cip,
    /// Compressed air and the energy meter.
    pub(crate) utilities: Utilities,
    rng: Rng,
}

impl Plant {
    /// Makes a line in the middle of its shift.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            clock_s: 0.0,
            ambient_c: ambient_c(0.0),
            mixer: Mixer::new(),
            pasteuriser: Pasteuriser::new(),
            filler: Filler::new(&mut rng),
            conveyors: Conveyors::new(&mut rng),
            packer: Packer::new(),
            cip: Cip::new(),
            utilities: Utilities::new(),
            rng,
        }
    }

    /// Advances by so many simulated seconds, in parts of at most [`STEP_S_MAX`].
    pub(crate) fn step(&mut self, seconds: f64) {
        let mut left = seconds;
        while left > 1e-9 {
            let dt = left.min(STEP_S_MAX);
            self.advance(dt);
            left -= dt;
        }
    }

    fn advance(&mut self, dt: f64) {
        self.clock_s += dt;
        self.ambient_c = ambient_c(self.clock_s);
        let rng = &mut self.rng;

        let supply = self.conveyors.supply(self.filler.bowl_share());
        let bottles = self.filler.step(dt, supply, self.ambient_c, rng);
        let labelled = self.conveyors.step(dt, bottles, rng);
        self.packer.step(dt, labelled, self.ambient_c);

        let wanted_l_s = self.filler.product_wanted_l_s();
        let flow = self.pasteuriser.step(dt, wanted_l_s, self.mixer.temperature_c());
        self.filler.receive(flow.forward_l_s * dt);
        self.mixer.step(dt, flow, self.ambient_c, rng);

        self.cip.step(dt, self.ambient_c);
        let loads = Loads {
            filler_a: self.filler.current_a,
            speed_share: self.filler.speed_share(),
            heater_kw: self.mixer.heater_kw,
            labeller: self.conveyors.labeller_share(),
        };
        self.utilities.step(dt, loads, rng);
    }
}

/// The hall follows the day: coolest at the start, 6 K warmer twelve hours later.
fn ambient_c(clock_s: f64) -> f64 {
    25.0 - 3.0 * (clock_s / 86_400.0 * std::f64::consts::TAU).cos()
}

/// Follows `target` as a first-order lag does; exact for any step.
fn lag(value: f64, target: f64, tau_s: f64, dt: f64) -> f64 {
    value + (target - value) * (1.0 - (-dt / tau_s).exp())
}

/// A proportional-integral controller with output between 0 and 1 that doesn't wind up.
#[derive(Debug, Clone)]
struct Pi {
    gain: f64,
    reset_s: f64,
    integral: f64,
}

impl Pi {
    /// Gives the output for this error; `forward` is what is known to be needed without it.
    fn step(&mut self, error: f64, forward: f64, dt: f64) -> f64 {
        let raw = self.gain * error + self.integral + forward;
        let out = raw.clamp(0.0, 1.0);
        // The integral moves only where the actuator can follow.
        if (raw - out).abs() < f64::EPSILON || (raw - out) * error < 0.0 {
            self.integral += self.gain * error * dt / self.reset_s;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_litre_is_made_or_lost_between_the_valves_and_the_bottles() {
        let mut plant = Plant::new(3);
        let stored = |p: &Plant| p.mixer.volume_l + p.filler.bowl_l;
        let fed = |p: &Plant| p.mixer.water_l + p.mixer.syrup_l;
        let (stored_0, fed_0, out_0) = (stored(&plant), fed(&plant), plant.filler.dispensed_l);
        for _ in 0..36_000 {
            plant.step(0.1);
        }
        let gained = stored(&plant) - stored_0;
        let balance = (fed(&plant) - fed_0) - (plant.filler.dispensed_l - out_0);
        assert!(fed(&plant) - fed_0 > 5_000.0, "the line must have run");
        assert!((gained - balance).abs() < 1e-6, "{gained} stored, {balance} fed minus drawn");
    }

    #[test]
    fn bottles_are_on_the_conveyor_rejected_or_labelled() {
        let mut plant = Plant::new(3);
        let on_belt = plant.conveyors.outfeed;
        plant.step(3_600.0);
        let c = &plant.conveyors;
        let good = f64::from(plant.filler.filled - plant.filler.rejected);
        assert!((good - (c.labelled + c.outfeed - on_belt)).abs() < 1e-6);
        assert!(plant.filler.filled > 10_000, "{}", plant.filler.filled);
    }

    #[test]
    fn the_same_seed_gives_the_same_line_and_another_a_different_one() {
        let run = |seed| {
            let mut plant = Plant::new(seed);
            plant.step(1_000.0);
            format!("{plant:?}")
        };
        assert_eq!(run(11), run(11));
        assert_ne!(run(11), run(12));
    }

    #[test]
    fn the_controllers_hold_their_set_points() {
        let mut plant = Plant::new(5);
        plant.step(1_800.0);
        let (mut tank, mut hold) = (0.0, 0.0);
        for _ in 0..3_600 {
            plant.step(1.0);
            tank += plant.mixer.temperature_c() / 3_600.0;
            hold += plant.pasteuriser.hold_c / 3_600.0;
        }
        assert!((tank - mixer::SET_C).abs() < 0.5, "{tank}");
        assert!((hold - pasteuriser::SET_C).abs() < 0.5, "{hold}");
    }

    #[test]
    fn every_state_of_the_filler_is_seen_in_a_shift() {
        let mut plant = Plant::new(2);
        let mut seen = [0_u32; 6];
        for _ in 0..8 * 3_600 {
            plant.step(1.0);
            seen[usize::from(plant.filler.state.code())] += 1;
        }
        assert!(seen.iter().all(|s| *s > 0), "{seen:?}");
        let running = seen[usize::from(FillerState::Running.code())];
        assert!(running > 4 * 3_600, "mostly running, not {running} s");
    }
}
