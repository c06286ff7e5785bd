//! Dialling: TCP and serial lines, each bounded by a deadline, each failure with what to do next.

use std::io;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_serial::{DataBits, FlowControl, SerialPortBuilderExt, SerialStream};

/// A parity bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Even parity.
    Even,
    /// Odd parity.
    Odd,
}

/// How many stop bits end a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopBits {
    /// One.
    One,
    /// Two.
    Two,
}

/// A serial line of eight data bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialLine {
    /// The device file, such as `/dev/ttyS0`.
    pub path: String,
    /// Bits a second.
    pub baud: u32,
    /// Its parity.
    pub parity: Parity,
    /// Its stop bits.
    pub stop_bits: StopBits,
}

impl SerialLine {
    /// Gives the bits one character takes on the line: start, eight data, parity, stop.
    #[must_use]
    pub fn bits_per_character(&self) -> u32 {
        let parity = u32::from(self.parity != Parity::None);
        let stop = if self.stop_bits == StopBits::Two { 2 } else { 1 };
        1 + 8 + parity + stop
    }
}

/// What a failure says where the host's name has no address, whoever passes it on.
pub const UNRESOLVED: &str = "has no address";

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The host's name has no address.
    #[error("the name {0} has no address")]
    Unresolved(String),
    /// Nothing listens there.
    #[error("{0} refused the connection")]
    Refused(String),
    /// Nothing answered before the deadline.
    #[error("{0} did not answer the connection request")]
    Silent(String),
    /// The network has no way there.
    #[error("there is no route to {0}")]
    NoRoute(String),
    /// There is no such device file.
    #[error("there is no serial device {0}")]
    NoDevice(String),
    /// The device file is not ours to open.
    #[error("permission to open {0} is denied")]
    Denied(String),
    /// Another program holds the line.
    #[error("{0} is held by another program")]
    Held(String),
    /// The file is no terminal, or can't do the settings asked for.
    #[error("{0} is no serial line, or can't be set to this baud rate, parity and stop bits")]
    NotALine(String),
    /// Something else, as the operating system names it.
    #[error("{0} can't be opened: {1}")]
    Other(String, io::ErrorKind),
}

impl DialError {
    /// Says what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unresolved(_) => "check the spelling of host, or give its IP address",
            Self::Refused(_) => {
                "the host is up but nothing listens on this port: check port, that the protocol is \
                 switched on in the device, and that no other client holds its last connection"
            }
            Self::Silent(_) => {
                "check host, that the device is powered and cabled, and that no firewall drops \
                 the port"
            }
            Self::NoRoute(_) => "check host and this machine's network address, mask and gateway",
            Self::NoDevice(_) => {
                "check serial: list /dev/serial/by-id, and whether the adapter is plugged in"
            }
            Self::Denied(_) => {
                "add the collector's user to the device file's group (dialout on Debian) with \
                 usermod -aG dialout USER, and start it anew"
            }
            Self::Held(_) => "find the program with fuser -v on the device file, and end it",
            Self::NotALine(_) => "check serial, baud, parity and stop_bits against the adapter",
            Self::Other(..) => "check the address and try it with another program",
        }
    }

    fn of_tcp(at: String, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(at),
            io::ErrorKind::TimedOut => Self::Silent(at),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::NoRoute(at),
            other => Self::Other(at, other),
        }
    }

    fn of_serial(path: String, error: &tokio_serial::Error) -> Self {
        match error.kind() {
            tokio_serial::ErrorKind::Io(io::ErrorKind::NotFound) => Self::NoDevice(path),
            tokio_serial::ErrorKind::Io(io::ErrorKind::PermissionDenied) => Self::Denied(path),
            // The library says so of a line that is locked: a missing one is `NotFound`.
            tokio_serial::ErrorKind::NoDevice => Self::Held(path),
            tokio_serial::ErrorKind::InvalidInput | tokio_serial::ErrorKind::Unknown => {
                Self::NotALine(path)
            }
            tokio_serial::ErrorKind::Io(other) => Self::Other(path, other),
        }
    }
}

