//! Where checkpoints leave the machine: a file on another mount, syslog, the journal.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use crate::dbfile::NO_FOLLOW;

/// Facility 13 (log audit), severity 5 (notice): RFC 5424, 6.2.1.
const PRIORITY: u32 = 13 * 8 + 5;
/// The file beside the audit keeps the newest lines only: those that matter are elsewhere too.
const KEPT_BYTES_MAX: u64 = 1024 * 1024;
const KEPT_LINES: usize = 1024;

/// One place that gets every checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlet {
    /// A file, one JSON object a line.
    File(PathBuf),
    /// The socket of the system log, RFC 5424.
    Syslog(PathBuf),
    /// The socket of the journal, in its native protocol.
    Journald(PathBuf),
}

impl Outlet {
    /// Names it for people.
    pub(super) fn name(&self) -> String {
        let (kind, path) = match self {
            Self::File(path) => ("file", path),
            Self::Syslog(path) => ("syslog", path),
            Self::Journald(path) => ("journald", path),
        };
        format!("{kind} {}", path.display())
    }

    /// Sends one checkpoint.
    pub(super) fn send(&self, point: &Checkpoint) -> io::Result<()> {
        let line = serde_json::to_string(point)?;
        match self {
            Self::File(path) => append(path, &line),
            Self::Syslog(path) => datagram(path, syslog(point, &line).as_bytes()),
            Self::Journald(path) => datagram(path, journal(point).as_bytes()),
        }
    }
}

/// Appends a line and sees it to the disk.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(NO_FOLLOW);
    let mut file = options.open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

/// Appends a line to the file beside the audit, which keeps the newest lines.
pub(super) fn keep(path: &Path, point: &Checkpoint) -> io::Result<()> {
    append(path, &serde_json::to_string(point)?)?;
    if std::fs::metadata(path)?.len() <= KEPT_BYTES_MAX {
        return Ok(());
    }
    let text = std::fs::read_to_string(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let newest = lines.get(lines.len().saturating_sub(KEPT_LINES)..).unwrap_or_default();
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(NO_FOLLOW);
    let mut file = options.open(&fresh)?;
    file.write_all(format!("{}\n", newest.join("\n")).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// Sends one datagram, or fails at once: a log that hangs must not hold up anything.
fn datagram(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(bytes, path).map(drop)
}

/// Writes a message of RFC 5424, 6: the checkpoint is its text, there is no structured data.
fn syslog(point: &Checkpoint, line: &str) -> String {
    // A hardened service may not see the first.
    let names = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let host = names.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let pid = std::process::id();
    format!("<{PRIORITY}>1 {} {host} ot-aiops {pid} checkpoint - {line}", point.at)
}

/// Writes an entry of the journal's native protocol: a field a line, no value holds a newline.
fn journal(point: &Checkpoint) -> String {
    let Checkpoint { chain, seq, hash, at, key, signature } = point;
    format!(
        "MESSAGE=audit checkpoint: record {seq} has hash {hash}\nPRIORITY=5\n\
         SYSLOG_IDENTIFIER=ot-aiops\nOT_AIOPS_CHAIN={chain}\nOT_AIOPS_SEQ={seq}\n\
         OT_AIOPS_HASH={hash}\nOT_AIOPS_AT={at}\nOT_AIOPS_KEY={key}\n\
         OT_AIOPS_SIGNATURE={signature}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn point(seq: u64) -> Checkpoint {
        Checkpoint {
            chain: "07".repeat(16),
            seq,
            hash: "ab".repeat(32),
            at: "2026-06-30T12:00:00.000Z".to_owned(),
            key: "cd".repeat(32),
            signature: "ef".repeat(64),
        }
    }

    #[test]
    fn every_outlet_gets_the_checkpoint_in_its_own_form() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let outlets = [Outlet::File(at("f")), Outlet::Syslog(at("s")), Outlet::Journald(at("j"))];
        let log = UnixDatagram::bind(at("s")).unwrap();
        let journal = UnixDatagram::bind(at("j")).unwrap();
        for outlet in &outlets {
            outlet.send(&point(300)).unwrap();
        }
        let text = std::fs::read_to_string(at("f")).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(text.trim()).unwrap(), point(300));
        assert_eq!(at("f").metadata().unwrap().mode() & 0o777, 0o600);
        let mut got = [0; 4096];
        let count = log.recv(&mut got).unwrap();
        let message = String::from_utf8(got[..count].to_vec()).unwrap();
        let parts: Vec<&str> = message.splitn(8, ' ').collect();
        assert_eq!((parts[0], parts[1]), ("<109>1", "2026-06-30T12:00:00.000Z"));
        assert_eq!((parts[3], parts[5], parts[6]), ("ot-aiops", "checkpoint", "-"));
        assert_eq!(serde_json::from_str::<Checkpoint>(parts[7]).unwrap(), point(300));
        let count = journal.recv(&mut got).unwrap();
        let message = String::from_utf8(got[..count].to_vec()).unwrap();
        assert!(message.lines().all(|line| line.contains('=')), "{message}");
        assert!(message.contains("\nOT_AIOPS_SEQ=300\n"));
        let nowhere = Outlet::Syslog(at("nobody listens"));
        assert!(nowhere.send(&point(1)).is_err());
    }

    #[test]
    fn the_file_beside_the_audit_stays_small_and_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints.jsonl");
        let line = serde_json::to_string(&point(1)).unwrap();
        std::fs::write(&path, format!("{line}\n").repeat(4000)).unwrap();
        keep(&path, &point(2)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), KEPT_LINES);
        assert!(text.lines().last().unwrap().contains("\"seq\":2,"));
    }
}
