//! Tags, group by group: the detectors over the cache, and the clocks of their sources.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::book::{About, Book, Judged, Seen};
use super::face::Round;
use super::links::LinkNow;
use super::watch::{Group, Watch};
use crate::cache::{Latest, TagCache};
use crate::clock;
use crate::diagnose::detect::{DETECTORS, Detector, LaterSignals, Neighbours, Signal, Subject};
use crate::diagnose::{
    Finding, Judgement, Rest, Severity, Verdict, fresh_offsets_ms, names_no_item, skew,
};
use crate::model::{EndpointName, Tag, TagId, Timestamp, Window};

/// Samples of a tag that are judged: what a ring of the cache holds.
pub(crate) const WINDOW: usize = 512;
/// Tags judged with each other at once: more than a machine has.
const GROUP_MAX: usize = 48;
/// Neighbours a detector is shown.
const NEIGHBOURS_MAX: usize = 12;
/// What a look may take: a tenth of one core at two looks a second.
const LOOK_MS: u64 = 50;
/// A round through all tags begins this often at most.
const ROUND_MS: u64 = 2_000;
/// The newest offsets of one tag's clock that count.
const OFFSETS_OF_TAG: usize = 8;
/// Offsets of one endpoint's clock that count.
const OFFSETS_MAX: usize = 512;

impl Watch {
    /// Goes on through the tags as long as there is time.
    pub(super) fn tags(&mut self, links: &HashMap<EndpointName, LinkNow>, now: Timestamp) {
        let began_ms = clock::uptime_ms();
        if self.done >= self.groups.len() {
            if self.round.is_some() && began_ms.saturating_sub(self.began_ms) < ROUND_MS {
                return;
            }
            self.begin_round(began_ms, now);
        }
        while let Some(group) = self.groups.get(self.done).cloned() {
            self.examine(&group, links, now);
            self.done += 1;
            if clock::uptime_ms().saturating_sub(began_ms) >= LOOK_MS {
                break;
            }
        }
        if self.done >= self.groups.len() {
            self.end_round(now);
        }
    }

    fn begin_round(&mut self, began_ms: u64, now: Timestamp) {
        self.tidy(now);
        self.groups = groups(self.args.cache.tags());
        (self.done, self.judged, self.began_ms) = (0, 0, began_ms);
        self.offsets.clear();
    }

    fn end_round(&mut self, now: Timestamp) {
        self.skews = self
            .offsets
            .iter()
            .filter_map(|(name, (offsets, scan_ms))| Some((name.clone(), skew(offsets, *scan_ms)?)))
            .collect();
        let took_ms = clock::uptime_ms().saturating_sub(self.began_ms);
        self.round = Some(Round { tags: self.judged, took_ms, ended: now });
    }

    fn examine(&mut self, group: &Group, links: &HashMap<EndpointName, LinkNow>, now: Timestamp) {
        let cache = self.args.cache.clone();
        let mut found = Vec::new();
        for (id, tag) in group {
            let Some(link) = links.get(&tag.endpoint) else { continue };
            if link.is_down || link.is_dead(tag.unit) {
                continue;
            }
            let window = cache.window_last(*id, WINDOW);
            self.note_offsets(tag, &window);
            let mut signal = Signal::of(&window);
            self.courses.follow(*id, &mut signal);
            found.push((id, tag, link, signal, window));
        }
        let face = self.args.face.clone();
        let mut book = face.book.lock();
        for (at, (id, tag, link, signal, window)) in found.iter().enumerate() {
            self.judged += 1;
            let latest = cache.latest(**id);
            if address(tag, **id, link, latest.as_ref(), &mut book, now) || !link.is_settled {
                continue;
            }
            let others = found.iter().enumerate().filter(|(other, _)| *other != at);
            let beside = others.map(|(_, (id, _, _, signal, _))| (**id, signal));
            let (ids, neighbours): (Vec<TagId>, Vec<&Signal>) = beside.take(NEIGHBOURS_MAX).unzip();
            let course = |id| self.courses.extent(id);
            let subject = Subject {
                signal,
                tag: Some(tag),
                neighbours: Neighbours::Ready(&neighbours),
                seen: latest.as_ref().and_then(|latest| confirmed(latest, now)),
                from: None,
                now,
            };
            let judged = |detector: &Detector, from| {
                let ends = window.received.first().zip(window.received.last());
                ends.map(|(first, last)| Judged {
                    detector: detector.name,
                    first: *first,
                    last: *last,
                    course: course(**id),
                    neighbours: ids.iter().map(|id| (*id, course(*id))).collect(),
                    from,
                    seen: subject.seen,
                    now,
                })
            };
            detect(&subject, (**id, tag), &judged, &mut book);
        }
    }

    fn note_offsets(&mut self, tag: &Tag, window: &Window) {
        let fresh = fresh_offsets_ms(window);
        if fresh.is_empty() {
            return;
        }
        let (offsets, scan_ms) = self.offsets.entry(tag.endpoint.clone()).or_default();
        let newest = fresh.iter().rev().take(OFFSETS_OF_TAG);
        let room = OFFSETS_MAX.saturating_sub(offsets.len());
        offsets.extend(newest.take(room));
        *scan_ms = (*scan_ms).max(tag.scan.scan_ms);
    }
}

