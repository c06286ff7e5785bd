//! F1: the gate. One pure function mints the right to write, and a driver can't write without.

mod authorize;
mod people;
mod refusal;
#[cfg(test)]
mod tests;

pub use authorize::{
    Authorized, Clocks, Facts, Moment, authorize, authorize_revert, check, reason_digest,
};
pub use people::{key_of, verify};
pub use refusal::{Refusal, Rule};
