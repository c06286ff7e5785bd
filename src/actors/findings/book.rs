//! The book of open findings: what opens one, what closes it, and what is laid aside.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::diagnose::detect::CourseExtent;
use crate::diagnose::{Evidence, Rest, Severity, Verdict};
use crate::model::{EndpointName, TagId, TagName, Timestamp, UnitId};

/// Findings open at once: a screen shows twenty, and a plant with more has one cause for most.
pub const OPEN_MAX: usize = 1000;
/// Things seen once that may become findings.
const PENDING_MAX: usize = 10_000;
/// What a link or a unit says must last this long to open a finding, and be gone this long to
/// close it: shorter is a reconnect.
const LINK_HOLD_MS: i64 = 2_000;
/// The same for what a window shows. The window itself remembers.
const WINDOW_OPEN_MS: i64 = 1_000;
/// See [`WINDOW_OPEN_MS`].
const WINDOW_CLOSE_MS: i64 = 5_000;
/// What nobody looked at for so long, since its tag has gone, is closed.
const UNSEEN_MAX_MS: i64 = 3_600_000;

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum About {
    /// The collector itself.
    Collector,
    /// An endpoint.
    Endpoint(EndpointName),
    /// A unit behind an endpoint.
    Unit(EndpointName, UnitId),
    /// A tag.
    Tag(TagId),
    /// The tags of an asset together.
    Asset(Arc<str>),
}

/// What was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The name of the tag it is about, where it is about one.
    pub tag: Option<TagName>,
    /// The endpoint, where there is one.
    pub endpoint: Option<EndpointName>,
    /// How much it matters.
    pub severity: Severity,
    /// Since when, as far as the evidence shows.
    pub since: Timestamp,
    /// What shows it, in our own words.
    pub summary: String,
    /// What it rests on, where it rests on a window.
    pub evidence: Option<Evidence>,
    /// The detector that judged the window, and its first and last sample.
    pub window: Option<Judged>,
    /// Tags that say nothing while this lasts.
    pub suppresses: usize,
    /// The command to run next.
    pub next: String,
}

impl Seen {
    /// Makes what is seen of the collector as a whole, without a window.
    pub(super) const fn new(
        severity: Severity,
        since: Timestamp,
        summary: String,
        next: String,
    ) -> Self {
        Self {
            tag: None,
            endpoint: None,
            severity,
            since,
            summary,
            evidence: None,
            window: None,
            suppresses: 0,
            next,
        }
    }
}

/// The window that a detector judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The detector's name.
    pub detector: &'static str,
    /// The first sample's time.
    pub first: Timestamp,
    /// The last sample's time.
    pub last: Timestamp,
    /// How far back its long run went, where it had one.
    pub course: Option<CourseExtent>,
    /// The tags it was judged beside, with theirs.
    pub neighbours: Vec<(TagId, Option<CourseExtent>)>,
    /// What it was measured from, where that was noted when the finding was opened.
    pub from: Option<Rest>,
    /// When the link had last proved alive for it.
    pub seen: Option<Timestamp>,
    /// The instant it was judged by.
    pub now: Timestamp,
}

/// One open finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Its name: the same as long as it is open.
    pub id: String,
    /// What is wrong.
    pub verdict: Verdict,
    /// What it is about.
    pub about: About,
    /// When it was opened.
    pub opened: Timestamp,
    /// What was seen last.
    pub seen: Seen,
    /// It is the consequence of another finding that is open.
    pub is_suppressed: bool,
    last_seen: Timestamp,
    absent_since: Option<Timestamp>,
}

#[cfg(test)]
impl Open {
    /// Makes one that was opened at the beginning of time.
    pub(super) fn testing(verdict: Verdict, about: About, seen: Seen) -> Self {
        let opened = Timestamp::default();
        Self {
            id: id(verdict, &about, opened),
            verdict,
            about,
            opened,
            seen,
            is_suppressed: false,
            last_seen: opened,
            absent_since: None,
        }
    }
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// It was opened.
    Opened(Open),
    /// It was closed.
    Closed(Open),
}

