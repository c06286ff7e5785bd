//! The book of tickets: what is open, what is done, what the next one is called.

use std::collections::BTreeMap;

use crate::gate::Moment;
use crate::model::{Dossier, MocState};

/// Finished tickets that stay at hand; older ones stand in the audit.
const FINISHED_MAX: usize = 500;

/// One write that went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    wall_ms: i64,
    boot: u64,
    uptime_ms: u64,
}

/// Counts the writes of a stretch of time. Setting the wall clock hides none of this run, and one
/// that lies in the future counts.
pub(super) fn writes_within(done: &[Done], within_ms: u64, now: Moment) -> u32 {
    let is_within = |one: &&Done| {
        let by_wall = now.wall_ms.saturating_sub(one.wall_ms);
        let recent = i64::try_from(within_ms).is_ok_and(|ms| by_wall < ms);
        recent || (one.boot == now.boot && now.uptime_ms.saturating_sub(one.uptime_ms) < within_ms)
    };
    u32::try_from(done.iter().filter(is_within).count()).unwrap_or(u32::MAX)
}

/// Every ticket at hand, by number.
#[derive(Debug, Default)]
pub(crate) struct Book {
    dossiers: BTreeMap<u64, Dossier>,
    last: u64,
}

impl Book {
    /// Takes in what was kept.
    pub(super) fn restore(&mut self, dossier: Dossier) {
        if let Some(number) = dossier.number() {
            self.last = self.last.max(number);
            self.dossiers.insert(number, dossier);
        }
    }

    /// Gives the number of the next ticket.
    pub(super) fn next_number(&self) -> u64 {
        self.last + 1
    }

    /// Puts a ticket in its place, and gives the ids of those that have to make room.
    pub(super) fn put(&mut self, dossier: Dossier) -> Vec<String> {
        self.restore(dossier);
        let is_finished = |d: &Dossier| !d.state.is_open() && !d.state.is_in_doubt();
        let finished = self.dossiers.iter().filter(|(_, d)| is_finished(d)).map(|(n, _)| *n);
        let finished: Vec<u64> = finished.collect();
        let surplus = finished.len().saturating_sub(FINISHED_MAX);
        let gone = finished.iter().take(surplus).filter_map(|n| self.dossiers.remove(n));
        gone.map(|d| d.ticket.id).collect()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Dossier> {
        let number: u64 = id.strip_prefix("MOC-")?.parse().ok()?;
        self.dossiers.get(&number).filter(|d| d.ticket.id == id)
    }

    /// Lists them, the newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dossier> {
        self.dossiers.values().rev()
    }

    /// Counts the open tickets of a user.
    pub(super) fn open_of(&self, uid: u32) -> u32 {
        let is_open = |d: &&Dossier| d.state.is_open() && d.ticket.requester_uid == uid;
        u32::try_from(self.all().filter(is_open).count()).unwrap_or(u32::MAX)
    }

    /// Tells whether a tag has a write whose end nobody knows.
    pub(super) fn in_doubt(&self, tag: &str) -> Option<&Dossier> {
        self.all().find(|d| d.state.is_in_doubt() && d.ticket.tag == tag)
    }

    /// Lists what may have gone out to a tag.
    pub(super) fn writes_of(&self, tag: &str) -> Vec<Done> {
        let of_tag = self.all().filter(|d| d.ticket.tag == tag && d.writes > 0);
        of_tag
            .filter_map(|d| {
                let wall_ms = d.executed_ms?;
                // The monotonic moment isn't kept: the latest it can have been is as good.
                let later = wall_ms.saturating_sub(d.ticket.created_ms);
                let later = u64::try_from(later).unwrap_or(0);
                let uptime_ms = d.opened_uptime_ms.saturating_add(later);
                Some(Done { wall_ms, boot: d.boot, uptime_ms })
            })
            .collect()
    }

    /// Lists the ids of tickets in some state.
    pub(super) fn ids(&self, wanted: impl Fn(MocState) -> bool) -> Vec<String> {
        self.all().filter(|d| wanted(d.state)).map(|d| d.ticket.id.clone()).collect()
    }
}
