//! A file that nobody else may read, replaced as a whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::process::geteuid;

use super::SecretError;

/// A store of a thousand secrets; more is no store of ours.
const BYTES_MAX: u64 = 1 << 20;
/// What group and others may not have of it.
const OTHERS: u32 = 0o077;

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SecretError + 'a {
    move |error| SecretError::Io { doing, path: path.to_path_buf(), what: error.to_string() }
}

/// Reads it, and nothing in its place: no link, no pipe, no file that others may read or write.
pub(super) fn read(path: &Path) -> Result<Option<String>, SecretError> {
    // A pipe in its place must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(not_private(path, "is a symbolic link")),
        Err(error) => return Err(failed("opening", path)(error.into())),
    };
    let facts = file.metadata().map_err(failed("reading", path))?;
    if !facts.is_file() {
        return Err(not_private(path, "is no regular file"));
    }
    if facts.permissions().mode() & OTHERS != 0 {
        return Err(not_private(path, "may be read or written by others"));
    }
    let us = geteuid().as_raw();
    if us != 0 && facts.uid() != us {
        return Err(not_private(path, "belongs to somebody else"));
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => SecretError::Damaged,
        _ => failed("reading", path)(error),
    })?;
    if text.len() as u64 > BYTES_MAX { Err(SecretError::Damaged) } else { Ok(Some(text)) }
}

fn not_private(path: &Path, what: &'static str) -> SecretError {
    SecretError::NotPrivate { path: path.to_path_buf(), what }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Writes it anew: whoever reads, and whatever is killed, sees the old text or the new one.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), SecretError> {
    let new = beside(path, ".new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("removing", &new)(error));
        }
        _ => {}
    }
    let mut open = OpenOptions::new();
    let mut file = open
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(failed("writing", &new))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Root who sets a secret for the collector's own user must leave it readable to that user.
    if geteuid().is_root() {
        let owner = dir.metadata().map_err(failed("reading", dir))?;
        fchown(&file, Some(owner.uid()), Some(owner.gid())).map_err(failed("owning", &new))?;
    }
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed("writing", &new))?;
    std::fs::rename(&new, path).map_err(failed("replacing", path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("keeping", dir))
}

/// Holds off others who would change the same store, until it is dropped.
pub(super) fn lock(path: &Path) -> Result<File, SecretError> {
    let lock = beside(path, ".lock");
    let mut open = OpenOptions::new();
    let file = open.create(true).truncate(false).write(true).mode(0o600).open(&lock);
    let file = file.map_err(failed("opening", &lock))?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| failed("locking", &lock)(error.into()))?;
    Ok(file)
}
