//! A redb file that outlives crashes: how it is begun, checked, locked and set aside.
//!
//! History and audit each keep one. What stands inside is theirs; that a link is not followed,
//! that a damaged file is renamed and never deleted, and that a full disk is told from a broken
//! one is decided here.

#[cfg(test)]
pub(crate) mod dying;
mod error;

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, TableDefinition, TableHandle};

pub(crate) use error::{FileError, guarded};

use crate::model::Timestamp;

/// A table of named values, of which one is the format.
pub(crate) type Meta = TableDefinition<'static, &'static str, &'static [u8]>;

/// Damaged files of one instant that can be kept apart.
const ASIDE_MAX: u32 = 100;

/// A link planted in the file's place is not followed (open(2), `O_NOFOLLOW`).
pub(crate) const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Opens the database at a path, or begins one, and loads what the caller keeps in it.
///
/// `cache_bytes` is the memory it may use for its own pages. A file that was begun and could not
/// be loaded is removed again: it holds nothing.
///
/// # Errors
/// Those of the file, and those of `load`.
pub(crate) fn open<T, E: From<FileError>>(
    path: &Path,
    cache_bytes: usize,
    load: impl FnOnce(Database) -> Result<T, E>,
) -> Result<T, E> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(NO_FOLLOW);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            let opened = database(file, cache_bytes).map_err(E::from).and_then(load);
            match &opened {
                Ok(_) => sync_directory(path)?,
                Err(_) => std::fs::remove_file(path).map_err(FileError::from)?,
            }
            opened
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = options.open(path).map_err(FileError::from)?;
            check(&file)?;
            load(database(file, cache_bytes)?)
        }
        Err(error) => Err(FileError::from(error).into()),
    }
}

/// Makes a file private that is not, and refuses one that is no file, or empty.
fn check(file: &File) -> Result<(), FileError> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(FileError::Io("it is no plain file".to_owned()));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    if meta.len() == 0 {
        // Another process may have made it a moment ago: its lock tells.
        match file.try_lock() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Err(FileError::AlreadyOpen),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        return Err(FileError::Damaged("it is empty".to_owned()));
    }
    Ok(())
}

fn database(file: File, cache_bytes: usize) -> Result<Database, FileError> {
    let backend = FileBackend::new(file)?;
    Ok(Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)?)
}

/// Makes a new or renamed file durable: it only is once its directory is.
///
/// # Errors
/// The directory can't be opened or synced.
pub(crate) fn sync_directory(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?)
}

/// Renames a damaged file to `<name>.bad-<utc>` and says to what.
///
/// # Errors
/// It can't be renamed, or too many of one instant stand already.
pub(crate) fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, FileError> {
    let utc = now.to_rfc3339_millis().replace([':', '-'], "");
    for again in 0..ASIDE_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bad-{utc}"));
        if again > 0 {
            name.push(format!("-{again}"));
        }
        let aside = PathBuf::from(name);
        if !aside.try_exists()? {
            std::fs::rename(path, &aside)?;
            sync_directory(path)?;
            return Ok(aside);
        }
    }
    Err(FileError::Io(format!("{ASIDE_MAX} damaged files of one instant stand already")))
}

/// Gives the bytes that are free for this user on the disk of a file.
///
/// # Errors
/// The file system does not say.
pub(crate) fn free_bytes(path: &Path) -> Result<u64, FileError> {
    let disk = rustix::fs::statvfs(path).map_err(io::Error::from)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Tells a database that was just begun from one of ours; that of another program is damage.
///
/// # Errors
/// The tables can't be listed, or are not ours.
pub(crate) fn is_fresh(snapshot: &ReadTransaction, meta: Meta) -> Result<bool, FileError> {
    let mut tables = 0;
    let mut ours = false;
    for table in snapshot.list_tables()? {
        tables += 1;
        ours |= table.name() == meta.name();
    }
    if tables > 0 && !ours {
        return Err(FileError::Damaged("it is the database of another program".to_owned()));
    }
    Ok(tables == 0)
}

/// Checks that this program knows the format the file was written in.
///
/// # Errors
/// It is newer, or there is none.
pub(crate) fn check_format(
    snapshot: &ReadTransaction,
    meta: Meta,
    known: u32,
) -> Result<(), FileError> {
    let meta = snapshot.open_table(meta)?;
    let found = meta.get("format")?;
    let bytes = found.as_ref().and_then(|row| row.value().try_into().ok());
    match bytes.map(u32::from_le_bytes) {
        Some(format) if format == known => Ok(()),
        Some(newer) if newer > known => Err(FileError::Newer(newer)),
        _ => Err(FileError::Damaged("its format is not known".to_owned())),
    }
}
