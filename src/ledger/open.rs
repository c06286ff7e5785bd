//! Opening: the file, its lock, its checks, and setting a damaged one aside.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::OsRng;
use chacha20poly1305::aead::rand_core::RngCore;
use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, TableHandle};

use super::chain::{ChainId, Head};
use super::checkpoint::Outside;
use super::error::{LedgerError, guarded};
use super::file::{Base, DOCUMENTS, META, OPEN, RECORDS, State, Writer, put_base, put_state};
use super::verify::{self, Verified};
use crate::model::Timestamp;

/// The format that this program writes.
const FORMAT: u32 = 1;
/// Memory the database may use for its own pages.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// Damaged files of one instant that can be kept apart.
const ASIDE_MAX: u32 = 100;

/// What was found when the file was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OpenReport {
    /// Where a damaged file was set aside to; a fresh one was begun.
    pub(super) quarantined: Option<PathBuf>,
    /// A fresh file was begun.
    pub(super) fresh: bool,
    /// Why this file was begun although there was one before, until an operator has seen it.
    pub(super) anew: Option<String>,
    /// What checking every record has found.
    pub(super) verified: Verified,
    /// The change whose outcome was not known has been stored after all.
    pub(super) was_stored: bool,
}

/// Opens the file; sets a damaged one aside and begins anew.
pub(super) fn open(
    path: &Path,
    outside: &Outside,
    now: Timestamp,
) -> Result<(Writer, OpenReport), LedgerError> {
    match guarded(|| attempt(path, outside)) {
        Err(error) if error.is_damage() => {
            let aside = set_aside(path, now)?;
            tracing::error!(%error, aside = %aside.display(), "audit file set aside");
            begin_anew(path, now, &aside)
        }
        other => other,
    }
}

/// Begins a file after one that was set aside, and says so in it.
pub(super) fn begin_anew(
    path: &Path,
    now: Timestamp,
    aside: &Path,
) -> Result<(Writer, OpenReport), LedgerError> {
    let (writer, mut report) = attempt(path, &Outside::default())?;
    let name = aside.file_name().unwrap_or(aside.as_os_str()).to_string_lossy();
    let why = format!("the audit file was damaged and set aside as {name} at {now:?}");
    note_anew(&writer, &why)?;
    report.quarantined = Some(aside.to_path_buf());
    report.anew = Some(why);
    Ok((writer, report))
}

/// Keeps why the file was begun anew, until an operator has seen it.
pub(super) fn note_anew(writer: &Writer, why: &str) -> Result<(), LedgerError> {
    let change = writer.transaction()?;
    change.open_table(META)?.insert("anew", why.as_bytes())?;
    Ok(change.commit()?)
}

/// Forgets it again.
pub(super) fn forget_anew(writer: &mut Writer) -> Result<(), LedgerError> {
    let change = writer.transaction()?;
    change.open_table(META)?.remove("anew")?;
    Ok(change.commit()?)
}

fn attempt(path: &Path, outside: &Outside) -> Result<(Writer, OpenReport), LedgerError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(NO_FOLLOW);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            let opened = database(file).and_then(|db| load(db, Some(path), outside));
            match &opened {
                Ok(_) => sync_directory(path)?,
                // A file that could not even be begun holds nothing.
                Err(_) => std::fs::remove_file(path)?,
            }
            opened
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            check_file(&file)?;
            load(database(file)?, Some(path), outside)
        }
        Err(error) => Err(error.into()),
    }
}

/// A link planted in the file's place is not followed (open(2), `O_NOFOLLOW`).
pub(super) const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

fn check_file(file: &File) -> Result<(), LedgerError> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(LedgerError::Io("it is no plain file".to_owned()));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    if meta.len() == 0 {
        // Another process may have made it a moment ago: its lock tells.
        match file.try_lock() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Err(LedgerError::AlreadyOpen),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        return Err(LedgerError::Damaged("it is empty".to_owned()));
    }
    Ok(())
}

