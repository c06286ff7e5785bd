//! Where an answer comes from, and what it cost the device.

use serde::Serialize;

/// Whether the device was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// Nothing was asked of the device.
    Cache,
    /// Part of the answer, or all of it, was asked for by this call.
    Device,
}

/// Why a cached answer was given although a newer one was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BudgetState {
    /// The device's request budget has no room now.
    Exhausted,
}

/// What stands under every answer that speaks of device data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Provenance {
    /// Whether the device was asked.
    pub source: Source,
    /// Protocol messages this call caused, connection set-up included.
    pub device_requests: u64,
    /// The age of the oldest value in milliseconds; null where none is known.
    pub age_ms: Option<u64>,
    /// There is more than the answer holds.
    pub truncated: bool,
    /// The budget kept a newer answer back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetState>,
    /// The wall clock has gone back since the value was stored, so its age is unknown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clock_skew: bool,
}

impl Provenance {
    /// An answer that cost the device nothing.
    #[must_use]
    pub(super) fn cache(age_ms: Option<u64>) -> Self {
        Self {
            source: Source::Cache,
            device_requests: 0,
            age_ms,
            truncated: false,
            budget: None,
            clock_skew: false,
        }
    }

    /// An answer that was asked for just now.
    #[must_use]
    pub(super) fn device(device_requests: u64) -> Self {
        Self { source: Source::Device, device_requests, ..Self::cache(Some(0)) }
    }

    /// Joins the footing of another part of the same answer.
    pub(super) fn join(&mut self, other: &Self) {
        if other.source == Source::Device {
            self.source = Source::Device;
        }
        self.device_requests += other.device_requests;
        self.age_ms = self.age_ms.max(other.age_ms);
        self.truncated |= other.truncated;
        self.budget = self.budget.or(other.budget);
        self.clock_skew |= other.clock_skew;
    }
}
