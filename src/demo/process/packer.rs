//! The case packer at the end of the line.

use super::lag;

/// Bottles in a case.
const CASE: f64 = 12.0;
/// Film around a case, and on a fresh reel.
const FILM_M: f64 = 0.9;
const REEL_M: f64 = 1_500.0;

/// The packer.
#[derive(Debug, Clone)]
pub(crate) struct Packer {
    /// Cases packed since the shift began.
    pub(crate) cases: u32,
    /// Cases a minute, smoothed as its own panel does.
    pub(crate) cases_min: f64,
    /// Film left on the reel.
    pub(crate) film_m: f64,
    /// The hydraulic oil.
    pub(crate) oil_c: f64,
    /// Bottles waiting for a full case.
    waiting: f64,
}

impl Packer {
    /// Makes a packer with half a reel.
    pub(crate) fn new() -> Self {
        Self { cases: 0, cases_min: 0.0, film_m: 0.5 * REEL_M, oil_c: 40.0, waiting: 0.0 }
    }

    /// Takes labelled bottles for `dt` seconds.
    pub(crate) fn step(&mut self, dt: f64, bottles: f64, ambient_c: f64) {
        self.waiting += bottles;
        self.cases_min = lag(self.cases_min, bottles / CASE / dt * 60.0, 5.0, dt);
        while self.waiting >= CASE {
            self.waiting -= CASE;
            self.cases += 1;
            self.film_m -= FILM_M;
        }
        if self.film_m < FILM_M {
            self.film_m = REEL_M;
        }
        let warm_c = ambient_c + 6.0 + 0.35 * self.cases_min;
        self.oil_c = lag(self.oil_c, warm_c, 240.0, dt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_bottles_make_a_case_and_a_case_takes_its_film() {
        let mut packer = Packer::new();
        let film_m = packer.film_m;
        (0..120).for_each(|_| packer.step(0.1, 1.0, 25.0));
        assert_eq!(packer.cases, 10);
        assert!((film_m - packer.film_m - 9.0).abs() < 1e-9);
    }
}