/// Gives the wall time at which the link last confirmed a sample.
pub(crate) fn confirmed(latest: &Latest, now: Timestamp) -> Option<Timestamp> {
    let ago = clock::uptime_ms().saturating_sub(latest.seen_uptime_ms?);
    Some(now.plus_millis(-i64::try_from(ago).ok()?))
}

/// Gathers the tags of an area, or of a unit where they name none, in parts that fit.
fn groups(tags: Vec<(TagId, Arc<Tag>)>) -> Vec<Group> {
    let mut by_place: BTreeMap<(Arc<str>, u8), Group> = BTreeMap::new();
    for (id, tag) in tags {
        let place = match tag.area.is_empty() {
            true => (tag.endpoint.clone(), tag.unit.0),
            false => (tag.area.clone(), 0),
        };
        by_place.entry(place).or_default().push((id, tag));
    }
    let parts = |group: Group| group.chunks(GROUP_MAX).map(<[_]>::to_vec).collect::<Vec<_>>();
    by_place.into_values().flat_map(parts).collect()
}

/// Gives the tags that are judged with this one.
pub(crate) fn neighbours_of(cache: &TagCache, id: TagId) -> Vec<TagId> {
    cache.beside(id, GROUP_MAX, NEIGHBOURS_MAX)
}

/// Makes the tags that are judged with this one ready, if a detector asks for them.
pub(crate) fn beside(cache: &Arc<TagCache>, id: TagId) -> LaterSignals {
    let cache = Arc::clone(cache);
    LaterSignals::new(Box::new(move || {
        let beside = neighbours_of(&cache, id).into_iter();
        beside.map(|other| Signal::of(&cache.window_last(other, WINDOW))).collect()
    }))
}

/// Judges whether the device has such an item; `true` where it has not.
fn address(
    tag: &Tag,
    id: TagId,
    link: &LinkNow,
    latest: Option<&Latest>,
    book: &mut Book,
    now: Timestamp,
) -> bool {
    let about = About::Tag(id);
    let quality = latest.map(|latest| latest.sample.quality);
    let is_refused = link.refused.contains(&id) || quality.is_some_and(names_no_item);
    if !is_refused {
        if latest.is_some() {
            book.absent(Verdict::BadAddress, &about, now);
        }
        return false;
    }
    let since = latest.map_or(now, |latest| latest.sample.received_ts);
    let says = quality.map_or_else(String::new, |quality| format!(": {}", quality.name()));
    let summary = format!("{} is refused{says}", tag.address);
    let next = format!("otctl why {}", tag.name);
    let seen = Seen {
        tag: Some(tag.name.clone()),
        endpoint: Some(tag.endpoint.clone()),
        ..Seen::new(Severity::High, since, summary, next)
    };
    book.found(Verdict::BadAddress, about, seen, now);
    true
}

/// Runs every detector over a tag's window; what does not come is not judged by how it moves.
fn detect(
    subject: &Subject<'_>,
    (id, tag): (TagId, &Tag),
    judged: &dyn Fn(&Detector, Option<Rest>) -> Option<Judged>,
    book: &mut Book,
) {
    for detector in DETECTORS {
        let about = About::Tag(id);
        let from = book.rest(detector.verdicts, &about);
        let judgement = detector.judge(&Subject { from, ..*subject });
        let verdict = judgement.finding().map(|finding| finding.verdict);
        if judgement.is_evaluated() {
            let others = detector.verdicts.iter().filter(|other| Some(**other) != verdict);
            others.for_each(|other| book.absent(*other, &about, subject.now));
        }
        let Judgement::Found(finding) = judgement else { continue };
        let is_silent = is_silence(finding.verdict);
        let seen = seen(finding, tag, judged(detector, from));
        if let Some(verdict) = verdict {
            book.found(verdict, about, seen, subject.now);
        }
        if is_silent {
            return;
        }
    }
}

/// Tells whether a verdict says that nothing comes.
pub(crate) fn is_silence(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::NeverRead
            | Verdict::Stale
            | Verdict::GoodButStale
            | Verdict::DeadHeartbeat
            | Verdict::BadQuality
    )
}

/// Writes a number to four decimals at most, a small one by its power of ten.
pub(super) fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn seen(found: Finding, tag: &Tag, window: Option<Judged>) -> Seen {
    let evidence = &found.evidence;
    let summary = match (evidence.value, evidence.bound) {
        (value, 0.0) => format!("{}: {}", evidence.measured, short(value)),
        (value, bound) => {
            format!("{}: {}, the bound is {}", evidence.measured, short(value), short(bound))
        }
    };
    let next = found.next_for(&tag.name);
    Seen {
        tag: Some(tag.name.clone()),
        endpoint: Some(tag.endpoint.clone()),
        window,
        evidence: Some(found.evidence),
        ..Seen::new(found.severity, found.since, summary, next)
    }
}
