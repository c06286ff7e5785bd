//! The mixing tank: syrup and water by volume, heated through a jacket.

use super::super::rng::Rng;
use super::pasteuriser::Flow;
use super::{HEAT_KJ_PER_L_K, Pi, lag};

/// What the tank holds to the brim.
pub(crate) const CAPACITY_L: f64 = 5_000.0;
/// The temperature the heater holds.
pub(crate) const SET_C: f64 = 20.0;
/// The heater at full output.
const HEATER_KW: f64 = 350.0;
/// Wall and water of the jacket, kJ per kelvin.
const JACKET_KJ_K: f64 = 600.0;
/// From the jacket into the tank, kW per kelvin.
const JACKET_KW_K: f64 = 18.0;
/// From the tank into the hall, kW per kelvin.
const LOSS_KW_K: f64 = 0.3;
/// A batch starts below this share of the capacity and ends above the other.
const BATCH: (f64, f64) = (0.45, 0.80);
/// Through the wide-open valves.
const WATER_L_S: f64 = 10.0;
const SYRUP_L_S: f64 = 2.0;
const WATER_C: f64 = 14.0;
const SYRUP_C: f64 = 22.0;
/// Sugar in the syrup, degrees Brix.
const SYRUP_BRIX: f64 = 62.0;
/// A valve's travel, as a lag.
const VALVE_TAU_S: f64 = 2.0;

/// The tank, its two inlets and its jacket.
#[derive(Debug, Clone)]
pub(crate) struct Mixer {
    /// Product in the tank.
    pub(crate) volume_l: f64,
    /// Water ever fed.
    pub(crate) water_l: f64,
    /// Syrup ever fed.
    pub(crate) syrup_l: f64,
    /// Water valve, 0 to 1.
    pub(crate) water_valve: f64,
    /// Syrup valve, 0 to 1.
    pub(crate) syrup_valve: f64,
    /// Water coming in.
    pub(crate) water_l_s: f64,
    /// Syrup coming in.
    pub(crate) syrup_l_s: f64,
    /// The jacket's temperature.
    pub(crate) jacket_c: f64,
    /// Into the jacket.
    pub(crate) heater_kw: f64,
    /// Batches begun.
    pub(crate) batch: u32,
    /// Heat stored in the tank, above 0 degrees Celsius.
    heat_kj: f64,
    /// Brix times litres.
    sugar: f64,
    filling: bool,
    /// The mains' pressure wanders by a few per cent.
    mains: f64,
    control: Pi,
}

impl Mixer {
    /// Makes a tank half full, at temperature.
    pub(crate) fn new() -> Self {
        let volume_l = 0.55 * CAPACITY_L;
        Self {
            volume_l,
            water_l: 0.0,
            syrup_l: 0.0,
            water_valve: 0.0,
            syrup_valve: 0.0,
            water_l_s: 0.0,
            syrup_l_s: 0.0,
            jacket_c: SET_C,
            heater_kw: 0.0,
            batch: 100,
            heat_kj: volume_l * HEAT_KJ_PER_L_K * SET_C,
            sugar: volume_l * SYRUP_BRIX * SYRUP_L_S / (SYRUP_L_S + WATER_L_S),
            filling: false,
            mains: 1.0,
            control: Pi { gain: 0.17, reset_s: 240.0, integral: 0.0 },
        }
    }

    /// Gives the tank's temperature.
    pub(crate) fn temperature_c(&self) -> f64 {
        self.heat_kj / (self.volume_l * HEAT_KJ_PER_L_K)
    }

    /// Gives the level, 0 to 1.
    pub(crate) fn level(&self) -> f64 {
        self.volume_l / CAPACITY_L
    }

    /// Gives the sugar content in degrees Brix.
    pub(crate) fn brix(&self) -> f64 {
        self.sugar / self.volume_l
    }

    /// Gives the heater's output, 0 to 1.
    pub(crate) fn heater_share(&self) -> f64 {
        self.heater_kw / HEATER_KW
    }

