//! Where data stops on its way from a device (`diagnose_dataflow`).

use serde::Serialize;

use super::Unjudged;
use super::given::{Given, Grade, SERIES_MAX};
use super::spread::{extremes, is_flat, round, spread};
use crate::model::{Timestamp, sanitize};

/// A device's clock may be this far ahead and still be right: the two are not read at once.
const AHEAD_MAX_S: f64 = 5.0;
const NO_TIME: &str = "No parseable per-sample timestamp at this layer.";
const IN_FUTURE: &str = "The device's time is ahead of ours: its clock or its time zone is wrong.";
const NOTE: &str = "Diagnoses the layers reachable from this host (field/PLC/agent tier). \
                    SCADA/historian tiers we cannot reach are out of scope \u{2014} pass a \
                    'series' to reason about freshness/variance from sampled data.";

/// What the way of the data is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowVerdict {
    /// The endpoint can't be reached.
    CannotConnect,
    /// Connected; nothing else was asked for.
    ConnectOk,
    /// The protocol reads nothing by a reference.
    NotSupported,
    /// Connected, and the value can't be read.
    CommsOkValueUnreadable,
    /// Read, and the device says it is not Good.
    CommsOkBadQuality,
    /// Read, and there is no value.
    CommsOkNoValue,
    /// Read, and the value is old.
    CommsOkValueStale,
    /// Read, and the value does not move.
    CommsOkFlatline,
    /// Nothing was found in what was evaluated.
    Healthy,
}

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum FlowHop {
    /// The connection.
    Connect {
        /// `connect`.
        hop: &'static str,
        /// Which protocol.
        protocol: String,
        /// Whether the device answers.
        ok: bool,
        /// What it says, or why not.
        detail: String,
    },
    /// The value.
    Read {
        /// `read_tag`.
        hop: &'static str,
        /// What was read.
        #[serde(rename = "ref")]
        reference: String,
        /// Whether it could be.
        ok: bool,
        /// The value, or why not.
        detail: String,
    },
    /// Its age.
    Freshness {
        /// `freshness`.
        hop: &'static str,
        /// What was found.
        #[serde(flatten)]
        freshness: FlowFreshness,
    },
    /// Its movement.
    Variance {
        /// `variance`.
        hop: &'static str,
        /// Always true: the hop is left out where there is no evidence.
        evaluated: bool,
        /// Whether it does not move.
        flatline: bool,
        /// Numbers looked at.
        samples: usize,
        /// The greatest less the least.
        spread: f64,
        /// Population standard deviation.
        stdev: f64,
    },
}

/// The age of a value by the device's own time.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct FlowFreshness {
    /// Whether there was a time to judge by.
    pub evaluated: bool,
    /// Whether it is older than the threshold.
    pub stale: bool,
    /// How old it is.
    pub age_seconds: Option<f64>,
    /// Why it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// By how many seconds the device's time is ahead of ours, where that is too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew: Option<f64>,
}

/// What came of reading the value.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowRead {
    /// It was read.
    Value {
        /// As the reference writes it; untrusted text.
        text: String,
        /// There is none.
        is_null: bool,
        /// How far the device trusts it.
        grade: Grade,
        /// The device's own time.
        source: Option<Timestamp>,
    },
    /// It can't be read, and why.
    Failed(String),
    /// The protocol reads nothing by a reference.
    NotSupported(String),
}

/// Everything a diagnosis stands on.
#[derive(Debug, Clone)]
pub struct FlowEvidence<'a> {
    /// The protocol's name.
    pub protocol: &'a str,
    /// Whether the device answers, and what was learnt of it.
    pub connect: Result<String, String>,
    /// What was to be read, and what came of it.
    pub read: Option<(&'a str, FlowRead)>,
    /// Values over time.
    pub series: Option<&'a [Given]>,
    /// The oldest that is fresh.
    pub freshness_threshold_s: f64,
    /// The widest range that is flat.
    pub flatline_eps: f64,
    /// The time.
    pub now: Timestamp,
}

