//! A heartbeat that has stopped: what changed at even intervals changes no more.

use super::signal::Kind;
use super::{Detector, Evidence, Finding, Judgement, Severity, Signal, Subject, Verdict};
use crate::model::Timestamp;

/// Changes without which no interval is learnt.
const CHANGES_MIN: usize = 10;
/// The longest interval of a heartbeat is at most so many times its shortest: the scan cuts it.
const EVEN: i64 = 3;
/// Words that name a heartbeat, in a tag's name or description.
const NAMES: [&str; 5] = ["heartbeat", "watchdog", "alive", "life_bit", "lifebit"];

/// The detector.
pub(super) const HEARTBEAT: Detector = Detector {
    name: "heartbeat",
    finds: "a heartbeat that no longer changes while its samples still come",
    verdicts: &[Verdict::DeadHeartbeat],
    setting: "times the longest interval between two changes",
    usual: 5.0,
    evidence_min: CHANGES_MIN,
    is_beside_others: false,
    judge,
};

fn judge(subject: &Subject<'_>, times: f64) -> Judgement {
    let signal = subject.signal;
    if signal.bad_since.is_some() {
        return Judgement::NotEvaluated("the newest sample is Bad");
    }
    let is_named = subject.tag.is_some_and(|tag| {
        let words = [tag.name.to_lowercase(), tag.description.to_lowercase()];
        NAMES.iter().any(|name| words.iter().any(|word| word.contains(name)))
    });
    if !is_named && !is_toggle(signal) {
        return Judgement::NotEvaluated(
            "neither two states that take turns nor called a heartbeat",
        );
    }
    let changes = changes(signal);
    if changes.len() <= CHANGES_MIN {
        return Judgement::NotEvaluated("too few changes to learn its interval from");
    }
    let intervals = || {
        let pairs = changes.iter().zip(changes.iter().skip(1));
        pairs.map(|(a, b)| b.nanos().saturating_sub(a.nanos()))
    };
    let (Some(shortest), Some(longest)) = (intervals().min(), intervals().max()) else {
        return Judgement::NotEvaluated("too few changes to learn its interval from");
    };
    if longest > shortest.saturating_mul(EVEN) {
        return Judgement::NotEvaluated("it changes at uneven intervals");
    }
    let (Some(last), Some(newest)) = (changes.last().copied(), signal.times.last()) else {
        return Judgement::NotEvaluated("no numbers");
    };
    // Held against the newest sample: silence as such is the freshness detector's.
    #[allow(clippy::cast_precision_loss, reason = "seconds to a millisecond")]
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let stood = seconds(newest.nanos().saturating_sub(last.nanos()));
    let bound = seconds(longest) * times.max(1.0);
    if stood <= bound {
        return Judgement::Nothing;
    }
    Judgement::Found(Finding {
        verdict: Verdict::DeadHeartbeat,
        severity: Severity::High,
        since: last,
        evidence: Evidence::new(
            ("seconds without a change", stood, bound),
            signal.arrivals_since(last),
        ),
        next: "otctl endpoint status, then see whether the controller runs",
    })
}

fn is_toggle(signal: &Signal) -> bool {
    let mut states = signal.numbers.iter().copied();
    let (Some(first), true) = (states.next(), signal.kind == Kind::Discrete) else { return false };
    let other = states.find(|x| *x != first);
    other.is_some_and(|other| signal.numbers.iter().all(|x| *x == first || *x == other))
}

fn changes(signal: &Signal) -> Vec<Timestamp> {
    let pairs = signal.numbers.iter().zip(signal.numbers.iter().skip(1));
    let later = signal.times.iter().skip(1);
    pairs.zip(later).filter(|((a, b), _)| a != b).map(|(_, at)| *at).collect()
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::window;
    use super::super::testing::judged;
    use super::*;

    #[test]
    fn a_toggle_that_stops_is_found_and_an_uneven_one_is_not_judged() {
        let mut beat: Vec<f64> = (0..40).map(|n| f64::from(n / 2 % 2)).collect();
        assert_eq!(judged(&HEARTBEAT, &window(&beat)), Judgement::Nothing);
        beat.extend([1.0; 20]);
        let judgement = judged(&HEARTBEAT, &window(&beat));
        assert_eq!(judgement.finding().unwrap().verdict, Verdict::DeadHeartbeat);
        let mut pump: Vec<f64> = (0..400).map(|n| f64::from(u8::from(n % 37 < 20))).collect();
        pump.extend((0..30).map(|n| f64::from(n % 2)));
        pump.extend([0.0; 200]);
        assert!(!judged(&HEARTBEAT, &window(&pump)).is_evaluated());
        assert!(!judged(&HEARTBEAT, &window(&[0.0; 100])).is_evaluated());
    }
}
