//! The signals of one asset together: Hotelling's T-squared and the residual Q on principal
//! components (Jackson and Mudholkar 1979), joined to one index (Yue and Qin 2001), for every
//! number of components.

mod distinct;
mod judge;
mod learnt;
mod matrix;
mod projection;
mod rows;

pub use judge::{AssetJudge, AssetNow};
pub use learnt::{LearntAsset, Member};
pub use rows::{busiest, rows};

use serde::{Deserialize, Serialize};

use projection::{Distances, Projection, share};

use super::robust::median;
use super::rolling::RollingMean;
use super::spread::spread;

/// The name of the detector.
pub const ASSET: &str = "asset";
/// Signals of one asset: more take too long to learn, and few assets have as many.
pub const SIGNALS_MAX: usize = 64;
/// Rows that are averaged: noise goes, what lasts stays.
const ROWS_AVERAGED: usize = 15;
/// Blocks of the training, each judged by what was learnt from the others.
const BLOCKS: usize = 10;
/// The share of healthy rows below the limit.
const QUANTILE: f64 = 0.99;
/// A signal that moved on from the first half of the training to the second may go on so for as
/// many halves more.
const TREND_GOES_ON: f64 = 3.0;
/// Limits on the index worth trying, most sensitive first.
pub const ASSET_SETTINGS: &[f64] =
    &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0];
/// The limit that is used where nobody chooses one.
pub const ASSET_USUAL: f64 = 1.3;
/// The limit of what runs day and night: a false alarm costs more there than a late one.
pub const ASSET_STANDING: f64 = 3.0;
/// Fewer rows teach nothing.
const TRAIN_MIN: usize = 120;

/// What an asset's signals are like together while it is healthy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssetModel {
    projection: Projection,
    /// For each number of components that are kept.
    limits: Vec<Distances>,
    rolling: Vec<RollingMean>,
    /// The share of a healthy row that the means take over.
    follow: f64,
}

/// One row's judgement.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetIndex {
    /// 1 is the limit that a hundredth of healthy rows pass.
    pub index: f64,
    /// The signal that explains most of it, by its position.
    pub leading: usize,
}

impl AssetModel {
    /// Learns from rows of one value per signal, oldest first.
    ///
    /// The limits are taken from blocks that the model they are held against has not seen: a
    /// model flatters what it has learnt from.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(rows: &[Vec<f64>]) -> Result<Self, &'static str> {
        let signals = rows.first().map_or(0, Vec::len);
        if !(2..=SIGNALS_MAX).contains(&signals) {
            return Err("an asset needs 2 to 64 signals");
        }
        if rows.len() < TRAIN_MIN.max(4 * signals) {
            return Err("fewer than 120 rows to learn from, or than four for each signal");
        }
        if rows.iter().any(|row| row.len() != signals || row.iter().any(|v| !usable(*v))) {
            return Err("a row has a value that is no usable number");
        }
        let mut rolling = vec![RollingMean::new(ROWS_AVERAGED); signals];
        let averaged: Vec<Vec<f64>> = rows.iter().map(|row| average(&mut rolling, row)).collect();
        let constant = "nothing moves in what was to be learnt from";
        let all: Vec<&Vec<f64>> = averaged.iter().collect();
        let allowance = allowance(&averaged, signals);
        let projection = Projection::fit(&all, &allowance).ok_or(constant)?;
        let unseen = unseen(&averaged, &allowance).ok_or(constant)?;
        let limit = |split: usize| {
            let of = |part: fn(&Distances) -> f64| {
                quantile(unseen.iter().filter_map(|row| row.get(split)).map(part).collect())
            };
            Distances { t_squared: of(|d| d.t_squared), q: of(|d| d.q) }
        };
        #[allow(clippy::cast_precision_loss, reason = "a few thousand rows of training")]
        let follow = 1.0 / rows.len() as f64;
        Ok(Self {
            projection,
            limits: (1..signals).map(|n| limit(n - 1)).collect(),
            rolling,
            follow,
        })
    }

    /// Forgets the newest rows, as what comes next does not follow on them.
    fn interrupt(&mut self) {
        self.rolling.iter_mut().for_each(RollingMean::clear);
    }

    /// Judges the next row; `None` where a value is no usable number.
    ///
    /// How many components are kept is a choice that nothing decides: the index is the median
    /// over all of them. A healthy row moves the means a little, so that a slow change of the
    /// process is no fault (recursive PCA: Li, Yue, Valle-Cervantes and Qin 2000).
    pub fn judge(&mut self, row: &[f64]) -> Option<AssetIndex> {
        if row.len() != self.rolling.len() || row.iter().any(|v| !usable(*v)) {
            return None;
        }
        let averaged = average(&mut self.rolling, row);
        let shares = self.shares(&averaged);
        let index = median(&mut shares.clone())?;
        let leading = self.leading(&averaged, &shares, index);
        if index < 1.0 {
            self.projection.follow(&averaged, self.follow);
        }
        Some(AssetIndex { index, leading })
    }
}

