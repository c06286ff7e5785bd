//! Detectors that judge a tag by one window of its history: what it was like before, and what
//! its neighbours did meanwhile.

mod asset;
mod backtest;
mod counter;
mod course;
mod drift;
mod flatline;
mod freshness;
mod hampel;
mod heartbeat;
mod neighbours;
mod noise;
mod oscillation;
#[cfg(test)]
mod properties;
mod quality;
mod quantisation;
mod saturation;
mod signal;
mod spike;
#[cfg(test)]
mod testing;
mod texture;

pub use asset::{AssetWatch, Member};
pub use backtest::{Backtest, Episode, backtest};
pub use course::{Course, CourseExtent, Courses};
pub use hampel::{HAMPEL_SIDE, Local, hampel};
pub use neighbours::{LaterSignals, Neighbours};
pub use signal::{Kind, Newest, SAMPLES_MAX, Signal};

use super::finding::{Evidence, Finding, Judgement, Rest, Severity, Verdict};
use crate::model::{Tag, Timestamp};

/// What a detector looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The tag's window, prepared once for all detectors.
    pub signal: &'a Signal,
    /// Its definition, where there is one: ranges, limits and names.
    pub tag: Option<&'a Tag>,
    /// The other tags of the same asset.
    pub neighbours: Neighbours<'a>,
    /// When the link last proved alive for this tag, changed or not; `None` where unknown.
    pub seen: Option<Timestamp>,
    /// What an open finding of the same detector was measured from.
    pub from: Option<Rest>,
    /// The instant to judge by.
    pub now: Timestamp,
}

/// A detector over a window.
#[derive(Clone, Copy)]
pub struct Detector {
    /// Its name on the command line and in findings.
    pub name: &'static str,
    /// What it finds.
    pub finds: &'static str,
    /// The verdicts it may give.
    pub verdicts: &'static [Verdict],
    /// What its setting is.
    pub setting: &'static str,
    /// The setting that is used where nobody chooses one.
    pub usual: f64,
    /// Samples without which it says nothing: usable numbers, or arrivals for freshness.
    pub evidence_min: usize,
    /// Whether it looks at the neighbours too.
    pub is_beside_others: bool,
    /// Judges, by a setting.
    pub judge: fn(&Subject<'_>, f64) -> Judgement,
}

/// Every detector over a window.
pub const DETECTORS: &[Detector] = &[
    quality::QUALITY,
    freshness::FRESHNESS,
    heartbeat::HEARTBEAT,
    flatline::FLATLINE,
    saturation::SATURATION,
    drift::DRIFT,
    oscillation::OSCILLATION,
    noise::NOISE,
    quantisation::QUANTISATION,
    counter::COUNTER,
    spike::SPIKE,
];

/// Finds a detector by its name.
#[must_use]
pub fn detector(name: &str) -> Option<&'static Detector> {
    DETECTORS.iter().find(|detector| detector.name == name)
}

impl Detector {
    /// Judges by the usual setting.
    #[must_use]
    pub fn judge(&self, subject: &Subject<'_>) -> Judgement {
        (self.judge)(subject, self.usual)
    }
}
