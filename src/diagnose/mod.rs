//! Diagnoses: pure functions over values and windows.

mod alarm_name;
pub mod alarms;
pub mod asset;
mod dataflow;
pub mod detect;
mod finding;
mod given;
mod historian;
mod instant;
mod learned;
mod limits;
mod number;
mod outliers;
mod robust;
mod rolling;
mod skew;
mod spread;
mod tag_health;
mod trace;
pub mod trained;
mod unjudged;

pub use alarm_name::names_an_alarm;
pub use dataflow::{
    FlowDiagnosis, FlowEvidence, FlowFreshness, FlowHop, FlowRead, FlowVerdict, dataflow,
    flow_freshness,
};
pub use finding::{
    EVIDENCE_SAMPLES_MAX, Evidence, EvidenceSample, Finding, Judgement, Rest, Severity, Verdict,
};
pub use given::{Given, Grade, SERIES_MAX};
pub use historian::{SeriesGap, SeriesHealth, SeriesVerdict, series_health};
pub use instant::{instant, instant_from_text};
pub use learned::{Learned, Stretch, is_measured, learned, learned_together};
pub use limits::{Status, classify, overall};
pub use number::{bound, number, number_from_text};
pub use outliers::{Outliers, outliers};
pub use robust::{anomalies, median, median_and_mad};
pub use skew::{SKEW_SAMPLES_MAX, Skew, SkewVerdict, fresh_offset_ms, fresh_offsets_ms, skew};
pub use tag_health::{Flag, TagHealth, tag_health, tags_overall};
pub use trace::{
    HopFound, HopState, Trace, TraceFacts, TraceFault, TraceHop, TraceLink, TraceSample, TraceStop,
    TraceStore, WhyVerdict, names_no_item, trace,
};
pub use unjudged::Unjudged;
