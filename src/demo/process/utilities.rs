//! Compressed air and electric energy.

use super::super::rng::Rng;
use super::lag;

/// The compressor loads below the first pressure and unloads above the second, bar gauge.
pub(crate) const BAND_BAR: (f64, f64) = (6.4, 7.2);
/// The receiver, as litres of free air per bar.
const RECEIVER_L_BAR: f64 = 1_000.0;
const COMPRESSOR_L_S: f64 = 150.0;
const LEAK_L_S: f64 = 28.0;
const FILLER_L_S: f64 = 60.0;
const LABELLER_L_S: f64 = 12.0;

/// What the utilities have to carry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loads {
    /// The filler's drive.
    pub(crate) filler_a: f64,
    /// The filler's speed, 0 to 1.
    pub(crate) speed_share: f64,
    /// The mixer's heater.
    pub(crate) heater_kw: f64,
    /// The labeller's speed, 0 to 1.
    pub(crate) labeller: f64,
}

/// The compressor and the meter at the main switch.
#[derive(Debug, Clone)]
pub(crate) struct Utilities {
    /// Receiver pressure, bar gauge.
    pub(crate) air_bar: f64,
    /// The compressor delivers.
    pub(crate) loaded: bool,
    /// Times it has loaded.
    pub(crate) loadings: u32,
    /// Free air drawn.
    pub(crate) air_l_s: f64,
    /// Power through the main switch.
    pub(crate) power_kw: f64,
    /// Energy through it, ever.
    pub(crate) energy_kwh: f64,
    /// Phase voltages.
    pub(crate) phase_v: [f64; 3],
    /// Mains frequency.
    pub(crate) mains_hz: f64,
    grid_v: f64,
}

impl Utilities {
    /// Makes a meter that has been counting for years.
    pub(crate) fn new() -> Self {
        Self {
            air_bar: 6.8,
            loaded: false,
            loadings: 48_211,
            air_l_s: LEAK_L_S,
            power_kw: 60.0,
            energy_kwh: 1_284_310.0,
            phase_v: [231.0, 230.2, 230.7],
            mains_hz: 50.0,
            grid_v: 231.0,
        }
    }

    /// Advances by `dt` seconds under these loads.
    pub(crate) fn step(&mut self, dt: f64, loads: Loads, rng: &mut Rng) {
        self.air_l_s = LEAK_L_S + FILLER_L_S * loads.speed_share + LABELLER_L_S * loads.labeller;
        let delivered_l_s = if self.loaded { COMPRESSOR_L_S } else { 0.0 };
        self.air_bar += dt * (delivered_l_s - self.air_l_s) / RECEIVER_L_BAR;
        if self.loaded && self.air_bar > BAND_BAR.1 {
            self.loaded = false;
        } else if !self.loaded && self.air_bar < BAND_BAR.0 {
            self.loaded = true;
            self.loadings = self.loadings.wrapping_add(1);
        }
        let compressor_kw = if self.loaded { 55.0 } else { 16.0 };
        let drives_kw = 0.55 * loads.filler_a + 3.0 * loads.labeller;
        let target_kw = 22.0 + compressor_kw + drives_kw + loads.heater_kw;
        self.power_kw = lag(self.power_kw, target_kw, 0.8, dt);
        self.energy_kwh += self.power_kw * dt / 3_600.0;

        let wander = dt.sqrt() * rng.gauss();
        self.grid_v = (lag(self.grid_v, 231.0, 60.0, dt) + 0.12 * wander).clamp(225.0, 237.0);
        let drop_v = 0.008 * self.power_kw;
        self.phase_v = [0.0, -0.8, -0.3].map(|phase| self.grid_v + phase - drop_v);
        let pull = dt.sqrt() * rng.gauss();
        self.mains_hz = (lag(self.mains_hz, 50.0, 40.0, dt) + 0.003 * pull).clamp(49.9, 50.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pressure_saws_between_the_compressors_limits() {
        let mut air = Utilities::new();
        let mut rng = Rng::new(1);
        let loads = Loads { filler_a: 22.0, speed_share: 1.0, heater_kw: 0.0, labeller: 1.0 };
        let before = air.loadings;
        for _ in 0..6_000 {
            air.step(0.1, loads, &mut rng);
            assert!((BAND_BAR.0 - 0.05..BAND_BAR.1 + 0.05).contains(&air.air_bar));
        }
        let cycles = air.loadings - before;
        assert!((10..60).contains(&cycles), "{cycles} loadings in ten minutes");
    }

    #[test]
    fn the_meter_counts_the_power_over_time() {
        let mut meter = Utilities::new();
        let mut rng = Rng::new(1);
        let loads = Loads { filler_a: 0.0, speed_share: 0.0, heater_kw: 100.0, labeller: 0.0 };
        let (before, mut kwh) = (meter.energy_kwh, 0.0);
        for _ in 0..36_000 {
            meter.step(0.1, loads, &mut rng);
            kwh += meter.power_kw * 0.1 / 3_600.0;
        }
        assert!((meter.energy_kwh - before - kwh).abs() < 1e-6);
        assert!((130.0..180.0).contains(&kwh), "{kwh}");
    }
}