type Key = (Verdict, About);

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book {
    open: BTreeMap<Key, Open>,
    pending: HashMap<Key, Timestamp>,
    /// Findings that had no room.
    pub(super) left_out: u64,
    turns: Vec<Turn>,
}

impl Book {
    /// Notes that something is wrong now.
    pub(super) fn found(&mut self, verdict: Verdict, about: About, seen: Seen, now: Timestamp) {
        let key = (verdict, about);
        if let Some(open) = self.open.get_mut(&key) {
            // The beginning stays what it was when it was opened.
            let since = open.seen.since.min(seen.since);
            open.seen = Seen { since, ..seen };
            (open.last_seen, open.absent_since) = (now, None);
            return;
        }
        let Some(first) = self.pending.get(&key).copied() else {
            if self.pending.len() < PENDING_MAX {
                self.pending.insert(key, now);
            }
            return;
        };
        if now.millis_since(first) < open_after_ms(verdict) {
            return;
        }
        self.pending.remove(&key);
        if self.open.len() >= OPEN_MAX {
            self.left_out += 1;
            return;
        }
        let (verdict, about) = key.clone();
        let opened = Open {
            id: id(verdict, &about, now),
            verdict,
            about,
            opened: now,
            seen,
            is_suppressed: false,
            last_seen: now,
            absent_since: None,
        };
        self.turns.push(Turn::Opened(opened.clone()));
        self.open.insert(key, opened);
    }

    /// Tells whether a finding of this is open.
    pub(super) fn is_open(&self, verdict: Verdict, about: &About) -> bool {
        self.open.contains_key(&(verdict, about.clone()))
    }

    /// Gives what an open finding of one of these was measured from.
    pub(super) fn rest(&self, verdicts: &[Verdict], about: &About) -> Option<Rest> {
        let mut open = verdicts.iter().filter_map(|v| self.open.get(&(*v, about.clone())));
        open.find_map(|open| open.seen.evidence.as_ref()?.from)
    }

    /// Notes that something was looked for and is not wrong.
    pub(super) fn absent(&mut self, verdict: Verdict, about: &About, now: Timestamp) {
        let key = (verdict, about.clone());
        self.pending.remove(&key);
        let Some(open) = self.open.get_mut(&key) else { return };
        open.last_seen = now;
        let since = *open.absent_since.get_or_insert(now);
        if now.millis_since(since) >= close_after_ms(verdict) {
            self.close(&key);
        }
    }

    /// Closes what is about tags and endpoints that are no more, and what nobody has looked at.
    pub(super) fn tidy(&mut self, is_there: impl Fn(&About) -> bool, now: Timestamp) {
        let is_over = |open: &Open| {
            !is_there(&open.about) || now.millis_since(open.last_seen) > UNSEEN_MAX_MS
        };
        let over: Vec<Key> = self
            .open
            .iter()
            .filter(|(_, open)| is_over(open))
            .map(|(key, _)| key.clone())
            .collect();
        over.iter().for_each(|key| self.close(key));
        self.pending.retain(|_, first| now.millis_since(*first) < UNSEEN_MAX_MS);
    }

    /// Lays aside what is a consequence of what this says is the cause.
    pub(super) fn suppress(&mut self, is_consequence: impl Fn(&Open) -> bool, now: Timestamp) {
        for open in self.open.values_mut() {
            open.is_suppressed = is_consequence(open);
            if open.is_suppressed {
                open.last_seen = now;
            }
        }
    }

    /// Gives what is open, the worst and oldest first, and what has changed since the last time.
    pub(super) fn take(&mut self) -> (Vec<Open>, Vec<Turn>) {
        let mut all: Vec<Open> = self.open.values().cloned().collect();
        all.sort_by(|a, b| {
            let rank = |open: &Open| (open.is_suppressed, std::cmp::Reverse(open.seen.severity));
            (rank(a), a.seen.since, &a.id).cmp(&(rank(b), b.seen.since, &b.id))
        });
        (all, std::mem::take(&mut self.turns))
    }

