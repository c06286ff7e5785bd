//! A ticket's file: what was asked, who approved, what was done, and what came of it.

use serde::{Deserialize, Serialize};

use super::moc::{Approval, Ticket};

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MocState {
    /// Asked for; nobody, or not everybody, has approved.
    Requested,
    /// Approved, and on its way to the device.
    Approved,
    /// The intent is durable: the write may have gone out.
    Executing,
    /// It can't be verified and is being taken back.
    Reverting,
    /// It went out, and nobody knows yet what became of it.
    Unknown,
    /// Written, and read back twice.
    Verified,
    /// Found at the device after a restart in the middle of the write.
    VerifiedAfterRestart,
    /// The value at the device is the one before: nothing was written.
    NotApplied,
    /// The device has another value than was written.
    VerifyFailed,
    /// Taken back.
    Reverted,
    /// It could not be taken back.
    RevertFailed,
    /// The gate refused it.
    Refused,
    /// A person rejected it.
    Rejected,
    /// Its time is over.
    Expired,
    /// The device has a third value, or can't be asked: somebody has to look.
    Indeterminate,
    /// Verified, and undone by another ticket.
    Undone,
}

impl MocState {
    /// Gives its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Executing => "executing",
            Self::Reverting => "reverting",
            Self::Unknown => "unknown",
            Self::Verified => "verified",
            Self::VerifiedAfterRestart => "verified_after_restart",
            Self::NotApplied => "not_applied",
            Self::VerifyFailed => "verify_failed",
            Self::Reverted => "reverted",
            Self::RevertFailed => "revert_failed",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Indeterminate => "indeterminate",
            Self::Undone => "undone",
        }
    }

    /// Tells whether it still waits for people.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Approved)
    }

    /// Tells whether the device has to be read to say what became of it.
    #[must_use]
    pub const fn is_in_doubt(self) -> bool {
        matches!(self, Self::Executing | Self::Reverting | Self::Unknown)
    }

    /// Tells whether the value at the device is the one that was asked for.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Verified | Self::VerifiedAfterRestart)
    }

    /// Tells whether somebody has to look at the device.
    #[must_use]
    pub const fn is_alarm(self) -> bool {
        matches!(self, Self::VerifyFailed | Self::RevertFailed | Self::Indeterminate)
    }
}

/// A ticket with all that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dossier {
    /// What was asked, as it is signed.
    pub ticket: Ticket,
    /// Why, in the words of whoever asked. Untrusted text.
    pub reason: String,
    /// Where it stands.
    pub state: MocState,
    /// The rule that decided, where one did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// What there is to say of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The approvals that hold.
    pub approvals: Vec<Approval>,
    /// Whose they are.
    pub approved_by: Vec<String>,
    /// The run of the collector it was opened in.
    pub boot: u64,
    /// When that was, on that run's monotonic clock.
    pub opened_uptime_ms: u64,
    /// When the intent was made durable, in milliseconds of UTC since 1970.
    pub executed_ms: Option<i64>,
    /// Write messages that were handed to the driver.
    pub writes: u32,
    /// What stood at the device right before the write.
    pub found: Option<serde_json::Value>,
    /// What was read after it, in engineering units.
    pub readbacks: Vec<serde_json::Value>,
    /// From the fresh read to the end of the write, in microseconds.
    pub window_us: Option<u64>,
    /// The ticket that undid it.
    pub undone_by: Option<String>,
}

impl Dossier {
    /// Opens the file of a new ticket.
    #[must_use]
    pub fn new(ticket: Ticket, reason: String, boot: u64, opened_uptime_ms: u64) -> Self {
        Self {
            ticket,
            reason,
            state: MocState::Requested,
            rule: String::new(),
            why: String::new(),
            approvals: Vec::new(),
            approved_by: Vec::new(),
            boot,
            opened_uptime_ms,
            executed_ms: None,
            writes: 0,
            found: None,
            readbacks: Vec::new(),
            window_us: None,
            undone_by: None,
        }
    }

    /// Gives the number in its id; `None` where the id is none of ours.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.ticket.id.strip_prefix("MOC-")?.parse().ok()
    }
}
