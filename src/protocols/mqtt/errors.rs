//! Failures of a session as the house sees them.

use crate::driver::{DriverError, ErrorKind, Reaction};
use crate::net::mqtt::MqttError;
use crate::net::tls::TlsError;

/// Turns a session's failure into what the poller and the reader understand.
pub(super) fn of_session(error: &MqttError) -> DriverError {
    let (kind, hint) = match error {
        MqttError::Dial(dial) => (ErrorKind::Unreachable, dial.hint()),
        MqttError::Certificate(_) => (
            ErrorKind::CertificateRejected,
            "check ca_file, cert_file and key_file, that host is a name in the broker's \
             certificate, and both clocks",
        ),
        MqttError::LoginRefused(_) => (
            ErrorKind::LoginRefused,
            "check username, and store its password with `ot-aiops secret set`",
        ),
        MqttError::Refused(_) => (
            ErrorKind::Unreachable,
            "check version (\"3.1.1\" or \"5\"), and the broker's log for why it takes nobody",
        ),
        MqttError::Silent => (
            ErrorKind::Timeout,
            "check that host and port are a broker's, and whether the port speaks TLS (use_tls)",
        ),
        MqttError::Lost(_) => (
            ErrorKind::LinkLost,
            "see the broker's log: another client with the same client_id ends this one, and a \
             port that speaks TLS ends a connection that doesn't (use_tls)",
        ),
        MqttError::Protocol(_) => (
            ErrorKind::Protocol,
            "check that host and port are a broker's, and whether the port speaks TLS (use_tls)",
        ),
        MqttError::TooLong => (
            ErrorKind::Protocol,
            "narrow topic so that it leaves out whoever publishes files, or speak MQTT 5, where \
             the broker keeps long packets back",
        ),
        MqttError::Publish(_) => {
            let error = DriverError::new(ErrorKind::DeviceFault, error.to_string());
            return error.reacting(Reaction::FailTag).hint("check the broker's access list");
        }
        MqttError::Unsure(_) => {
            let error = DriverError::new(ErrorKind::Protocol, error.to_string());
            return error
                .reacting(Reaction::FailTag)
                .hint("read back what the message was to change; it is not sent again");
        }
    };
    DriverError::new(kind, error.to_string()).hint(hint)
}

/// Turns a fault of the TLS files into one of the settings.
pub(super) fn of_tls(error: &TlsError) -> DriverError {
    DriverError::new(ErrorKind::Settings, error.to_string())
        .hint("give files in PEM form that the collector's user may read")
        .reacting(Reaction::DropSession)
}

/// Says that there is no session.
pub(super) fn closed() -> DriverError {
    DriverError::new(ErrorKind::Closed, "the session with the broker is closed")
        .hint("ask again in a moment")
}

/// Says that bytes are no value of what they should be.
pub(super) fn decode(message: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Decode, message)
}
