//! What went wrong, in words: end codes, silence, frames that are none.

use std::io;

use super::frame::{BadFrame, Request};
use crate::driver::{DriverError, ErrorKind, Reaction};
use crate::net::exchange::ExchangeError;

/// What an end code means to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// The address is not there, or not of this kind.
    Address,
    /// This controller can't do it.
    Unsupported,
    /// The controller is locked.
    Locked,
    /// The way to the station is broken.
    Way,
    /// Anything else.
    Fault,
}

/// End codes (SLMP Reference Manual, appendix 2; the E71 module's manual, 11.3).
const END_CODES: &[(u16, Means, &str)] = &[
    (0x0055, Means::Fault, "writing during RUN is not enabled"),
    (0x4000, Means::Fault, "the controller found an error in the request's checksum"),
    (0x4001, Means::Unsupported, "the controller does not know this request"),
    (0x4002, Means::Unsupported, "the controller does not know this request"),
    (0x4003, Means::Unsupported, "the request can't be made for all stations"),
    (0x4004, Means::Locked, "system protection forbids it"),
    (0x4005, Means::Fault, "the request is too large"),
    (0x4010, Means::Fault, "it can't be done while the controller is in RUN"),
    (0x4013, Means::Fault, "it can't be done in the controller's present state"),
    (0x4021, Means::Fault, "the memory drive is not there"),
    (0x4022, Means::Fault, "the file is not there"),
    (0x4030, Means::Address, "the device is not there on this controller"),
    (0x4031, Means::Address, "the device number is beyond the configured range"),
    (0x4043, Means::Fault, "the intelligent function module is not there"),
    (0x4080, Means::Fault, "the data of the request can't be right"),
    (0x40A0, Means::Fault, "the request's device registration is full"),
    (0x4A00, Means::Way, "the station can't be reached: no route to its network is set"),
    (
        0x4A01,
        Means::Way,
        "the station can't be reached: its network is not in the routing parameters",
    ),
    (0x4B00, Means::Way, "the station that was asked did not take the request"),
    (0x4B02, Means::Way, "the request was sent to a module that is no CPU"),
    (0x4B03, Means::Way, "the station is behind a module that can't pass the request on"),
    (0xC035, Means::Way, "the other station is not there"),
    (0xC050, Means::Fault, "ASCII code came where binary code is set, or data that is no ASCII"),
    (0xC051, Means::Address, "more words are asked than this controller reads at once"),
    (0xC052, Means::Address, "more bits are asked than this controller reads at once"),
    (0xC053, Means::Address, "more bits are asked apart than this controller reads at once"),
    (0xC054, Means::Address, "more words are asked apart than this controller reads at once"),
    (0xC055, Means::Unsupported, "the file registers can't be read that way"),
    (0xC056, Means::Address, "the address is beyond the last one there is"),
    (0xC057, Means::Fault, "the length of the request is not what it says"),
    (0xC058, Means::Fault, "the length of the request is not what it says"),
    (0xC059, Means::Unsupported, "the controller does not know this command"),
    (0xC05A, Means::Address, "the module does not read or write this device"),
    (0xC05B, Means::Address, "the controller does not read or write this device"),
    (
        0xC05C,
        Means::Address,
        "the device can't be read in this unit: bits of a word device, or the reverse",
    ),
    (0xC05D, Means::Fault, "nothing is registered to be watched"),
    (0xC05E, Means::Way, "the time between the module and the controller is up"),
    (0xC05F, Means::Unsupported, "the request can't be done on this controller"),
    (0xC060, Means::Fault, "the contents of the request are wrong"),
    (0xC061, Means::Fault, "the length of the request is not what it says"),
    (0xC06F, Means::Fault, "the module is set to the other of ASCII code and binary code"),
    (0xC070, Means::Address, "the device memory can't be extended for this station"),
    (0xC0B5, Means::Fault, "the data of the request can't be handled"),
    (0xC200, Means::Locked, "the remote password is wrong"),
    (0xC201, Means::Locked, "the port is locked by a remote password"),
    (0xC203, Means::Locked, "the remote password has not been unlocked for this connection"),
    (0xC204, Means::Locked, "another device has unlocked the remote password"),
    (0xC810, Means::Locked, "the remote password is wrong"),
    (
        0xC815,
        Means::Locked,
        "the remote password was wrong too often: the port is locked for a while",
    ),
];

fn named(request: &Request) -> String {
    match request {
        Request::Batch { device, start, count } => {
            format!("reading {count} of {} from number {start}", device.name())
        }
        Request::Random { words, doubles } => {
            format!("reading {} values that lie apart", words.len() + doubles.len())
        }
        Request::Cpu => "asking for the CPU's model".to_owned(),
        #[cfg(feature = "writes")]
        Request::Write { device, start, words } => {
            format!("writing {} of {} from number {start}", words.len(), device.name())
        }
    }
}

