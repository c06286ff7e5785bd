//! A slow move that nothing around explains: CUSUM against the start of the run (Page 1954), with
//! the neighbours as the measure of what the process itself does meanwhile.
//!
//! One signal alone can't tell a drifting sensor from a process that moves. So the move must lead
//! out of the limits that people have set, and most neighbours must stand where they stood before,
//! by the spread they have had since. And it must be slow: a drift hides in the noise from one
//! value to the next, where a tank that fills shows in each pair of values.
//!
//! It looks at the long run of a signal, as a window of a fast one is soon over. What was found
//! stays until the signal is nearly back where it stood before, a day at most.

use super::signal::Kind;
use super::{Detector, Evidence, Finding, Judgement, Rest, Severity, Signal, Subject, Verdict};
use crate::diagnose::robust::{MAD_TO_SIGMA, median, median_and_mad};
use crate::model::{Limits, Timestamp};

/// Numbers that the start of the window must have.
const START_MIN: usize = 16;
/// Numbers of a neighbour in the same time: it may be scanned less often.
const OTHERS_MIN: usize = 6;
/// The start is this share of the window.
const START: usize = 16;
/// Numbers of the whole window.
const NUMBERS_MIN: usize = 64;
/// Neighbours without which nothing is said.
const NEIGHBOURS_MIN: usize = 2;
/// Deviations that are allowed for good, and the decision interval of the sum.
const SLACK: f64 = 1.0;
const INTERVAL: f64 = 12.0;
/// A run so long has seen what the process does by itself, and shows where a move leads; before,
/// it must have led out.
const LONG_MS: i64 = 7_200_000;
/// A neighbour that stands so many of its own spreads from where it stood has moved too.
const MOVED: f64 = 2.0;
/// No more of the move may come in one step.
const STEP_SHARE_MAX: f64 = 0.5;
/// Noises of one value that it may move, on the mean, from one value to the next.
const PACE_MAX: f64 = 1.0;
/// What stands nearer than this share of the furthest it went is on its way back.
const FURTHEST: f64 = 0.9;
/// It is over once it is back but for this share of the furthest it went.
const BACK: f64 = 0.25;
/// Where the slope at the start foresees this share of the move, the start is no rest to leave.
const FORESEEN_MAX: f64 = 0.5;
/// Values averaged to see where a signal stands now.
const NOW: usize = 8;
/// What stands at a new level for longer is how it is now.
const STAYS_MS: i64 = 24 * 3_600_000;

/// The detector.
pub(super) const DRIFT: Detector = Detector {
    name: "drift",
    finds: "a slow move out of the limits that its neighbours don't make with it (CUSUM)",
    verdicts: &[Verdict::Drift],
    setting: "deviations at the start of the run that it must have moved",
    usual: 8.0,
    evidence_min: NUMBERS_MIN,
    is_beside_others: true,
    judge,
};

