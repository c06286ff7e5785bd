//! Why the gate stays shut.

/// The rule that a write broke. The words stand in answers and in the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Writes are frozen.
    Frozen,
    /// A rule of the policy.
    Policy,
    /// The policy is another than the one that was signed.
    PolicyChanged,
    /// The ticket was used, rejected or cancelled.
    TicketUsed,
    /// The ticket's time is over.
    TicketExpired,
    /// The clocks disagree: one of them was set.
    ClockSuspect,
    /// The ticket says something else than the selection.
    TicketMismatch,
    /// Fewer approvals than the tier asks for.
    NotApproved,
    /// The key is no approver's.
    UnknownKey,
    /// The signature is not over this ticket.
    BadSignature,
    /// Requester and approver are one person, as far as can be told.
    SelfApproval,
    /// Two approvals are one person's.
    SamePerson,
    /// The device is another than the one that was signed.
    IdentityChanged,
    /// The value before can't be trusted.
    BeforeUnusable,
    /// The value before has moved since it was signed.
    Precondition,
    /// The value is no longer the one we wrote.
    NotOurs,
}

impl Rule {
    /// Gives its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Policy => "policy",
            Self::PolicyChanged => "policy_changed",
            Self::TicketUsed => "ticket_used",
            Self::TicketExpired => "ticket_expired",
            Self::ClockSuspect => "clock_suspect",
            Self::TicketMismatch => "ticket_mismatch",
            Self::NotApproved => "not_approved",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::SelfApproval => "self_approval",
            Self::SamePerson => "same_person",
            Self::IdentityChanged => "identity_changed",
            Self::BeforeUnusable => "before_unusable",
            Self::Precondition => "precondition",
            Self::NotOurs => "not_ours",
        }
    }
}

/// A refused write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", rule.word())]
pub struct Refusal {
    /// The rule it broke.
    pub rule: Rule,
    /// What and why, with what to do next.
    pub message: String,
}

impl Refusal {
    /// Makes a refusal.
    #[must_use]
    pub fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }
}