impl AssetModel {
    /// Gives the mean of each signal, and how far it alone would have to be off for an index: what
    /// is less than that is not seen. `None` is a signal that no distance would tell.
    fn reach(&self, index: f64) -> Vec<Option<(f64, f64)>> {
        let scales = self.projection.scales();
        let one = |(signal, (mean, sigma)): (usize, &(f64, f64))| {
            let mut row: Vec<f64> = scales.iter().map(|(mean, _)| *mean).collect();
            *row.get_mut(signal)? += sigma;
            // Both distances are quadratic: what one deviation makes tells what any does.
            let of_one = median(&mut self.shares(&row)).filter(|of_one| *of_one > 0.0)?;
            Some((*mean, sigma * (index / of_one).sqrt()))
        };
        scales.iter().enumerate().map(one).collect()
    }

    /// Gives how far out an averaged row is, in limits, for each number of components.
    fn shares(&self, averaged: &[f64]) -> Vec<f64> {
        let joined = |(found, limit): (&Distances, &Distances)| {
            f64::midpoint(share(found.t_squared, limit.t_squared), share(found.q, limit.q))
        };
        let found = self.projection.distances(averaged);
        found.iter().zip(&self.limits).map(joined).collect()
    }

    /// Gives the signal that explains most of a row's index, by the number of components that
    /// gives this index or nearly.
    fn leading(&self, row: &[f64], shares: &[f64], index: f64) -> usize {
        let apart = |share: &f64| (share - index).abs();
        let all = shares.iter().zip(&self.limits).enumerate();
        let split = all.min_by(|a, b| apart(a.1.0).total_cmp(&apart(b.1.0)));
        let Some((nth, (_, limit))) = split else { return 0 };
        let all = self.projection.contributions(row, nth + 1, limit).into_iter().enumerate();
        all.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
    }
}

/// Gives what each signal's deviation is widened by for the trend it had.
fn allowance(rows: &[Vec<f64>], signals: usize) -> Vec<f64> {
    let (first, second) = rows.split_at(rows.len() / 2);
    let one = |j: usize| {
        let of = |part: &[Vec<f64>]| {
            let column: Vec<f64> = part.iter().filter_map(|row| row.get(j).copied()).collect();
            spread(column.into_iter())
        };
        let (_, sigma) = of(rows);
        let trend = TREND_GOES_ON * (of(second).0 - of(first).0);
        if sigma > 0.0 { (sigma * sigma + trend * trend).sqrt() / sigma } else { 1.0 }
    };
    (0..signals).map(one).collect()
}

/// Squares of numbers below this don't overflow.
fn usable(value: f64) -> bool {
    value.is_finite() && value.abs() < 1e150
}

fn average(rolling: &mut [RollingMean], row: &[f64]) -> Vec<f64> {
    rolling.iter_mut().zip(row).map(|(mean, value)| mean.push(*value)).collect()
}