fn judge(subject: &Subject<'_>, deviations: f64) -> Judgement {
    let signal = subject.signal;
    if signal.kind != Kind::Analogue || signal.bad_since.is_some() {
        return Judgement::NotEvaluated("only measured numbers drift, and only good ones tell");
    }
    let (numbers, at) = signal.long_run();
    if let Some(rest) = subject.from.filter(|rest| subject.now.millis_since(rest.since) < STAYS_MS)
    {
        return stays(signal, rest);
    }
    let len = numbers.len();
    let (Some(start), Some(begin)) =
        (at.get((len / START).max(START_MIN)).copied(), at.first().copied())
    else {
        return Judgement::NotEvaluated("no numbers");
    };
    if len < NUMBERS_MIN {
        return Judgement::NotEvaluated("fewer than 64 numbers");
    }
    let Some(own) = Move::of(signal, (begin, start), START_MIN) else {
        return Judgement::NotEvaluated("the signal does not move at the start of the window");
    };
    let Some(limits) = subject.tag.map(|tag| tag.limits).filter(|l| *l != Limits::default()) else {
        return Judgement::NotEvaluated("no limits to tell what matters");
    };
    let is_slow = own.step_share <= STEP_SHARE_MAX && own.pace(signal) <= PACE_MAX;
    let is_away = own.now.abs() >= deviations && own.is_furthest;
    let is_on = own.sum >= INTERVAL && is_away && is_slow;
    let is_long = at.last().is_some_and(|last| last.millis_since(begin) >= LONG_MS);
    let bound = own.bound(&limits, len, is_long).filter(|_| is_on);
    if !own.now.is_finite() {
        return Judgement::NotEvaluated("numbers too far apart to compare");
    }
    // What does not move needs no neighbours to tell that it does not drift.
    let Some(bound) = bound else { return Judgement::Nothing };
    let moves = subject.neighbours.iter().filter_map(|n| Move::of(n, (begin, start), OTHERS_MIN));
    let moved: Vec<bool> = moves.map(|neighbour| neighbour.spreads.abs() >= MOVED).collect();
    if moved.len() < NEIGHBOURS_MIN {
        return Judgement::NotEvaluated("fewer than two measured neighbours to hold it against");
    }
    if 2 * moved.iter().filter(|moved| **moved).count() >= moved.len() {
        return Judgement::NotEvaluated("it has moved, and its neighbours with it");
    }
    if own.foreseen >= FORESEEN_MAX {
        return Judgement::NotEvaluated("it was on its way when the run began");
    }
    let (level, now) = own.levels;
    let furthest = (now - level).abs();
    found(signal, furthest, Rest { level, furthest, bound, since: own.began })
}

/// What has left is found as long as it is not back where it was: once it stands still at its new
/// level, the window alone would show nothing.
fn stays(signal: &Signal, rest: Rest) -> Judgement {
    let (numbers, _) = signal.long_run();
    let Some(level) = level_now(numbers, &mut Vec::new()) else {
        return Judgement::NotEvaluated("no numbers");
    };
    let away = (level - rest.level).abs();
    if away < rest.furthest * BACK {
        return Judgement::Nothing;
    }
    found(signal, away, Rest { furthest: rest.furthest.max(away), ..rest })
}

fn found(signal: &Signal, away: f64, from: Rest) -> Judgement {
    let what = ("away from where it stood before", away, from.bound);
    let evidence = Evidence::new(what, signal.arrivals_since(from.since));
    Judgement::Found(Finding {
        verdict: Verdict::Drift,
        severity: Severity::Medium,
        since: from.since,
        evidence: Evidence { from: Some(from), ..evidence },
        next: "otctl plot TAG --since 1h, then hold the sensor against a second one",
    })
}

/// How far a signal has gone from where it stood at the start.
struct Move {
    /// Deviations that it stands away now.
    now: f64,
    /// It has never stood much further away.
    is_furthest: bool,
    /// The same in spreads of the whole run, its moves among them.
    spreads: f64,
    /// The larger of the two cumulative sums.
    sum: f64,
    /// Where that sum last left zero.
    since: usize,
    /// Since when that is.
    began: Timestamp,
    /// The largest step's share of the move.
    step_share: f64,
    /// The share of the move that its slope at the start foresaw.
    foreseen: f64,
    /// Where it stood at the start, and stands now.
    levels: (f64, f64),
}

impl Move {
    fn of(signal: &Signal, (begin, start): (Timestamp, Timestamp), least: usize) -> Option<Self> {
        if signal.kind != Kind::Analogue {
            return None;
        }
        let (numbers, times) = signal.long_run();
        let at = |time: Timestamp| times.partition_point(|t| *t < time);
        let (first, split) = (at(begin), at(start));
        let base = numbers.get(first..split).filter(|base| base.len() >= least)?;
        let rest = numbers.get(split..).filter(|rest| rest.len() >= NOW)?;
        let work = &mut Vec::new();
        let (centre, mad) = median_and_mad(base, work)?;
        let sigma = (mad * MAD_TO_SIGMA).max(least_step(&signal.numbers)?);
        let (_, mad) = median_and_mad(numbers.get(first..)?, work)?;
        let spread = (mad * MAD_TO_SIGMA).max(sigma);
        let sums = Sums::of(rest, split, (centre, sigma));
        let level = level_now(rest, work)?;
        let away = level - centre;
        let furthest = rest.iter().map(|x| (x - centre) * away.signum()).fold(0.0, f64::max);
        let steps = rest.iter().zip(rest.iter().skip(NOW / 2));
        let step = steps.map(|(a, b)| (b - a).abs()).fold(0.0_f64, f64::max);
        Some(Self {
            now: away / sigma,
            is_furthest: away.abs() >= furthest * FURTHEST,
            spreads: away / spread,
            sum: sums.sum,
            since: sums.since,
            began: times.get(sums.since).or(times.last()).copied()?,
            step_share: if away == 0.0 { 1.0 } else { step / away.abs() },
            foreseen: foreseen(base, away, rest.len(), work),
            levels: (centre, level),
        })
    }

