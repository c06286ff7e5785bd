//! Endpoints: one physical connection each, with units behind it.

use std::sync::Arc;

use serde::Serialize;

/// The name of an endpoint in the configuration.
pub type EndpointName = Arc<str>;

/// A device behind an endpoint; 0 where the protocol has no units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
pub struct UnitId(pub u8);

/// What the connection is doing.
///
/// Health is judged by the progress of data, never by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Switched off in the configuration.
    Disabled,
    /// Opening the connection, or logging in.
    Connecting,
    /// Open.
    Up,
    /// Waiting before the next attempt.
    Backoff,
    /// Left alone after too many panics.
    Quarantined,
    /// Closed; an endpoint without tags waits here for its first demand.
    Closed,
}
