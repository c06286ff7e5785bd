//! What one device may be asked.

use serde::{Deserialize, Serialize};

/// The load an endpoint may carry, scans and calls together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Protocol messages a second, in the long run.
    pub requests_per_s: f64,
    /// Messages that may go out at once after a pause.
    pub burst: u32,
    /// Connections held at once.
    pub connections: u32,
    /// The most of it that calls may take, between 0 and 1.
    pub on_demand_share: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { requests_per_s: 20.0, burst: 10, connections: 1, on_demand_share: 0.2 }
    }
}
