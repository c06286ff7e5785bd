//! Cache or device: the one place that decides which of the two answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::endpoint::Target;
use super::provenance::{BudgetState, Provenance};
use super::{Call, Code, ToolError};
use crate::actors::{AskError, Deps};
use crate::clock;
use crate::driver::{Ask, Reply};
use crate::model::Timestamp;

/// How new an answer must be, as every tool that may ask a device takes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
pub(super) struct MaxAge {
    /// Takes a cached answer no older than this many seconds; 0 asks the device now. Left out,
    /// what is scanned answers from the cache at any age and anything else asks the device.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

impl MaxAge {
    /// Checks it.
    pub(super) fn checked(&self) -> Result<Option<f64>, ToolError> {
        match self.max_age_s {
            Some(s) if !s.is_finite() || s < 0.0 => {
                Err(ToolError::argument("max_age_s must be a number of seconds, 0 or more"))
            }
            other => Ok(other),
        }
    }
}

/// Something that stands in the cache already.
pub(super) struct Held {
    pub(super) reply: Arc<Reply>,
    pub(super) age_ms: Option<u64>,
}

impl Held {
    /// Notes what stands in the cache, with the monotonic time it was seen in this run, or the
    /// wall time it was received in the one before.
    pub(super) fn new(reply: Arc<Reply>, seen_uptime_ms: Option<u64>, received: Timestamp) -> Self {
        let age_ms = match seen_uptime_ms {
            Some(seen) => Some(clock::uptime_ms().saturating_sub(seen)),
            None => u64::try_from(clock::now().millis_since(received)).ok(),
        };
        Self { reply, age_ms }
    }

    #[allow(clippy::cast_precision_loss, reason = "ages in seconds are compared, not counted")]
    fn is_within(&self, max_age_s: f64) -> bool {
        max_age_s > 0.0 && self.age_ms.is_some_and(|ms| ms as f64 <= max_age_s * 1000.0)
    }

    /// Tells whether what is scanned or subscribed will do for a call that allows this age.
    pub(super) fn will_do(&self, max_age_s: Option<f64>) -> bool {
        max_age_s.is_none_or(|max| self.is_within(max))
    }

    pub(super) fn answer(&self) -> (Arc<Reply>, Provenance) {
        let mut provenance = Provenance::cache(self.age_ms);
        provenance.clock_skew = self.age_ms.is_none();
        (self.reply.clone(), provenance)
    }
}

/// Answers from what is scanned, from what was asked before, or from the device.
pub(super) async fn ask(
    deps: &Deps,
    target: &Target,
    call: &Call,
    question: Ask,
    max_age_s: Option<f64>,
    scanned: Option<Held>,
) -> Result<(Arc<Reply>, Provenance), ToolError> {
    let is_scanned = scanned.is_some();
    let asked_before = || {
        let found = deps.cache.find_reply(target.link.name(), &question)?;
        Some(Held::new(found.reply, found.seen_uptime_ms, found.received_ts))
    };
    let held = scanned.or_else(asked_before);
    if let Some(held) = &held {
        let will_do = match max_age_s {
            None => is_scanned,
            Some(max) => held.is_within(max),
        };
        if will_do {
            return Ok(held.answer());
        }
        if call.spares_device || !target.link.meter.has_room_for_demand() {
            let (reply, mut provenance) = held.answer();
            provenance.budget = Some(BudgetState::Exhausted);
            return Ok((reply, provenance));
        }
    }
    ask_device(target, call, question).await
}

/// Asks the device, or joins an equal question under way.
pub(super) async fn ask_device(
    target: &Target,
    call: &Call,
    question: Ask,
) -> Result<(Arc<Reply>, Provenance), ToolError> {
    let progress = |items| call.progress.set(items);
    match target.link.ask(question, call.deadline, &progress).await {
        Ok(answer) => Ok((answer.reply, Provenance::device(u64::from(answer.requests)))),
        Err(AskError::Driver { error, requests }) => {
            Err(ToolError { device_requests: requests, ..error.into() })
        }
        Err(AskError::Busy) => Err(ToolError::new(
            Code::Busy,
            "too many calls wait for this device already",
            "wait a moment, or read configured tags, which answer from the cache",
        )),
    }
}

/// Says that the driver gave another kind of answer than was asked for.
pub(super) fn mismatched() -> ToolError {
    ToolError::new(Code::Internal, "the driver answered another question", "report this")
}
