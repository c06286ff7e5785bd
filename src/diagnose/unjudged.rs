//! What a verdict does not speak of.

use serde::Serialize;

/// A check that was not made, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Unjudged {
    /// The check.
    pub check: &'static str,
    /// Why it says nothing.
    pub why: &'static str,
}

impl Unjudged {
    /// Notes a check that was not made.
    #[must_use]
    pub const fn new(check: &'static str, why: &'static str) -> Self {
        Self { check, why }
    }
}