/// Gives the distances of each block by a model of the others.
fn unseen(rows: &[Vec<f64>], allowance: &[f64]) -> Option<Vec<Vec<Distances>>> {
    let size = rows.len().div_ceil(BLOCKS);
    let mut found = Vec::with_capacity(rows.len());
    for (nth, block) in rows.chunks(size).enumerate() {
        let is_other = |at: &usize| at / size != nth;
        let others: Vec<&Vec<f64>> =
            rows.iter().enumerate().filter(|(at, _)| is_other(at)).map(|(_, row)| row).collect();
        let model = Projection::fit(&others, allowance)?;
        found.extend(block.iter().map(|row| model.distances(row)));
    }
    Some(found)
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position among a few thousand rows"
)]
fn quantile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * QUANTILE).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two flows that move together and one pressure of its own, with noise from a fixed seed.
    fn plant(rows: usize, leak: f64) -> Vec<Vec<f64>> {
        let mut state = 7_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31) - 0.5
        };
        (0..rows)
            .map(|n| {
                let flow = (f64::from(u32::try_from(n).unwrap()) / 40.0).sin();
                let (a, b, c) = (noise(), noise(), noise());
                vec![50.0 + 10.0 * flow + a, 30.0 + 6.0 * flow + b - leak, 5.0 + 0.2 * c]
            })
            .collect()
    }

    #[test]
    fn a_leak_shows_though_each_signal_stays_in_its_own_range() {
        let mut model = AssetModel::learn(&plant(600, 0.0)).unwrap();
        let healthy: Vec<f64> =
            plant(900, 0.0).split_off(600).iter().map(|r| model.judge(r).unwrap().index).collect();
        assert!(healthy.iter().all(|index| *index < 2.0), "{healthy:?}");
        let leaking = plant(900, 4.0).split_off(600);
        let last = leaking.iter().map(|row| model.judge(row).unwrap()).last().unwrap();
        assert!(last.index > 3.0, "{last:?}");
    }

    #[test]
    fn the_signal_that_left_the_others_leads() {
        let healthy = plant(600, 0.0);
        // A second meter in the same pipe: two agree, so it is known which is wrong.
        let with_third = |row: Vec<f64>| vec![row[0], row[1], 0.5 * row[0] + 0.1 * row[2], row[2]];
        let rows: Vec<Vec<f64>> = healthy.into_iter().map(with_third).collect();
        let model = AssetModel::learn(&rows).unwrap();
        for wrong in 0..3 {
            let mut model = model.clone();
            let moved = |mut row: Vec<f64>| {
                row[wrong] += [7.0, 4.0, 4.0][wrong];
                row
            };
            let rows = plant(900, 0.0).split_off(600).into_iter().map(with_third).map(moved);
            let leading = rows.map(|row| model.judge(&row).unwrap().leading).last();
            assert_eq!(leading, Some(wrong));
        }
    }

    #[test]
    fn what_is_less_than_the_reach_is_not_seen_and_what_is_more_is() {
        let model = AssetModel::learn(&plant(600, 0.0)).unwrap();
        let reach = model.reach(3.0);
        for signal in 0..3 {
            let index = |of_reach: f64| {
                let mut row: Vec<f64> = reach.iter().map(|signal| signal.unwrap().0).collect();
                row[signal] += of_reach * reach[signal].unwrap().1;
                let mut model = model.clone();
                model.interrupt();
                model.judge(&row).unwrap().index
            };
            assert!(index(0.99) < 3.0 && index(1.01) > 3.0, "signal {signal}");
        }
        let two = AssetModel::learn(
            &plant(600, 0.0).iter().map(|row| vec![row[0], 7.0]).collect::<Vec<_>>(),
        );
        assert_eq!(two.unwrap().reach(3.0)[1], None, "it never moved");
    }

    #[test]
    fn what_teaches_nothing_is_refused_with_its_reason() {
        assert!(AssetModel::learn(&[]).is_err());
        assert!(AssetModel::learn(&vec![vec![1.0, 2.0]; 500]).is_err());
        assert!(AssetModel::learn(&plant(50, 0.0)).is_err());
        let mut rows = plant(600, 0.0);
        rows[3][1] = f64::NAN;
        assert!(AssetModel::learn(&rows).is_err());
        let mut model = AssetModel::learn(&plant(600, 0.0)).unwrap();
        assert_eq!(model.judge(&[1.0, f64::INFINITY, 1.0]), None);
        assert_eq!(model.judge(&[1.0]), None);
    }
}
