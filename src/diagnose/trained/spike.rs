//! Single values far from their neighbours: the Hampel identifier (Hampel 1974).

use std::collections::VecDeque;

use super::{Trained, checked, is_usable};
use crate::diagnose::robust::{MAD_TO_SIGMA, median_and_mad};

/// Neighbours before a value that it is held against.
const NEIGHBOURS: usize = 15;

/// The newest values, and the least spread they are given.
#[derive(Debug, Clone)]
pub struct Spike {
    newest: VecDeque<f64>,
    floor: f64,
    k: f64,
    work: Vec<f64>,
    score: f64,
}

impl Spike {
    /// Learns how far values jump from one to the next; `k` deviations off is a spike.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], k: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let pairs = values.iter().zip(values.iter().skip(1));
        let mut steps: Vec<f64> =
            pairs.map(|(a, b)| (b - a).abs()).filter(|step| *step > 0.0).collect();
        steps.sort_by(f64::total_cmp);
        // A signal of few digits has runs without any spread: nineteen of its steps in twenty
        // are no spike.
        let usual = steps.get(steps.len() * 19 / 20).copied().unwrap_or(0.0);
        let newest = values.iter().rev().take(NEIGHBOURS).rev().copied().collect();
        Ok(Self { newest, floor: usual / 2.0, k, work: Vec::new(), score: 0.0 })
    }
}

impl Trained for Spike {
    fn push(&mut self, value: f64) -> bool {
        if !is_usable(value) {
            return false;
        }
        let newest = self.newest.make_contiguous();
        if let Some((centre, mad)) = median_and_mad(newest, &mut self.work) {
            let sigma = (mad * MAD_TO_SIGMA).max(self.floor);
            self.score = (value - centre).abs() / (self.k * sigma);
        }
        self.newest.push_back(value);
        if self.newest.len() > NEIGHBOURS {
            self.newest.pop_front();
        }
        self.score > 1.0
    }

    fn score(&self) -> f64 {
        self.score
    }
}
