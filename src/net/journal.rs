//! The system's log: journald's own protocol where it listens, syslog else.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where journald listens (systemd-journald.service(8)).
const JOURNALD: &str = "/run/systemd/journal/socket";
/// Where syslog listens (syslog(3)).
const SYSLOG: &str = "/dev/log";
/// The identifier under which lines stand.
const IDENTIFIER: &str = "ot-aiops";
/// The facility `daemon` (RFC 5424, 6.2.1).
const FACILITY_DAEMON: u8 = 3;

/// How much a line matters (RFC 5424, 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// To be looked at now.
    Error = 3,
    /// To be looked at.
    Warning = 4,
    /// Normal and of note.
    Notice = 5,
}

/// One line: a message and its fields, by upper-case names.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// What people read.
    pub message: &'a str,
    /// Fields, such as `("TAG", "line1/temp")`.
    pub fields: &'a [(&'a str, &'a str)],
}

/// Where lines go.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    journald: PathBuf,
    syslog: PathBuf,
}

impl Journal {
    /// Makes a way to the system's log.
    ///
    /// # Errors
    /// The system gives no socket.
    pub fn open() -> io::Result<Self> {
        Self::at(Path::new(JOURNALD), Path::new(SYSLOG))
    }

    fn at(journald: &Path, syslog: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A log that hangs holds up nothing.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, journald: journald.to_owned(), syslog: syslog.to_owned() })
    }

    /// Writes one line to journald, or to syslog where there is none.
    ///
    /// # Errors
    /// Neither listens, or their queue is full.
    pub fn write(&self, line: &Line<'_>) -> io::Result<()> {
        match self.socket.send_to(&native(line), &self.journald) {
            Ok(_) => Ok(()),
            Err(_) => self.socket.send_to(plain(line).as_bytes(), &self.syslog).map(drop),
        }
    }
}

/// Writes journald's native protocol: `NAME=value` lines, or a length before a value of several
/// lines (systemd, Native Journal Protocol).
fn native(line: &Line<'_>) -> Vec<u8> {
    let level = (line.level as u8).to_string();
    let mut out = Vec::new();
    let own = [("MESSAGE", line.message), ("PRIORITY", &level), ("SYSLOG_IDENTIFIER", IDENTIFIER)];
    for (name, value) in own.iter().chain(line.fields) {
        out.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            out.push(b'\n');
            let length = u64::try_from(value.len()).unwrap_or_default();
            out.extend_from_slice(&length.to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
    out
}

/// Writes the line that syslog(3) would: the fields before the message.
fn plain(line: &Line<'_>) -> String {
    let priority = FACILITY_DAEMON * 8 + line.level as u8;
    format!("<{priority}>{IDENTIFIER}[{}]: {}", std::process::id(), words(line))
}

/// Writes fields and message on one line, for a log that has no fields.
#[must_use]
pub fn words(line: &Line<'_>) -> String {
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    let fields: Vec<String> =
        line.fields.iter().map(|(name, value)| format!("{name}={}", one_line(value))).collect();
    format!("{} {}", fields.join(" "), one_line(line.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line<'_> = Line {
        level: Level::Warning,
        message: "flat\nline",
        fields: &[("FINDING", "F-1"), ("TAG", "a/b")],
    };

    fn received(socket: &UnixDatagram) -> Vec<u8> {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        bytes[..length].to_vec()
    }

    #[test]
    fn journald_gets_fields_and_a_message_of_two_lines_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (journald, syslog) = (dir.path().join("journal"), dir.path().join("log"));
        let listening = UnixDatagram::bind(&journald).unwrap();
        Journal::at(&journald, &syslog).unwrap().write(&LINE).unwrap();
        let mut want = b"MESSAGE\n\x09\0\0\0\0\0\0\0flat\nline\nPRIORITY=4\n".to_vec();
        want.extend_from_slice(b"SYSLOG_IDENTIFIER=ot-aiops\nFINDING=F-1\nTAG=a/b\n");
        assert_eq!(received(&listening), want);
    }

    #[test]
    fn syslog_gets_one_line_where_no_journald_listens_and_else_it_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (journald, syslog) = (dir.path().join("journal"), dir.path().join("log"));
        let journal = Journal::at(&journald, &syslog).unwrap();
        assert!(journal.write(&LINE).is_err());
        let listening = UnixDatagram::bind(&syslog).unwrap();
        journal.write(&LINE).unwrap();
        let text = String::from_utf8(received(&listening)).unwrap();
        assert!(text.starts_with("<28>ot-aiops["), "{text}");
        assert!(text.ends_with("]: FINDING=F-1 TAG=a/b flat line"), "{text}");
    }
}