/// Where the data stops.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct FlowDiagnosis {
    /// The first thing that is wrong.
    pub verdict: FlowVerdict,
    /// What that means.
    pub diagnosis: String,
    /// What to do.
    pub recommended_action: &'static str,
    /// The steps that were taken.
    pub hops: Vec<FlowHop>,
    /// The steps the verdict speaks of.
    pub evaluated: Vec<&'static str>,
    /// The steps it does not speak of.
    pub not_evaluated: Vec<Unjudged>,
    /// What it covers.
    pub note: &'static str,
}

/// Judges the age of a device's own time.
#[must_use]
pub fn flow_freshness(at: Option<Timestamp>, threshold_s: f64, now: Timestamp) -> FlowFreshness {
    let judged = |evaluated, stale, age_seconds, note, clock_skew| FlowFreshness {
        evaluated,
        stale,
        age_seconds,
        note,
        clock_skew,
    };
    let Some(at) = at else { return judged(false, false, None, Some(NO_TIME), None) };
    #[allow(clippy::cast_precision_loss, reason = "an age to a millisecond")]
    let age = now.nanos().saturating_sub(at.nanos()) as f64 / 1e9;
    if age < -AHEAD_MAX_S {
        return judged(false, false, None, Some(IN_FUTURE), Some(round(-age, 3)));
    }
    let age = age.max(0.0);
    judged(true, age > threshold_s, Some(round(age, 3)), None, None)
}

/// Walks from the connection to the value's movement and stops at the first fault.
#[must_use]
pub fn dataflow(evidence: &FlowEvidence<'_>) -> FlowDiagnosis {
    let mut walk = Walk::default();
    let verdict = walk.until_broken(evidence);
    let (diagnosis, recommended_action) = words(verdict, &walk, evidence);
    FlowDiagnosis {
        verdict,
        diagnosis,
        recommended_action,
        hops: walk.hops,
        evaluated: walk.evaluated,
        not_evaluated: walk.not_evaluated,
        note: NOTE,
    }
}

#[derive(Default)]
struct Walk {
    hops: Vec<FlowHop>,
    evaluated: Vec<&'static str>,
    not_evaluated: Vec<Unjudged>,
    age_s: f64,
}

