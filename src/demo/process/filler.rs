//! The filler: the line's lead machine, with its bowl, drive and capper.

use super::super::rng::Rng;
use super::lag;

/// The speed the operator has set, bottles a minute.
pub(crate) const SET_BPM: f64 = 600.0;
/// One bottle.
const BOTTLE_L: f64 = 0.5;
/// The bowl to the brim.
const BOWL_L: f64 = 150.0;
/// The bowl's level the inlet valve keeps, 0 to 1.
const BOWL_SET: f64 = 0.6;
/// Filling valves that weigh what they fill.
pub(crate) const VALVES: usize = 8;
/// The drive: idle, and more at full speed.
const IDLE_A: f64 = 8.0;
const LOAD_A: f64 = 14.0;
/// Motor heat: copper losses per ampere squared, cooling, and mass.
const COPPER_KW_A2: f64 = 0.000_8;
const COOLING_KW_K: f64 = 0.010;
const MOTOR_KJ_K: f64 = 6.0;
/// Mean times between own faults and between changeovers.
const FAULT_MEAN_S: f64 = 1_500.0;
const CHANGEOVER_S: f64 = 7_200.0;
const CHANGEOVER_STOP_S: f64 = 180.0;
/// An operator's way to the machine after a fault is cleared.
const RESTART_S: f64 = 5.0;

/// What the filler is doing; the numbers stand in its status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FillerState {
    /// Standing, on purpose.
    Stopped,
    /// Coming up to speed.
    Starting,
    /// Filling.
    Running,
    /// No bottles or no product.
    Starved,
    /// The outfeed is full.
    Blocked,
    /// A fault of its own.
    Fault,
}

impl FillerState {
    /// Gives the number of the state.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Stopped => 0,
            Self::Starting => 1,
            Self::Running => 2,
            Self::Starved => 3,
            Self::Blocked => 4,
            Self::Fault => 5,
        }
    }

    /// Gives the word on the operator's panel.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Starved => "Starved",
            Self::Blocked => "Blocked",
            Self::Fault => "Fault",
        }
    }
}

/// What the filler finds before and behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    /// Bottles, product and room.
    Free,
    /// Room is running out: go slower.
    Tight,
    /// Not yet enough to start again, still enough to go on.
    Low,
    /// No bottles or no product.
    Empty,
    /// No room.
    Full,
}

/// The machine.
#[derive(Debug, Clone)]
pub(crate) struct Filler {
    /// What it is doing.
    pub(crate) state: FillerState,
    /// Actual speed, bottles a minute.
    pub(crate) speed_bpm: f64,
    /// Bottles filled since the shift began.
    pub(crate) filled: u32,
    /// Of these, thrown out by the inspector.
    pub(crate) rejected: u32,
    /// Product in the bowl.
    pub(crate) bowl_l: f64,
    /// Product ever filled into bottles.
    pub(crate) dispensed_l: f64,
    /// Drive current.
    pub(crate) current_a: f64,
    /// Motor winding.
    pub(crate) motor_c: f64,
    /// Capping torque of the last bottle, in newton metres.
    pub(crate) torque_nm: f64,
    /// The last volume of each weighing valve.
    pub(crate) valve_ml: [f64; VALVES],
    /// Seconds the present state has lasted.
    state_s: f64,
    /// Seconds a stop or fault still lasts.
    hold_s: f64,
    fault_in_s: f64,
    changeover_in_s: f64,
    carousel: f64,
    bottle: f64,
}

/// Bottles that left the filler in one step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bottles {
    /// Taken from the infeed.
    pub(crate) filled: u32,
    /// Passed on to the labeller.
    pub(crate) good: u32,
}

