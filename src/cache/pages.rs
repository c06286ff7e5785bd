//! Handing history to the store.

use std::collections::HashMap;
use std::sync::Arc;

use super::TagCache;
use super::group::{Group, Rings};
use super::lines::Clocks;
use super::raw::{Raw, Span};
use crate::model::{Column, Pages, Quality, ScanPage, StreamPage, Timestamp, Value, Window};

/// Nothing is left of the value; the count of lost samples says so too.
const BAD_NO_DATA: Quality = Quality::from_status(0x809B_0000);

/// How far the store has taken the history. Start with the default; one taker a cache.
#[derive(Debug, Clone, Default)]
pub struct TakenUpTo {
    /// Per group the next row of each ring; a scan group has one ring.
    next: HashMap<u32, Vec<u64>>,
}

impl TagCache {
    /// Takes everything that was appended since the last call, group by group, and counts what
    /// was overwritten before it could be taken.
    pub fn take_pages(&self, at: &mut TakenUpTo) -> Pages {
        let (live, retired, dropped) = {
            let mut groups = self.groups.write();
            groups.taken = true;
            let (retired, dropped) = groups.take_retired();
            (groups.live().to_vec(), retired, dropped)
        };
        let mut pages = Pages::default();
        for (id, ever) in dropped {
            let taken = at.next.remove(&id).map_or(0, |next| next.iter().sum());
            pages.lost += ever.saturating_sub(taken);
        }
        for group in &retired {
            self.take(group, at, &mut pages);
            at.next.remove(&group.id);
        }
        for group in &live {
            self.take(group, at, &mut pages);
        }
        pages
    }

    fn take(&self, group: &Arc<Group>, at: &mut TakenUpTo, pages: &mut Pages) {
        let width = group.tags.len();
        let next = at.next.entry(group.id).or_insert_with(|| vec![0; width]);
        match &group.rings {
            Rings::Scan(ring) if ring.clocks() == Clocks::Ours => {
                if let Some(page) = self.take_rows(group, next, &mut pages.lost) {
                    pages.scans.push(page);
                }
            }
            // Rows that share one time only are a page; a device's own times go tag by tag.
            Rings::Scan(_) | Rings::Stream(_) => {
                for ((column, tag), next) in group.tags.iter().enumerate().zip(next) {
                    let end = group.readable(column).end;
                    if end == *next {
                        continue;
                    }
                    let mut window = Window::default();
                    let mut raw = Raw::default();
                    let span = Span::Rows { from: *next, before: end, max: usize::MAX };
                    group.read(column, span, &mut raw);
                    group.push_to(column, &raw, &self.codes, &mut window);
                    window.lost = (end - *next) - super::protocol::count(window.len());
                    pages.lost += window.lost;
                    pages.streams.push(StreamPage { tag: *tag, window });
                    *next = end;
                }
            }
        }
    }

    fn take_rows(&self, group: &Group, next: &mut [u64], lost: &mut u64) -> Option<ScanPage> {
        use super::protocol::{count, index};
        let width = group.tags.len();
        let from = next.first().copied()?;
        let end = group.readable(0).end;
        if end == from {
            return None;
        }
        next.fill(end);
        let mut first = from;
        let mut received = Vec::new();
        let mut columns = Vec::with_capacity(width);
        let mut raw = Raw::default();
        for column in 0..width {
            group.read(column, Span::Rows { from, before: end, max: usize::MAX }, &mut raw);
            let start = raw.first.min(end);
            let rows = index(end - start);
            let mut to =
                Column { values: vec![Value::Null; rows], qualities: vec![BAD_NO_DATA; rows] };
            *lost += count(rows);
            for (row, sample) in group.samples(column, &raw, &self.codes) {
                let nth = index(row - start);
                if let (Some(sample), Some(value), Some(quality)) =
                    (sample, to.values.get_mut(nth), to.qualities.get_mut(nth))
                {
                    (*value, *quality) = (sample.value, sample.quality);
                    *lost -= 1;
                }
            }
            if start >= first {
                first = start;
                received.clear();
                received.extend(raw.times.iter().map(|time| Timestamp::from_nanos(*time)));
            }
            columns.push(to);
        }
        // The writer may have lapped some columns further than others: a page is a rectangle.
        let rows = index(end - first);
        for column in &mut columns {
            let surplus = column.values.len() - rows;
            column.values.drain(..surplus);
            column.qualities.drain(..surplus);
        }
        *lost += (first - from) * count(width);
        (rows > 0).then(|| ScanPage { tags: Arc::clone(&group.tags), received, columns })
    }
}
