//! Cleaning in place of the syrup line, round and round.

use super::lag;

/// One step of the recipe: seconds, conductivity in mS/cm, return temperature.
#[derive(Debug, Clone, Copy)]
struct Step {
    for_s: f64,
    conductivity: f64,
    return_c: Option<f64>,
}

/// Idle, pre-rinse, caustic, rinse, acid, final rinse.
const RECIPE: [Step; 6] = [
    Step { for_s: 150.0, conductivity: 0.4, return_c: None },
    Step { for_s: 45.0, conductivity: 0.6, return_c: Some(38.0) },
    Step { for_s: 150.0, conductivity: 74.0, return_c: Some(78.0) },
    Step { for_s: 60.0, conductivity: 0.6, return_c: Some(45.0) },
    Step { for_s: 90.0, conductivity: 32.0, return_c: Some(62.0) },
    Step { for_s: 60.0, conductivity: 0.4, return_c: Some(22.0) },
];

/// The cleaning skid.
#[derive(Debug, Clone)]
pub(crate) struct Cip {
    /// The step of the recipe; 0 is idle.
    pub(crate) step: usize,
    /// Seconds left in it.
    pub(crate) left_s: f64,
    /// Of what comes back, in mS/cm.
    pub(crate) conductivity: f64,
    /// Of what comes back.
    pub(crate) return_c: f64,
}

impl Cip {
    /// Makes a skid at rest.
    pub(crate) fn new() -> Self {
        Self { step: 0, left_s: 60.0, conductivity: 0.4, return_c: 24.0 }
    }

    /// Advances by `dt` seconds.
    pub(crate) fn step(&mut self, dt: f64, ambient_c: f64) {
        self.left_s -= dt;
        if self.left_s <= 0.0 {
            self.step = (self.step + 1) % RECIPE.len();
            self.left_s += RECIPE.get(self.step).map_or(0.0, |step| step.for_s);
        }
        let Some(now) = RECIPE.get(self.step) else { return };
        let idle_tau_s = if now.return_c.is_none() { 60.0 } else { 10.0 };
        self.conductivity = lag(self.conductivity, now.conductivity, 8.0, dt);
        self.return_c = lag(self.return_c, now.return_c.unwrap_or(ambient_c), idle_tau_s, dt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caustic_is_told_from_water_by_its_conductivity() {
        let mut cip = Cip::new();
        (0..20_000).for_each(|_| {
            cip.step(0.1, 25.0);
            if cip.step == 2 && cip.left_s < 60.0 {
                assert!(cip.conductivity > 70.0 && cip.return_c > 75.0);
            }
            if cip.step == 5 && cip.left_s < 5.0 {
                assert!(cip.conductivity < 1.0, "rinsed: {}", cip.conductivity);
            }
        });
    }
}
