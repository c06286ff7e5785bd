//! Verification: every record against the one before it, every document against its record.

use std::collections::BTreeMap;

use redb::ReadableTable;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::chain::{self, Head};
use super::checkpoint::{Checkpoint, Outside};
use super::error::LedgerError;
use super::event::Seq;
use super::file::{Base, DOCUMENTS, OPEN, RECORDS, View};
use crate::model::hex;

/// What verification has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records in the file, those that still count repeats among them.
    pub records: u64,
    /// The first record that is not what was written, or is missing.
    pub first_bad: Option<Seq>,
    /// Why this file was begun anew, until an operator has seen it.
    pub anew: Option<String>,
}

impl Verified {
    /// Tells whether everything is as it was written.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.first_bad.is_none() && self.anew.is_none()
    }
}

/// A document as its last record describes it.
type Described = BTreeMap<(String, String), (Seq, Option<String>)>;

impl Verified {
    fn bad(&mut self, seq: Seq) {
        self.first_bad = Some(self.first_bad.map_or(seq, |first| first.min(seq)));
    }
}

/// Walks the whole chain.
pub(super) fn walk(view: &View, outside: &Outside) -> Result<Verified, LedgerError> {
    let mut found = Verified::default();
    let mut described = Described::new();
    let mut at = view.base.head;
    let vouched = outside.hashes(&view.chain);
    if !is_base_good(view, outside) {
        found.bad(at.seq.saturating_add(1));
    }
    for row in view.snapshot.open_table(RECORDS)?.iter()? {
        let (seq, bytes) = row?;
        let (seq, bytes) = (seq.value(), bytes.value());
        found.records += 1;
        match at.check(seq, bytes) {
            Ok((next, body)) => {
                describe(&mut described, seq, body);
                if !is_signature_good(&at, body, view, outside) {
                    found.bad(seq);
                }
                at = next;
            }
            Err(_) => {
                // A record that is missing is named by the number it had.
                found.bad(at.seq.saturating_add(1).min(seq));
                at = Head::claimed(seq, bytes).unwrap_or(Head { seq, ..at });
            }
        }
        if vouched.get(&seq).is_some_and(|hash| *hash != at.hash) {
            found.bad(seq);
        }
    }
    let end = view.state.head;
    if at != end {
        found.bad(at.seq.min(end.seq).saturating_add(1));
    }
    // Somebody outside has seen a record that is not here: the end was cut off.
    if vouched.keys().next_back().is_some_and(|last| *last > at.seq) {
        found.bad(at.seq.saturating_add(1));
    }
    if let Some(seq) = documents(view, described)? {
        found.bad(seq);
    }
    let mut next = end.seq;
    for row in view.snapshot.open_table(OPEN)?.iter()? {
        let (id, bytes) = row?;
        found.records += 1;
        next = next.saturating_add(1);
        if !chain::is_open_row(id.value(), bytes.value()) {
            // The number it would have had.
            found.bad(next);
        }
    }
    Ok(found)
}

/// Tells whether the chain begins where it began, or where a signed release says.
fn is_base_good(view: &View, outside: &Outside) -> bool {
    let Base { head, seal } = &view.base;
    match seal {
        None => *head == Head::genesis(&view.chain),
        Some(seal) => seal.seq == head.seq && outside.vouched(seal, &view.chain) == Some(head.hash),
    }
}

/// Tells whether a record that holds a signature holds one under the record before it.
fn is_signature_good(before: &Head, body: &[u8], view: &View, outside: &Outside) -> bool {
    if !holds(body, POINT_KEY) {
        return true;
    }
    let point = chain::decode(body).and_then(|mut fields| {
        let what = fields.get("what")?.as_str()?.to_owned();
        let detail = fields.remove("detail")?.get("checkpoint")?.clone();
        Some((what, serde_json::from_value::<Checkpoint>(detail).ok()))
    });
    match point {
        Some((what, point)) if what == "checkpoint" || what == "sealed" => point.is_some_and(|p| {
            p.seq == before.seq && outside.vouched(&p, &view.chain) == Some(before.hash)
        }),
        _ => true,
    }
}

fn holds(body: &[u8], key: &[u8]) -> bool {
    body.windows(key.len()).any(|part| part == key)
}

const POINT_KEY: &[u8] = b"\"checkpoint\":{";

/// Notes which documents a record has put or removed.
fn describe(described: &mut Described, seq: Seq, body: &[u8]) {
    // Most records speak of none: the word itself can't be in one without being written so.
    if !holds(body, DOCUMENTS_KEY) {
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