fn database(file: File) -> Result<Database, LedgerError> {
    let backend = FileBackend::new(file)?;
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

/// A new or renamed file is only durable once its directory is.
pub(super) fn sync_directory(path: &Path) -> Result<(), LedgerError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?)
}

/// Renames a damaged file to `<name>.bad-<utc>` and says to what.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, LedgerError> {
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
    Err(LedgerError::Io(format!("{ASIDE_MAX} damaged files of one instant stand already")))
}

/// Reads where the chain stands and checks every record.
pub(super) fn load(
    db: Database,
    path: Option<&Path>,
    outside: &Outside,
) -> Result<(Writer, OpenReport), LedgerError> {
    let mut report = OpenReport::default();
    let mut writer = Writer::new(db, path.map(Path::to_path_buf));
    // The database serves flipped bytes as good ones unless asked to check (measured).
    if !writer.database_mut()?.check_integrity()? {
        return Err(LedgerError::Damaged("its pages don't match their checksums".to_owned()));
    }
    let snapshot = writer.database()?.begin_read()?;
    if is_fresh(&snapshot)? {
        drop(snapshot);
        begin(&mut writer)?;
        report.fresh = true;
        return Ok((writer, report));
    }
    check_format(&snapshot)?;
    let meta = snapshot.open_table(META)?;
    let text = |key: &str| -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(meta.get(key)?.map(|row| row.value().to_vec()))
    };
    let unknown = || LedgerError::Damaged("it does not say where its chain stands".to_owned());
    writer.chain = text("chain")?.and_then(|b| b.try_into().ok()).ok_or_else(unknown)?;
    writer.base = text("base")?.as_deref().and_then(take_base).ok_or_else(unknown)?;
    let state = text("state")?.as_deref().and_then(State::from_bytes);
    writer.state = state.ok_or_else(unknown)?;
    report.anew = text("anew")?.map(|why| String::from_utf8_lossy(&why).into_owned());
    drop(meta);
    drop(snapshot);
    report.verified = verify::walk(&writer.view()?, outside)?;
    Ok((writer, report))
}

fn take_base(bytes: &[u8]) -> Option<Base> {
    let (head, seal) = bytes.split_at_checked(40)?;
    let seal = if seal.is_empty() { None } else { Some(serde_json::from_slice(seal).ok()?) };
    Some(Base { head: Head::from_bytes(head)?, seal })
}

fn is_fresh(snapshot: &ReadTransaction) -> Result<bool, LedgerError> {
    let mut tables = 0;
    let mut ours = false;
    for table in snapshot.list_tables()? {
        tables += 1;
        ours |= table.name() == META.name();
    }
    if tables > 0 && !ours {
        return Err(LedgerError::Damaged("it is the database of another program".to_owned()));
    }
    Ok(tables == 0)
}

/// Makes every table, so that none can be missing later, and names the chain.
fn begin(writer: &mut Writer) -> Result<(), LedgerError> {
    let mut chain = ChainId::default();
    OsRng.fill_bytes(&mut chain);
    writer.chain = chain;
    writer.base = Base { head: Head::genesis(&chain), seal: None };
    writer.state = State::begin(writer.base.head);
    let change = writer.transaction()?;
    change.open_table(RECORDS)?;
    change.open_table(DOCUMENTS)?;
    change.open_table(OPEN)?;
    {
        let mut meta = change.open_table(META)?;
        meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
        meta.insert("chain", chain.as_slice())?;
    }
    put_base(&change, &writer.base)?;
    put_state(&change, &writer.state)?;
    Ok(change.commit()?)
}

fn check_format(snapshot: &ReadTransaction) -> Result<(), LedgerError> {
    let meta = snapshot.open_table(META)?;
    let found = meta.get("format")?;
    let bytes = found.as_ref().and_then(|row| row.value().try_into().ok());
    match bytes.map(u32::from_le_bytes) {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(LedgerError::Newer(newer)),
        _ => Err(LedgerError::Damaged("its format is not known".to_owned())),
    }
}
