//! Our own seeded pseudo-random numbers: a demo can be repeated from its seed.

/// SplitMix64: 64 bits of state, one multiplication chain a number, good enough for noise.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

/// The odd constant nearest 2^64 over the golden ratio: its multiples spread evenly.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Rng {
    /// Starts a sequence. Near seeds give unrelated sequences.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Gives the next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Gives a number in `[0, 1)`.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// Gives a number near the standard normal, never beyond 6: noise has bounds.
    pub(crate) fn gauss(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Tells whether an event of this probability happens.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Gives a waiting time with this mean, between a tenth and four times of it.
    ///
    /// Cut at both ends, so that a demo never waits in vain for a micro-stop.
    pub(crate) fn wait_s(&mut self, mean_s: f64) -> f64 {
        (-mean_s * (1.0 - self.unit()).ln()).clamp(mean_s * 0.1, mean_s * 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence_and_its_neighbour_does_not() {
        let take = |seed| {
            let mut rng = Rng::new(seed);
            [rng.bits(), rng.bits(), rng.bits()]
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        // The published first output for seed 0.
        assert_eq!(Rng::new(0).bits(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn the_normal_has_mean_zero_and_deviation_one() {
        let mut rng = Rng::new(1);
        let draws: Vec<f64> = (0..20_000).map(|_| rng.gauss()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }
}