    /// Advances by `dt` seconds while the pasteuriser draws and gives back.
    pub(crate) fn step(&mut self, dt: f64, flow: Flow, ambient_c: f64, rng: &mut Rng) {
        if !self.filling && self.level() < BATCH.0 {
            self.filling = true;
            self.batch += 1;
        } else if self.level() > BATCH.1 {
            self.filling = false;
        }
        let open = f64::from(u8::from(self.filling));
        self.water_valve = lag(self.water_valve, open, VALVE_TAU_S, dt);
        // Syrup is thicker and its valve slower: each batch begins a little thin.
        self.syrup_valve = lag(self.syrup_valve, open, 1.5 * VALVE_TAU_S, dt);
        self.mains = lag(self.mains, 1.0, 30.0, dt) + 0.004 * dt.sqrt() * rng.gauss();
        self.mains = self.mains.clamp(0.9, 1.1);
        self.water_l_s = WATER_L_S * self.mains * self.water_valve;
        self.syrup_l_s = SYRUP_L_S * self.syrup_valve;

        let error = SET_C - self.temperature_c();
        self.heater_kw = HEATER_KW * self.control.step(error, 0.0, dt);
        self.mix(dt, flow, ambient_c);
    }

    fn mix(&mut self, dt: f64, flow: Flow, ambient_c: f64) {
        let tank_c = self.temperature_c();
        let brix = self.brix();
        let out_l_s = flow.forward_l_s + flow.back_l_s;
        let jacket_kw = JACKET_KW_K * (self.jacket_c - tank_c);
        let carried_kw = HEAT_KJ_PER_L_K
            * (self.water_l_s * WATER_C + self.syrup_l_s * SYRUP_C + flow.back_l_s * flow.back_c
                - out_l_s * tank_c);
        self.heat_kj += dt * (jacket_kw + carried_kw - LOSS_KW_K * (tank_c - ambient_c));
        self.jacket_c += dt * (self.heater_kw - jacket_kw) / JACKET_KJ_K;
        self.sugar += dt * (self.syrup_l_s * SYRUP_BRIX - flow.forward_l_s * brix);
        self.volume_l += dt * (self.water_l_s + self.syrup_l_s - flow.forward_l_s);
        self.water_l += dt * self.water_l_s;
        self.syrup_l += dt * self.syrup_l_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_in_less_heat_out_is_heat_stored() {
        let mut rng = Rng::new(1);
        let mut mixer = Mixer::new();
        let flow = Flow { forward_l_s: 5.0, back_l_s: 0.5, back_c: 17.0 };
        let stored = |m: &Mixer| m.heat_kj + JACKET_KJ_K * m.jacket_c;
        let before = stored(&mixer);
        let mut fed = 0.0;
        for _ in 0..6_000 {
            let tank_c = mixer.temperature_c();
            mixer.step(0.1, flow, 25.0, &mut rng);
            let carried = mixer.water_l_s * WATER_C + mixer.syrup_l_s * SYRUP_C
                - 5.0 * tank_c
                - 0.5 * (tank_c - 17.0);
            fed +=
                0.1 * (mixer.heater_kw + HEAT_KJ_PER_L_K * carried - LOSS_KW_K * (tank_c - 25.0));
        }
        let gained = stored(&mixer) - before;
        assert!(fed.abs() > 1_000.0, "something must have flowed: {fed}");
        assert!((gained - fed).abs() < 1e-3, "{gained} kJ stored, {fed} kJ fed");
    }

    #[test]
    fn an_idle_tank_keeps_its_mixture() {
        let mut rng = Rng::new(1);
        let mut mixer = Mixer::new();
        let (level, brix) = (mixer.level(), mixer.brix());
        let still = Flow { forward_l_s: 0.0, back_l_s: 0.0, back_c: 20.0 };
        (0..1_000).for_each(|_| mixer.step(0.5, still, 25.0, &mut rng));
        assert!((mixer.level() - level).abs() < 1e-9);
        assert!((mixer.brix() - brix).abs() < 1e-9);
    }
}