/// Makes the error of an end code.
pub(super) fn end_code(code: u16, request: &Request) -> DriverError {
    let known = END_CODES.iter().find(|(known, ..)| *known == code);
    let (means, words) = known.map_or(
        (Means::Fault, "see the error codes in the manual of the CPU or Ethernet module"),
        |(_, means, words)| (*means, *words),
    );
    let what = format!("{}: end code {code:04X}, {words}", named(request));
    let (kind, reaction, hint) = match means {
        Means::Address => (
            ErrorKind::BadAddress,
            Reaction::FailTag,
            "check the device, its number (X, Y, B, W, SB and SW count in hexadecimal) and the \
             ranges set in the controller's parameters",
        ),
        Means::Unsupported => (
            ErrorKind::Unsupported,
            Reaction::FailTag,
            "check plctype: the controller does not take requests of this form",
        ),
        Means::Locked => (
            ErrorKind::LoginRefused,
            Reaction::FailUnit,
            "the port has a remote password: open a port without one for this collector, in GX \
             Works under the Ethernet settings",
        ),
        Means::Way => (
            ErrorKind::Unreachable,
            Reaction::FailUnit,
            "check network, pc, module_io and station of this endpoint and the controller's \
             routing parameters",
        ),
        Means::Fault => (
            ErrorKind::DeviceFault,
            Reaction::FailTag,
            "look up the end code in the manual, and the controller's own diagnosis in GX Works",
        ),
    };
    DriverError::new(kind, what).hint(hint).status(u32::from(code)).reacting(reaction)
}

/// Tells whether halving a refused request may find what is wrong with it.
pub(super) fn is_divisible(error: &DriverError) -> bool {
    error.kind == ErrorKind::BadAddress && error.status.is_some()
}

/// Makes the error of an exchange that gave no answer.
pub(super) fn of_exchange(
    error: ExchangeError<BadFrame>,
    request: &Request,
    timeout_ms: u128,
) -> DriverError {
    let asked = named(request);
    match error {
        ExchangeError::TimedOut => {
            let what = format!("no whole answer within {timeout_ms} ms to {asked}");
            DriverError::new(ErrorKind::Timeout, what).hint(
                "check that the port is set to MC protocol in binary code, and raise timeout_ms \
                 for a slow controller",
            )
        }
        ExchangeError::Ended(kind) => ended(kind, &asked),
        ExchangeError::Unasked => unasked(),
        ExchangeError::Bad(bad) => {
            let hint = match bad {
                BadFrame::Ascii => {
                    "set the communication data code of the open port to binary code in GX Works"
                }
                BadFrame::Route => "check network, pc, module_io and station of this endpoint",
                _ => {
                    "check that the port speaks MC protocol with 3E frames, and that nothing else \
                     answers there"
                }
            };
            DriverError::new(ErrorKind::Protocol, format!("{bad}, when {asked}")).hint(hint)
        }
    }
}

fn ended(kind: io::ErrorKind, doing: &str) -> DriverError {
    let what = format!("the connection ended ({kind}) when {doing}");
    DriverError::new(ErrorKind::LinkLost, what).hint(
        "one open port serves one client: check that no other holds it, and that binary code is \
         set (a module drops what it does not understand)",
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

/// Makes the error of a connection that ended while nothing was asked.
pub(super) fn idle_end(kind: io::ErrorKind) -> DriverError {
    ended(kind, "nothing was asked")
}

/// Makes the error of a request that was not sent because its deadline had passed.
pub(super) fn too_late(request: &Request) -> DriverError {
    DriverError::new(
        ErrorKind::Timeout,
        format!("no time was left for {}; nothing was sent", named(request)),
    )
    .hint("scan less often, or raise budget.requests_per_s")
    .reacting(Reaction::FailTag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Quality;

    #[test]
    fn an_end_code_says_what_was_asked_and_what_to_check() {
        let error = end_code(0xC056, &Request::Cpu);
        assert_eq!(
            error.message,
            "asking for the CPU's model: end code C056, the address is beyond the last one there is"
        );
        assert_eq!(
            (error.status, error.quality()),
            (Some(0xC056), Quality::BAD_CONFIGURATION_ERROR)
        );
    }

    #[test]
    fn end_codes_never_end_the_session_and_a_lock_is_a_refused_login() {
        for (code, kind, reaction) in [
            (0xC056, ErrorKind::BadAddress, Reaction::FailTag),
            (0x4031, ErrorKind::BadAddress, Reaction::FailTag),
            (0xC059, ErrorKind::Unsupported, Reaction::FailTag),
            (0xC201, ErrorKind::LoginRefused, Reaction::FailUnit),
            (0x4B00, ErrorKind::Unreachable, Reaction::FailUnit),
            (0x1234, ErrorKind::DeviceFault, Reaction::FailTag),
        ] {
            let error = end_code(code, &Request::Cpu);
            assert_eq!((error.kind, error.reaction()), (kind, reaction), "{code:04X}");
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn codes_are_listed_once_and_in_order() {
        assert!(END_CODES.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }
}
