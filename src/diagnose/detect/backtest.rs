//! What a detector with a setting would have found in a stretch of history, and how often.

use std::collections::BTreeMap;

use super::signal::Kind;
use super::{Course, Detector, Finding, Judgement, Neighbours, Signal, Subject};
use crate::model::{Tag, Timestamp, Window};

/// Samples of each window that is judged: what the running detectors see.
const WINDOW: usize = 600;
/// Samples from one judgement to the next.
const STEP: usize = 60;
/// A pause this many times the interval before it is judged at its end.
const PAUSE: i64 = 5;
/// Findings that are told; all are counted.
const EPISODES_MAX: usize = 50;

/// One stretch in which the detector would have had a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// When it would have been opened.
    pub opened: Timestamp,
    /// The last judgement that still found it.
    pub last: Timestamp,
    /// What was found first.
    pub finding: Finding,
}

/// What a backtest shows of one tag.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backtest {
    /// Windows with evidence enough.
    pub evaluated: usize,
    /// The others, by the reason.
    pub not_evaluated: BTreeMap<&'static str, usize>,
    /// How often a finding would have been opened.
    pub count: usize,
    /// The first 50 of them.
    pub episodes: Vec<Episode>,
}

/// Walks a history in the order it was received, beside those of the neighbours.
///
/// A finding stays open until a judgement that has evidence finds nothing, as in operation.
#[must_use]
pub fn backtest(
    detector: &Detector,
    setting: f64,
    tag: Option<&Tag>,
    history: &Window,
    beside: &[Window],
    until: Timestamp,
) -> Backtest {
    let mut shown = Backtest::default();
    let mut open: Option<Episode> = None;
    let mut own = Walk::of(history);
    let mut others: Vec<Walk<'_>> = beside.iter().map(Walk::of).collect();
    for (end, now) in judgements(history, until) {
        let signal = own.up_to(end);
        let beside: Vec<Signal> = others.iter_mut().map(|other| other.until(now)).collect();
        let neighbours: Vec<&Signal> = beside.iter().collect();
        let neighbours = Neighbours::Ready(&neighbours);
        let from = open.as_ref().and_then(|open: &Episode| open.finding.evidence.from);
        let subject = Subject { signal: &signal, tag, neighbours, seen: None, from, now };
        match (detector.judge)(&subject, setting) {
            Judgement::NotEvaluated(why) => *shown.not_evaluated.entry(why).or_default() += 1,
            Judgement::Nothing => {
                shown.evaluated += 1;
                shown.close(open.take());
            }
            Judgement::Found(finding) => {
                shown.evaluated += 1;
                let episode = open.get_or_insert(Episode { opened: now, last: now, finding });
                episode.last = now;
            }
        }
    }
    shown.close(open);
    shown
}

/// One tag's history as it goes by.
struct Walk<'a> {
    history: &'a Window,
    course: Course,
    taken: usize,
}

impl<'a> Walk<'a> {
    fn of(history: &'a Window) -> Self {
        Self { history, course: Course::default(), taken: 0 }
    }

    /// Gives the window that ends with so many samples, along its long run.
    fn up_to(&mut self, end: usize) -> Signal {
        let signal = Signal::of(&part(self.history, end.saturating_sub(WINDOW), end));
        if signal.kind != Kind::Analogue {
            return signal;
        }
        let taken = self.taken.min(end.saturating_sub(WINDOW));
        self.course.take(&Signal::of(&part(self.history, taken, end)));
        self.taken = end;
        signal.along(&self.course)
    }

    /// Gives the window that ends before an instant.
    fn until(&mut self, now: Timestamp) -> Signal {
        self.up_to(self.history.received.partition_point(|at| *at < now))
    }
}

impl Backtest {
    fn close(&mut self, episode: Option<Episode>) {
        self.count += usize::from(episode.is_some());
        if self.episodes.len() < EPISODES_MAX {
            self.episodes.extend(episode);
        }
    }
}

