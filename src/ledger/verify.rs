//! Verification: every record against the one before it, every document against its record.

use std::collections::BTreeMap;

use redb::ReadableTable;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::chain::{self, Head};
use super::error::LedgerError;
use super::event::Seq;
use super::file::{DOCUMENTS, RECORDS, View};
use crate::model::hex;

/// What verification has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records in the file.
    pub records: u64,
    /// The first record that is not what was written, or is missing.
    pub first_bad: Option<Seq>,
}

/// A document as its last record describes it.
type Described = BTreeMap<(String, String), (Seq, Option<String>)>;

/// Walks the whole chain.
pub(super) fn walk(view: &View) -> Result<Verified, LedgerError> {
    let mut found = Verified::default();
    let mut described = Described::new();
    let mut at = view.base;
    let bad = |found: &mut Verified, seq: Seq| {
        found.first_bad = Some(found.first_bad.map_or(seq, |first| first.min(seq)));
    };
    for row in view.snapshot.open_table(RECORDS)?.iter()? {
        let (seq, bytes) = row?;
        let (seq, bytes) = (seq.value(), bytes.value());
        found.records += 1;
        match at.check(seq, bytes) {
            Ok((next, body)) => {
                describe(&mut described, seq, body);
                at = next;
            }
            Err(_) => {
                // A record that is missing is named by the number it had.
                bad(&mut found, at.seq.saturating_add(1).min(seq));
                at = Head::claimed(seq, bytes).unwrap_or(Head { seq, ..at });
            }
        }
    }
    if at != view.head {
        bad(&mut found, at.seq.min(view.head.seq).saturating_add(1));
    }
    if let Some(seq) = documents(view, described)? {
        bad(&mut found, seq);
    }
    Ok(found)
}

/// Notes which documents a record has put or removed.
fn describe(described: &mut Described, seq: Seq, body: &[u8]) {
    // Most records speak of none: the word itself can't be in one without being written so.
    if !body.windows(DOCUMENTS_KEY.len()).any(|part| part == DOCUMENTS_KEY) {
        return;
    }
    let Some(Value::Array(items)) = chain::decode(body).and_then(|mut b| b.remove("documents"))
    else {
        return;
    };
    for item in items {
        let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
        if let (Some(kind), Some(id)) = (text("kind"), text("id")) {
            described.insert((kind, id), (seq, text("sha256")));
        }
    }
}

const DOCUMENTS_KEY: &[u8] = b"\"documents\":";

/// Holds the documents against their records; gives the first record that one disagrees with.
fn documents(view: &View, mut described: Described) -> Result<Option<Seq>, LedgerError> {
    let mut first: Option<Seq> = None;
    let mut bad = |seq: Seq| first = Some(first.map_or(seq, |first| first.min(seq)));
    for row in view.snapshot.open_table(DOCUMENTS)?.iter()? {
        let (key, value) = row?;
        let (kind, id) = key.value();
        let (seq, bytes) = value.value().split_at_checked(8).unwrap_or_default();
        let seq = seq.try_into().map(Seq::from_be_bytes).unwrap_or_default();
        match described.remove(&(kind.to_owned(), id.to_owned())) {
            Some((by, Some(digest))) if by == seq && digest == hex(&Sha256::digest(bytes)) => {}
            Some((by, _)) => bad(by),
            None => bad(seq),
        }
    }
    // What a record has put and nobody removed has to be there.
    described.retain(|_, (_, digest)| digest.is_some());
    described.values().for_each(|(seq, _)| bad(*seq));
    Ok(first)
}
