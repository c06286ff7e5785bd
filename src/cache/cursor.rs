//! Reading on from where one was: what came since, oldest first, and how much was missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::TagCache;
use super::gather::Gathering;
use super::group::{Group, Way};
use super::positions::{POSITION_GROUPS_MAX, Position, Positions};
use super::protocol::count;
use super::raw::{Raw, Span};
use crate::model::{Sample, TagId};

/// What came since a position.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Since {
    /// The samples, in the order they were received.
    pub samples: Vec<(TagId, Sample)>,
    /// Where to go on.
    pub next: Positions,
    /// Samples that are gone: exact for the same tags in the same groups, at least one for each
    /// streamed tag that missed some while that changed.
    pub lost: u64,
    /// The position was another run's: nothing can be said of what came between.
    pub other_run: bool,
    /// Tags that are not followed: one cursor goes through [`POSITION_GROUPS_MAX`] groups.
    pub left_out: usize,
}

/// What is asked for, by where it is.
#[derive(Default)]
struct Question {
    groups: BTreeMap<u32, Asked>,
    /// Groups that tags between two have left: their positions are needed again when the tags
    /// are placed.
    between: BTreeSet<u32>,
    /// Tags of more groups than a cursor goes through.
    left_out: usize,
}

/// The asked tags of one group.
pub(super) struct Asked {
    pub(super) group: Arc<Group>,
    /// In the order of their columns.
    pub(super) columns: Vec<(usize, TagId)>,
}

impl Asked {
    /// Tells these columns from others of the same group.
    pub(super) fn hash(&self) -> u32 {
        // FNV-1a, 32 bits: stable within a run, which is all a position lives.
        self.columns.iter().fold(0x811C_9DC5_u32, |hash, (_, id)| {
            id.0.to_le_bytes()
                .iter()
                .fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
        })
    }

    /// Counts the samples a streamed tag ever got up to a time.
    pub(super) fn total(&self, column: usize, upto: i64) -> u64 {
        let mut raw = Raw::default();
        let newer = Span::Between { since: upto.saturating_add(1), until: i64::MAX };
        self.group.read(column, newer, &mut raw);
        if raw.len() == 0 { self.group.readable(column).end } else { raw.first }
    }

    /// Gives the position after all it has.
    pub(super) fn now(&self) -> Position {
        let upto = self.group.upto();
        match self.group.way() {
            Way::Scan => Position { count: self.group.readable(0).end, part: 0, upto },
            Way::Stream => Position {
                count: self.columns.iter().map(|(column, _)| self.total(*column, upto)).sum(),
                part: self.hash(),
                upto,
            },
        }
    }
}

impl TagCache {
    /// Gives the position after everything the tags have got so far.
    #[must_use]
    pub fn positions(&self, ids: &[TagId]) -> Positions {
        let next_group = self.groups.read().next_id();
        let at = self.asked(ids).groups.into_iter().map(|(id, asked)| (id, asked.now())).collect();
        Positions { run: self.run, next_group, at }
    }

    /// Gives what the tags have got since a position, at most `limit` samples, oldest first.
    ///
    /// Nothing that was restored is delivered. Tags of a group that existed before the position
    /// and is not in it start from now.
    #[must_use]
    pub fn read_since(&self, ids: &[TagId], from: &Positions, limit: usize) -> Since {
        let next_group = self.groups.read().next_id();
        let Question { groups: asked, between, left_out } = self.asked(ids);
        if from.run != self.run {
            let next = self.positions(ids);
            return Since { next, other_run: true, left_out, ..Since::default() };
        }
        let mut gathering = Gathering::new(limit);
        for (_, asked) in asked.iter().filter(|(id, _)| is_new(**id, from)) {
            self.gather_left(asked, from, &mut gathering);
        }
        gathering.settle_left();
        for (id, asked) in &asked {
            match from.at.get(id) {
                Some(start) => gathering.gather(asked, Some(*start), &self.codes),
                None if is_new(*id, from) => gathering.gather(asked, None, &self.codes),
                None => gathering.skip(asked),
            }
        }
        let (samples, mut at, lost) = gathering.settle();
        for left in between {
            if let Some(position) = from.at.get(&left) {
                at.entry(left).or_insert(*position);
            }
        }
        let next = Positions { run: self.run, next_group, at };
        Since { samples, next, lost, other_run: false, left_out }
    }

    /// Sorts tags by the group they are in.
    fn asked(&self, ids: &[TagId]) -> Question {
        let mut question = Question::default();
        let Question { groups: asked, between, left_out } = &mut question;
        for id in ids {
            let Some(entry) = self.slots.read(*id) else { continue };
            let Some(place) = &entry.place else {
                between.extend(entry.left().map(|left| left.group));
                continue;
            };
            let group = &place.group;
            if asked.len() == POSITION_GROUPS_MAX && !asked.contains_key(&group.id) {
                *left_out += 1;
                continue;
            }
            let new = || Asked { group: Arc::clone(group), columns: Vec::new() };
            asked.entry(group.id).or_insert_with(new).columns.push((place.column, *id));
        }
        for asked in asked.values_mut() {
            asked.columns.sort_unstable();
            asked.columns.dedup();
        }
        question
    }

