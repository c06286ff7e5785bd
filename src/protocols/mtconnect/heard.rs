//! What was heard of an agent: where its sequence has come to, the present state there, and what
//! was not fetched yet.
//!
//! It outlives the sessions: the next one goes on where the last one broke off, so that nothing
//! is lost that the agent still holds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::follow::{Follow, Intake, Kind};
use super::items::Routes;
use super::streams::Survey;
use super::xml::Fault;
use crate::driver::{Batch, Hearing, Reading};
use crate::model::{ConditionEvent, TagId, Value};

/// Elements kept until the poller comes: scalars count one, lists their length. About 20 MB.
const WEIGHT_MAX: usize = 200_000;
/// Reports of conditions kept; a flood beyond this is counted as lost.
const CONDITIONS_MAX: usize = 5000;
/// Observations in one answer; the rest follows at once.
const COUNT_MAX: u64 = 10_000;
/// Readings of one tag that are handed out at once. What an agent held back during a break comes
/// by the thousand, and the cache keeps 512 of a tag until history has stored them.
const TAG_READINGS_MAX: u32 = 240;
/// The pause before more of them, in which history is stored.
const PACE: Duration = Duration::from_secs(1);

/// Where in an agent's life the next observation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) instance: Option<u64>,
    pub(super) next: u64,
}

/// What has come and was not yet fetched.
#[derive(Debug, Default)]
struct Inbox {
    readings: VecDeque<Reading>,
    weight: usize,
    conditions: VecDeque<ConditionEvent>,
    /// The conditions must be told as a whole: at the start, and when reports were lost.
    is_whole: bool,
    /// The present state has changed since it was told.
    is_changed: bool,
    lost: u64,
    /// Nothing more is handed out before.
    paced: Option<Instant>,
}

/// What was heard of one agent.
#[derive(Debug, Default)]
pub(super) struct Heard {
    follow: Follow,
    /// `None` where the agent has no sequence.
    pub(super) position: Option<Position>,
    inbox: Inbox,
    buffer_size: Option<u64>,
    /// Whoever listens for another session than this one comes too late.
    pub(super) session: u64,
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / 32,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(fields) => 1 + fields.iter().map(|(_, value)| 1 + weight(value)).sum::<usize>(),
        _ => 1,
    }
}

impl Position {
    pub(super) fn is_same_life(self, instance: Option<u64>) -> Result<(), Fault> {
        match (self.instance, instance) {
            (Some(before), Some(now)) if before != now => Err(Fault::Restarted),
            _ => Ok(()),
        }
    }

    /// Tells whether an agent that is there now still holds what follows.
    fn is_held(self, now: Self, first: Option<u64>) -> bool {
        self.is_same_life(now.instance).is_ok()
            && now.next >= self.next
            && first.is_none_or(|first| first <= self.next)
    }

    /// Tells whether a part follows on what came before.
    fn is_followed_by(self, intake: &Intake, is_all: bool) -> Result<(), Fault> {
        self.is_same_life(intake.header.instance)?;
        let overran = intake.header.first.is_some_and(|first| first > self.next);
        let skipped = is_all && intake.sequences.is_some_and(|(low, _)| low > self.next);
        if overran || skipped { Err(Fault::Gap) } else { Ok(()) }
    }

    /// Counts the observations that nobody will ever send us again, but for the newest of each
    /// item.
    fn missed(self, now: Option<Self>, survey: &Survey) -> u64 {
        // Of a buffer that is gone: one at least, and nobody can know how many.
        let Some(now) = now.filter(|now| self.is_held(*now, None)) else { return 1 };
        let made_good = u64::try_from(survey.since(self.next).len()).unwrap_or(u64::MAX);
        (now.next - self.next).saturating_sub(made_good)
    }
}

impl Heard {
    /// Takes the present state with which a session begins, or goes on after a gap.
    ///
    /// Where the agent still holds what follows on the last session, only what has not changed
    /// since is taken: it is true still, and the rest comes in its order. `is_stuck` says that
    /// the agent was asked for that and did not give it.
    pub(super) fn begin(
        &mut self,
        document: &str,
        survey: &Survey,
        routes: &Routes,
        is_stuck: bool,
    ) -> Result<(), Fault> {
        let (instance, first) = (survey.header.instance, survey.header.first);
        let now = survey.next().map(|next| Position { instance, next });
        let goes_on =
            |before: &Position| !is_stuck && now.is_some_and(|now| before.is_held(now, first));
        let from = self.position.filter(goes_on);
        let kind = from.map_or(Kind::Snapshot, |before| Kind::SnapshotBefore(before.next));
        let mut fresh = Follow::default();
        let mut intake = fresh.take(document, kind, routes, |_| Ok(()))?;
        (self.inbox.is_whole, self.inbox.is_changed) = (true, true);
        self.inbox.paced = None;
        self.buffer_size = survey.header.buffer_size;
        if from.is_none() {
            let lost = self.position.map_or(0, |before| before.missed(now, survey));
            if lost > 0 {
                tracing::warn!(lost, "an MTConnect agent no longer holds what follows");
            }
            self.inbox.lost += lost;
            (self.follow, self.position) = (fresh, now);
        } else {
            let waiting: HashSet<TagId> = self.inbox.readings.iter().map(|r| r.tag).collect();
            intake.readings.retain(|reading| !waiting.contains(&reading.tag));
            intake.conditions.clear();
        }
        self.push(intake);
        Ok(())
    }

