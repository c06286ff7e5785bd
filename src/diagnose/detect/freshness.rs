//! Freshness by the tag's own cadence: the quantile of its inter-arrival times is what is usual,
//! a multiple of it is not.

use super::texture::{CHANGES_TO_TELL, Texture, is_noisy_on_a_slope};
use super::{Detector, Evidence, Finding, Judgement, Newest, Severity, Signal, Subject, Verdict};
use crate::model::Timestamp;

/// Arrivals without which there is no cadence.
const ARRIVALS_MIN: usize = 20;
/// The share of intervals that are usual.
const QUANTILE: f64 = 0.99;
/// Where the usual interval is so many times the median, samples come when something changes.
const REGULAR: i64 = 6;
/// Shorter silence is a late packet.
const SILENCE_MIN_NS: i64 = 2_000_000_000;
/// Clocks of one machine differ by no more.
const FUTURE_NS: i64 = 60_000_000_000;
/// A neighbour that was read so often was read long enough.
const NEIGHBOUR_READ: usize = 10;

/// The detector.
pub(super) const FRESHNESS: Detector = Detector {
    name: "freshness",
    finds: "a tag that no longer comes as often as it did, or was never read",
    verdicts: &[Verdict::NeverRead, Verdict::Stale, Verdict::GoodButStale],
    setting: "times the usual interval between samples",
    usual: 5.0,
    evidence_min: ARRIVALS_MIN,
    is_beside_others: true,
    judge,
};

fn judge(subject: &Subject<'_>, times: f64) -> Judgement {
    let signal = subject.signal;
    let Some(newest) = signal.newest else { return never_read(subject) };
    if !newest.quality.is_good() {
        return Judgement::NotEvaluated("the newest sample is not Good");
    }
    if newest.received.nanos().saturating_sub(subject.now.nanos()) > FUTURE_NS {
        return Judgement::NotEvaluated("the newest sample lies in the future: a clock is wrong");
    }
    let Some(cadence) = Cadence::of(&signal.arrivals) else {
        return Judgement::NotEvaluated("fewer than 20 intervals to learn the cadence from");
    };
    let bound = cadence.bound(times);
    let silent = since(newest.received, subject.now);
    if silent <= bound {
        return match source_stands(signal, &newest, times, subject.now) {
            Some(stood) => found(subject, Verdict::GoodButStale, newest.source_since, stood),
            None => Judgement::Nothing,
        };
    }
    let texture = Texture::of(&signal.numbers);
    let is_beside_moving = neighbours_move(subject, &newest);
    // A signal without noise of its own sends nothing while it rests, where only changes come.
    let is_text = signal.numbers.is_empty();
    let only_changes = is_text || texture.changing > 0.9 || !cadence.is_regular();
    if !texture.is_restless() && only_changes {
        // Noise on a slope is told less surely: longer silence, and neighbours that go on.
        let is_long = silent > bound.saturating_mul(2);
        if is_long && is_beside_moving && is_noisy_on_a_slope(&signal.numbers) {
            return found(subject, Verdict::GoodButStale, newest.received, (silent, bound));
        }
        let is_confirmed = subject.seen.is_some_and(|seen| since(seen, subject.now) <= bound);
        return match is_confirmed {
            true => Judgement::Nothing,
            false => Judgement::NotEvaluated("it sends changes only, and may be at rest"),
        };
    }
    let verdict = match is_beside_moving {
        true => Verdict::GoodButStale,
        false => Verdict::Stale,
    };
    found(subject, verdict, newest.received, (silent, bound))
}

/// Tells how long the source time has stood, and how long it may, where samples come with one
/// that no longer moves: of noise, or of a device that stamped its readings even at rest.
fn source_stands(
    signal: &Signal,
    newest: &Newest,
    times: f64,
    now: Timestamp,
) -> Option<(i64, i64)> {
    newest.source?;
    let is_telling = || Texture::of(&signal.numbers).is_restless();
    let bound = Cadence::of(&signal.stamped)?.bound(times);
    let stood = since(newest.source_since, now);
    let stands = stood > bound && (signal.restamped >= CHANGES_TO_TELL || is_telling());
    stands.then_some((stood, bound))
}