    /// Gathers what tags got, since the position, in a group they have left.
    fn gather_left(&self, asked: &Asked, from: &Positions, to: &mut Gathering) {
        for (_, id) in &asked.columns {
            let Some(entry) = self.slots.read(*id) else { continue };
            let Some(past) = &entry.past else { continue };
            let known = entry.left().find_map(|left| Some((left, *from.at.get(&left.group)?)));
            let (left, position) = match (known, entry.left().last()) {
                (Some(known), _) => known,
                // It joined the asked tags since: it starts with its present group.
                (None, None) => continue,
                (None, Some(oldest)) if oldest.group < from.next_group => continue,
                (None, Some(_)) if entry.has_forgotten_groups() => {
                    to.miss(1);
                    continue;
                }
                (None, Some(oldest)) => (oldest, Position::BEGIN),
            };
            let mut first = past.known_at(position.upto);
            if left.way == Way::Scan {
                // Of the row that was cut the first columns are delivered.
                let delivered = count(left.column) < u64::from(position.part);
                first += usize::from(delivered);
                let row = position.count + u64::from(delivered);
                if entry.left().next().is_some_and(|newest| newest.group == left.group) {
                    to.miss(past.live_row().saturating_sub(row));
                }
            } else if past.live_row() > 0 && past.is_cut_after(position.upto) {
                to.miss(1);
            }
            for at in first..past.len() {
                to.push_left(*id, past.sample(at, &self.codes));
            }
        }
    }
}

fn is_new(group: u32, from: &Positions) -> bool {
    group >= from.next_group && !from.at.contains_key(&group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheLimits;
    use crate::model::{Quality, Timestamp, Value};

    const IDS: [TagId; 3] = [TagId(1), TagId(2), TagId(3)];

    fn cache() -> Arc<TagCache> {
        TagCache::new(CacheLimits { rows_per_group: 13, ..CacheLimits::default() })
    }

    fn row(value: i64) -> Vec<(Value, Quality)> {
        vec![(Value::I64(value), Quality::GOOD); IDS.len()]
    }

    #[test]
    fn a_cursor_of_another_run_is_recognised_and_starts_from_now() {
        let (one, other) = (cache(), cache());
        let mut writer = other.scan_group(&IDS);
        writer.append(Timestamp::from_millis(1), &row(1));
        let since = other.read_since(&IDS, &one.positions(&IDS), 10);
        assert!(since.other_run && since.samples.is_empty());
        writer.append(Timestamp::from_millis(2), &row(2));
        let since = other.read_since(&IDS, &since.next, 10);
        assert!(!since.other_run);
        assert_eq!(since.samples.len(), 3);
    }

    #[test]
    fn a_row_that_is_cut_goes_on_where_it_was_cut() {
        let cache = cache();
        let mut writer = cache.scan_group(&IDS);
        let mut positions = cache.positions(&IDS);
        (0..4).for_each(|n| writer.append(Timestamp::from_millis(n), &row(n)));
        let mut got = Vec::new();
        loop {
            let since = cache.read_since(&IDS, &positions, 2);
            assert_eq!(since.lost, 0);
            if since.samples.is_empty() {
                break;
            }
            got.extend(since.samples.into_iter().map(|(id, s)| (s.received_ts.millis(), id)));
            positions = since.next;
        }
        let all: Vec<_> = (0..4).flat_map(|n| IDS.map(|id| (n, id))).collect();
        assert_eq!(got, all);
    }

    #[test]
    fn a_reader_that_was_lapped_learns_how_much_it_missed_and_only_once() {
        let cache = cache();
        let mut writer = cache.scan_group(&IDS);
        let positions = cache.positions(&IDS[..2]);
        (0..20).for_each(|n| writer.append(Timestamp::from_millis(n), &row(n)));
        let since = cache.read_since(&IDS[..2], &positions, 3);
        assert_eq!((since.lost, since.samples.len()), (2 * (20 - 13), 3));
        let since = cache.read_since(&IDS[..2], &since.next, 1000);
        assert_eq!((since.lost, since.samples.len()), (0, 2 * 13 - 3));
    }

    #[test]
    fn tags_of_more_groups_than_a_cursor_holds_are_counted() {
        let cache = cache();
        let ids: Vec<TagId> = (0..1030).map(TagId).collect();
        let mut writers: Vec<_> = ids.chunks(1).map(|id| cache.scan_group(id)).collect();
        let positions = cache.positions(&ids);
        for writer in &mut writers {
            writer.append(Timestamp::from_millis(1), &row(1)[..1]);
        }
        let since = cache.read_since(&ids, &positions, 2000);
        assert_eq!((since.samples.len(), since.left_out), (1024, 6));
        assert_eq!(cache.read_since(&ids[1000..], &positions, 2000).left_out, 0);
        let other = super::super::TagCache::new(CacheLimits::default()).positions(&[]);
        assert_eq!(cache.read_since(&ids, &other, 10).left_out, 6);
    }

    #[test]
    fn tags_that_join_a_cursor_start_from_now_unless_their_group_is_younger() {
        let cache = cache();
        let mut old = cache.scan_group(&IDS[..1]);
        let mut other = cache.scan_group(&IDS[1..2]);
        let positions = cache.positions(&IDS[..1]);
        old.append(Timestamp::from_millis(1), &row(1)[..1]);
        other.append(Timestamp::from_millis(1), &row(1)[..1]);
        let mut young = cache.scan_group(&IDS[2..]);
        young.append(Timestamp::from_millis(1), &row(1)[..1]);
        let since = cache.read_since(&IDS, &positions, 10);
        let ids: Vec<TagId> = since.samples.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [IDS[0], IDS[2]]);
        other.append(Timestamp::from_millis(2), &row(2)[..1]);
        let since = cache.read_since(&IDS, &since.next, 10);
        assert_eq!(since.samples.len(), 1);
    }
}