    /// Takes the present state of an agent without a sequence.
    pub(super) fn look(&mut self, document: &str, routes: &Routes) -> Result<(), Fault> {
        let intake = self.follow.take(document, Kind::Snapshot, routes, |_| Ok(()))?;
        (self.inbox.is_whole, self.inbox.is_changed) = (true, true);
        self.push(intake);
        Ok(())
    }

    /// Takes a part of a stream, where it follows on what came before.
    pub(super) fn go_on(
        &mut self,
        document: &str,
        routes: &Routes,
        is_all: bool,
    ) -> Result<(), Fault> {
        let Some(before) = self.position else { return Err(Fault::Gap) };
        let kind = Kind::Between(before.next, u64::MAX);
        let intake = self
            .follow
            .take(document, kind, routes, |intake| before.is_followed_by(intake, is_all))?;
        let after = intake.sequences.map(|(_, high)| high.saturating_add(1));
        let next = intake.header.next.or(after).unwrap_or(before.next).max(before.next);
        self.position = Some(Position { next, ..before });
        self.push(intake);
        Ok(())
    }

    /// Takes what an answer holds up to a sequence number, which comes next.
    pub(super) fn go_on_to(
        &mut self,
        until: u64,
        document: &str,
        routes: &Routes,
    ) -> Result<(), Fault> {
        let Some(before) = self.position else { return Err(Fault::Gap) };
        let kind = Kind::Between(before.next, until);
        let intake = self.follow.take(document, kind, routes, |_| Ok(()))?;
        self.position = Some(Position { next: until, ..before });
        self.push(intake);
        Ok(())
    }

    /// Goes past observations that the agent does not have.
    pub(super) fn pass_over(&mut self, next: u64) {
        if let Some(position) = &mut self.position {
            self.inbox.lost += next.saturating_sub(position.next);
            position.next = next;
        }
    }

    /// Gives how many observations may be asked for at once.
    pub(super) fn count(&self) -> u64 {
        self.buffer_size.filter(|size| *size > 0).map_or(COUNT_MAX, |size| size.min(COUNT_MAX))
    }

    /// Tells whether much waits to be fetched.
    pub(super) fn is_full(&self) -> bool {
        self.inbox.weight > WEIGHT_MAX / 2
    }

    /// Puts what a document held into the inbox: the oldest go first, and are counted.
    fn push(&mut self, intake: Intake) {
        let inbox = &mut self.inbox;
        inbox.is_changed |= intake.observations > 0;
        for reading in intake.readings {
            inbox.weight += weight(&reading.value);
            inbox.readings.push_back(reading);
        }
        while inbox.weight > WEIGHT_MAX && inbox.readings.len() > 1 {
            if inbox.pop().is_some() {
                inbox.lost += 1;
            }
        }
        inbox.conditions.extend(intake.conditions);
        if inbox.conditions.len() > CONDITIONS_MAX {
            inbox.conditions.clear();
            inbox.is_whole = true;
        }
    }

    /// Moves what has come into the batch; gives when the rest may be fetched, where there is
    /// more than is handed out at once.
    pub(super) fn drain(&mut self, out: &mut Batch) -> Option<Instant> {
        let inbox = &mut self.inbox;
        out.lost += std::mem::take(&mut inbox.lost);
        if std::mem::take(&mut inbox.is_changed) {
            out.current = Some(self.follow.current());
        }
        let conditions = std::mem::take(&mut inbox.conditions);
        if std::mem::take(&mut inbox.is_whole) {
            out.conditions = self.follow.active();
            out.hearing = Some(Hearing::Whole);
        } else {
            out.conditions.extend(conditions);
        }
        inbox.hand_out(out, Instant::now())
    }
}

impl Inbox {
    fn pop(&mut self) -> Option<Reading> {
        let oldest = self.readings.pop_front()?;
        self.weight = self.weight.saturating_sub(weight(&oldest.value));
        Some(oldest)
    }

