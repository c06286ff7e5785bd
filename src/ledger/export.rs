//! Export: the sealed records in a file of their own, and their release from the audit.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Ledger;
use super::chain::{self, Head};
use super::checkpoint::Checkpoint;
use super::error::LedgerError;
use super::event::{Document, Entry, Event, Seq, What, Who};
use super::file::{Base, DOCUMENTS, RECORDS, View, Writer, length, put_base};
use crate::dbfile::{self, NO_FOLLOW, sync_directory};
use crate::model::hex;

/// The document that remembers what was exported last.
const KIND: &str = "audit-export";

/// A stretch that was written out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The file, in the state directory.
    pub file: String,
    /// The first record in it.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
    /// How many there are.
    pub records: u64,
    /// The file's bytes.
    pub bytes: u64,
    /// The file's digest, which releases what was exported.
    pub sha256: String,
    /// The signature under the last record: the file's last line.
    seal: Checkpoint,
}

/// The last line of an export: what the first record follows, and the signature under the last.
#[derive(Serialize)]
struct LastLine<'a> {
    follows: String,
    sealed: &'a Checkpoint,
}

impl Ledger {
    /// Seals what stands in the audit and writes it to a file in the state directory.
    ///
    /// # Errors
    /// The file can't be written, or the export can't be recorded.
    pub async fn export(self: std::sync::Arc<Self>, who: Who) -> Result<Exported, LedgerError> {
        self.flush().await;
        let ledger = self.clone();
        let written = tokio::task::spawn_blocking(move || ledger.write_export());
        let exported = written.await.map_err(|e| LedgerError::Io(e.to_string()))??;
        let bytes = serde_json::to_vec(&exported);
        let bytes = bytes.map_err(|error| LedgerError::Unfit(error.to_string()))?;
        let mut event = Event::new(What::Exported)
            .with("file", exported.file.as_str())
            .with("first", exported.first)
            .with("last", exported.last)
            .with("sha256", exported.sha256.as_str());
        event.who = Some(who);
        self.put_document(KIND, "newest", bytes, event).await?;
        Ok(exported)
    }

    fn write_export(&self) -> Result<Exported, LedgerError> {
        let seal = dbfile::guarded(|| self.point(true))?;
        let view = self.file.view();
        let folder = self.dir.join("export");
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error.into());
            }
            _ => {}
        }
        let first = view.base.head.seq.saturating_add(1);
        let name = format!("audit-{}-{first}-{}.jsonl", hex(&view.chain), seal.seq);
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(NO_FOLLOW);
        let out =
            Digesting { file: BufWriter::new(options.open(&path)?), sha: Sha256::new(), bytes: 0 };
        let mut exported = dbfile::guarded(|| write_records(&view, &seal, out))?;
        sync_directory(&path)?;
        exported.file = path.display().to_string();
        Ok(exported)
    }

    /// Removes from the audit what was exported last. The digest of that file is the proof that
    /// whoever asks has it. Blocks on the disk.
    ///
    /// # Errors
    /// The digest is not that of the newest export, or the file can't be written.
    pub fn release(&self, sha256: &str, who: Who) -> Result<Exported, LedgerError> {
        let newest = self.documents(KIND)?.pop().and_then(|(_, b)| serde_json::from_slice(&b).ok());
        let exported: Exported = newest.ok_or_else(|| {
            LedgerError::Unfit("nothing has been exported yet: otctl audit export".to_owned())
        })?;
        if !exported.sha256.eq_ignore_ascii_case(sha256) {
            let file = &exported.file;
            return Err(LedgerError::Unfit(format!(
                "that is not the digest of the newest export, {file}: copy it to where it is \
                 safe, and give the sha256sum of the copy"
            )));
        }
        let last = exported.last;
        self.file.change(|writer| {
            let hash = exported.seal.vouched(&self.key.public(), &writer.chain);
            let hash = hash.filter(|_| last > writer.base.head.seq).ok_or_else(|| {
                LedgerError::Unfit("what was exported has been released already".to_owned())
            })?;
            let base = Base { head: Head { seq: last, hash }, seal: Some(exported.seal.clone()) };
            release(writer, base, &exported, who)
        })?;
        self.note_stored();
        Ok(exported)
    }
}

/// Writes the records up to the seal, a line each, with their bytes as they were hashed.
fn write_records(
    view: &View,
    seal: &Checkpoint,
    mut out: Digesting<File>,
) -> Result<Exported, LedgerError> {
    let mut records = 0;
    for row in view.snapshot.open_table(RECORDS)?.range(..=seal.seq)? {
        let (seq, row) = row?;
        let hash = Head::claimed(seq.value(), row.value()).map(|head| hex(&head.hash));
        let hash = hash.unwrap_or_default();
        write!(out, "{{\"seq\":{},\"hash\":\"{hash}\",\"record\":", seq.value())?;
        out.write_all(chain::body(row.value()))?;
        out.write_all(b"}\n")?;
        records += 1;
    }
    let last = LastLine { follows: hex(&view.base.head.hash), sealed: seal };
    let last = serde_json::to_string(&last).map_err(|e| LedgerError::Unfit(e.to_string()))?;
    out.write_all(last.as_bytes())?;
    out.write_all(b"\n")?;
    let Digesting { file, sha, bytes } = out;
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(Exported {
        file: String::new(),
        first: view.base.head.seq.saturating_add(1),
        last: seal.seq,
        records,
        bytes,
        sha256: hex(&sha.finalize()),
        seal: seal.clone(),
    })
}

/// Takes the records out, and carries documents over whose records go.
fn release(
    writer: &mut Writer,
    base: Base,
    exported: &Exported,
    who: Who,
) -> Result<(), LedgerError> {
    let change = writer.transaction()?;
    let last = base.head.seq;
    let mut removed = 0_u64;
    change.open_table(RECORDS)?.retain_in(..=last, |_, row| {
        removed = removed.saturating_add(length(row));
        false
    })?;
    let mut carried = Vec::new();
    for row in change.open_table(DOCUMENTS)?.iter()? {
        let (key, value) = row?;
        let (kind, id) = key.value();
        let (seq, bytes) = value.value().split_at_checked(8).unwrap_or_default();
        if seq.try_into().map(Seq::from_be_bytes).is_ok_and(|seq| seq > last) {
            continue;
        }
        carried.push(Document {
            kind: kind.to_owned(),
            id: id.to_owned(),
            bytes: Some(bytes.to_vec()),
        });
    }
    let mut event = Event::new(What::Released)
        .with("first", exported.first)
        .with("last", last)
        .with("sha256", exported.sha256.as_str());
    event.who = Some(who);
    let mut entries = vec![Entry::now(event, Vec::new())];
    let carry = |document| Entry::now(Event::new(What::Carried), vec![document]);
    entries.extend(carried.into_iter().map(carry));
    let mut state = writer.state;
    state.removed = state.removed.saturating_add(removed);
    let entries: Vec<&Entry> = entries.iter().collect();
    let state = Writer::append(&change, state, &entries)?;
    put_base(&change, &base)?;
    writer.commit(change, state)?;
    writer.base = base;
    Ok(())
}

/// A writer that digests what goes through it.
struct Digesting<W: Write> {
    file: BufWriter<W>,
    sha: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        let written = bytes.get(..count).unwrap_or_default();
        self.sha.update(written);
        self.bytes = self.bytes.saturating_add(length(written));
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