impl Filler {
    /// Makes a filler that is about to start.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            state: FillerState::Stopped,
            speed_bpm: 0.0,
            filled: 0,
            rejected: 0,
            bowl_l: BOWL_SET * BOWL_L,
            dispensed_l: 0.0,
            current_a: IDLE_A,
            motor_c: 50.0,
            torque_nm: 1.8,
            valve_ml: [500.0; VALVES],
            state_s: 0.0,
            hold_s: RESTART_S,
            fault_in_s: rng.wait_s(FAULT_MEAN_S),
            changeover_in_s: CHANGEOVER_S,
            carousel: 0.0,
            bottle: 0.0,
        }
    }

    /// Gives the bowl's level, 0 to 1.
    pub(crate) fn bowl_share(&self) -> f64 {
        self.bowl_l / BOWL_L
    }

    /// Gives the speed as a share of the set speed.
    pub(crate) fn speed_share(&self) -> f64 {
        self.speed_bpm / SET_BPM
    }

    /// Gives what the inlet valve asks of the pasteuriser.
    pub(crate) fn product_wanted_l_s(&self) -> f64 {
        let drawn_l_s = self.speed_bpm / 60.0 * BOTTLE_L;
        (drawn_l_s + 12.0 * (BOWL_SET - self.bowl_share())).max(0.0)
    }

    /// Takes product into the bowl.
    pub(crate) fn receive(&mut self, litres: f64) {
        self.bowl_l += litres;
    }

    /// Advances by `dt` seconds and gives the bottles that left.
    pub(crate) fn step(
        &mut self,
        dt: f64,
        supply: Supply,
        ambient_c: f64,
        rng: &mut Rng,
    ) -> Bottles {
        self.decide(dt, supply, rng);
        let target = match (self.state, supply) {
            (FillerState::Starting | FillerState::Running, Supply::Tight) => 0.85 * SET_BPM,
            (FillerState::Starting | FillerState::Running, _) => SET_BPM,
            _ => 0.0,
        };
        let tau_s = if target > self.speed_bpm { 2.5 } else { 0.8 };
        let before_bpm = self.speed_bpm;
        self.speed_bpm = lag(self.speed_bpm, target, tau_s, dt);
        self.drive((self.speed_bpm - before_bpm) / dt, ambient_c, dt);
        self.bottle += self.speed_bpm / 60.0 * dt;
        let mut out = Bottles::default();
        while self.bottle >= 1.0 {
            self.bottle -= 1.0;
            self.fill_one(&mut out, rng);
        }
        out
    }

    fn decide(&mut self, dt: f64, supply: Supply, rng: &mut Rng) {
        use FillerState::{Blocked, Fault, Running, Starting, Starved, Stopped};
        self.state_s += dt;
        self.changeover_in_s -= dt;
        let turning = matches!(self.state, Starting | Running);
        if turning {
            self.fault_in_s -= dt;
        }
        let next = match (self.state, supply) {
            (Starting | Running, _) if self.fault_in_s <= 0.0 => {
                self.fault_in_s = rng.wait_s(FAULT_MEAN_S);
                self.hold_s = 15.0 + rng.wait_s(20.0);
                Fault
            }
            (Starting | Running, _) if self.changeover_in_s <= 0.0 => {
                self.changeover_in_s = CHANGEOVER_S;
                self.hold_s = CHANGEOVER_STOP_S;
                Stopped
            }
            (Starting | Running, Supply::Full) => Blocked,
            (Starting | Running, Supply::Empty) => Starved,
            (Starting, _) if self.speed_bpm > 0.84 * SET_BPM && self.state_s > 3.0 => Running,
            (Blocked | Starved, Supply::Free) => Starting,
            (Fault, _) if self.state_s > self.hold_s => {
                self.hold_s = RESTART_S;
                Stopped
            }
            (Stopped, Supply::Free | Supply::Tight) if self.state_s > self.hold_s => Starting,
            (same, _) => same,
        };
        if next != self.state {
            self.state = next;
            self.state_s = 0.0;
        }
    }

    fn drive(&mut self, accel_bpm_s: f64, ambient_c: f64, dt: f64) {
        // A hundred valves on the carousel: a turn takes ten seconds at full speed.
        self.carousel = (self.carousel + self.speed_bpm / 6_000.0 * dt).fract();
        let share = self.speed_share();
        let eccentric_a = 0.4 * share * (self.carousel * std::f64::consts::TAU).sin();
        let effort_a = 0.05 * accel_bpm_s.max(0.0);
        let idle_a = if share > 0.005 { IDLE_A } else { 1.2 };
        self.current_a =
            lag(self.current_a, idle_a + LOAD_A * share + eccentric_a + effort_a, 0.3, dt);
        let heat_kw = COPPER_KW_A2 * self.current_a.powi(2);
        let cooling_kw = COOLING_KW_K * (self.motor_c - ambient_c);
        self.motor_c += dt * (heat_kw - cooling_kw) / MOTOR_KJ_K;
    }

    fn fill_one(&mut self, out: &mut Bottles, rng: &mut Rng) {
        let valve = usize::try_from(self.filled).unwrap_or_default() % VALVES;
        self.bowl_l -= BOTTLE_L;
        self.dispensed_l += BOTTLE_L;
        self.filled += 1;
        out.filled += 1;
        if let Some(ml) = self.valve_ml.get_mut(valve) {
            // The fifth valve fills a little short: wear, inside its tolerance.
            let worn_ml = if valve == 4 { -1.4 } else { 0.0 };
            *ml = 500.0 + worn_ml + 0.5 * rng.gauss();
        }
        let head_nm = 0.05 * (self.carousel * std::f64::consts::TAU).cos();
        self.torque_nm = 1.8 + head_nm + 0.04 * rng.gauss();
        let unsteady = self.state == FillerState::Starting;
        if rng.chance(if unsteady { 0.02 } else { 0.002 }) {
            self.rejected += 1;
        } else {
            out.good += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(filler: &mut Filler, supply: Supply, seconds: u32) -> u32 {
        let mut rng = Rng::new(1);
        (0..seconds * 10)
            .map(|_| {
                filler.fault_in_s = 1e9;
                filler.bowl_l = 90.0;
                filler.step(0.1, supply, 25.0, &mut rng).filled
            })
            .sum()
    }

    #[test]
    fn a_full_outfeed_blocks_it_and_room_lets_it_start_again() {
        let mut filler = Filler::new(&mut Rng::new(1));
        run(&mut filler, Supply::Free, 30);
        assert_eq!(filler.state, FillerState::Running);
        run(&mut filler, Supply::Full, 10);
        assert_eq!(filler.state, FillerState::Blocked);
        assert!(filler.speed_bpm < 1.0);
        run(&mut filler, Supply::Tight, 10);
        assert_eq!(filler.state, FillerState::Blocked);
        run(&mut filler, Supply::Free, 10);
        assert_eq!(filler.state, FillerState::Running);
    }

    #[test]
    fn at_set_speed_it_fills_ten_bottles_a_second() {
        let mut filler = Filler::new(&mut Rng::new(1));
        run(&mut filler, Supply::Free, 60);
        let bottles = run(&mut filler, Supply::Free, 60);
        assert!((599..=601).contains(&bottles), "{bottles}");
    }

    #[test]
    fn the_motor_warms_under_load_and_cools_at_rest() {
        let mut filler = Filler::new(&mut Rng::new(1));
        run(&mut filler, Supply::Free, 1_800);
        let warm_c = filler.motor_c;
        assert!((55.0..70.0).contains(&warm_c), "{warm_c}");
        run(&mut filler, Supply::Full, 600);
        assert!(filler.motor_c < warm_c - 10.0, "{}", filler.motor_c);
    }
}