    /// Hands out readings in their order, until one tag has had its share.
    fn hand_out(&mut self, out: &mut Batch, now: Instant) -> Option<Instant> {
        if self.paced.is_some_and(|at| now < at) {
            return self.paced;
        }
        self.paced = None;
        let mut shares: HashMap<TagId, u32> = HashMap::new();
        while let Some(reading) = self.readings.front() {
            let share = shares.entry(reading.tag).or_default();
            if *share >= TAG_READINGS_MAX {
                self.paced = Some(now + PACE);
                return self.paced;
            }
            *share += 1;
            out.readings.extend(self.pop());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Planned;
    use crate::model::Tag;

    const X: TagId = TagId(1);

    fn routes() -> Routes {
        let tag = Tag::new("x", "mill", "x").into();
        Routes::arrange(&[Planned { id: X, tag }], None).0
    }

    fn document(header: &str, sequences: impl Iterator<Item = u64>) -> String {
        let samples: String = sequences
            .map(|n| {
                format!(
                    "<Position dataItemId='x' sequence='{n}' timestamp='2026-06-30T10:00:00Z'>{n}\
                     </Position>"
                )
            })
            .collect();
        format!(
            "<MTConnectStreams><Header {header}/><Streams><DeviceStream name='M'><ComponentStream \
             component='Path'><Samples>{samples}</Samples></ComponentStream></DeviceStream>\
             </Streams></MTConnectStreams>"
        )
    }

    fn begin(heard: &mut Heard, header: &str, sequence: u64) {
        let text = document(header, std::iter::once(sequence));
        let survey = Survey::read(&text).unwrap();
        heard.begin(&text, &survey, &routes(), false).unwrap();
    }

    /// Fetches what has come: the values, and how many are lost.
    fn fetched(heard: &mut Heard) -> (Vec<Value>, u64) {
        let mut batch = Batch::default();
        assert_eq!(heard.drain(&mut batch), None);
        (batch.readings.into_iter().map(|reading| reading.value).collect(), batch.lost)
    }

    #[test]
    fn after_a_break_what_the_agent_holds_is_neither_lost_nor_taken_twice() {
        let mut heard = Heard::default();
        begin(&mut heard, "instanceId='1' firstSequence='1' nextSequence='11'", 10);
        assert_eq!(fetched(&mut heard), (vec![Value::F64(10.0)], 0));
        // The break: 11 to 13 come by, and the newest of them stands in the present state.
        begin(&mut heard, "instanceId='1' firstSequence='11' nextSequence='14'", 13);
        assert_eq!(fetched(&mut heard), (vec![], 0), "it comes in its order");
        let header = "instanceId='1' firstSequence='11' nextSequence='14'";
        heard.go_on(&document(header, 10..14), &routes(), true).unwrap();
        let missing = [11.0, 12.0, 13.0].map(Value::F64).to_vec();
        assert_eq!(fetched(&mut heard), (missing, 0));
    }

    #[test]
    fn after_a_break_what_has_not_changed_is_true_again() {
        let mut heard = Heard::default();
        let header = "instanceId='1' firstSequence='1' nextSequence='11'";
        begin(&mut heard, header, 10);
        fetched(&mut heard);
        begin(&mut heard, header, 10);
        assert_eq!(fetched(&mut heard), (vec![Value::F64(10.0)], 0));
        // What was not yet fetched is no reason to tell it twice.
        heard
            .go_on(&document("instanceId='1' nextSequence='12'", 11..12), &routes(), true)
            .unwrap();
        begin(&mut heard, "instanceId='1' firstSequence='1' nextSequence='12'", 11);
        assert_eq!(fetched(&mut heard), (vec![Value::F64(11.0)], 0));
    }

    #[test]
    fn what_the_agent_no_longer_holds_is_counted_exactly() {
        for (header, sequence, lost) in [
            // 11 to 19 went by, and one of them is the present state.
            ("instanceId='1' firstSequence='12' nextSequence='20'", 19, 8),
            ("instanceId='2' firstSequence='1' nextSequence='20'", 19, 1),
            ("instanceId='1' firstSequence='1' nextSequence='5'", 4, 1),
        ] {
            let mut heard = Heard::default();
            begin(&mut heard, "instanceId='1' firstSequence='1' nextSequence='11'", 10);
            fetched(&mut heard);
            begin(&mut heard, header, sequence);
            let (values, counted) = fetched(&mut heard);
            assert_eq!((values.len(), counted), (1, lost), "{header}");
        }
    }

    #[test]
    fn a_long_backlog_is_handed_out_in_shares_that_history_can_store() {
        let mut heard = Heard::default();
        begin(&mut heard, "instanceId='1' firstSequence='1' nextSequence='2'", 1);
        let header = "instanceId='1' nextSequence='602'";
        heard.go_on(&document(header, 2..602), &routes(), true).unwrap();
        let mut batch = Batch::default();
        let later = heard.drain(&mut batch);
        assert_eq!(batch.readings.len(), 240);
        assert!(later.is_some_and(|at| at > Instant::now()));
        batch.clear();
        assert_eq!(heard.drain(&mut batch), later, "not before its time");
        assert!(batch.readings.is_empty());
        let mut all = 240;
        while let Some(at) = heard.inbox.hand_out(&mut batch, later.unwrap() + PACE) {
            heard.inbox.paced = heard.inbox.paced.and(Some(at - PACE * 10));
        }
        all += batch.readings.len();
        assert_eq!(all, 601);
    }
}
