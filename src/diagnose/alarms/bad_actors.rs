//! Who makes the alarms, and whether an operator can keep up (`alarm_bad_actors`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::event::AlarmEvent;
use super::flood::{FLOOD_START, Floods, floods};
use super::kpi::{SHIFT_S, Shift, shifts};
use super::life::Life;
use super::sequence::pairs;
use crate::diagnose::Unjudged;
use crate::diagnose::spread::round;
use crate::model::Timestamp;

/// As many events as the reference looks at.
pub const EVENTS_MAX: usize = 5000;
/// A span below a minute has no rate: it is not extrapolated to an hour.
const SPAN_MIN_S: f64 = 60.0;
/// Whoever has looked for less than the ten minutes of a flood knows no rate (EEMUA 191).
const LOOKED_MIN: f64 = 10.0;
/// Up to this window a caller who names it wants the mean: beyond, a mean hides floods.
const AVERAGED_MAX_MIN: f64 = 60.0;
/// The sources that make this share are the bad actors (Pareto).
const PARETO_SHARE: f64 = 0.8;
/// A log whose newest event is older is an archive: its end is the present.
const ARCHIVE_S: i64 = 7 * 86_400;
/// Floods, pairs and names shown of each kind.
const SHOWN_MAX: usize = 50;
const PAIRS_MAX: usize = 10;

/// How a log is to be judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmQuestion {
    /// The time it covers; by its own times where not given.
    pub window_minutes: Option<f64>,
    /// How long somebody has looked for events, where that is known: silence counts, too.
    pub looked_minutes: Option<f64>,
    /// Three activations within this chatter.
    pub chatter_window_s: f64,
    /// Active for longer is standing.
    pub standing_s: f64,
    /// Offenders shown.
    pub top_n: usize,
    /// The time.
    pub now: Timestamp,
}

/// Whether an operator can keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FloodVerdict {
    /// There is no time span to make a rate of.
    InsufficientData,
    /// At most 6 an hour.
    Ok,
    /// At most 12 an hour.
    Manageable,
    /// At most 30 an hour.
    OverTarget,
    /// More, or ten in some ten minutes.
    Flood,
}

/// The bounds of the verdicts, alarms an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Isa182 {
    ok_max: u8,
    manageable_max: u8,
    flood_min: u8,
}

const ISA: Isa182 = Isa182 { ok_max: 6, manageable_max: 12, flood_min: 30 };

/// One source of alarms.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Offender {
    /// Its name.
    pub source: Arc<str>,
    /// Its activations.
    pub count: usize,
    /// Percent of all activations.
    pub share_pct: f64,
    /// Three activations came within the chatter window.
    pub chattering: bool,
    /// It has been active for longer than the standing time.
    pub standing: bool,
    /// Activations that went within ten seconds unacknowledged.
    pub fleeting: usize,
    /// Activations of what was active already.
    pub repeated: usize,
}

/// One flood.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct FloodAnswer {
    /// When the tenth within ten minutes came.
    pub start: Timestamp,
    /// When fewer than five were left; null where it still lasts.
    pub end: Option<Timestamp>,
    /// Activations in it.
    pub activations: usize,
    /// The most within ten minutes.
    pub peak_10_min: usize,
    /// The alarm it began with.
    pub first_out: Arc<str>,
}

/// One alarm that follows another.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SequenceAnswer {
    /// The earlier.
    pub first: Arc<str>,
    /// The later.
    pub then: Arc<str>,
    /// How often it came next, within a minute.
    pub times: usize,
    /// Percent of the earlier one's activations.
    pub share_pct: f64,
    /// Both come within a second: one of the two says nothing.
    pub duplicate: bool,
}

