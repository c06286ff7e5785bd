//! What went wrong, in words: return codes, refusals, silence, frames that are none.

use std::io;

use super::area::{Area, Kind};
use super::frame::{BadFrame, Item, Refusal};
use crate::driver::{DriverError, ErrorKind, Reaction};
use crate::net::exchange::ExchangeError;

/// What PUT/GET has to do with it, for every refusal that it explains.
const PUT_GET: &str = "S7-1200/1500: in TIA Portal, allow \"access with PUT/GET communication from \
                       remote partner\" under Protection & Security of the CPU";
const OPTIMISED: &str = "check the block's number and length; on S7-1200/1500 the block must not \
                         have \"optimised block access\" (its properties in TIA Portal), or read \
                         it over OPC UA";

fn stretch(item: &Item) -> String {
    let last = item.start + item.count.saturating_sub(1);
    match item.area {
        Area { kind: Kind::Block, block } => format!("bytes {}..{last} of DB{block}", item.start),
        Area { kind: kind @ (Kind::Timers | Kind::Counters), .. } => {
            format!("{}{}..{last}", kind.name(), item.start)
        }
        Area { kind, .. } => format!("bytes {}..{last} of {}", item.start, kind.name()),
    }
}

/// Makes the error of an item's return code.
pub(super) fn item(code: u8, item: &Item) -> DriverError {
    let (kind, words, hint) = match code {
        0x01 => (ErrorKind::DeviceFault, "hardware fault", "look at the controller's diagnostics"),
        0x03 => (ErrorKind::BadAddress, "access is not allowed", PUT_GET),
        0x05 => (ErrorKind::BadAddress, "the address is beyond the end", OPTIMISED),
        0x06 => (ErrorKind::BadAddress, "the data type is not supported", OPTIMISED),
        0x07 => (ErrorKind::BadAddress, "the data type does not fit", OPTIMISED),
        0x0A => (ErrorKind::BadAddress, "there is no such block or area", OPTIMISED),
        _ => (ErrorKind::DeviceFault, "a code without a name", "see the manual of the controller"),
    };
    let what = format!("reading {}: return code {code:02X}, {words}", stretch(item));
    let error = DriverError::new(kind, what).hint(hint).status(u32::from(code));
    error.reacting(Reaction::FailTag)
}

/// Makes the error of a request that was refused as a whole.
pub(super) fn refused(Refusal(code): Refusal, doing: &str) -> DriverError {
    let (kind, words, hint) = match code {
        0x8104 | 0xD401..=0xD405 => {
            (ErrorKind::Unsupported, "the controller does not offer this function", PUT_GET)
        }
        0x8500 => (ErrorKind::DeviceFault, "the message is too long", "lower pdu_bytes"),
        0xD209 | 0x000A => (ErrorKind::BadAddress, "there is no such part", OPTIMISED),
        0xD241 | 0xD602 | 0xD604 => (
            ErrorKind::LoginRefused,
            "the controller is protected by a password",
            "lower the CPU's protection level to read access; a password is not sent",
        ),
        _ => (ErrorKind::DeviceFault, "the controller refused it", PUT_GET),
    };
    let what = format!("{doing}: error {code:04X}, {words}");
    let error = DriverError::new(kind, what).hint(hint).status(u32::from(code));
    error.reacting(Reaction::FailTag)
}

/// Tells whether a smaller stretch may be readable where this one is not.
pub(super) fn is_divisible(code: u8) -> bool {
    matches!(code, 0x03 | 0x05 | 0x06 | 0x07 | 0x0A)
}

/// Makes the error of an exchange that gave no answer.
pub(super) fn of_exchange(
    error: ExchangeError<BadFrame>,
    doing: &str,
    timeout_ms: u128,
) -> DriverError {
    match error {
        ExchangeError::TimedOut => {
            let what = format!("no whole answer within {timeout_ms} ms to {doing}");
            DriverError::new(ErrorKind::Timeout, what)
                .hint("raise timeout_ms for a busy controller; check rack and slot")
        }
        ExchangeError::Ended(kind) => ended(kind, doing),
        ExchangeError::Unasked => unasked(),
        ExchangeError::Bad(BadFrame::Refused) => {
            let what = "the controller refuses the connection to that rack and slot";
            DriverError::new(ErrorKind::Unreachable, what).hint(
                "check rack and slot (S7-300: 0 and 2, S7-1200/1500: 0 and 1, S7-400: see the \
                 hardware configuration), and whether all its connections are taken",
            )
        }
        ExchangeError::Bad(BadFrame::Disconnected) => ended(io::ErrorKind::ConnectionReset, doing),
        ExchangeError::Bad(bad) => {
            DriverError::new(ErrorKind::Protocol, format!("{bad}, when {doing}"))
                .hint("check that host and port are those of an S7 controller")
        }
    }
}

/// Makes the error of a connection that ended.
pub(super) fn ended(kind: io::ErrorKind, doing: &str) -> DriverError {
    let what = format!("the connection ended ({kind}) when {doing}");
    DriverError::new(ErrorKind::LinkLost, what).hint(
        "a controller has few connections: check that one is left for this collector, and rack \
         and slot",
    )
}

/// Makes the error of bytes nobody asked for.
pub(super) fn unasked() -> DriverError {
    DriverError::new(ErrorKind::Protocol, "bytes came that nobody asked for")
        .hint("what came late can't be told from an answer: the connection is made anew")
}

/// Makes the error of a connection that is not there.
pub(super) fn closed() -> DriverError {
    DriverError::new(ErrorKind::LinkLost, "no connection is open").hint("it is made anew by itself")
}

/// Makes the error of a request that was not sent because its deadline had passed.
pub(super) fn too_late(doing: &str) -> DriverError {
    let what = format!("no time was left for {doing}; nothing was sent");
    DriverError::new(ErrorKind::Timeout, what)
        .hint("scan less often, or raise budget.requests_per_s")
        .reacting(Reaction::FailTag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Quality;

    #[test]
    fn a_missing_block_explains_optimised_access_and_a_refusal_put_get() {
        let asked = Item { area: Area { kind: Kind::Block, block: 7 }, start: 4, count: 4 };
        let error = item(0x0A, &asked);
        assert_eq!(
            error.message,
            "reading bytes 4..7 of DB7: return code 0A, there is no such block or area"
        );
        assert!(error.hint.contains("optimised block access"));
        assert_eq!(error.quality(), Quality::BAD_CONFIGURATION_ERROR);
        let error = refused(Refusal(0x8104), "reading");
        assert!(error.hint.contains("PUT/GET"));
        assert_eq!(error.reaction(), Reaction::FailTag);
    }
}
