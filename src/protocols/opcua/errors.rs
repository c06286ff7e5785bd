//! What a status code does to the session (Part 4, 7.39).

use opcua::types::StatusCode;

use crate::driver::{DriverError, ErrorKind, Reaction};

/// Statuses that say the message was too much for the server, whatever its limits claim.
pub(super) fn is_too_large(status: StatusCode) -> bool {
    [
        StatusCode::BadTooManyOperations,
        StatusCode::BadDecodingError,
        StatusCode::BadEncodingError,
        StatusCode::BadRequestTooLarge,
        StatusCode::BadResponseTooLarge,
        StatusCode::BadEncodingLimitsExceeded,
        StatusCode::BadTcpMessageTooLarge,
    ]
    .contains(&bare(status))
}

/// Takes off the info bits.
fn bare(status: StatusCode) -> StatusCode {
    StatusCode::from(status.bits() & 0xFFFF_0000)
}

/// Statuses that say a node or attribute can't be read at all: no quality of a value.
pub(super) fn is_bad_address(status: StatusCode) -> bool {
    [
        StatusCode::BadNodeIdUnknown,
        StatusCode::BadNodeIdInvalid,
        StatusCode::BadAttributeIdInvalid,
        StatusCode::BadIndexRangeInvalid,
        StatusCode::BadIndexRangeNoData,
        StatusCode::BadNotReadable,
        StatusCode::BadUserAccessDenied,
        StatusCode::BadDataEncodingInvalid,
        StatusCode::BadDataEncodingUnsupported,
        StatusCode::BadNodeNotInView,
        StatusCode::BadReferenceTypeIdInvalid,
    ]
    .contains(&bare(status))
}

/// Tells what kind of failure a service's status is.
fn kind(status: StatusCode) -> ErrorKind {
    match bare(status) {
        StatusCode::BadTimeout | StatusCode::BadRequestTimeout => ErrorKind::Timeout,
        StatusCode::BadConnectionClosed
        | StatusCode::BadCommunicationError
        | StatusCode::BadNotConnected
        | StatusCode::BadServerNotConnected
        | StatusCode::BadDisconnect
        | StatusCode::BadSecureChannelClosed
        | StatusCode::BadSecureChannelIdInvalid
        | StatusCode::BadTcpSecureChannelUnknown
        | StatusCode::BadTcpInternalError
        | StatusCode::BadSessionClosed
        | StatusCode::BadSessionIdInvalid
        | StatusCode::BadSessionNotActivated
        | StatusCode::BadServerHalted
        | StatusCode::BadShutdown => ErrorKind::LinkLost,
        StatusCode::BadIdentityTokenRejected
        | StatusCode::BadIdentityTokenInvalid
        | StatusCode::BadUserSignatureInvalid => ErrorKind::LoginRefused,
        StatusCode::BadSecurityChecksFailed
        | StatusCode::BadSecurityPolicyRejected
        | StatusCode::BadSecurityModeRejected
        | StatusCode::BadSecurityModeInsufficient
        | StatusCode::BadApplicationSignatureInvalid
        | StatusCode::BadNoValidCertificates
        | StatusCode::BadCertificateInvalid
        | StatusCode::BadCertificateTimeInvalid
        | StatusCode::BadCertificateHostNameInvalid
        | StatusCode::BadCertificateUriInvalid
        | StatusCode::BadCertificateUseNotAllowed
        | StatusCode::BadCertificateUntrusted
        | StatusCode::BadCertificateRevoked
        | StatusCode::BadCertificateChainIncomplete
        | StatusCode::BadCertificatePolicyCheckFailed => ErrorKind::CertificateRejected,
        StatusCode::BadServiceUnsupported
        | StatusCode::BadNotSupported
        | StatusCode::BadNotImplemented
        | StatusCode::BadHistoryOperationUnsupported
        | StatusCode::BadHistoryOperationInvalid => ErrorKind::Unsupported,
        StatusCode::BadUnknownResponse | StatusCode::BadUnexpectedError => ErrorKind::Protocol,
        other if is_bad_address(other) => ErrorKind::BadAddress,
        other if is_too_large(other) => ErrorKind::Protocol,
        _ => ErrorKind::DeviceFault,
    }
}

