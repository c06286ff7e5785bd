//! The state directory: whose it is, who may look in, and whether there is room.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::statvfs;
use rustix::process::geteuid;

use super::{Facts, Row};
use crate::config::secret::STORE_FILE;
use crate::tools::setup::{Check, Verdict};

/// Nobody but the owner may write what a collector rests on.
const OTHERS_WRITE: u32 = 0o022;
/// Nobody but the owner may have anything of these.
const OTHERS: u32 = 0o077;
/// Files that are the owner's alone.
const PRIVATE: [&str; 4] = ["samples.redb", "audit.redb", STORE_FILE, "pki/own/key.pem"];
/// Below this a day's history may not fit.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Looks at the state directory.
pub(super) fn state(facts: &Facts) -> Vec<Row> {
    let dir = facts.state.path();
    let row = |check: Check| Row::new("state", check);
    let Ok(own) = dir.metadata() else {
        let text = format!("{} is not there yet", dir.display());
        return vec![row(Check::new("directory", Verdict::Skipped, text))];
    };
    let mut out = Vec::new();
    if let Err(error) = facts.state.fits() {
        let fix = "choose a shorter state directory with --state";
        out.push(row(Check::new("sockets", Verdict::Fault, error.to_string()).fix(fix)));
    }
    let us = geteuid().as_raw();
    if us != 0 && own.uid() != us {
        let text = format!("{} belongs to user {}", dir.display(), own.uid());
        let check = Check::new("owner", Verdict::Warning, text);
        out.push(row(check.fix("run this as the collector's own user")));
    }
    out.extend(mode(dir, OTHERS_WRITE, "others may write to it", "go-w").map(row));
    for name in PRIVATE {
        let path = dir.join(name);
        out.extend(mode(&path, OTHERS, "others may read or write it", "600").map(row));
    }
    if out.is_empty() {
        let text = format!("{} is the collector's own", dir.display());
        out.push(row(Check::new("directory", Verdict::Ok, text)));
    }
    out.extend(room(dir).map(row));
    out
}

/// Says that a path is too open, where it is there and is.
fn mode(path: &Path, unwanted: u32, what: &str, wanted: &str) -> Option<Check> {
    let mode = path.symlink_metadata().ok()?.permissions().mode();
    (mode & unwanted != 0).then(|| {
        let text = format!("{}: {what} (mode {:o})", path.display(), mode & 0o777);
        Check::new("modes", Verdict::Fault, text).fix(format!("chmod {wanted} {}", path.display()))
    })
}

fn room(dir: &Path) -> Option<Check> {
    let disk = statvfs(dir).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let mib = free >> 20;
    Some(if free < FREE_BYTES_MIN {
        Check::new("disk", Verdict::Warning, format!("{mib} MiB are free"))
            .fix("make room, or lower history.keep_bytes")
    } else {
        Check::new("disk", Verdict::Ok, format!("{mib} MiB are free"))
    })
}