/// Writes a host and port as one address; an IPv6 address gets its brackets.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Connects over TCP, without Nagle's delay, before the deadline.
///
/// # Errors
/// What kept the connection from coming up.
pub async fn tcp(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, DialError> {
    let at = authority(host, port);
    if deadline <= Instant::now() {
        return Err(DialError::Silent(at));
    }
    let Ok(found) = timeout_at(deadline, tokio::net::lookup_host((host, port))).await else {
        return Err(DialError::Silent(at));
    };
    let addresses: Vec<_> = found.map_err(|_| DialError::Unresolved(host.to_owned()))?.collect();
    let stream = match timeout_at(deadline, TcpStream::connect(addresses.as_slice())).await {
        Err(_) => return Err(DialError::Silent(at)),
        Ok(Err(error)) => return Err(DialError::of_tcp(at, &error)),
        Ok(Ok(stream)) => stream,
    };
    match stream.set_nodelay(true) {
        Ok(()) => Ok(stream),
        Err(error) => Err(DialError::of_tcp(at, &error)),
    }
}

/// Opens a serial line for this program alone.
///
/// # Errors
/// What kept the line from opening.
pub fn serial(line: &SerialLine) -> Result<SerialStream, DialError> {
    let parity = match line.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = match line.stop_bits {
        StopBits::One => tokio_serial::StopBits::One,
        StopBits::Two => tokio_serial::StopBits::Two,
    };
    tokio_serial::new(&line.path, line.baud)
        .data_bits(DataBits::Eight)
        .parity(parity)
        .stop_bits(stop_bits)
        .flow_control(FlowControl::None)
        .open_native_async()
        .map_err(|error| DialError::of_serial(line.path.clone(), &error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(path: &str) -> SerialLine {
        SerialLine {
            path: path.to_owned(),
            baud: 19200,
            parity: Parity::None,
            stop_bits: StopBits::One,
        }
    }

    #[tokio::test]
    async fn a_closed_port_says_what_to_check() {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        let error = tcp("127.0.0.1", port, deadline).await.unwrap_err();
        assert_eq!(error, DialError::Refused(format!("127.0.0.1:{port}")));
        assert!(error.hint().contains("check port"));
    }

    #[tokio::test]
    async fn a_passed_deadline_ends_the_dialling() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = tcp("127.0.0.1", port, Instant::now()).await.unwrap_err();
        assert_eq!(error, DialError::Silent(format!("127.0.0.1:{port}")));
    }

    #[tokio::test]
    async fn a_missing_serial_device_is_named() {
        let error = serial(&line("/dev/no-such-line")).unwrap_err();
        assert_eq!(error, DialError::NoDevice("/dev/no-such-line".to_owned()));
    }

    #[tokio::test]
    async fn a_file_that_is_no_terminal_is_told_apart() {
        let error = serial(&line("/dev/null")).unwrap_err();
        assert_eq!(error, DialError::NotALine("/dev/null".to_owned()));
    }

    #[test]
    fn a_denied_line_names_the_group_to_join() {
        let kind = tokio_serial::ErrorKind::Io(io::ErrorKind::PermissionDenied);
        let error =
            DialError::of_serial("/dev/ttyS0".to_owned(), &tokio_serial::Error::new(kind, ""));
        assert_eq!(error, DialError::Denied("/dev/ttyS0".to_owned()));
        assert!(error.hint().contains("dialout"));
    }

    #[test]
    fn a_character_of_the_standard_has_eleven_bits() {
        let even = SerialLine { parity: Parity::Even, ..line("/dev/ttyS0") };
        assert_eq!(even.bits_per_character(), 11);
        assert_eq!(line("/dev/ttyS0").bits_per_character(), 10);
    }
}
