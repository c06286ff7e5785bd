//! Principal components of several signals, and how far a row lies from them.

use serde::{Deserialize, Serialize};

use super::matrix::Matrix;
use crate::diagnose::spread::spread;

/// Added to the diagonal of the correlation: components that training hardly saw must not make
/// a small deviation infinite.
const RIDGE: f64 = 0.1;
/// Below this, relative to the mean, a deviation is rounding.
const ROUNDING: f64 = 1e-12;

/// Signals of a healthy stretch, their scales and components.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Projection {
    scales: Vec<(f64, f64)>,
    components: Vec<(f64, Vec<f64>)>,
}

/// A row's two distances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Distances {
    /// Hotelling's T-squared, within the kept components.
    pub(super) t_squared: f64,
    /// The squared residual, outside them.
    pub(super) q: f64,
}

impl Projection {
    /// Learns from rows of equal length; `None` where there are too few or nothing moves. Each
    /// signal's deviation is widened by its allowance.
    pub(super) fn fit(rows: &[&Vec<f64>], allowance: &[f64]) -> Option<Self> {
        let n = rows.first()?.len();
        if rows.len() < 2 * n.max(2) {
            return None;
        }
        let column = |j: usize| rows.iter().map(move |row| row.get(j).copied().unwrap_or(0.0));
        let widened = |(j, by): (usize, &f64)| {
            let (mean, sigma) = moving(spread(column(j)));
            (mean, sigma * by)
        };
        let scales: Vec<(f64, f64)> = allowance.iter().enumerate().map(widened).collect();
        if scales.iter().all(|(_, sigma)| *sigma == 0.0) {
            return None;
        }
        let scaled: Vec<Vec<f64>> = rows.iter().map(|row| scale(row, &scales)).collect();
        let mut correlation = Matrix::covariance(&scaled, n);
        correlation.add_to_diagonal(RIDGE);
        Some(Self { scales, components: correlation.eigen() })
    }

    /// Gives the distances of a row for one kept component, two, and so on to all but one.
    pub(super) fn distances(&self, row: &[f64]) -> Vec<Distances> {
        let scaled = scale(row, &self.scales);
        let all: f64 = scaled.iter().map(|z| z * z).sum();
        let (mut t_squared, mut explained) = (0.0, 0.0);
        let kept = self.components.len().saturating_sub(1);
        let mut found = Vec::with_capacity(kept);
        for (value, vector) in self.components.iter().take(kept) {
            let along: f64 = vector.iter().zip(&scaled).map(|(v, z)| v * z).sum();
            t_squared += along * along / value;
            explained += along * along;
            found.push(Distances { t_squared, q: (all - explained).max(0.0) });
        }
        found
    }

    /// Gives the mean and the widened deviation of each signal.
    pub(super) fn scales(&self) -> &[(f64, f64)] {
        &self.scales
    }

    /// Moves the means towards a row by a share.
    pub(super) fn follow(&mut self, row: &[f64], share: f64) {
        for ((mean, _), value) in self.scales.iter_mut().zip(row) {
            *mean += share * (value - *mean);
        }
    }

    /// Gives by how much each signal alone could make the joined index of a row smaller, with so
    /// many components kept: the one that explains most is named (reconstruction-based
    /// contribution: Alcala and Qin 2009).
    pub(super) fn contributions(&self, row: &[f64], kept: usize, limit: &Distances) -> Vec<f64> {
        let scaled = scale(row, &self.scales);
        let weight = |(nth, (value, vector)): (usize, &(f64, Vec<f64>))| {
            let along: f64 = vector.iter().zip(&scaled).map(|(v, z)| v * z).sum();
            (
                if nth < kept { share(1.0 / value, limit.t_squared) } else { share(1.0, limit.q) },
                along,
            )
        };
        let weights: Vec<(f64, f64)> = self.components.iter().enumerate().map(weight).collect();
        let of_signal = |signal: usize| {
            let (mut pull, mut stiffness) = (0.0, 0.0);
            for ((weight, along), (_, vector)) in weights.iter().zip(&self.components) {
                let v = vector.get(signal).copied().unwrap_or(0.0);
                pull += weight * along * v;
                stiffness += weight * v * v;
            }
            share(pull * pull, stiffness)
        };
        (0..scaled.len()).map(of_signal).collect()
    }
}

/// Gives what part of a limit a value is; nothing of none.
pub(super) fn share(value: f64, limit: f64) -> f64 {
    if limit > 0.0 { value / limit } else { 0.0 }
}

fn moving((mean, sigma): (f64, f64)) -> (f64, f64) {
    (mean, if sigma > mean.abs() * ROUNDING { sigma } else { 0.0 })
}

/// A signal that never moved in training gets no weight: its first move is another detector's.
fn scale(row: &[f64], scales: &[(f64, f64)]) -> Vec<f64> {
    let one = |(v, (mean, sigma)): (&f64, &(f64, f64))| match *sigma > 0.0 {
        true => (v - mean) / sigma,
        false => 0.0,
    };
    row.iter().zip(scales).map(one).collect()
}