/// Names a status the way the standard does, with its number.
pub(super) fn name(status: StatusCode) -> String {
    format!("{} 0x{:08X}", status.sub_code().name(), status.bits())
}

/// Makes the error of a request that came back with a status.
///
/// The protocol multiplexes, so a timeout or a senseless answer fails its own request alone.
pub(super) fn from_status(doing: &str, status: StatusCode) -> DriverError {
    let kind = kind(status);
    let error = DriverError::new(kind, format!("{doing}: the server answered {}", name(status)))
        .status(status.bits());
    let error = match kind {
        ErrorKind::Timeout => {
            DriverError { message: format!("{doing}: no answer in time"), ..error }
        }
        ErrorKind::LinkLost => DriverError {
            message: format!("{doing}: the connection ended ({})", name(status)),
            ..error
        },
        _ => error,
    };
    match kind {
        ErrorKind::Timeout | ErrorKind::Protocol => error.reacting(Reaction::FailUnit),
        _ => error,
    }
    .hint(hint(status))
}

/// Makes the error of a node that can't be read.
pub(super) fn from_item(status: StatusCode) -> DriverError {
    let error = from_status("reading the node", status);
    error.reacting(Reaction::FailTag)
}

/// Makes the error of a request whose answer did not come before the deadline.
pub(super) fn timeout(doing: &str) -> DriverError {
    DriverError::new(ErrorKind::Timeout, format!("{doing}: no answer in time"))
        .reacting(Reaction::FailUnit)
        .hint("the server may be overloaded; raise timeout_ms of this endpoint if it is only slow")
}

/// Makes the error of a session that is not open.
pub(super) fn closed() -> DriverError {
    DriverError::new(ErrorKind::Closed, "the session is not open")
}

fn hint(status: StatusCode) -> &'static str {
    match bare(status) {
        StatusCode::BadNodeIdUnknown => {
            "the id is well formed and no such node exists; opcua_browse finds the right one"
        }
        StatusCode::BadUserAccessDenied => "the server denies it to this user; check its roles",
        StatusCode::BadNotReadable => "the node has no readable value",
        StatusCode::BadAttributeIdInvalid => "the node has no value: is it an object or a folder?",
        StatusCode::BadIdentityTokenRejected | StatusCode::BadIdentityTokenInvalid => {
            "check username, and the password with `ot-aiops secret set`"
        }
        StatusCode::BadCertificateUntrusted
        | StatusCode::BadSecurityChecksFailed
        | StatusCode::BadCertificateInvalid => {
            "the server does not trust this collector: export its certificate with `otctl cert own \
             --der` and trust it on the server"
        }
        StatusCode::BadTooManySessions | StatusCode::BadTcpNotEnoughResources => {
            "the server has no free session; close another client"
        }
        StatusCode::BadTimeout => {
            "the server may be overloaded; raise timeout_ms of this endpoint if it is only slow"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lost_session_drops_the_session() {
        let reaction = |status| from_status("reading", status).reaction;
        assert_eq!(reaction(StatusCode::BadTimeout), Reaction::FailUnit);
        assert_eq!(reaction(StatusCode::BadNodeIdUnknown), Reaction::FailTag);
        assert_eq!(reaction(StatusCode::BadSessionClosed), Reaction::DropSession);
        assert_eq!(reaction(StatusCode::BadServiceUnsupported), Reaction::FailTag);
        assert_eq!(reaction(StatusCode::BadOutOfMemory), Reaction::FailUnit);
    }

    #[test]
    fn an_error_names_the_status_and_its_number() {
        let error = from_status("browsing", StatusCode::BadNodeIdUnknown);
        assert_eq!(error.status, Some(0x8034_0000));
        assert!(error.message.contains("BadNodeIdUnknown 0x80340000"), "{}", error.message);
        assert!(error.hint.contains("opcua_browse"));
    }
}
