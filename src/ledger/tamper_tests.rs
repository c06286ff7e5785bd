//! Somebody changes the file by hand: every single edit, deletion, swap and truncation is found.

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::checkpoint::{Checkpoint, Outside};
use super::event::{Document, Entry, Event, What};
use super::file::{DOCUMENTS, OPEN, RECORDS, State, View, Writer};
use super::key::CollectorKey;
use super::{chain, open, verify};
use crate::model::Timestamp;

const CALLS: usize = 30;
const EDITS: usize = 10_000;

/// Random numbers that are the same at every run: xorshift64 (Marsaglia 2003).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Everything that stands in the file.
#[derive(Clone, PartialEq)]
struct Content {
    records: Vec<(u64, Vec<u8>)>,
    documents: Vec<((String, String), Vec<u8>)>,
    open: Vec<(u64, Vec<u8>)>,
    state: State,
}

/// A ledger in memory that anybody can write to.
struct Victim {
    writer: Writer,
    outside: Outside,
}

impl Victim {
    /// Makes a ledger with calls, documents, records that count, and a signed head.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (key, _) = CollectorKey::load(&dir.path().join("key")).unwrap();
        let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let (mut writer, _) = open::load(db, None, &Outside::default()).unwrap();
        let entry = |nth: usize, documents| {
            let event = Event::new(What::ToolCall).tool("tag_read").with("nth", nth);
            Entry::now(event, documents)
        };
        for nth in 0..CALLS {
            let document = (nth % 5 == 0).then(|| Document {
                kind: "ticket".to_owned(),
                id: format!("MOC-{nth}"),
                bytes: Some(format!("ticket {nth}").into_bytes()),
            });
            append(&mut writer, &entry(nth, document.into_iter().collect()));
        }
        let head = writer.state.head;
        let point = Checkpoint::sign(&key, &writer.chain, &head, Timestamp::from_millis(0));
        let told = serde_json::to_value(&point).unwrap();
        append(
            &mut writer,
            &Entry::now(Event::new(What::Checkpoint).with("checkpoint", told), vec![]),
        );
        let head = writer.state.head;
        let newest = Checkpoint::sign(&key, &writer.chain, &head, Timestamp::from_millis(0));
        let change = writer.transaction().unwrap();
        let counting = [(3, entry(100, Vec::new())), (4, entry(101, Vec::new()))];
        Writer::put_open(&change, &counting, std::iter::empty()).unwrap();
        let state = writer.state;
        writer.commit(change, state).unwrap();
        let away = dir.path().join("away");
        std::fs::write(&away, serde_json::to_string(&newest).unwrap()).unwrap();
        Self { writer, outside: Outside::read(&key.public(), &[&away]) }
    }

    fn content(&self) -> Content {
        let view = self.writer.view().unwrap().snapshot;
        let numbered = |table: redb::ReadOnlyTable<u64, &[u8]>| {
            let rows = table.iter().unwrap().map(Result::unwrap);
            rows.map(|(key, row)| (key.value(), row.value().to_vec())).collect()
        };
        let documents = view.open_table(DOCUMENTS).unwrap();
        let documents = documents.iter().unwrap().map(Result::unwrap).map(|(key, row)| {
            let (kind, id) = key.value();
            ((kind.to_owned(), id.to_owned()), row.value().to_vec())
        });
        Content {
            records: numbered(view.open_table(RECORDS).unwrap()),
            documents: documents.collect(),
            open: numbered(view.open_table(OPEN).unwrap()),
            state: self.writer.state,
        }
    }

    /// Writes other content over what is there and verifies it.
    fn verify(&mut self, before: &Content, after: &Content) -> verify::Verified {
        self.put(before, after);
        self.walk(after)
    }

    fn put(&mut self, before: &Content, after: &Content) {
        let mut change = self.writer.database().unwrap().begin_write().unwrap();
        change.set_durability(redb::Durability::None).unwrap();
        for (name, was, is) in
            [(RECORDS, &before.records, &after.records), (OPEN, &before.open, &after.open)]
        {
            let mut table = change.open_table(name).unwrap();
            for (key, _) in was.iter().filter(|row| !is.contains(row)) {
                table.remove(key).unwrap();
            }
            for (key, row) in is.iter().filter(|row| !was.contains(row)) {
                table.insert(key, row.as_slice()).unwrap();
            }
        }
        {
            let mut table = change.open_table(DOCUMENTS).unwrap();
            for ((kind, id), _) in &before.documents {
                table.remove((kind.as_str(), id.as_str())).unwrap();
            }
            for ((kind, id), row) in &after.documents {
                table.insert((kind.as_str(), id.as_str()), row.as_slice()).unwrap();
            }
        }
        change.commit().unwrap();
    }

    fn walk(&self, after: &Content) -> verify::Verified {
        let snapshot = self.writer.database().unwrap().begin_read().unwrap();
        let (chain, base) = (self.writer.chain, self.writer.base.clone());
        let view = View { snapshot, chain, base, state: after.state };
        verify::walk(&view, &self.outside).unwrap()
    }
}

