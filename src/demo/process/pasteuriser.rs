//! The plate pasteuriser: heat recovery, hot water, holding tube, cooler.

use super::{HEAT_KJ_PER_L_K, Pi, lag};

/// The holding temperature the controller keeps.
pub(crate) const SET_C: f64 = 76.0;
/// The most the pump moves.
pub(crate) const FLOW_L_S_MAX: f64 = 7.0;
/// The plates must never stand still while they are hot.
const FLOW_L_S_MIN: f64 = 1.0;
/// Below the first the product goes back, until the second is reached.
const DIVERT_C: (f64, f64) = (72.0, 74.0);
/// Steam valve wide open.
const STEAM_KW: f64 = 600.0;
/// The hot-water circuit, kJ per kelvin.
const CIRCUIT_KJ_K: f64 = 400.0;
/// From hot water into product, kW per kelvin.
const PLATE_KW_K: f64 = 60.0;
/// Heat given back from hot product to cold.
const RECOVERY: f64 = 0.85;
/// The holding tube.
const TUBE_L: f64 = 100.0;
/// Delay of the tube, cut into equal lags: plug flow with some mixing.
const TUBE_TAU_S: f64 = 4.0;
/// The cooling water at the last plates.
const COOLANT_C: f64 = 12.0;

/// What flows between the mixer, the pasteuriser and the filler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// On to the filler.
    pub(crate) forward_l_s: f64,
    /// Back to the mixer.
    pub(crate) back_l_s: f64,
    /// Of what goes back.
    pub(crate) back_c: f64,
}

/// The plates and what controls them.
#[derive(Debug, Clone)]
pub(crate) struct Pasteuriser {
    /// Product through the plates.
    pub(crate) flow_l_s: f64,
    /// Product as it comes in.
    pub(crate) inlet_c: f64,
    /// Hot water before the plates.
    pub(crate) hot_water_c: f64,
    /// Product at the end of the holding tube.
    pub(crate) hold_c: f64,
    /// Product as it leaves for the filler.
    pub(crate) outlet_c: f64,
    /// Steam valve, 0 to 1.
    pub(crate) steam: f64,
    /// Product goes back to the mixer, because it was not held hot enough.
    pub(crate) diverting: bool,
    tube_c: [f64; 2],
    control: Pi,
}

impl Pasteuriser {
    /// Makes a pasteuriser at temperature.
    pub(crate) fn new() -> Self {
        Self {
            flow_l_s: FLOW_L_S_MIN,
            inlet_c: 20.0,
            hot_water_c: SET_C + 0.5,
            hold_c: SET_C,
            outlet_c: 17.0,
            steam: 0.28,
            diverting: false,
            tube_c: [SET_C; 2],
            control: Pi { gain: 0.03, reset_s: 120.0, integral: 0.0 },
        }
    }

    /// Gives the pasteurisation units the product gets in the tube (z = 7 K at 60 degrees).
    pub(crate) fn units(&self) -> f64 {
        TUBE_L / self.flow_l_s / 60.0 * 1.393_f64.powf(self.hold_c - 60.0)
    }

    /// Advances by `dt` seconds and tells where the product goes.
    pub(crate) fn step(&mut self, dt: f64, wanted_l_s: f64, mixer_c: f64) -> Flow {
        let target = wanted_l_s.clamp(FLOW_L_S_MIN, FLOW_L_S_MAX);
        self.flow_l_s = lag(self.flow_l_s, target, 3.0, dt);
        self.inlet_c = lag(self.inlet_c, mixer_c, 3.0, dt);
        let stream_kw_k = self.flow_l_s * HEAT_KJ_PER_L_K;
        // What the recovery leaves to heat follows from the flow, long before the tube shows it.
        let known_kw = stream_kw_k * (1.0 - RECOVERY) * (SET_C - self.inlet_c);
        self.steam = self.control.step(SET_C - self.hold_c, known_kw / STEAM_KW, dt);

        let preheated_c = self.inlet_c + RECOVERY * (self.hold_c - self.inlet_c);
        let share = 1.0 - (-PLATE_KW_K / stream_kw_k).exp();
        let heated_c = preheated_c + share * (self.hot_water_c - preheated_c);
        let given_kw = stream_kw_k * (heated_c - preheated_c);
        self.hot_water_c += dt * (self.steam * STEAM_KW - given_kw) / CIRCUIT_KJ_K;

        let [first, second] = self.tube_c;
        self.tube_c = [lag(first, heated_c, TUBE_TAU_S, dt), lag(second, first, TUBE_TAU_S, dt)];
        self.hold_c = lag(self.hold_c, second, TUBE_TAU_S, dt);
        let recovered_c = self.hold_c - RECOVERY * (self.hold_c - self.inlet_c);
        let cooled_c = COOLANT_C + 0.3 * (recovered_c - COOLANT_C);
        self.outlet_c = lag(self.outlet_c, cooled_c, 6.0, dt);

        let limit_c = if self.diverting { DIVERT_C.1 } else { DIVERT_C.0 };
        self.diverting = self.hold_c < limit_c;
        let forward_l_s = if self.diverting { 0.0 } else { self.flow_l_s.min(wanted_l_s.max(0.0)) };
        Flow { forward_l_s, back_l_s: self.flow_l_s - forward_l_s, back_c: self.outlet_c }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_that_was_not_held_hot_enough_goes_back() {
        let mut plates = Pasteuriser::new();
        plates.hold_c = 60.0;
        plates.tube_c = [60.0; 2];
        let flow = plates.step(0.1, 5.0, 20.0);
        assert!(plates.diverting);
        assert_eq!(flow.forward_l_s, 0.0);
        assert_eq!(flow.back_l_s, plates.flow_l_s);
    }

    #[test]
    fn the_holding_temperature_recovers_from_a_cold_tank() {
        let mut plates = Pasteuriser::new();
        (0..12_000).for_each(|_| {
            plates.step(0.1, 5.0, 8.0);
        });
        assert!((plates.hold_c - SET_C).abs() < 0.2, "{}", plates.hold_c);
        assert!(!plates.diverting);
    }
}
