//! What the ledger shows of itself.

use super::error::LedgerError;
use super::event::Seq;
use crate::model::Timestamp;

/// Where the ledger stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// The number of the newest record.
    pub newest: Seq,
    /// Bytes of the records in the file.
    pub bytes: u64,
    /// Bytes that may stand there.
    pub max_bytes: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Records lost because they could not be written in time, and not yet counted in one.
    pub lost: u64,
    /// When the last commit was durable.
    pub last_commit: Option<Timestamp>,
    /// Why nothing can be written now, where that is so.
    pub fault: Option<LedgerError>,
    /// Why this file was begun anew, until an operator has seen it.
    pub anew: Option<String>,
    /// The first record that is not what was written.
    pub first_bad: Option<Seq>,
    /// The one that an operator has seen.
    pub acknowledged: Option<Seq>,
    /// Why no more will be written until the collector is started again.
    pub given_up: Option<String>,
    /// Where checkpoints go.
    pub outlets: Vec<OutletReport>,
}

/// Where one outlet stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutletReport {
    /// Its kind and path.
    pub name: String,
    /// The newest record that was vouched for there.
    pub sent: Seq,
    /// Why it takes nothing, where that is so.
    pub fault: Option<String>,
}

impl LedgerReport {
    /// Gives why no write to a device may happen now; `None` where the audit is in order.
    #[must_use]
    pub fn frozen(&self) -> Option<String> {
        if let Some(why) = &self.given_up {
            return Some(format!("the audit is not being kept: {why}"));
        }
        if let Some(fault) = &self.fault {
            return Some(fault.to_string());
        }
        if let Some(first) = self.first_bad.filter(|_| self.first_bad != self.acknowledged) {
            return Some(format!("the audit is not what was written from record {first} on"));
        }
        if self.bytes >= self.max_bytes / 10 * 9 {
            return Some(format!(
                "the audit has {} of its {} bytes: otctl audit export, then release it",
                self.bytes, self.max_bytes
            ));
        }
        self.anew.clone()
    }
}