fn append(writer: &mut Writer, entry: &Entry) {
    let change = writer.transaction().unwrap();
    let state = Writer::append(&change, writer.state, &[entry]).unwrap();
    writer.commit(change, state).unwrap();
}

/// Makes the hashes after an edit fit again, the state too: what a forger without the key can do.
fn rehash(content: &mut Content, base: chain::Head) {
    let mut head = base;
    for (seq, row) in &mut content.records {
        let (next, fresh) = head.link(chain::body(row));
        (*seq, *row) = (next.seq, fresh);
        head = next;
    }
    content.state.head = head;
}

/// Changes one thing. Gives what, for the message of a failure.
fn tamper(content: &mut Content, rng: &mut Rng, base: chain::Head) -> &'static str {
    let records = content.records.len();
    let at = rng.below(records);
    let flip = |bytes: &mut Vec<u8>, rng: &mut Rng| {
        let byte = rng.below(bytes.len());
        bytes[byte] ^= 1 << rng.below(8);
    };
    match rng.below(14) {
        0 | 1 => flip(&mut content.records[at].1, rng),
        2 => drop(content.records.remove(at)),
        3 => {
            let other = (at + 1 + rng.below(records - 1)) % records;
            let (a, b) = (content.records[at].1.clone(), content.records[other].1.clone());
            (content.records[at].1, content.records[other].1) = (b, a);
        }
        4 => content.records.truncate(at),
        5 => {
            content.records.truncate(at);
            rehash(content, base);
            return "a truncation with the state made to fit";
        }
        6 => {
            let last = content.records[at].1.len() - 2;
            content.records[at].1[last] ^= 1;
            rehash(content, base);
            return "an edit with all hashes made to fit";
        }
        7 => {
            drop(content.records.remove(at));
            rehash(content, base);
            return "a deletion with all hashes made to fit";
        }
        8 => {
            let again = content.records[at].1.clone();
            content.records.push((content.state.head.seq + 1, again));
        }
        9 => {
            let at = rng.below(content.documents.len());
            flip(&mut content.documents[at].1, rng);
        }
        10 => {
            let at = rng.below(content.documents.len());
            drop(content.documents.remove(at));
        }
        11 => content.documents.push((("ticket".into(), "MOC-999".into()), vec![0; 20])),
        12 => {
            let at = rng.below(content.open.len());
            flip(&mut content.open[at].1, rng);
        }
        _ => {
            let cut = rng.below(content.records[at].1.len());
            content.records[at].1.truncate(cut);
        }
    }
    "a plain change"
}

#[test]
fn ten_thousand_edits_deletions_swaps_and_truncations_are_all_found() {
    let mut victim = Victim::new();
    let whole = victim.content();
    let good = victim.verify(&whole, &whole);
    assert_eq!((good.records, good.first_bad), (33, None));
    let base = victim.writer.base.head;
    let mut rng = Rng(0x5EED_0007);
    for nth in 0..EDITS {
        let mut edited = whole.clone();
        let what = tamper(&mut edited, &mut rng, base);
        if edited == whole {
            continue;
        }
        let found = victim.verify(&whole, &edited);
        assert!(found.first_bad.is_some(), "edit {nth}, {what}, was not found");
        victim.put(&edited, &whole);
        if nth % 500 == 0 {
            let back = victim.walk(&whole);
            assert_eq!(back.first_bad, None, "edit {nth} left something behind");
        }
    }
}
