//! Repeats: an identical event within a minute is the same record with a higher count. Such a
//! record is open: kept beside the chain as it grows, and linked into it when its minute is over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event::Entry;

/// How long a record counts repeats.
const OPEN_FOR: Duration = Duration::from_secs(60);
/// Records that count at once; beyond it each event is a record of its own.
const OPEN_MAX: usize = 1024;

/// What makes two events identical, as a digest.
pub type RepeatKey = u128;

/// One record that still counts.
#[derive(Debug)]
struct Counting {
    id: u64,
    entry: Entry,
    since: Instant,
    /// The count that is on the disk already.
    stored: u64,
}

/// The records that still count.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    counting: HashMap<RepeatKey, Counting>,
    next_id: u64,
}

impl Repeats {
    /// Numbers new ones after those of a run before.
    pub(super) fn count_on_from(&mut self, id: u64) {
        self.next_id = self.next_id.max(id);
    }

    /// Counts one more, where such a record is open.
    pub(super) fn again(&mut self, key: RepeatKey, device_requests: u64) -> bool {
        let Some(open) = self.counting.get_mut(&key) else { return false };
        if open.since.elapsed() >= OPEN_FOR {
            return false;
        }
        let event = &mut open.entry.event;
        event.count = event.count.saturating_add(1);
        if let Some(sum) = &mut event.device_requests {
            *sum = sum.saturating_add(device_requests);
        }
        true
    }

    /// Opens a record. Gives back what has to be a record at once: the one that had the key
    /// before, or this one where too many are open.
    pub(super) fn open(&mut self, key: RepeatKey, entry: Entry) -> Option<(Entry, Option<u64>)> {
        if self.counting.len() >= OPEN_MAX && !self.counting.contains_key(&key) {
            return Some((entry, None));
        }
        let id = self.next_id;
        self.next_id += 1;
        let open = Counting { id, entry, since: Instant::now(), stored: 0 };
        self.counting.insert(key, open).map(|before| (before.entry, Some(before.id)))
    }

    /// Takes those whose minute is over; at the end, all.
    pub(super) fn take_over(&mut self, all: bool) -> Vec<(Entry, u64)> {
        let over = |open: &Counting| all || open.since.elapsed() >= OPEN_FOR;
        let mut out: Vec<(Entry, u64)> = self
            .counting
            .extract_if(|_, open| over(open))
            .map(|(_, open)| (open.entry, open.id))
            .collect();
        out.sort_by_key(|(_, id)| *id);
        out
    }

    /// Gives those whose count is not on the disk.
    pub(super) fn changed(&self) -> Vec<(u64, Entry)> {
        let changed = self.counting.values().filter(|open| open.stored != open.entry.event.count);
        changed.map(|open| (open.id, open.entry.clone())).collect()
    }

    /// Notes which counts are on the disk now.
    pub(super) fn note_stored(&mut self, stored: &[(u64, Entry)]) {
        for open in self.counting.values_mut() {
            if let Some((_, entry)) = stored.iter().find(|(id, _)| *id == open.id) {
                open.stored = entry.event.count;
            }
        }
    }

    /// Gives when the first minute is over.
    pub(super) fn first_over(&self) -> Option<Instant> {
        self.counting.values().map(|open| open.since + OPEN_FOR).min()
    }
}

/// Digests what makes two calls of a session identical.
#[must_use]
pub fn repeat_key(session: u64, tool: &str, arguments: &str) -> RepeatKey {
    let mut text = Vec::with_capacity(tool.len() + arguments.len() + 9);
    text.extend(session.to_be_bytes());
    text.extend(tool.as_bytes());
    text.push(0);
    text.extend(arguments.as_bytes());
    xxhash_rust::xxh3::xxh3_128(&text)
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, What};
    use super::*;

    fn entry() -> Entry {
        let mut event = Event::new(What::ToolCall);
        event.device_requests = Some(0);
        Entry::now(event, Vec::new())
    }

    #[test]
    fn repeats_are_counted_and_those_beyond_the_bound_are_records_of_their_own() {
        let mut repeats = Repeats::default();
        let key = repeat_key(1, "tag_read", "{}");
        assert_ne!(key, repeat_key(2, "tag_read", "{}"));
        assert!(!repeats.again(key, 0));
        assert_eq!(repeats.open(key, entry()), None);
        assert!(repeats.again(key, 0) && repeats.again(key, 0));
        let changed = repeats.changed();
        assert_eq!(changed[0].1.event.count, 3);
        repeats.note_stored(&changed);
        assert!(repeats.changed().is_empty());
        assert!(repeats.take_over(false).is_empty());
        for other in 0..2000 {
            let back = repeats.open(other, entry());
            assert_eq!(back.is_some(), other >= 1023, "{other}");
        }
        assert_eq!(repeats.take_over(true).len(), OPEN_MAX);
    }
}
