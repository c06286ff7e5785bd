//! The mean and deviation of the newest values.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// A mean of the newest `n` values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RollingMean {
    values: VecDeque<f64>,
    n: usize,
}

impl RollingMean {
    pub(super) fn new(n: usize) -> Self {
        Self { values: VecDeque::with_capacity(n), n: n.max(1) }
    }

    /// Takes the next value and gives the mean. It is summed anew: a running sum would keep the
    /// rounding of every value there ever was.
    pub(super) fn push(&mut self, value: f64) -> f64 {
        if self.values.len() >= self.n {
            self.values.pop_front();
        }
        self.values.push_back(value);
        #[allow(clippy::cast_precision_loss, reason = "a few values")]
        let n = self.values.len() as f64;
        self.values.iter().sum::<f64>() / n
    }

    /// Forgets what it holds.
    pub(super) fn clear(&mut self) {
        self.values.clear();
    }

    /// Gives the population standard deviation of what it holds.
    pub(super) fn deviation(&self) -> f64 {
        super::spread::spread(self.values.iter().copied()).1
    }

    pub(super) fn is_full(&self) -> bool {
        self.values.len() == self.n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_of_the_newest() {
        let mut mean = RollingMean::new(3);
        let means: Vec<f64> = [3.0, 6.0, 9.0, 12.0].iter().map(|v| mean.push(*v)).collect();
        assert_eq!(means, [3.0, 4.5, 6.0, 9.0]);
        assert!(mean.is_full() && (mean.deviation() - 6.0_f64.sqrt()).abs() < 1e-12);
    }
}