    /// Gives the noises of one value that it moved from one value to the next, on the mean: by
    /// the values themselves, as means hide the noise.
    #[allow(clippy::cast_precision_loss, reason = "at most 20 000 samples, over hours")]
    fn pace(&self, signal: &Signal) -> f64 {
        let (from, now) = self.levels;
        let (Some(first), Some(last)) = (signal.times.first(), signal.times.last()) else {
            return f64::INFINITY;
        };
        let span_ms = last.millis_since(*first).max(1) as f64;
        let values_per_ms = signal.times.len() as f64 / span_ms;
        let moving = (last.millis_since(self.began).max(1) as f64 * values_per_ms).max(1.0);
        let noise = noise(&signal.numbers).max(least_step(&signal.numbers).unwrap_or(0.0));
        (now - from).abs() / moving / noise
    }

    /// Gives how far it was to the nearest limit that it is beyond now, or will be if it goes on
    /// as long again; `None` where it leads to none.
    #[allow(clippy::cast_precision_loss, reason = "at most 20 000 samples")]
    fn bound(&self, limits: &Limits, len: usize, looks_ahead: bool) -> Option<f64> {
        let (from, now) = self.levels;
        let moving = len.saturating_sub(self.since).max(1) as f64;
        let times = if looks_ahead { (len as f64 / moving).min(3.0) } else { 0.0 };
        let ahead = now + (now - from) * times;
        let above = [limits.warn_high, limits.alarm_high].into_iter().flatten();
        let above = above.filter(|limit| now > from && now.max(ahead) >= *limit);
        let below = [limits.warn_low, limits.alarm_low].into_iter().flatten();
        let below = below.filter(|limit| now < from && now.min(ahead) <= *limit);
        above.chain(below).map(|limit| (limit - from).abs()).reduce(f64::min)
    }
}

/// The cumulative sums of what follows a start.
struct Sums {
    sum: f64,
    since: usize,
}

impl Sums {
    fn of(rest: &[f64], split: usize, (centre, sigma): (f64, f64)) -> Self {
        let (mut above, mut below, mut above_at, mut below_at) = (0.0_f64, 0.0_f64, split, split);
        for (value, position) in rest.iter().zip(split..) {
            let z = (value - centre) / sigma;
            let z = z.clamp(-4.0 * INTERVAL, 4.0 * INTERVAL);
            above = (above + z - SLACK).max(0.0);
            below = (below - z - SLACK).max(0.0);
            above_at = if above > 0.0 { above_at } else { position + 1 };
            below_at = if below > 0.0 { below_at } else { position + 1 };
        }
        let since = if above > below { above_at } else { below_at };
        Self { sum: above.max(below), since }
    }
}

/// Gives the level of the newest values.
fn level_now(numbers: &[f64], work: &mut Vec<f64>) -> Option<f64> {
    work.clear();
    work.extend_from_slice(numbers.get(numbers.len().checked_sub(NOW)?..)?);
    median(work)
}

/// Gives the share of a move over so many values that goes on as the start already went.
#[allow(clippy::cast_precision_loss, reason = "at most 20 000 samples")]
fn foreseen(start: &[f64], away: f64, values: usize, work: &mut Vec<f64>) -> f64 {
    let (earlier, later) = start.split_at(start.len() / 2);
    let mut middle = |part: &[f64]| {
        work.clear();
        work.extend_from_slice(part);
        median(work)
    };
    let (Some(from), Some(to)) = (middle(earlier), middle(later)) else { return 0.0 };
    let per_value = (to - from) * 2.0 / start.len().max(1) as f64;
    if away == 0.0 { 0.0 } else { per_value * values as f64 / away }
}