/// What a log shows.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct BadActors {
    /// Events looked at.
    pub event_count: usize,
    /// Those among them that are activations.
    pub activation_count: usize,
    /// The time covered; null where it is not known.
    pub window_minutes: Option<f64>,
    /// Activations an hour; null where there is no time span to make a rate of.
    pub alarms_per_hour: Option<f64>,
    /// The bounds of the verdict.
    pub isa_18_2: Isa182,
    /// Whether an operator can keep up.
    pub flood_verdict: FloodVerdict,
    /// Activations by priority; about 80, 15 and 5 percent are wanted from low to high.
    pub priority_distribution: BTreeMap<Arc<str>, usize>,
    /// The sources that make 80 percent.
    pub pareto_sources_for_80pct: Vec<Arc<str>>,
    /// The worst.
    pub top_offenders: Vec<Offender>,
    /// Sources that chatter.
    pub chattering: Vec<Arc<str>>,
    /// Sources that stand.
    pub standing: Vec<Arc<str>>,
    /// Stretches in which nobody can keep up.
    pub floods: Vec<FloodAnswer>,
    /// The most activations in any ten minutes.
    pub peak_10_min: usize,
    /// What follows what.
    pub sequences: Vec<SequenceAnswer>,
    /// The figures of each eight hours.
    pub shifts: Vec<Shift>,
    /// What was not judged, and why.
    pub not_evaluated: Vec<Unjudged>,
    /// Events beyond the first 5000, which were not looked at.
    pub events_not_looked_at: usize,
}

/// Judges a log of at most [`EVENTS_MAX`] events; `None` where it is empty.
#[must_use]
pub fn bad_actors(events: &[AlarmEvent], question: &AlarmQuestion) -> Option<BadActors> {
    let seen = events.get(..EVENTS_MAX).unwrap_or(events);
    if seen.is_empty() {
        return None;
    }
    let mut answer = analyse(seen, question);
    answer.events_not_looked_at = events.len() - seen.len();
    Some(answer)
}

/// Judges any number of events.
#[must_use]
pub fn analyse(events: &[AlarmEvent], question: &AlarmQuestion) -> BadActors {
    let log = Log::of(events, question.now);
    let times: Vec<Timestamp> = log.activations.iter().map(|(at, _)| *at).collect();
    let found = floods(&times, log.end);
    let rate = Rate::of(&log, &found, question);
    let offenders = log.offenders(question);
    let names = |is: fn(&Offender) -> bool| {
        offenders.iter().filter(|o| is(o)).map(|o| o.source.clone()).take(SHOWN_MAX).collect()
    };
    let mut not_evaluated = Vec::new();
    if rate.per_hour.is_none() {
        not_evaluated.push(Unjudged::new("alarms_per_hour", rate.why_not));
    }
    if events.iter().all(|event| !event.is_stated) {
        let why = "no event says its state: each counts as an activation, and what stands is \
                   held against the end of the log";
        not_evaluated.push(Unjudged::new("states", why));
    }
    BadActors {
        event_count: events.len(),
        activation_count: log.count,
        window_minutes: rate.window_minutes,
        alarms_per_hour: rate.per_hour,
        isa_18_2: ISA,
        flood_verdict: rate.verdict,
        priority_distribution: log.priorities.clone(),
        pareto_sources_for_80pct: pareto(&offenders, log.count),
        chattering: names(|o| o.chattering),
        standing: names(|o| o.standing),
        top_offenders: offenders.into_iter().take(question.top_n.max(1)).collect(),
        floods: found
            .floods
            .iter()
            .take(SHOWN_MAX)
            .map(|flood| FloodAnswer {
                start: times.get(flood.started_by).copied().unwrap_or_default(),
                end: flood.ended,
                activations: flood.last - flood.first + 1,
                peak_10_min: flood.peak,
                first_out: log.name_at(flood.first),
            })
            .collect(),
        peak_10_min: found.peak.map_or(0, |(peak, _)| peak),
        sequences: pairs(&log.activations, PAIRS_MAX)
            .into_iter()
            .map(|pair| SequenceAnswer {
                first: log.name(pair.first),
                then: log.name(pair.then),
                times: pair.times,
                share_pct: round(pair.share * 100.0, 2),
                duplicate: pair.is_duplicate,
            })
            .collect(),
        shifts: shifts(&times, log.end, SHIFT_S),
        not_evaluated,
        events_not_looked_at: 0,
    }
}

