//! What the device's refusals mean, and the words for every failure of a request.

use std::fmt;

use super::frame::BadFrame;
use super::plan::Request;
use crate::driver::{DriverError, ErrorKind, Reaction};

/// The exception codes of Modbus V1.1b3, 7, that this driver tells apart.
const ILLEGAL_FUNCTION: u8 = 0x01;
const ILLEGAL_ADDRESS: u8 = 0x02;
const ILLEGAL_VALUE: u8 = 0x03;
const DEVICE_FAILURE: u8 = 0x04;
const ACKNOWLEDGE: u8 = 0x05;
const BUSY: u8 = 0x06;
const PARITY_ERROR: u8 = 0x08;
const NO_GATEWAY_PATH: u8 = 0x0A;
const NO_GATEWAY_TARGET: u8 = 0x0B;

/// Names a request in messages: function, addresses and unit.
struct Named<'a>(&'a Request);

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { unit, area, start, count } = *self.0;
        write!(out, "{} (FC{:02}) {start}", area.name(), area.function())?;
        if count > 1 {
            write!(out, "..{}", self.0.end() - 1)?;
        }
        write!(out, " of unit {}", unit.0)
    }
}

/// Turns a device's exception into the error of its request.
pub(super) fn exception(code: u8, request: &Request) -> DriverError {
    let (words, kind, reaction, hint) = match code {
        ILLEGAL_FUNCTION => (
            "illegal function",
            ErrorKind::Unsupported,
            Reaction::FailTag,
            "this device has no such area: try the other one of holding and input, or of coil and \
             discrete",
        ),
        ILLEGAL_ADDRESS => (
            "illegal data address",
            ErrorKind::BadAddress,
            Reaction::FailTag,
            "check the address against the device's register map (addresses here are 0-based: \
             4x00101 is holding 100), the area, the width of the type and the unit id",
        ),
        ILLEGAL_VALUE => (
            "illegal data value",
            ErrorKind::BadAddress,
            Reaction::FailTag,
            "the device does not read so many at once, or not from there: check its register map",
        ),
        DEVICE_FAILURE => (
            "server device failure",
            ErrorKind::DeviceFault,
            Reaction::FailTag,
            "the device could not read this itself: look at its own diagnostics",
        ),
        ACKNOWLEDGE => (
            "acknowledged, not done yet",
            ErrorKind::DeviceFault,
            Reaction::FailTag,
            "the device takes long: read less often",
        ),
        BUSY => (
            "server device busy",
            ErrorKind::DeviceFault,
            Reaction::FailTag,
            "the device works on something else: read less often, or look who else asks it",
        ),
        PARITY_ERROR => (
            "memory parity error",
            ErrorKind::DeviceFault,
            Reaction::FailTag,
            "the device's memory is damaged: look at its own diagnostics",
        ),
        NO_GATEWAY_PATH => (
            "gateway path unavailable",
            ErrorKind::Unreachable,
            Reaction::FailUnit,
            "the gateway has no line for this unit: check its routing table and load",
        ),
        NO_GATEWAY_TARGET => (
            "gateway target device failed to respond",
            ErrorKind::Timeout,
            Reaction::FailUnit,
            "the unit behind the gateway is silent: check its unit id, power and cabling",
        ),
        _ => (
            "a code the standard does not name",
            ErrorKind::DeviceFault,
            Reaction::FailTag,
            "look the code up in the device's manual",
        ),
    };
    DriverError::new(kind, format!("reading {}: exception {code}, {words}", Named(request)))
        .hint(hint)
        .of_unit(request.unit)
        .status(u32::from(code))
        .reacting(reaction)
}

/// Tells whether a refusal may come from a part of the request alone, so that halving it helps.
pub(super) fn is_divisible(error: &DriverError) -> bool {
    error.kind == ErrorKind::BadAddress
}

/// Makes the error of a read that no request can name.
pub(super) fn beyond_last() -> DriverError {
    DriverError::new(ErrorKind::BadAddress, "the read ends beyond the last address, 65535")
        .hint("correct the address or the width of the type")
}

/// Makes the error of a unit that did not answer in time.
pub(super) fn timeout(request: &Request, waited_ms: u128) -> DriverError {
    DriverError::new(
        ErrorKind::Timeout,
        format!("no whole answer within {waited_ms} ms to reading {}", Named(request)),
    )
    .hint(
        "check that a device with this unit id is there and switched on, the cabling, and the \
         line's baud rate and parity; raise timeout_ms for a slow gateway",
    )
    .of_unit(request.unit)
}

