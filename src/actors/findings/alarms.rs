//! Alarms as they come: limits passed and conditions, and the flood they may make.

use super::book::{About, Seen};
use super::watch::Watch;
use crate::diagnose::alarms::{FLOOD_START, FLOOD_WINDOW_S, floods};
use crate::diagnose::{Severity, Verdict};
use crate::model::{Limits, TagId, Timestamp};

/// Samples followed in one look: a thousand tags at ten samples each.
const SAMPLES_MAX: usize = 10_000;
/// History that is followed when a tag is first seen: what a ring of the cache holds.
const PAST_MAX: usize = 512;
/// How far back a flood that still lasts may have begun: a shift.
const SHIFT_MS: i64 = 8 * 3_600_000;

impl Watch {
    /// Follows limits and conditions up to now.
    pub(super) fn alarms(&mut self, now: Timestamp) {
        if self.done >= self.groups.len() {
            self.watch_limits();
        }
        let cache = self.args.cache.clone();
        let since = cache.read_since(&self.limited, &self.positions, SAMPLES_MAX);
        let face = self.args.face.clone();
        let mut desk = face.desk.lock();
        for (id, sample) in &since.samples {
            desk.sample(*id, sample);
        }
        self.positions = since.next;
        for link in self.args.directory.links() {
            desk.conditions(link.name(), &cache.conditions(link.name()), now);
        }
        let activations = desk.activations(now.plus_millis(-SHIFT_MS), now);
        drop(desk);
        self.flood(&activations, now);
    }

    /// Takes up tags that have got limits, with the history they have.
    fn watch_limits(&mut self) {
        let cache = self.args.cache.clone();
        let has_limits = |limits: &Limits| *limits != Limits::default();
        let mut tags = cache.tags();
        tags.retain(|(_, tag)| has_limits(&tag.limits));
        let ids: Vec<TagId> = tags.iter().map(|(id, _)| *id).collect();
        let face = self.args.face.clone();
        let mut desk = face.desk.lock();
        if ids != self.limited {
            // From here on, so that nothing lies between the past and what follows.
            self.positions = cache.positions(&ids);
            desk.keep(|id| ids.contains(&id));
            self.limited = ids;
            for id in &self.limited {
                let past = cache.window_last(*id, PAST_MAX);
                let Some(tag) = cache.tag(*id) else { continue };
                desk.watch(*id, &tag);
                past.iter().for_each(|sample| desk.sample(*id, &sample));
            }
            return;
        }
        for (id, tag) in &tags {
            if desk.watch(*id, tag) {
                let past = cache.window_last(*id, PAST_MAX);
                past.iter().for_each(|sample| desk.sample(*id, &sample));
            }
        }
    }

    fn flood(&self, activations: &[Timestamp], now: Timestamp) {
        let found = floods(activations, now);
        let lasting = found.floods.last().filter(|flood| flood.ended.is_none());
        let mut book = self.args.face.book.lock();
        let Some(flood) = lasting else {
            return book.absent(Verdict::AlarmFlood, &About::Collector, now);
        };
        let began = activations.get(flood.first).copied().unwrap_or(now);
        let summary = format!(
            "{} alarms since it began, {} within ten minutes at the worst; {FLOOD_START} within \
             {FLOOD_WINDOW_S} s start a flood",
            flood.last - flood.first + 1,
            flood.peak,
        );
        let next = "otctl diag alarms".to_owned();
        let seen = Seen::new(Severity::Medium, began, summary, next);
        book.found(Verdict::AlarmFlood, About::Collector, seen, now);
    }
}
