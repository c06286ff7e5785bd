//! Opening: every record is checked, and a damaged file is set aside and a new one begun.

use std::path::{Path, PathBuf};

use chacha20poly1305::aead::OsRng;
use chacha20poly1305::aead::rand_core::RngCore;
use redb::{Database, ReadableDatabase};

use super::chain::{ChainId, Head};
use super::checkpoint::Outside;
use super::error::LedgerError;
use super::file::{Base, DOCUMENTS, META, OPEN, RECORDS, State, Writer, put_base, put_state};
use super::verify::{self, Verified};
use crate::dbfile::{self, guarded};
use crate::model::Timestamp;

/// The format that this program writes.
const FORMAT: u32 = 1;
/// Memory the database may use for its own pages.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

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
            let aside = dbfile::set_aside(path, now)?;
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
    dbfile::open(path, CACHE_BYTES, |db| load(db, Some(path), outside))
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
    if dbfile::is_fresh(&snapshot, META)? {
        drop(snapshot);
        begin(&mut writer)?;
        report.fresh = true;
        return Ok((writer, report));
    }
    dbfile::check_format(&snapshot, META, FORMAT)?;
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