/// Nothing was ever read, though its neighbours were.
fn never_read(subject: &Subject<'_>) -> Judgement {
    let read = subject.neighbours.iter().filter(|n| n.arrivals.len() >= NEIGHBOUR_READ);
    let Some(first) = read.filter_map(|n| n.arrivals.first()).min().copied() else {
        return Judgement::NotEvaluated("no sample, and no neighbour that was read meanwhile");
    };
    let silent = seconds(since(first, subject.now));
    Judgement::Found(Finding {
        verdict: Verdict::NeverRead,
        severity: Severity::High,
        since: first,
        evidence: Evidence::new(("seconds its neighbours have been read", silent, 0.0), vec![]),
        next: "otctl why TAG",
    })
}

/// Tells whether half of the neighbours, two at least, changed after the newest sample; where
/// both have source times, theirs must have moved on too.
fn neighbours_move(subject: &Subject<'_>, own: &Newest) -> bool {
    let is_later = |n: &Signal| match (own.source, n.newest.and_then(|newest| newest.source)) {
        (Some(own), Some(other)) => other > own,
        _ => true,
    };
    let changed = |n: &Signal| n.changed.is_some_and(|changed| changed > own.received);
    let moving = subject.neighbours.iter().filter(|n| changed(n) && is_later(n)).count();
    moving >= 2 && 2 * moving >= subject.neighbours.iter().count()
}

fn found(
    subject: &Subject<'_>,
    verdict: Verdict,
    since: Timestamp,
    (silent, bound): (i64, i64),
) -> Judgement {
    let last = subject.signal.arrivals_since(since);
    let has_source = subject.signal.newest.is_some_and(|newest| newest.source.is_some());
    let what = match verdict {
        Verdict::GoodButStale if has_source => {
            "seconds its source time has stood, while the status says Good"
        }
        Verdict::GoodButStale => "seconds without a new value, while the status says Good",
        _ => "seconds without a sample",
    };
    Judgement::Found(Finding {
        verdict,
        severity: Severity::High,
        since,
        evidence: Evidence::new((what, seconds(silent), seconds(bound)), last),
        next: "otctl why TAG",
    })
}

/// The usual interval between arrivals.
struct Cadence {
    median: i64,
    usual: i64,
}

impl Cadence {
    fn of(arrivals: &[Timestamp]) -> Option<Self> {
        let pairs = arrivals.iter().zip(arrivals.iter().skip(1));
        let mut intervals: Vec<i64> = pairs.map(|(a, b)| since(*a, *b)).collect();
        if intervals.len() < ARRIVALS_MIN {
            return None;
        }
        intervals.sort_unstable();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a position among at most 20 000"
        )]
        let at = ((intervals.len() - 1) as f64 * QUANTILE).ceil() as usize;
        let median = intervals.get(intervals.len() / 2).copied()?;
        Some(Self { median, usual: intervals.get(at).copied()? })
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "saturates")]
    fn bound(&self, times: f64) -> i64 {
        ((self.usual as f64 * times.max(1.0)) as i64).max(SILENCE_MIN_NS)
    }

    fn is_regular(&self) -> bool {
        self.usual <= self.median.saturating_mul(REGULAR)
    }
}

fn since(from: Timestamp, to: Timestamp) -> i64 {
    to.nanos().saturating_sub(from.nanos())
}

