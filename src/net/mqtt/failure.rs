//! Why an MQTT session did not come up, or ended; in our own words.

use std::error::Error;
use std::io;

use crate::net::dial::DialError;
use crate::net::tls::{self, TlsFault};

/// What went wrong. No text of the broker or of its certificate stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MqttError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// One side does not trust the other's certificate.
    #[error("{0}")]
    Certificate(&'static str),
    /// The broker refuses user, password or client.
    #[error("the broker refuses the login: {0}")]
    LoginRefused(&'static str),
    /// The broker does not take anyone, or not this version.
    #[error("the broker refuses the session: {0}")]
    Refused(&'static str),
    /// The broker did not answer in time.
    #[error("the broker did not answer in time")]
    Silent,
    /// The connection ended.
    #[error("{0}")]
    Lost(&'static str),
    /// What came is no MQTT, or more than is taken.
    #[error("{0}")]
    Protocol(&'static str),
    /// A packet is longer than is taken.
    #[error("the broker sends a packet longer than 1 MiB")]
    TooLong,
    /// The broker refused a message.
    #[error("the broker refuses the message: {0}")]
    Publish(&'static str),
    /// The broker does not know what became of a message.
    #[error("the broker lost a message: {0}")]
    Unsure(&'static str),
}

impl MqttError {
    /// Judges a failure of the transport by what caused it.
    pub(super) fn of_transport(error: &(dyn Error + 'static)) -> Self {
        match tls::fault_in(error) {
            Some(TlsFault::Certificate(what)) => return Self::Certificate(what),
            Some(TlsFault::Protocol(what)) => return Self::Protocol(what),
            None => {}
        }
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return Self::of_io(io.kind());
            }
            next = error.source();
        }
        Self::Protocol("the broker's bytes are no MQTT")
    }

    fn of_io(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::InvalidData => Self::Protocol("the broker's bytes are no MQTT"),
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Lost("the connection to the broker ended"),
        }
    }
}
