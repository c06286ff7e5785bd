//! Errors by what they do to the session.

use crate::model::{Quality, UnitId};

/// What went wrong, as far as a reader of the answer needs to tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No answer in time.
    Timeout,
    /// The connection was refused, or the host can't be reached.
    Unreachable,
    /// The connection ended.
    LinkLost,
    /// The login was refused.
    LoginRefused,
    /// A certificate is untrusted, expired or mismatched, or no endpoint offers the security asked.
    CertificateRejected,
    /// The device refuses the address, or there is no such node.
    BadAddress,
    /// The device reports a fault or is busy.
    DeviceFault,
    /// What came is no valid answer to what was asked.
    Protocol,
    /// The answer is valid and no value of the type asked for.
    Decode,
    /// The protocol or this device can't do it.
    Unsupported,
    /// The settings can't work.
    Settings,
    /// The device's budget had no room before the deadline.
    BudgetExhausted,
    /// The collector is closing the endpoint.
    Closed,
}

/// What the poller must do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// One tag is Bad; nothing else changes.
    FailTag,
    /// One unit is left alone for a while; the session lives.
    FailUnit,
    /// The session is closed; a unit named in the error is left alone for a while.
    DropSession,
}

/// A failure of a driver, in our own words: text of the device never stands here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DriverError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Whose fault it is, where it is one unit's.
    pub unit: Option<UnitId>,
    /// What and where, lower case, no full stop.
    pub message: String,
    /// What to do next; empty where nothing can be said.
    pub hint: String,
    /// The protocol's own status, where it sent one.
    pub status: Option<u32>,
    /// Whether the session lives on.
    pub reaction: Reaction,
}

impl DriverError {
    /// Makes an error; the reaction is the kind's usual one.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let reaction = match kind {
            ErrorKind::BadAddress
            | ErrorKind::Decode
            | ErrorKind::Unsupported
            | ErrorKind::Settings
            | ErrorKind::BudgetExhausted => Reaction::FailTag,
            ErrorKind::DeviceFault => Reaction::FailUnit,
            // A request/reply stream never survives a timeout: the next answer may be an old one.
            ErrorKind::Timeout
            | ErrorKind::Unreachable
            | ErrorKind::LinkLost
            | ErrorKind::LoginRefused
            | ErrorKind::CertificateRejected
            | ErrorKind::Protocol
            | ErrorKind::Closed => Reaction::DropSession,
        };
        let message = message.into();
        Self { kind, unit: None, message, hint: String::new(), status: None, reaction }
    }

    /// Makes the error of a call that the budget left no room for.
    #[must_use]
    pub fn budget_exhausted() -> Self {
        let text = "the device's request budget has no room before the deadline";
        Self::new(ErrorKind::BudgetExhausted, text)
            .hint("ask less often, or raise budget.requests_per_s of this endpoint")
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Names the unit at fault.
    #[must_use]
    pub fn of_unit(mut self, unit: UnitId) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Keeps the protocol's own status.
    #[must_use]
    pub fn status(mut self, status: u32) -> Self {
        self.status = Some(status);
        self
    }

    /// Overrides the kind's usual reaction.
    #[must_use]
    pub fn reacting(mut self, reaction: Reaction) -> Self {
        self.reaction = reaction;
        self
    }

    /// Gives what is wrong with what to do about it, for a row that has place for one text.
    #[must_use]
    pub fn with_hint(&self) -> String {
        if self.hint.is_empty() { self.message.clone() } else { format!("{self}; {}", self.hint) }
    }

    /// Tells whether the session survives.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        self.reaction
    }

    /// Gives the quality of a tag that failed this way.
    #[must_use]
    pub fn quality(&self) -> Quality {
        match self.kind {
            ErrorKind::BadAddress | ErrorKind::Settings | ErrorKind::Unsupported => {
                Quality::BAD_CONFIGURATION_ERROR
            }
            ErrorKind::DeviceFault => Quality::BAD_DEVICE_FAILURE,
            ErrorKind::Decode => Quality::BAD_DECODING_ERROR,
            _ => Quality::BAD_NO_COMMUNICATION,
        }
    }
}
