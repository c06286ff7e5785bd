//! What a detector says: a finding with its evidence, nothing, or why it can't tell.

use serde::{Serialize, Serializer};

use crate::model::Timestamp;

/// Samples a finding names; it counts the rest.
pub const EVIDENCE_SAMPLES_MAX: usize = 50;

/// What is wrong, in the words of `finding_list` and `tag_why`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole endpoint answers no more.
    EndpointDown,
    /// One side does not trust the other's certificate, or the security asked for is not offered.
    CertificateRejected,
    /// Samples are lost in a queue that is full.
    QueueFull,
    /// The device's times mislead: its clock or its time zone is wrong.
    ClockWrong,
    /// More alarms than anybody can follow: ten or more in ten minutes.
    AlarmFlood,
    /// One unit answers no more; its neighbours do.
    UnitDead,
    /// The device refuses the address.
    BadAddress,
    /// Nothing was ever read.
    NeverRead,
    /// Nothing has come for far longer than usual.
    Stale,
    /// The device still says Good, and the value no longer lives while its neighbours do.
    GoodButStale,
    /// What used to change like a clock has stopped.
    DeadHeartbeat,
    /// The newest samples are Bad for a reason of the device's own.
    BadQuality,
    /// A measurement that always moved stands still.
    Flatline,
    /// Single values far from their neighbours.
    Spike,
    /// A value moves away slowly, and nothing around it does.
    Drift,
    /// The noise has grown or gone.
    NoiseChange,
    /// The value swings with a period of its own.
    Oscillation,
    /// A counter fell back and was not full.
    CounterReset,
    /// The value rests at an end of its range.
    Saturation,
    /// The smallest step between values has changed.
    QuantisationChange,
    /// The tags of an asset no longer fit each other as they did while it was sound.
    AssetDeviation,
}

/// How much a finding matters, the least first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// To be looked at this shift: the value misleads.
    Medium,
    /// To be looked at now: nothing can be said of the value.
    High,
}

/// One sample that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct EvidenceSample {
    /// Its position in the window that was judged.
    pub position: usize,
    /// When it was received.
    pub received_ts: Timestamp,
}

/// What a finding rests on; the same window gives the same again.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Evidence {
    /// What was measured, such as `seconds without a sample`.
    pub measured: &'static str,
    /// Its value.
    pub value: f64,
    /// The bound it lies beyond.
    pub bound: f64,
    /// The samples that show it, oldest first; the newest 50 where there are more.
    pub samples: Vec<EvidenceSample>,
    /// How many there are.
    pub sample_count: usize,
    /// Where the value stood before; it is over once it is back there.
    #[serde(skip)]
    pub from: Option<Rest>,
}

/// Where a signal stood before it left, as an open finding keeps it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rest {
    /// The level.
    pub level: f64,
    /// The furthest it has been from there.
    pub furthest: f64,
    /// How far that may be.
    pub bound: f64,
    /// When it was last seen there.
    pub since: Timestamp,
}

/// One thing found wrong with one tag.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What is wrong.
    pub verdict: Verdict,
    /// How much it matters.
    pub severity: Severity,
    /// Since when, as far as the window shows.
    pub since: Timestamp,
    /// What it rests on.
    pub evidence: Evidence,
    /// What to do next; `TAG` stands for the tag's name.
    pub next: &'static str,
}

/// A detector's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Something is wrong.
    Found(Finding),
    /// There was evidence enough, and nothing is wrong by it.
    Nothing,
    /// There was not, for this reason: it opens no finding and it closes none.
    NotEvaluated(&'static str),
}

impl Verdict {
    /// Gives its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::EndpointDown => "endpoint_down",
            Self::CertificateRejected => "certificate_rejected",
            Self::QueueFull => "queue_full",
            Self::ClockWrong => "clock_wrong",
            Self::AlarmFlood => "alarm_flood",
            Self::UnitDead => "unit_dead",
            Self::BadAddress => "bad_address",
            Self::NeverRead => "never_read",
            Self::Stale => "stale",
            Self::GoodButStale => "good_but_stale",
            Self::DeadHeartbeat => "dead_heartbeat",
            Self::BadQuality => "bad_quality",
            Self::Flatline => "flatline",
            Self::Spike => "spike",
            Self::Drift => "drift",
            Self::NoiseChange => "noise_change",
            Self::Oscillation => "oscillation",
            Self::CounterReset => "counter_reset",
            Self::Saturation => "saturation",
            Self::QuantisationChange => "quantisation_change",
            Self::AssetDeviation => "asset_deviation",
        }
    }
}

impl Finding {
    /// Gives the next step for a tag of that name.
    #[must_use]
    pub fn next_for(&self, tag: &str) -> String {
        self.next.replace("TAG", tag)
    }
}

impl Evidence {
    /// Keeps the newest samples and counts all.
    pub(super) fn new(
        (measured, value, bound): (&'static str, f64, f64),
        samples: Vec<EvidenceSample>,
    ) -> Self {
        let sample_count = samples.len();
        let first = sample_count.saturating_sub(EVIDENCE_SAMPLES_MAX);
        let samples = samples.get(first..).unwrap_or_default().to_vec();
        Self { measured, value, bound, samples, sample_count, from: None }
    }
}

impl Judgement {
    /// Tells whether there was evidence enough.
    #[must_use]
    pub const fn is_evaluated(&self) -> bool {
        !matches!(self, Self::NotEvaluated(_))
    }

    /// Gives what was found.
    #[must_use]
    pub const fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Found(finding) => Some(finding),
            Self::Nothing | Self::NotEvaluated(_) => None,
        }
    }
}

/// `{"evaluated": true, "finding": ..|null}` or `{"evaluated": false, "reason": ..}`.
impl Serialize for Judgement {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = out.serialize_map(Some(2))?;
        map.serialize_entry("evaluated", &self.is_evaluated())?;
        match self {
            Self::NotEvaluated(reason) => map.serialize_entry("reason", reason)?,
            _ => map.serialize_entry("finding", &self.finding())?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_written_as_its_word() {
        for verdict in [Verdict::GoodButStale, Verdict::UnitDead, Verdict::QuantisationChange] {
            let json = serde_json::to_value(verdict).unwrap();
            assert_eq!(json, verdict.word());
        }
    }

    #[test]
    fn what_is_not_evaluated_says_so_and_names_no_finding() {
        let json = serde_json::to_value(Judgement::NotEvaluated("no samples")).unwrap();
        assert_eq!(json, serde_json::json!({"evaluated": false, "reason": "no samples"}));
        let json = serde_json::to_value(Judgement::Nothing).unwrap();
        assert_eq!(json, serde_json::json!({"evaluated": true, "finding": null}));
    }

    #[test]
    fn many_samples_are_counted_and_the_newest_named() {
        let sample = |position| EvidenceSample { position, received_ts: Timestamp::default() };
        let evidence = Evidence::new(("n", 1.0, 0.0), (0..80).map(sample).collect());
        assert_eq!((evidence.sample_count, evidence.samples.len()), (80, 50));
        assert_eq!(evidence.samples[0].position, 30);
    }
}