/// A log sorted by time, with its sources numbered in the order they first appear.
struct Log {
    names: Vec<Arc<str>>,
    lives: Vec<Life>,
    activations: Vec<(Timestamp, u32)>,
    count: usize,
    priorities: BTreeMap<Arc<str>, usize>,
    span: Option<(Timestamp, Timestamp)>,
    end: Timestamp,
    /// The present, or the end of an archive.
    present: Timestamp,
}

impl Log {
    fn of(events: &[AlarmEvent], now: Timestamp) -> Self {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut log = Self {
            names: Vec::new(),
            lives: Vec::new(),
            activations: Vec::new(),
            count: 0,
            priorities: BTreeMap::new(),
            span: None,
            end: now,
            present: now,
        };
        let mut ordered: Vec<(&AlarmEvent, u32)> = Vec::with_capacity(events.len());
        for event in events {
            let next = u32::try_from(log.names.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(&event.source).or_insert_with(|| {
                log.names.push(event.source.clone());
                log.lives.push(Life::default());
                next
            });
            ordered.push((event, number));
            log.span = match (log.span, event.at) {
                (Some((first, last)), Some(at)) => Some((first.min(at), last.max(at))),
                (None, Some(at)) => Some((at, at)),
                (span, None) => span,
            };
        }
        ordered.sort_by_key(|(event, _)| event.at);
        for (event, number) in ordered {
            log.take(event, number);
        }
        if let Some((_, last)) = log.span {
            log.end = last;
            let is_archive = now.millis_since(last) > ARCHIVE_S * 1000;
            log.present = if is_archive { last } else { now };
        }
        log
    }

    fn take(&mut self, event: &AlarmEvent, number: u32) {
        let Some(life) = self.lives.get_mut(number as usize) else { return };
        let before = life.count;
        life.take(event);
        if life.count > before {
            self.count += 1;
            *self.priorities.entry(event.priority.clone()).or_default() += 1;
            self.activations.extend(event.at.map(|at| (at, number)));
        }
    }

    fn name(&self, number: u32) -> Arc<str> {
        self.names.get(number as usize).cloned().unwrap_or_else(|| "".into())
    }

    fn name_at(&self, activation: usize) -> Arc<str> {
        self.activations.get(activation).map_or_else(|| "".into(), |(_, n)| self.name(*n))
    }

    /// Sorts the sources by their activations; equal ones stay as they first appeared.
    fn offenders(&self, question: &AlarmQuestion) -> Vec<Offender> {
        let offender = |(name, life): (&Arc<str>, &Life)| Offender {
            source: name.clone(),
            count: life.count,
            share_pct: round(share(life.count, self.count) * 100.0, 2),
            chattering: life.is_chattering(question.chatter_window_s),
            standing: life.is_standing(question.standing_s, self.end, self.present),
            fleeting: life.fleeting,
            repeated: life.repeated(),
        };
        let mut all: Vec<Offender> = self.names.iter().zip(&self.lives).map(offender).collect();
        all.retain(|offender| offender.count > 0);
        all.sort_by_key(|offender| std::cmp::Reverse(offender.count));
        all
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a log, far below 2^53")]
fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

fn pareto(offenders: &[Offender], total: usize) -> Vec<Arc<str>> {
    let mut sum = 0;
    let mut sources = Vec::new();
    for offender in offenders {
        sources.push(offender.source.clone());
        sum += offender.count;
        if share(sum, total) >= PARETO_SHARE {
            break;
        }
    }
    sources.truncate(SHOWN_MAX);
    sources
}

struct Rate {
    window_minutes: Option<f64>,
    per_hour: Option<f64>,
    verdict: FloodVerdict,
    why_not: &'static str,
}

impl Rate {
    fn of(log: &Log, found: &Floods, question: &AlarmQuestion) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a span to a millisecond")]
        let span_s =
            log.span.map(|(first, last)| last.nanos().saturating_sub(first.nanos()) as f64 / 1e9);
        let is_crowded = found.peak.is_some_and(|(peak, _)| peak >= FLOOD_START);
        let given = question.window_minutes.filter(|minutes| *minutes > 0.0);
        // Ten within seconds are a flood by themselves, so their rate is no extrapolation.
        let by_span = span_s.filter(|s| *s >= SPAN_MIN_S || (is_crowded && *s > 0.0));
        let minutes = given.or(match question.looked_minutes {
            Some(looked) => Some(looked).filter(|looked| *looked >= LOOKED_MIN),
            None => by_span.map(|s| s / 60.0),
        });
        #[allow(clippy::cast_precision_loss, reason = "counts of a log, far below 2^53")]
        let per_hour = minutes.map(|minutes| round(log.count as f64 / (minutes / 60.0), 2));
        let is_averaged = given.is_some_and(|minutes| minutes <= AVERAGED_MAX_MIN);
        let verdict = match per_hour {
            _ if is_crowded && !is_averaged => FloodVerdict::Flood,
            None => FloodVerdict::InsufficientData,
            Some(rate) if rate > f64::from(ISA.flood_min) => FloodVerdict::Flood,
            Some(rate) if rate > f64::from(ISA.manageable_max) => FloodVerdict::OverTarget,
            Some(rate) if rate > f64::from(ISA.ok_max) => FloodVerdict::Manageable,
            Some(_) => FloodVerdict::Ok,
        };
        Self {
            window_minutes: given.or(minutes.map(|minutes| round(minutes, 3))),
            per_hour,
            verdict,
            why_not: match span_s {
                _ if question.looked_minutes.is_some() => {
                    "alarms have been watched for less than ten minutes"
                }
                None => "no event has a time that can be read, and no window was given",
                Some(_) => "the events span less than a minute",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(log: &[(i64, &str, &str)], window_minutes: Option<f64>) -> BadActors {
        let events: Vec<AlarmEvent> = log
            .iter()
            .filter_map(|(s, source, state)| {
                let ts = Timestamp::from_millis(s * 1000).to_rfc3339();
                AlarmEvent::read(&json!({"source": source, "state": state, "timestamp": ts}))
            })
            .collect();
        let question = AlarmQuestion {
            window_minutes,
            looked_minutes: None,
            chatter_window_s: 60.0,
            standing_s: 86_400.0,
            top_n: 10,
            now: Timestamp::from_millis(90_000_000),
        };
        bad_actors(&events, &question).unwrap()
    }

    #[test]
    fn two_alarms_a_second_apart_are_no_flood() {
        let found = judged(&[(0, "a", ""), (1, "b", "")], None);
        assert_eq!(found.flood_verdict, FloodVerdict::InsufficientData);
        assert_eq!(found.alarms_per_hour, None);
    }

    #[test]
    fn a_flood_inside_a_long_log_is_one() {
        let mut log: Vec<(i64, &str, &str)> = (0..40).map(|n| (n * 15, "p", "ACTIVE")).collect();
        log.push((8 * 3600, "q", "ACTIVE"));
        for window in [None, Some(480.0)] {
            let found = judged(&log, window);
            assert_eq!(found.flood_verdict, FloodVerdict::Flood);
            assert_eq!((found.floods.len(), &*found.floods[0].first_out), (1, "p"));
        }
    }

    #[test]
    fn an_alarm_that_was_said_to_be_gone_does_not_stand() {
        let gone = [(0, "a", "ACTIVE"), (10, "a", "RTN"), (86_000, "b", "ACTIVE")];
        assert!(judged(&gone, None).standing.is_empty());
        let again = [(0, "a", "ACTIVE"), (10, "a", "RTN"), (20, "a", "ACTIVE")];
        assert_eq!(judged(&again, None).standing.len(), 1);
    }
}
