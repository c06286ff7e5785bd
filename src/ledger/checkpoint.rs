//! Checkpoints: the head of the chain, signed. A chain alone can't show that its end was cut
//! off; a checkpoint that has left the machine can.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::{ChainId, Hash, Head};
use super::event::Seq;
use super::key::CollectorKey;
use crate::gate;
use crate::model::{Timestamp, hex, unhex};

/// The first bytes of what is signed.
const DOMAIN: &[u8] = b"ot-aiops audit checkpoint, form 1\n";
/// A file of checkpoints is read up to this size.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A signed head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The chain's name, in hexadecimal.
    pub(super) chain: String,
    /// The number of the record that was newest.
    pub(super) seq: Seq,
    /// Its hash, in hexadecimal.
    pub(super) hash: String,
    /// When it was signed.
    pub(super) at: String,
    /// The collector's public key, in hexadecimal.
    pub(super) key: String,
    /// The signature, in hexadecimal.
    pub(super) signature: String,
}

impl Checkpoint {
    /// Signs a head.
    pub(super) fn sign(key: &CollectorKey, chain: &ChainId, head: &Head, now: Timestamp) -> Self {
        let mut out = Self {
            chain: hex(chain),
            seq: head.seq,
            hash: hex(&head.hash),
            at: now.to_rfc3339_millis(),
            key: key.public(),
            signature: String::new(),
        };
        out.signature = key.sign(&out.signed());
        out
    }

    fn signed(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        for part in [&self.chain, &self.seq.to_string(), &self.hash, &self.at] {
            out.extend(part.as_bytes());
            out.push(b'\n');
        }
        out
    }

    /// Gives the hash it speaks of, where its signature is by this key and for this chain.
    pub(super) fn vouched(&self, key: &str, chain: &ChainId) -> Option<Hash> {
        let fits = self.key == key && self.chain == hex(chain);
        if !fits || !gate::verify(key, &self.signed(), &self.signature) {
            return None;
        }
        unhex(&self.hash)?.try_into().ok()
    }

    /// Digests all that a signature's check depends on.
    fn digest(&self) -> Hash {
        let whole = [self.key.as_bytes(), self.signature.as_bytes(), &self.signed()].concat();
        Sha256::digest(&whole).into()
    }
}

/// What verification holds a chain against from outside.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// The collector's public key; without one, nothing signed is believed.
    pub(super) key: String,
    /// The checkpoints that were found.
    pub(super) found: Vec<Checkpoint>,
    /// What was checked before: the same checkpoint stands in the chain and in every file.
    checked: Mutex<HashMap<Hash, Option<Hash>>>,
}

impl Outside {
    /// Gives the hash that a checkpoint vouches for.
    pub(super) fn vouched(&self, point: &Checkpoint, chain: &ChainId) -> Option<Hash> {
        let mut checked = self.checked.lock();
        *checked.entry(point.digest()).or_insert_with(|| point.vouched(&self.key, chain))
    }

    /// Reads the checkpoints of some files; what is no checkpoint is passed over.
    pub(super) fn read(key: &str, files: &[&Path]) -> Self {
        let mut found = Vec::new();
        for path in files {
            let size = std::fs::metadata(path).map_or(0, |about| about.len());
            if size == 0 || size > FILE_BYTES_MAX {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(path) else { continue };
            found.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        Self { key: key.to_owned(), found, checked: Mutex::default() }
    }

    /// Gives the hashes that are vouched for, by number.
    pub(super) fn hashes(&self, chain: &ChainId) -> BTreeMap<Seq, Hash> {
        let vouched = |point: &Checkpoint| Some((point.seq, self.vouched(point, chain)?));
        self.found.iter().filter_map(vouched).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_by_this_key_for_this_chain_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (key, _) = CollectorKey::load(&dir.path().join("k")).unwrap();
        let (other, _) = CollectorKey::load(&dir.path().join("o")).unwrap();
        let (chain, head) = ([7; 16], Head { seq: 9, hash: [3; 32] });
        let point = Checkpoint::sign(&key, &chain, &head, Timestamp::from_millis(1));
        assert_eq!(point.vouched(&key.public(), &chain), Some([3; 32]));
        assert_eq!(point.vouched(&key.public(), &[8; 16]), None);
        assert_eq!(point.vouched(&other.public(), &chain), None);
        let moved = Checkpoint { seq: 10, ..point.clone() };
        assert_eq!(moved.vouched(&key.public(), &chain), None);
        let file = dir.path().join("checkpoints.jsonl");
        let line = serde_json::to_string(&point).unwrap();
        std::fs::write(&file, format!("{line}\nnot one\n\n{line}\n")).unwrap();
        let outside = Outside::read(&key.public(), &[&file, &dir.path().join("none")]);
        assert_eq!(outside.hashes(&chain).len(), 1);
    }
}