/// Gives the deviation of one value from a line through its two neighbours: no slope is in it.
fn noise(numbers: &[f64]) -> f64 {
    let bend = |three: &[f64]| match three {
        [a, b, c] => Some((a + c - 2.0 * b).abs()),
        _ => None,
    };
    let mut bends: Vec<f64> = numbers.windows(3).filter_map(bend).collect();
    // The second difference of noise has six times its variance.
    median(&mut bends).unwrap_or(0.0) * MAD_TO_SIGMA / 6.0_f64.sqrt()
}

/// Gives the least step between two values: what a resolution may hide.
fn least_step(numbers: &[f64]) -> Option<f64> {
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    pairs.map(|(a, b)| (b - a).abs()).filter(|step| *step > 0.0).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::super::Neighbours;
    use super::super::signal::tests::window;
    use super::super::testing::subject;
    use super::*;
    use crate::diagnose::trained::tests::noise;
    use crate::model::Tag;

    fn signal(seed: u64, per_sample: f64) -> Signal {
        let values = noise(300, seed).into_iter().zip(0_u32..);
        let since = |n: u32| f64::from(n.saturating_sub(100));
        let values: Vec<f64> = values.map(|(x, n)| 70.0 + x + per_sample * since(n)).collect();
        Signal::of(&window(&values))
    }

    fn judged(own: &Signal, neighbours: &[&Signal]) -> Judgement {
        let mut tag = Tag::new("t", "e", "1");
        tag.limits.warn_high = Some(78.0);
        let neighbours = Neighbours::Ready(neighbours);
        DRIFT.judge(&Subject { tag: Some(&tag), neighbours, ..subject(own) })
    }

    #[test]
    fn a_move_that_no_neighbour_makes_is_found_and_one_of_the_process_is_not() {
        let (drifting, calm, other) = (signal(1, 0.05), signal(2, 0.0), signal(3, 0.0));
        let judgement = judged(&drifting, &[&calm, &other]);
        let finding = judgement.finding().unwrap();
        assert_eq!(finding.verdict, Verdict::Drift);
        assert!((100..160).contains(&(finding.since.millis() / 1000)), "{finding:?}");
        let moving = signal(4, 0.05);
        assert!(!judged(&drifting, &[&calm, &moving]).is_evaluated());
        assert_eq!(judged(&calm, &[&other, &other]), Judgement::Nothing);
        let away = signal(5, -0.05);
        assert_eq!(judged(&away, &[&calm, &other]), Judgement::Nothing, "no limit below");
    }

    #[test]
    fn a_tank_that_empties_after_a_rest_is_no_drift() {
        let (calm, other) = (signal(2, 0.0), signal(3, 0.0));
        let level = signal(6, 2.0);
        assert_eq!(judged(&level, &[&calm, &other]), Judgement::Nothing);
    }

    #[test]
    fn what_rises_all_the_window_long_is_on_its_way_and_not_judged() {
        let (calm, other) = (signal(2, 0.0), signal(3, 0.0));
        let values = noise(300, 1).into_iter().zip(0_u32..);
        let filling: Vec<f64> = values.map(|(x, n)| 40.0 + x + 0.2 * f64::from(n)).collect();
        let filling = Signal::of(&window(&filling));
        assert!(!judged(&filling, &[&calm, &other]).is_evaluated());
    }

    #[test]
    fn a_step_is_no_drift_and_without_neighbours_or_limits_nothing_is_said() {
        let (calm, other) = (signal(2, 0.0), signal(3, 0.0));
        let values = noise(300, 1).into_iter().zip(0_u32..);
        let values: Vec<f64> = values.map(|(x, n)| x + if n < 150 { 70.0 } else { 85.0 }).collect();
        let step = Signal::of(&window(&values));
        assert_eq!(judged(&step, &[&calm, &other]), Judgement::Nothing);
        assert!(!judged(&signal(1, 0.05), &[&calm]).is_evaluated());
        assert!(!DRIFT.judge(&subject(&signal(1, 0.05))).is_evaluated());
    }
}
