//! Failures as agents and operators see them.

use serde::{Deserialize, Serialize};

use crate::driver::{DriverError, ErrorKind};

/// Every code an answer may carry. Closed: documented in the README's tool pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// An argument is missing, unknown, of the wrong type or out of range.
    BadArguments,
    /// No tool of that name is on offer at this door.
    UnknownTool,
    /// No endpoint of that name is configured.
    UnknownEndpoint,
    /// Several endpoints speak the protocol, so one must be named.
    AmbiguousEndpoint,
    /// The endpoint speaks another protocol.
    WrongProtocol,
    /// No tag of that name is configured.
    UnknownTag,
    /// The device refuses the address, or it doesn't parse.
    BadAddress,
    /// The device can't be reached, or the connection ended.
    Unreachable,
    /// The device did not answer in time.
    DeviceTimeout,
    /// The device refuses the login.
    LoginRefused,
    /// A certificate is untrusted, expired or mismatched.
    CertificateRejected,
    /// The device reports a fault of its own.
    DeviceFault,
    /// What the device sent is no valid answer.
    InvalidAnswer,
    /// The protocol or this device can't do it.
    Unsupported,
    /// The device's budget has no room, and nothing is cached.
    BudgetExhausted,
    /// Too many calls wait already.
    Busy,
    /// The caller cancelled it.
    Cancelled,
    /// The tool did not finish before its deadline.
    DeadlineExceeded,
    /// The door or the rules forbid it.
    Denied,
    /// What was named does not exist.
    NotFound,
    /// The collector restarted while the call was in flight.
    CollectorRestarted,
    /// The endpoint's configuration is faulty.
    Misconfigured,
    /// The store can't serve it.
    Storage,
    /// A fault of ours.
    Internal,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Never.
    No,
    /// Yes, after a while.
    Later,
    /// Once the cause is mended.
    AfterFix,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema, thiserror::Error)]
#[error("{message}")]
#[schemars(inline)]
pub struct ToolError {
    /// What kind of failure.
    pub code: Code,
    /// What and where.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Whether trying again can help.
    pub retry: Retry,
    /// The nearest names that do exist.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub did_you_mean: Vec<String>,
    /// Protocol messages it cost all the same, for answers that go on without this part.
    #[serde(skip)]
    pub(super) device_requests: u32,
}

impl ToolError {
    /// Makes an error; whether to retry follows from the code.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let retry = match code {
            Code::Unreachable
            | Code::DeviceTimeout
            | Code::DeviceFault
            | Code::InvalidAnswer
            | Code::BudgetExhausted
            | Code::Busy
            | Code::DeadlineExceeded
            | Code::CollectorRestarted => Retry::Later,
            Code::BadArguments
            | Code::UnknownEndpoint
            | Code::AmbiguousEndpoint
            | Code::WrongProtocol
            | Code::UnknownTag
            | Code::BadAddress
            | Code::LoginRefused
            | Code::CertificateRejected
            | Code::Misconfigured
            | Code::Storage => Retry::AfterFix,
            Code::UnknownTool
            | Code::Unsupported
            | Code::Cancelled
            | Code::Denied
            | Code::NotFound
            | Code::Internal => Retry::No,
        };
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            retry,
            did_you_mean: Vec::new(),
            device_requests: 0,
        }
    }

    /// Says that an argument can't be taken.
    #[must_use]
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(Code::BadArguments, message, "correct the arguments and call again")
    }

    /// Gives the protocol messages it cost all the same.
    #[must_use]
    pub fn device_requests(&self) -> u64 {
        u64::from(self.device_requests)
    }

    /// Names what was probably meant.
    #[must_use]
    pub fn did_you_mean(mut self, names: Vec<String>) -> Self {
        self.did_you_mean = names;
        self
    }
}

impl From<DriverError> for ToolError {
    fn from(error: DriverError) -> Self {
        let code = match error.kind {
            ErrorKind::Timeout => Code::DeviceTimeout,
            ErrorKind::Unreachable | ErrorKind::LinkLost => Code::Unreachable,
            ErrorKind::LoginRefused => Code::LoginRefused,
            ErrorKind::CertificateRejected => Code::CertificateRejected,
            ErrorKind::BadAddress => Code::BadAddress,
            ErrorKind::DeviceFault => Code::DeviceFault,
            ErrorKind::Protocol | ErrorKind::Decode => Code::InvalidAnswer,
            ErrorKind::Unsupported => Code::Unsupported,
            ErrorKind::Settings => Code::Misconfigured,
            ErrorKind::BudgetExhausted => Code::BudgetExhausted,
            ErrorKind::Closed => Code::Unreachable,
        };
        Self::new(code, error.message, error.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_in_the_readme() {
        let readme = include_str!("../../README.md");
        let schema = serde_json::to_string(&schemars::schema_for!(Code)).unwrap();
        let codes: Vec<&str> = schema
            .split('"')
            .filter(|word| word.contains('_') || ["busy", "denied", "storage"].contains(word))
            .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            .collect();
        assert!(codes.len() > 15, "{codes:?}");
        for code in codes {
            assert!(readme.contains(&format!("`{code}`")), "{code}");
        }
    }
}
