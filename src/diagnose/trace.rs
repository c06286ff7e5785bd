//! The way of one tag from its device to the store, hop by hop: which is the first that is
//! broken (`tag_why`).

mod facts;
mod walk;

pub use facts::{TraceFacts, TraceFault, TraceLink, TraceSample, TraceStop, TraceStore};

pub use walk::names_no_item;

use serde::Serialize;

use crate::model::Timestamp;

/// A step of the way, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceHop {
    /// The endpoint is configured and switched on.
    Endpoint,
    /// The name of its host has an address.
    Name,
    /// The connection stands.
    Connection,
    /// Both sides trust each other, and the login was accepted.
    Login,
    /// The device has such an item.
    Item,
    /// It answers for it, and what it answers goes on.
    Answer,
    /// The answer is a value of the tag's type, with a time.
    Decode,
    /// Raw counts become engineering units.
    Scale,
    /// Small changes keep the value before.
    Deadband,
    /// The newest sample is in the cache.
    Cache,
    /// It is on disk.
    Store,
    /// It is handed on.
    Sink,
}

impl TraceHop {
    /// Gives its word.
    const fn word(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Login => "login",
            Self::Item => "item",
            Self::Answer => "answer",
            Self::Decode => "decode",
            Self::Scale => "scale",
            Self::Deadband => "deadband",
            Self::Cache => "cache",
            Self::Store => "store",
            Self::Sink => "sink",
        }
    }
}

/// How a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HopState {
    /// It works.
    Ok,
    /// It is what is wrong, or part of it.
    Broken,
    /// Nothing can be said while an earlier one is broken.
    Unknown,
    /// There is nothing to do there.
    Unused,
}

/// One step as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct HopFound {
    /// Which.
    pub hop: TraceHop,
    /// How it is.
    pub state: HopState,
    /// When it last worked; null where that is not known.
    pub last_good: Option<Timestamp>,
    /// What was found, in our own words.
    pub detail: String,
}

/// Why a tag has no present value, or that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyVerdict {
    /// No connection, or no login.
    EndpointDown,
    /// The connection stands and the unit behind it says nothing.
    UnitDead,
    /// The device has no such item, or none of this type.
    BadAddress,
    /// One side does not trust the other's certificate, or the security asked for is not offered.
    CertificateRejected,
    /// Samples are lost in a queue that is full.
    QueueFull,
    /// The device answers, and the value's source has stopped.
    SourceStopped,
    /// The device's times mislead.
    ClockWrong,
    /// Nothing has come yet, and nothing is known to be wrong.
    NeverRead,
    /// Every step works.
    Ok,
}

impl WhyVerdict {
    /// Gives its name in answers and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EndpointDown => "endpoint_down",
            Self::UnitDead => "unit_dead",
            Self::BadAddress => "bad_address",
            Self::CertificateRejected => "certificate_rejected",
            Self::QueueFull => "queue_full",
            Self::SourceStopped => "source_stopped",
            Self::ClockWrong => "clock_wrong",
            Self::NeverRead => "never_read",
            Self::Ok => "ok",
        }
    }
}

/// What the walk came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Trace {
    /// Why.
    pub verdict: WhyVerdict,
    /// The first step that is broken; null where none is.
    pub broken: Option<TraceHop>,
    /// What shows it, in our own words.
    pub evidence: String,
    /// What to do.
    pub hint: String,
    /// The command to run next.
    pub next: String,
    /// Every step, in order.
    pub hops: Vec<HopFound>,
}

/// Walks a tag's way and stops to judge at the first step that is broken.
#[must_use]
pub fn trace(facts: &TraceFacts<'_>) -> Trace {
    walk::Walk::new(facts).walked()
}

#[cfg(test)]
mod tests;
