//! Values far from their neighbours that come back: the Hampel identifier (Hampel 1974), told
//! once the signal has returned. What stays out is a step, and no spike.

use std::collections::VecDeque;

use super::{Trained, checked, is_usable};
use crate::diagnose::robust::{MAD_TO_SIGMA, median_and_mad};

/// Neighbours before a value that it is held against.
const NEIGHBOURS: usize = 15;
/// Values that a spike has at most.
const WIDTH_MAX: usize = 3;
/// A value within this share of the limit is back.
const BACK: f64 = 0.5;

/// The newest values, and the least spread they are given.
#[derive(Debug, Clone)]
pub struct Outlier {
    newest: VecDeque<f64>,
    floor: f64,
    k: f64,
    work: Vec<f64>,
    /// The excursion that is not over: what was usual before, its limit, and its values so far.
    open: Option<(f64, f64, usize)>,
    score: f64,
}

impl Outlier {
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
        Ok(Self { newest, floor: usual / 2.0, k, work: Vec::new(), open: None, score: 0.0 })
    }

    /// Tells whether this value ends a spike.
    fn ends(&mut self, value: f64) -> bool {
        match &mut self.open {
            Some((centre, limit, values)) => {
                let is_back = (value - *centre).abs() <= *limit * BACK;
                *values += 1;
                if is_back || *values > WIDTH_MAX {
                    self.open = None;
                }
                is_back
            }
            None => {
                self.begin(value);
                false
            }
        }
    }

    fn begin(&mut self, value: f64) {
        let newest = self.newest.make_contiguous();
        let Some((centre, mad)) = median_and_mad(newest, &mut self.work) else { return };
        let limit = self.k * (mad * MAD_TO_SIGMA).max(self.floor);
        self.score = (value - centre).abs() / limit;
        if self.score > 1.0 {
            self.open = Some((centre, limit, 1));
        }
    }
}

impl Trained for Outlier {
    fn push(&mut self, value: f64) -> bool {
        if !is_usable(value) {
            return false;
        }
        let ends = self.ends(value);
        self.newest.push_back(value);
        if self.newest.len() > NEIGHBOURS {
            self.newest.pop_front();
        }
        ends
    }

    fn score(&self) -> f64 {
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;

    #[test]
    fn what_comes_back_is_a_spike_and_what_stays_is_none() {
        let mut spike = Outlier::learn(&noise(600, 5), 5.0).unwrap();
        let shown = [0.1, 30.0, -0.2, 0.3, 28.0, 31.0, 0.0, 0.1];
        assert_eq!(
            shown.map(|v| spike.push(v)),
            [false, false, true, false, false, false, true, false]
        );
        let step: Vec<f64> = noise(100, 6).iter().map(|v| v + 40.0).collect();
        assert!(step.iter().all(|v| !spike.push(*v)));
    }
}