impl Walk {
    fn until_broken(&mut self, evidence: &FlowEvidence<'_>) -> FlowVerdict {
        let (ok, detail) = match &evidence.connect {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        self.hops.push(FlowHop::Connect {
            hop: "connect",
            protocol: evidence.protocol.to_owned(),
            ok,
            detail: sanitize(detail, 200),
        });
        self.evaluated.push("connect");
        if !ok {
            return FlowVerdict::CannotConnect;
        }
        match &evidence.read {
            None => {
                self.skip("read_tag", "not_evaluated: no ref was given");
                self.skip("freshness", "not_evaluated: no ref was given");
            }
            Some((reference, read)) => {
                if let Some(broken) = self.read(reference, read, evidence) {
                    return broken;
                }
            }
        }
        let is_flat = self.variance(evidence);
        match is_flat {
            Some(true) => FlowVerdict::CommsOkFlatline,
            None if evidence.read.is_none() => FlowVerdict::ConnectOk,
            _ => FlowVerdict::Healthy,
        }
    }

    fn skip(&mut self, check: &'static str, why: &'static str) {
        self.not_evaluated.push(Unjudged::new(check, why));
    }

    fn read(
        &mut self,
        reference: &str,
        read: &FlowRead,
        evidence: &FlowEvidence<'_>,
    ) -> Option<FlowVerdict> {
        let (ok, detail) = match read {
            FlowRead::Value { text, .. } => (true, text),
            FlowRead::Failed(detail) | FlowRead::NotSupported(detail) => (false, detail),
        };
        self.hops.push(FlowHop::Read {
            hop: "read_tag",
            reference: sanitize(reference, 96),
            ok,
            detail: sanitize(detail, 160),
        });
        self.evaluated.push("read_tag");
        let (is_null, grade, source) = match read {
            FlowRead::Failed(_) => return Some(FlowVerdict::CommsOkValueUnreadable),
            FlowRead::NotSupported(_) => return Some(FlowVerdict::NotSupported),
            FlowRead::Value { is_null, grade, source, .. } => (*is_null, *grade, *source),
        };
        if grade != Grade::Good {
            return Some(FlowVerdict::CommsOkBadQuality);
        }
        if is_null {
            return Some(FlowVerdict::CommsOkNoValue);
        }
        let freshness = flow_freshness(source, evidence.freshness_threshold_s, evidence.now);
        self.age_s = freshness.age_seconds.unwrap_or(0.0);
        let is_stale = freshness.stale;
        match (freshness.evaluated, freshness.clock_skew) {
            (true, _) => self.evaluated.push("freshness"),
            (_, Some(_)) => self.skip("freshness", "not_evaluated: clock_skew, see the hop"),
            _ => self.skip("freshness", "not_evaluated: the value carries no time of its own"),
        }
        self.hops.push(FlowHop::Freshness { hop: "freshness", freshness });
        is_stale.then_some(FlowVerdict::CommsOkValueStale)
    }

    /// Tells whether the series is flat; `None` where there is no evidence.
    fn variance(&mut self, evidence: &FlowEvidence<'_>) -> Option<bool> {
        let Some(series) = evidence.series else {
            self.skip("variance", "not_evaluated: no series, and too little history in the cache");
            return None;
        };
        let seen = series.get(..SERIES_MAX).unwrap_or(series);
        let is_discrete = !seen.is_empty() && seen.iter().all(|sample| sample.is_truth);
        let usable = seen.iter().filter(|sample| sample.grade != Grade::Bad);
        let numbers: Vec<f64> = usable.filter_map(|sample| sample.number).collect();
        if is_discrete {
            self.skip("variance", "not_evaluated: truth values may stand still");
            return None;
        }
        if numbers.len() < 2 {
            self.skip("variance", "not_evaluated: fewer than two numbers that may be trusted");
            return None;
        }
        let (low, high) = extremes(numbers.iter().copied())?;
        let flatline = is_flat(low, high, evidence.flatline_eps);
        let stdev = spread(numbers.iter().copied()).1;
        self.evaluated.push("variance");
        self.hops.push(FlowHop::Variance {
            hop: "variance",
            evaluated: true,
            flatline,
            samples: numbers.len(),
            spread: round((high - low).min(f64::MAX), 6),
            stdev: round(stdev, 6),
        });
        Some(flatline)
    }
}

fn words(verdict: FlowVerdict, walk: &Walk, evidence: &FlowEvidence<'_>) -> (String, &'static str) {
    let (diagnosis, action) = match verdict {
        FlowVerdict::CannotConnect => (
            "Could not reach the endpoint \u{2014} likely network path down, PLC/agent offline, \
             wrong host/port, or a firewall.",
            "Check physical link, IP/port, and that the device's server/agent is running. Point \
             at a simulator to isolate network vs device.",
        ),
        FlowVerdict::ConnectOk => (
            "Connected. Nothing else was evaluated.",
            "Pass a ref, and a series or a configured tag, to look further.",
        ),
        FlowVerdict::NotSupported => (
            "Connected, but this protocol reads nothing by a ref.",
            "Read what it publishes with the protocol's own tools, or pass a series.",
        ),
        FlowVerdict::CommsOkValueUnreadable => (
            "Connected, but the value could not be read \u{2014} the device refuses the address, \
             or the reference is wrong.",
            "Check the reference against the device (browse it where the protocol can), its type \
             and the rights of the login; the comms path itself is healthy.",
        ),
        FlowVerdict::CommsOkBadQuality => (
            "Connected and read, but the value's quality/status is BAD \u{2014} a sensor, field \
             wiring, or source-side fault.",
            "Inspect the field device / sensor and the source system feeding this tag; the comms \
             path itself is healthy.",
        ),
        FlowVerdict::CommsOkNoValue => (
            "Connected and read with good status, but there is no value.",
            "Look at what should write this point: nothing has since the device started.",
        ),
        FlowVerdict::CommsOkValueStale => {
            let (age, most) = (walk.age_s, evidence.freshness_threshold_s);
            let text = format!(
                "Connected with good status, but the value is STALE (age {age:?}s > {most}s) \
                 \u{2014} the source/field upstream has stopped updating this point."
            );
            let action = "Trace upstream: the device serves the last value fine, so suspect the \
                          source/scanner/field signal that should refresh it.";
            return (text, action);
        }
        FlowVerdict::CommsOkFlatline => (
            "Good status but the value is FLATLINE (zero variance over the window) \u{2014} a \
             stuck sensor or a frozen source value.",
            "Compare against a known-changing reference; a flatline with good quality usually \
             means the source is stuck, not the comms.",
        ),
        FlowVerdict::Healthy => return healthy(walk),
    };
    (diagnosis.to_owned(), action)
}

/// As the reference says it where it looked at more than the connection and the value.
fn healthy(walk: &Walk) -> (String, &'static str) {
    let action = "No data-flow break found at the layers reachable from here.";
    let went_far = walk.evaluated.iter().any(|hop| matches!(*hop, "freshness" | "variance"));
    let text = match went_far {
        true => "All reachable hops look healthy (connected, readable, fresh, varying).",
        false => "Connected and readable. Neither freshness nor variance was evaluated.",
    };
    (text.to_owned(), action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(read: Option<FlowRead>) -> FlowEvidence<'static> {
        FlowEvidence {
            protocol: "opcua",
            connect: Ok("OPC-UA state=0".into()),
            read: read.map(|read| ("ns=2;i=5", read)),
            series: None,
            freshness_threshold_s: 60.0,
            flatline_eps: 1e-9,
            now: Timestamp::parse("2026-06-30T12:00:00Z").unwrap(),
        }
    }

    fn value(grade: Grade, source: Option<&str>) -> FlowRead {
        let source = source.map(|text| Timestamp::parse(text).unwrap());
        FlowRead::Value { text: "5.0".into(), is_null: false, grade, source }
    }

    #[test]
    fn a_time_in_the_future_is_clock_skew_and_not_fresh() {
        let read = value(Grade::Good, Some("2026-06-30T13:00:00Z"));
        let found = dataflow(&evidence(Some(read)));
        let FlowHop::Freshness { freshness, .. } = &found.hops[2] else { panic!("{found:?}") };
        assert_eq!(freshness.clock_skew, Some(3600.0));
        assert!(!freshness.evaluated && !found.evaluated.contains(&"freshness"));
    }

    #[test]
    fn what_is_uncertain_bad_missing_or_refused_is_never_healthy() {
        let null = FlowRead::Value {
            text: String::new(),
            is_null: true,
            grade: Grade::Good,
            source: None,
        };
        for (read, verdict) in [
            (value(Grade::Uncertain, None), FlowVerdict::CommsOkBadQuality),
            (value(Grade::Bad, None), FlowVerdict::CommsOkBadQuality),
            (null, FlowVerdict::CommsOkNoValue),
            (FlowRead::Failed("refused".into()), FlowVerdict::CommsOkValueUnreadable),
            (FlowRead::NotSupported("topics".into()), FlowVerdict::NotSupported),
        ] {
            assert_eq!(dataflow(&evidence(Some(read))).verdict, verdict);
        }
        assert_eq!(dataflow(&evidence(None)).verdict, FlowVerdict::ConnectOk);
    }
}