/// Gives how many samples each judgement may see, and its instant: just before the next sample,
/// so that silence shows.
fn judgements(history: &Window, until: Timestamp) -> Vec<(usize, Timestamp)> {
    let times = &history.received;
    let at = |n: usize| times.get(n).copied();
    let mut found = Vec::new();
    for end in 1..=times.len() {
        let next = at(end).unwrap_or(until);
        let apart = |a: Option<Timestamp>, b: Timestamp| {
            a.map_or(0, |a| b.nanos().saturating_sub(a.nanos()))
        };
        let before = at(end - 1).map_or(0, |last| apart(end.checked_sub(2).and_then(at), last));
        let is_pause = before > 0 && apart(at(end - 1), next) > before.saturating_mul(PAUSE);
        if end % STEP == 0 || end == times.len() || is_pause {
            found.push((end, next));
        }
    }
    found
}

fn part(history: &Window, from: usize, to: usize) -> Window {
    Window {
        received: history.received.get(from..to).unwrap_or_default().to_vec(),
        source: history.source.get(from..to).unwrap_or_default().to_vec(),
        values: history.values.get(from..to).unwrap_or_default().to_vec(),
        qualities: history.qualities.get(from..to).unwrap_or_default().to_vec(),
        lost: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector;
    use super::super::signal::tests::window;
    use super::*;
    use crate::diagnose::trained::tests::noise;

    #[test]
    fn each_standstill_is_one_episode_and_a_stricter_setting_finds_fewer() {
        let mut values = noise(3000, 3);
        values[900..1100].fill(0.25);
        values[2000..2300].fill(-0.25);
        let history = window(&values);
        let flatline = detector("flatline").unwrap();
        let end = Timestamp::from_millis(3_000_000);
        let usual = backtest(flatline, flatline.usual, None, &history, &[], end);
        assert_eq!((usual.count, usual.episodes.len()), (2, 2), "{usual:?}");
        assert!((900..1080).contains(&(usual.episodes[0].opened.millis() / 1000)));
        assert!(usual.evaluated > 20);
        let strict = backtest(flatline, 90.0, None, &history, &[], end);
        assert_eq!(strict.count, 0, "{strict:?}");
    }

    #[test]
    fn a_drift_is_found_beside_its_neighbours_and_is_over_when_it_is_back() {
        let drifting = |n: u32| f64::from(n.saturating_sub(3000).min(2000)) * 0.005;
        let value = |n: u32| if n < 9000 { drifting(n) } else { 0.0 };
        let values = noise(15_000, 3).into_iter().zip(0..);
        let values: Vec<f64> = values.map(|(x, n)| 70.0 + x + value(n)).collect();
        let beside = [window(&noise(15_000, 4)), window(&noise(15_000, 5))];
        let mut tag = Tag::new("t", "e", "1");
        tag.limits.warn_high = Some(76.0);
        let drift = detector("drift").unwrap();
        let end = Timestamp::from_millis(15_000_000);
        let judged = |beside: &[Window]| {
            backtest(drift, drift.usual, Some(&tag), &window(&values), beside, end)
        };
        let found = judged(&beside);
        assert_eq!(found.count, 1, "{found:?}");
        let episode = &found.episodes[0];
        let second = |at: Timestamp| at.millis() / 1000;
        assert!((2800..3600).contains(&second(episode.finding.since)), "{episode:?}");
        assert!((3200..5000).contains(&second(episode.opened)), "{episode:?}");
        assert!((9000..9700).contains(&second(episode.last)), "it stands until it is back");
        assert_eq!(judged(&[]).count, 0, "by itself nothing is said");
    }

    #[test]
    fn a_pause_is_seen_at_its_end_and_nothing_is_evaluated_without_history() {
        let mut history = window(&noise(100, 3));
        let later = window(&noise(100, 4));
        for (n, sample) in (0_i64..).zip(later.iter()) {
            let received_ts = Timestamp::from_millis((300 + n) * 1000);
            history.push(crate::model::Sample { received_ts, ..sample });
        }
        let freshness = detector("freshness").unwrap();
        let end = Timestamp::from_millis(400_000);
        let found = backtest(freshness, freshness.usual, None, &history, &[], end);
        assert_eq!(found.count, 1, "{found:?}");
        assert_eq!(found.episodes[0].opened.millis(), 300_000);
        let none = backtest(freshness, freshness.usual, None, &Window::default(), &[], end);
        assert_eq!(none, Backtest::default());
    }
}
