//! What the published reports say of endpoints, units and the store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::book::{About, Book, Seen};
use super::face::Loss;
use super::tags::WINDOW;
use super::watch::Watch;
use crate::actors::Link;
use crate::actors::observed::{Fault, LinkReport};
use crate::diagnose::{Severity, TraceLink, Verdict};
use crate::driver::ErrorKind;
use crate::model::{EndpointName, LinkState, TagId, Timestamp, UnitId};

/// A loss is news for so long.
const LOSS_MS: i64 = 60_000;
/// Tags whose history says when an endpoint was last well.
const TAGS_ASKED: usize = 16;
/// What just came up again is not judged by the gap it had.
const SETTLE_MS: i64 = 10_000;

/// A connection as it is now.
pub(super) struct LinkNow {
    /// No session, and a failure says why.
    pub(super) is_down: bool,
    /// It has been up long enough to judge what comes.
    pub(super) is_settled: bool,
    dead: BTreeSet<UnitId>,
    /// Tags refused as they are defined.
    pub(super) refused: Arc<HashSet<TagId>>,
}

impl LinkNow {
    /// Tells whether a unit is left alone.
    pub(super) fn is_dead(&self, unit: UnitId) -> bool {
        self.dead.contains(&unit)
    }
}

/// Gives the failure that keeps the whole connection down; one of a unit does not.
pub(crate) fn present_fault(report: &LinkReport) -> Option<&Fault> {
    let fault = report.last_error.as_ref()?;
    let is_overcome =
        TraceLink::is_overcome(report.state, report.since, report.last_good, fault.at);
    (report.state != LinkState::Up && !is_overcome && fault.error.unit.is_none()).then_some(fault)
}

impl Watch {
    /// Judges every connection, and says how each is.
    pub(super) fn links(&mut self, now: Timestamp) -> HashMap<EndpointName, LinkNow> {
        let mut all = HashMap::new();
        let face = self.args.face.clone();
        let mut book = face.book.lock();
        for link in self.args.directory.links() {
            let report = link.report();
            let down = self.down(&link, &report, &mut book, now);
            let dead = if down { BTreeSet::new() } else { units(&link, &report, &mut book, now) };
            self.losses(&link, &report, &mut book, now);
            self.clock(&link, &mut book, now);
            let refused = Arc::new(report.quarantined.iter().map(|(id, _)| *id).collect());
            let is_up = report.state == LinkState::Up;
            for name in &link.names {
                let now = LinkNow {
                    is_down: down,
                    is_settled: is_up && now.millis_since(report.since) >= SETTLE_MS,
                    dead: dead.clone(),
                    refused: Arc::clone(&refused),
                };
                all.insert(name.clone(), now);
            }
        }
        self.store(&mut book, now);
        all
    }

    /// Judges the connection as a whole, and tells whether it is down.
    fn down(&self, link: &Link, report: &LinkReport, book: &mut Book, now: Timestamp) -> bool {
        let about = About::Endpoint(link.name().clone());
        let verdicts = [Verdict::EndpointDown, Verdict::CertificateRejected];
        // Where nothing is scanned, a failed call is the caller's to hear of.
        let fault = present_fault(report).filter(|_| !link.spec.tags.is_empty());
        let Some(fault) = fault else {
            // While it connects nothing is known.
            if report.state != LinkState::Connecting {
                verdicts.iter().for_each(|verdict| book.absent(*verdict, &about, now));
            }
            return false;
        };
        let (verdict, other) = match fault.error.kind {
            ErrorKind::CertificateRejected => (Verdict::CertificateRejected, Verdict::EndpointDown),
            _ => (Verdict::EndpointDown, Verdict::CertificateRejected),
        };
        let is_cert = verdict == Verdict::CertificateRejected;
        // An open finding knows its beginning.
        let before = || (!book.is_open(verdict, &about)).then(|| self.last_good(link)).flatten();
        let since = report.last_good.or_else(before);
        let since = since.unwrap_or(report.since.min(fault.at));
        let mut seen = of_endpoint(link, since, fault.error.with_hint());
        seen.suppresses = link.spec.tags.len();
        if is_cert {
            "otctl cert list".clone_into(&mut seen.next);
        }
        book.absent(other, &about, now);
        book.found(verdict, about, seen, now);
        true
    }