    fn close(&mut self, key: &Key) {
        if let Some(open) = self.open.remove(key) {
            self.turns.push(Turn::Closed(open));
        }
    }
}

fn open_after_ms(verdict: Verdict) -> i64 {
    if is_of_link(verdict) { LINK_HOLD_MS } else { WINDOW_OPEN_MS }
}

fn close_after_ms(verdict: Verdict) -> i64 {
    if is_of_link(verdict) { LINK_HOLD_MS } else { WINDOW_CLOSE_MS }
}

/// Tells what the published reports say from what a window shows.
fn is_of_link(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::EndpointDown
            | Verdict::CertificateRejected
            | Verdict::UnitDead
            | Verdict::QueueFull
            | Verdict::ClockWrong
            | Verdict::AlarmFlood
    )
}

/// Names a finding by what it is, what it is about and when it was opened (FNV-1a, 32 bits): a
/// name that is never given to another, after a restart neither.
fn id(verdict: Verdict, about: &About, opened: Timestamp) -> String {
    let text = format!("{verdict:?} {about:?} {}", opened.nanos());
    let hash = text
        .bytes()
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("F-{hash:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn seen(s: i64) -> Seen {
        Seen::new(Severity::High, at(s), String::new(), String::new())
    }

    fn tag(n: u32) -> About {
        About::Tag(TagId(n))
    }

    #[test]
    fn a_moment_opens_nothing_and_a_moment_closes_nothing() {
        let mut book = Book::default();
        let verdict = Verdict::EndpointDown;
        let about = About::Endpoint("plc".into());
        book.found(verdict, about.clone(), seen(0), at(0));
        book.absent(verdict, &about, at(1500));
        book.found(verdict, about.clone(), seen(0), at(1600));
        assert!(book.take().0.is_empty());
        book.found(verdict, about.clone(), seen(7), at(3700));
        let (open, turns) = book.take();
        assert_eq!((open.len(), turns.len()), (1, 1));
        book.absent(verdict, &about, at(4000));
        book.found(verdict, about.clone(), seen(9), at(5000));
        book.absent(verdict, &about, at(5100));
        assert_eq!(book.take().0[0].seen.since, at(7));
        book.absent(verdict, &about, at(7200));
        let (open, turns) = book.take();
        assert!(open.is_empty() && matches!(&turns[..], [Turn::Closed(_)]));
    }

    #[test]
    fn more_than_fit_are_counted() {
        let mut book = Book::default();
        for n in 0..1010 {
            for ms in [0, 2000] {
                book.found(Verdict::Stale, tag(n), seen(0), at(ms));
            }
        }
        assert_eq!((book.take().0.len(), book.left_out), (OPEN_MAX, 10));
    }

    #[test]
    fn what_is_gone_is_closed_and_what_is_a_consequence_stands_last() {
        let mut book = Book::default();
        for (n, verdict) in [(1, Verdict::Stale), (2, Verdict::Flatline), (3, Verdict::Drift)] {
            for ms in [0, 2000] {
                book.found(verdict, tag(n), seen(i64::from(n)), at(ms));
            }
        }
        book.suppress(|open| open.about == tag(1), at(2100));
        let (open, _) = book.take();
        let order: Vec<_> = open.iter().map(|open| open.about.clone()).collect();
        assert_eq!(order, [tag(2), tag(3), tag(1)]);
        book.tidy(|about| *about != tag(2), at(2200));
        assert_eq!(book.take().0.len(), 2);
        book.tidy(|_| true, at(2200 + UNSEEN_MAX_MS));
        assert!(book.take().0.is_empty());
    }

    #[test]
    fn two_openings_of_one_thing_have_two_names() {
        let name = |ms| id(Verdict::Stale, &tag(1), at(ms));
        assert_ne!(name(0), name(1));
        assert_eq!(name(0), name(0));
    }
}