#[allow(clippy::cast_precision_loss, reason = "seconds to a millisecond")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::super::Neighbours;
    use super::super::signal::tests::{sample, window};
    use super::super::testing::subject;
    use super::*;
    use crate::diagnose::trained::tests::noise;
    use crate::model::{Quality, Value, Window};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn judged(window: &Window, neighbours: &[&Signal], now: i64) -> Judgement {
        let signal = Signal::of(window);
        let neighbours = Neighbours::Ready(neighbours);
        FRESHNESS.judge(&Subject { neighbours, now: at(now), ..subject(&signal) })
    }

    fn verdict(judgement: &Judgement) -> Option<Verdict> {
        judgement.finding().map(|finding| finding.verdict)
    }

    #[test]
    fn silence_is_held_against_the_tags_own_cadence() {
        let every_second = window(&noise(60, 1));
        assert_eq!(judged(&every_second, &[], 62), Judgement::Nothing);
        assert_eq!(verdict(&judged(&every_second, &[], 70)), Some(Verdict::Stale));
        let mut slow = Window::default();
        for (minute, x) in (0..60).zip(noise(60, 1)) {
            slow.push(sample(minute * 60, Value::F64(x), Quality::GOOD));
        }
        assert_eq!(judged(&slow, &[], 59 * 60 + 200), Judgement::Nothing);
        assert!(judged(&slow, &[], 59 * 60 + 400).finding().is_some());
    }

    #[test]
    fn good_beside_moving_neighbours_is_good_but_stale() {
        let neighbour = Signal::of(&window(&noise(90, 2)));
        let other = Signal::of(&window(&noise(90, 3)));
        let judgement = judged(&window(&noise(60, 1)), &[&neighbour, &other], 90);
        assert_eq!(verdict(&judgement), Some(Verdict::GoodButStale));
        assert_eq!(judgement.finding().unwrap().since, at(59));
    }

    #[test]
    fn a_source_time_that_stands_while_samples_come_is_good_but_stale() {
        let mut window = Window::default();
        for (second, x) in (0..60).zip(noise(60, 1)) {
            let mut sample = sample(second, Value::F64(x), Quality::GOOD);
            sample.source_ts = Some(at(second));
            window.push(sample);
        }
        let last = window.get(59).unwrap();
        for second in 60..80 {
            window.push(crate::model::Sample { received_ts: at(second), ..last.clone() });
        }
        let judgement = judged(&window, &[], 80);
        assert_eq!(verdict(&judgement), Some(Verdict::GoodButStale));
        assert_eq!(judgement.finding().unwrap().since, at(59));
    }

    #[test]
    fn a_device_that_stamps_at_rest_is_stale_when_its_stamps_stop() {
        let resting = |stamp: fn(i64) -> i64, until| {
            let mut window = Window::default();
            for second in 0..until {
                let mut sample = sample(second, Value::F64(20.5), Quality::GOOD);
                sample.source_ts = Some(at(stamp(second)));
                window.push(sample);
            }
            verdict(&judged(&window, &[], until))
        };
        assert_eq!(resting(|second| second, 80), None);
        assert_eq!(resting(|second| second.min(60), 80), Some(Verdict::GoodButStale));
        assert_eq!(resting(|_| 0, 80), None, "a stamp of the last change stands at rest");
        assert_eq!(resting(|second| second / 10, 400), None, "its stamps come every ten seconds");
    }

    #[test]
    fn a_noisy_ramp_that_falls_silent_beside_moving_neighbours_is_good_but_stale() {
        let neighbour = Signal::of(&window(&noise(90, 2)));
        let other = Signal::of(&window(&noise(90, 3)));
        let ramp: Vec<f64> =
            noise(60, 1).iter().zip(0_u32..).map(|(x, n)| x + 2.0 * f64::from(n)).collect();
        let ramp = window(&ramp);
        assert_eq!(verdict(&judged(&ramp, &[&neighbour, &other], 90)), Some(Verdict::GoodButStale));
        assert_eq!(verdict(&judged(&ramp, &[], 90)), None);
    }

    #[test]
    fn never_read_needs_a_neighbour_that_was() {
        assert!(!judged(&Window::default(), &[], 100).is_evaluated());
        let neighbour = Signal::of(&window(&noise(60, 2)));
        let judgement = judged(&Window::default(), &[&neighbour], 60);
        assert_eq!(verdict(&judgement), Some(Verdict::NeverRead));
    }

    #[test]
    fn what_sends_changes_only_may_be_at_rest() {
        let ramp: Vec<f64> = (0..60).map(|n| f64::from(n) / 3.0).collect();
        assert!(!judged(&window(&ramp), &[], 600).is_evaluated());
        let signal = Signal::of(&window(&ramp));
        let seen = Some(at(599));
        let subject = Subject { seen, now: at(600), ..subject(&signal) };
        assert_eq!(FRESHNESS.judge(&subject), Judgement::Nothing);
    }

    #[test]
    fn a_few_samples_a_bad_one_and_the_future_are_not_judged() {
        assert!(!judged(&window(&[1.5, 2.5]), &[], 600).is_evaluated());
        assert!(!judged(&window(&noise(60, 1)), &[], -600).is_evaluated());
        let mut bad = window(&noise(60, 1));
        bad.push(sample(60, Value::Null, Quality::BAD_NO_COMMUNICATION));
        assert!(!judged(&bad, &[], 600).is_evaluated());
    }
}