    /// Gives when the last Good sample of an endpoint came: what was not up in this run was in
    /// the run before, whose history is still there.
    fn last_good(&self, link: &Link) -> Option<Timestamp> {
        let cache = &self.args.cache;
        let last_of = |id: TagId| {
            let window = cache.window_last(id, WINDOW);
            let mut newest = window.received.iter().zip(&window.qualities).rev();
            // What was Good in the run before is the last usable value in this one.
            newest.find(|(_, quality)| !quality.is_bad()).map(|(at, _)| *at)
        };
        let tags = link.spec.tags.iter().take(TAGS_ASKED);
        tags.filter_map(|tag| last_of(cache.resolve(&tag.name)?)).max()
    }

    fn losses(&mut self, link: &Link, report: &LinkReport, book: &mut Book, now: Timestamp) {
        let name = link.name();
        let known = self.losses.get(name).copied();
        let grown = report.lost > known.map_or(0, |loss| loss.samples);
        if grown {
            self.losses.insert(name.clone(), Loss { at: now, samples: report.lost });
        }
        let about = About::Endpoint(name.clone());
        let recent = self.losses.get(name).filter(|loss| now.millis_since(loss.at) < LOSS_MS);
        let Some(loss) = recent else { return book.absent(Verdict::QueueFull, &about, now) };
        let summary = format!("{} samples were lost on the way in", loss.samples);
        let seen = Seen {
            severity: Severity::Medium,
            next: format!("otctl endpoint status {name}"),
            ..of_endpoint(link, loss.at, summary)
        };
        book.found(Verdict::QueueFull, about, seen, now);
    }

    fn clock(&self, link: &Link, book: &mut Book, now: Timestamp) {
        let about = About::Endpoint(link.name().clone());
        let skew = link.names.iter().find_map(|name| self.skews.get(name));
        match skew {
            Some(skew) if skew.is_wrong() => {
                let summary = format!("the device's clock is {}", skew.words());
                let seen = Seen { severity: Severity::Medium, ..of_endpoint(link, now, summary) };
                book.found(Verdict::ClockWrong, about, seen, now);
            }
            Some(_) => book.absent(Verdict::ClockWrong, &about, now),
            None => {}
        }
    }

    /// Judges the store: what can't be stored waits, and is lost when the rings come round.
    fn store(&mut self, book: &mut Book, now: Timestamp) {
        let report = self.args.historian.report.lock().clone();
        if report.lost > self.store_loss.map_or(0, |loss| loss.samples) {
            self.store_loss = Some(Loss { at: now, samples: report.lost });
        }
        let recent = self.store_loss.filter(|loss| now.millis_since(loss.at) < LOSS_MS);
        let summary = match (&report.fault, recent) {
            (Some(fault), _) => format!("history is not being stored: {fault}"),
            (None, Some(loss)) => {
                format!("{} samples were overwritten before they could be stored", loss.samples)
            }
            (None, None) => return book.absent(Verdict::QueueFull, &About::Collector, now),
        };
        let since = report.last_commit.unwrap_or(now);
        let seen = Seen::new(Severity::High, since, summary, "otctl status".to_owned());
        book.found(Verdict::QueueFull, About::Collector, seen, now);
    }
}

fn of_endpoint(link: &Link, since: Timestamp, summary: String) -> Seen {
    let next = format!("otctl endpoint status {}", link.name());
    let endpoint = Some(link.name().clone());
    Seen { endpoint, ..Seen::new(Severity::High, since, summary, next) }
}

/// Judges the units behind a connection, and gives the dead ones.
fn units(link: &Link, report: &LinkReport, book: &mut Book, now: Timestamp) -> BTreeSet<UnitId> {
    let mut dead = BTreeSet::new();
    for unit in &report.units {
        let Some(fault) = &unit.fault else { continue };
        dead.insert(unit.unit);
        let tags = link.spec.tags.iter().filter(|tag| tag.unit == unit.unit).count();
        let mut seen = of_endpoint(link, fault.at, fault.error.with_hint());
        seen.suppresses = tags;
        let about = About::Unit(link.name().clone(), unit.unit);
        book.found(Verdict::UnitDead, about, seen, now);
    }
    let known: BTreeSet<UnitId> = report.slices.iter().map(|slice| slice.unit).collect();
    for unit in known.difference(&dead) {
        let about = About::Unit(link.name().clone(), *unit);
        book.absent(Verdict::UnitDead, &about, now);
    }
    dead
}
