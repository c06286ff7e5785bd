//! The chain: each record's hash covers its number, its bytes and the hash before it, so that
//! nothing can be edited, removed or moved without breaking every hash after it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::event::{Entry, Event, Seq};
use crate::model::hex;

/// The first bytes of every hash: no other digest of ours can stand for one.
const LINK: &[u8] = b"ot-aiops audit record, form 1\n";
/// The first bytes of what the chain begins with.
const GENESIS: &[u8] = b"ot-aiops audit chain, form 1\n";
/// The first bytes of the hash of a record that still counts.
const COUNTING: &[u8] = b"ot-aiops audit record that counts, form 1\n";
const HASH_BYTES: usize = 32;

/// A SHA-256.
pub(super) type Hash = [u8; HASH_BYTES];
/// The random name of a chain, so that one can't be passed off as another.
pub(super) type ChainId = [u8; 16];

/// The end of a chain, or of a stretch of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: Seq,
    pub(super) hash: Hash,
}

/// A row that is no link of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl Head {
    /// Gives what the first record follows.
    pub(super) fn genesis(chain: &ChainId) -> Self {
        let hash = Sha256::new().chain_update(GENESIS).chain_update(chain).finalize().into();
        Self { seq: 0, hash }
    }

    fn follow(&self, body: &[u8]) -> Self {
        let seq = self.seq.saturating_add(1);
        let hash = Sha256::new()
            .chain_update(LINK)
            .chain_update(self.hash)
            .chain_update(seq.to_be_bytes())
            .chain_update(body)
            .finalize();
        Self { seq, hash: hash.into() }
    }

    /// Makes the row that follows: the hash, then the body as it was hashed.
    pub(super) fn link(&self, body: &[u8]) -> (Self, Vec<u8>) {
        let next = self.follow(body);
        (next, [&next.hash, body].concat())
    }

    /// Checks that a row is the one that follows, and gives its body.
    pub(super) fn check<'r>(&self, seq: Seq, row: &'r [u8]) -> Result<(Self, &'r [u8]), Broken> {
        let (hash, body) = row.split_at_checked(HASH_BYTES).ok_or(Broken)?;
        let next = self.follow(body);
        if next.seq == seq && next.hash == hash { Ok((next, body)) } else { Err(Broken) }
    }

    /// Takes a row's own word for its hash: what a walk goes on from after a break.
    pub(super) fn claimed(seq: Seq, row: &[u8]) -> Option<Self> {
        let hash = row.get(..HASH_BYTES)?.try_into().ok()?;
        Some(Self { seq, hash })
    }

    pub(super) fn to_bytes(self) -> [u8; 40] {
        let mut out = [0; 40];
        let (seq, hash) = out.split_at_mut(8);
        seq.copy_from_slice(&self.seq.to_be_bytes());
        hash.copy_from_slice(&self.hash);
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seq, hash) = bytes.split_at_checked(8)?;
        let seq = Seq::from_be_bytes(seq.try_into().ok()?);
        Some(Self { seq, hash: hash.try_into().ok()? })
    }
}

/// Gives a row's body: what was hashed, without the hash.
pub(super) fn body(row: &[u8]) -> &[u8] {
    row.get(HASH_BYTES..).unwrap_or_default()
}

/// What stands in a body: the event with its times, and the digests of its documents.
#[derive(Serialize)]
struct Body<'e> {
    at: crate::model::Timestamp,
    up_ms: u64,
    #[serde(flatten)]
    event: &'e Event,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    documents: Vec<DocumentDigest<'e>>,
}

#[derive(Serialize)]
struct DocumentDigest<'e> {
    kind: &'e str,
    id: &'e str,
    /// Nothing where the document was removed.
    sha256: Option<String>,
}

/// Writes the body of an entry.
pub(super) fn encode(entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    let digest = |bytes: &Vec<u8>| hex(&Sha256::digest(bytes));
    let documents = entry.documents.iter().map(|document| DocumentDigest {
        kind: &document.kind,
        id: &document.id,
        sha256: document.bytes.as_ref().map(digest),
    });
    serde_json::to_vec(&Body {
        at: entry.at,
        up_ms: entry.uptime_ms,
        event: &entry.event,
        documents: documents.collect(),
    })
}

/// Gives the hash of a record that still counts, which no other follows yet.
fn open_hash(id: u64, body: &[u8]) -> Hash {
    let hash = Sha256::new().chain_update(COUNTING).chain_update(id.to_be_bytes());
    hash.chain_update(body).finalize().into()
}

/// Makes the row of a record that still counts.
pub(super) fn open_row(id: u64, body: &[u8]) -> Vec<u8> {
    [&open_hash(id, body), body].concat()
}

/// Tells whether the row of a record that still counts is what was written.
pub(super) fn is_open_row(id: u64, row: &[u8]) -> bool {
    row.split_at_checked(HASH_BYTES).is_some_and(|(hash, body)| open_hash(id, body) == hash)
}

/// Reads back the entry of a record that counted in a run before; `None` where it is not what
/// was written.
pub(super) fn reopen(id: u64, row: &[u8]) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Counted {
        at: String,
        up_ms: u64,
        #[serde(flatten)]
        event: Event,
    }
    if !is_open_row(id, row) {
        return None;
    }
    let Counted { at, up_ms, event } = serde_json::from_slice(body(row)).ok()?;
    let at = crate::model::Timestamp::parse(&at).ok()?;
    Some(Entry { at, uptime_ms: up_ms, event, documents: Vec::new() })
}

/// Reads a body; `None` where it is no JSON object.
pub(super) fn decode(body: &[u8]) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}
