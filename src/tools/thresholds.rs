//! Limits given with a call, in the reference's shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::diagnose::bound;
use crate::model::{Limits, Tag, sanitize};

/// Limits for one reference. They replace what the configuration says of it, the label too.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct Threshold {
    /// A short name for people.
    #[serde(default)]
    pub label: String,
    /// At or above: warn. A number, or a number as text.
    #[serde(default)]
    pub warn_high: Json,
    /// At or above: alarm.
    #[serde(default)]
    pub alarm_high: Json,
    /// At or below: warn.
    #[serde(default)]
    pub warn_low: Json,
    /// At or below: alarm.
    #[serde(default)]
    pub alarm_low: Json,
}

/// Limits by reference, as a call gives them.
pub(super) type Thresholds = BTreeMap<String, Threshold>;

/// A label with the limits that hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    pub(super) label: String,
    pub(super) limits: Limits,
    /// Bounds that are no number. As in the reference they don't hold; here the answer says so.
    pub(super) ignored: Vec<String>,
}

impl Threshold {
    /// Reads its bounds.
    pub(super) fn bounds(&self, reference: &str) -> Bounds {
        let mut ignored = Vec::new();
        let mut read = |name: &str, json: &Json| {
            bound(json).unwrap_or_else(|text| {
                ignored.push(sanitize(&format!("{reference}.{name}: {text}"), 200));
                None
            })
        };
        let limits = Limits {
            warn_high: read("warn_high", &self.warn_high),
            alarm_high: read("alarm_high", &self.alarm_high),
            warn_low: read("warn_low", &self.warn_low),
            alarm_low: read("alarm_low", &self.alarm_low),
        };
        Bounds { label: sanitize(&self.label, 64), limits, ignored }
    }
}

/// Gives the limits of one reference: the call's, else the tag's, else none.
pub(super) fn bounds(
    thresholds: Option<&Thresholds>,
    reference: &str,
    tag: Option<&Tag>,
) -> Bounds {
    if let Some(threshold) = thresholds.and_then(|all| all.get(reference)) {
        return threshold.bounds(reference);
    }
    tag.map_or_else(Bounds::default, |tag| Bounds {
        label: sanitize(&tag.label, 64),
        limits: tag.limits,
        ignored: Vec::new(),
    })
}