/// Makes the error of bytes that are no answer to what was asked.
pub(super) fn bad_frame(request: &Request, bad: BadFrame) -> DriverError {
    DriverError::new(
        ErrorKind::Protocol,
        format!("what came is no answer to reading {}: {bad}", Named(request)),
    )
    .hint(
        "nothing of it is used; check framing (tcp, rtu, rtu_over_tcp), that no second master is \
         on the line, and the line's baud rate and parity",
    )
    .of_unit(request.unit)
}

/// Makes the error of a connection that ended while an answer was awaited.
pub(super) fn cut_off(request: &Request, kind: std::io::ErrorKind) -> DriverError {
    DriverError::new(
        ErrorKind::LinkLost,
        format!("the connection ended while reading {}: {kind}", Named(request)),
    )
    .hint("the device or gateway closed it: check how many clients it serves, and the network")
    .of_unit(request.unit)
}

/// Makes the error of a session that is not there, or ended while nothing was asked.
pub(super) fn link_lost(what: &str) -> DriverError {
    DriverError::new(ErrorKind::LinkLost, what)
        .hint("it is opened anew; where this repeats, check the device's idle timeout")
}

/// Makes the error of bytes that nobody asked for.
pub(super) fn unasked() -> DriverError {
    DriverError::new(ErrorKind::Protocol, "bytes came that nothing had asked for")
        .hint("an answer came too late, or a second master is on the line; nothing of it is used")
}

/// Makes the error of a request that was not sent because its deadline had passed.
pub(super) fn too_late(request: &Request) -> DriverError {
    DriverError::new(
        ErrorKind::Timeout,
        format!("no time was left to read {}; nothing was sent", Named(request)),
    )
    .hint("scan less often, or raise budget.requests_per_s")
    .reacting(Reaction::FailTag)
}

#[cfg(test)]
mod tests {
    use super::super::address::Area;
    use super::*;
    use crate::model::{Quality, UnitId};

    const ASKED: Request = Request { unit: UnitId(3), area: Area::Holding, start: 100, count: 2 };

    #[test]
    fn an_exception_says_what_was_asked_of_whom_and_what_to_check() {
        let error = exception(2, &ASKED);
        assert_eq!(
            error.message,
            "reading holding (FC03) 100..101 of unit 3: exception 2, illegal data address"
        );
        assert_eq!((error.status, error.unit), (Some(2), Some(UnitId(3))));
        assert!(error.hint.contains("4x00101"));
    }

    #[test]
    fn no_exception_ends_the_session_and_gateways_fail_one_unit() {
        for (code, kind, reaction, quality) in [
            (1, ErrorKind::Unsupported, Reaction::FailTag, Quality::BAD_CONFIGURATION_ERROR),
            (2, ErrorKind::BadAddress, Reaction::FailTag, Quality::BAD_CONFIGURATION_ERROR),
            (3, ErrorKind::BadAddress, Reaction::FailTag, Quality::BAD_CONFIGURATION_ERROR),
            (4, ErrorKind::DeviceFault, Reaction::FailTag, Quality::BAD_DEVICE_FAILURE),
            (5, ErrorKind::DeviceFault, Reaction::FailTag, Quality::BAD_DEVICE_FAILURE),
            (6, ErrorKind::DeviceFault, Reaction::FailTag, Quality::BAD_DEVICE_FAILURE),
            (8, ErrorKind::DeviceFault, Reaction::FailTag, Quality::BAD_DEVICE_FAILURE),
            (10, ErrorKind::Unreachable, Reaction::FailUnit, Quality::BAD_NO_COMMUNICATION),
            (11, ErrorKind::Timeout, Reaction::FailUnit, Quality::BAD_NO_COMMUNICATION),
            (200, ErrorKind::DeviceFault, Reaction::FailTag, Quality::BAD_DEVICE_FAILURE),
        ] {
            let error = exception(code, &ASKED);
            assert_eq!((error.kind, error.reaction(), error.quality()), (kind, reaction, quality));
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn a_timeout_names_its_unit_and_drops_the_session() {
        let error = timeout(&ASKED, 1000);
        assert_eq!((error.unit, error.reaction()), (Some(UnitId(3)), Reaction::DropSession));
        assert_eq!(too_late(&ASKED).reaction(), Reaction::FailTag);
    }
}
