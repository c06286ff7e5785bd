//! One observation of one tag.

use super::{Quality, Timestamp, Value};

/// A value with its quality and both its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What the device said; `Null` where nothing was read.
    pub value: Value,
    /// How far to trust it.
    pub quality: Quality,
    /// The device's own time, where it gave one. Never invented.
    pub source_ts: Option<Timestamp>,
    /// When this collector received it.
    pub received_ts: Timestamp,
}
