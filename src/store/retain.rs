//! Retention: whole segments go, oldest first.

use std::collections::HashSet;
use std::sync::Arc;

use super::Retained;
use super::blocks;
use super::error::StoreError;
use super::index::{GAPS, GROUPS, SEALED, SEGMENTS, Segment};
use super::write::Writer;
use crate::model::Timestamp;

/// Segments removed by one call: some tens of milliseconds of work.
const SEGMENTS_REMOVED_MAX: usize = 64;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Writer {
    pub(super) fn retain(
        &mut self,
        now: Timestamp,
        keep_days: u32,
        keep_bytes: u64,
    ) -> Result<Retained, StoreError> {
        let cutoff = now.plus_millis(-DAY_MS.saturating_mul(i64::from(keep_days)));
        // The tree's branches, the pages of the last commit and half-filled leaves take the rest.
        let live_max = keep_bytes - keep_bytes / 8;
        let mut bytes = self.index.bytes();
        let mut due: Vec<Arc<Segment>> = Vec::new();
        let mut left = self.index.sealed.len();
        for segment in self.index.sealed.iter() {
            let too_much = bytes > live_max && left > 1;
            if too_much || segment.held.last < cutoff {
                bytes = bytes.saturating_sub(segment.held.bytes);
                left -= 1;
                due.push(Arc::clone(segment));
            }
        }
        let more = due.len() > SEGMENTS_REMOVED_MAX;
        due.truncate(SEGMENTS_REMOVED_MAX);
        let mut done = Retained { more, ..Retained::default() };
        if !due.is_empty() {
            self.remove(&due, cutoff)?;
            done.pages_removed = due.iter().map(|segment| segment.held.records).sum();
        }
        done.oldest = self.index.segments().map(|segment| segment.held.first).min();
        done.bytes = self.index.bytes();
        Ok(done)
    }

    fn remove(&mut self, due: &[Arc<Segment>], cutoff: Timestamp) -> Result<(), StoreError> {
        let change = self.transaction()?;
        {
            let mut records = change.open_table(SEALED)?;
            let mut segments = change.open_table(SEGMENTS)?;
            for segment in due {
                let all = (segment.id, 0, 0)..=(segment.id, u32::MAX, u32::MAX);
                records.retain_in(all, |_, _| false)?;
                segments.remove(segment.id)?;
            }
        }
        let gone: HashSet<u32> = due.iter().map(|segment| segment.id).collect();
        Arc::make_mut(&mut self.index.sealed).retain(|segment| !gone.contains(&segment.id));
        let oldest = self.index.segments().map(|segment| segment.held.first).min();
        let used: HashSet<u32> =
            self.index.segments().flat_map(|s| s.held.groups.iter().copied()).collect();
        let unused: Vec<u32> =
            self.index.groups.tags.keys().copied().filter(|group| !used.contains(group)).collect();
        {
            let mut groups = change.open_table(GROUPS)?;
            for group in unused {
                groups.remove(group)?;
                Arc::make_mut(&mut self.index.groups).remove(group);
            }
            let mut table = change.open_table(GAPS)?;
            let over = |until: Timestamp| oldest.is_none_or(|oldest| until < oldest);
            for (id, _) in self.index.gaps.iter().filter(|(_, gap)| over(gap.until)) {
                table.remove(*id)?;
            }
            Arc::make_mut(&mut self.index.gaps).retain(|(_, gap)| !over(gap.until));
        }
        blocks::forget(&change, cutoff)?;
        Ok(change.commit()?)
    }
}
