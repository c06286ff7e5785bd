//! The standing stream: what the agent sends is followed by its sequence numbers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::errors;
use super::follow::{Follow, Intake, Kind};
use super::http::{Agent, BODY_BYTES_MAX, Document, Paying, Stream, Streamed};
use super::items::Routes;
use super::multipart::{Cut, Cutter};
use super::xml::{AgentError, Fault};
use crate::driver::{Batch, DriverError, Hearing, Reaction, Reading, Toll};
use crate::model::{ConditionEvent, Value};

/// Elements kept until the poller comes: scalars count one, lists their length. About 20 MB.
const WEIGHT_MAX: usize = 200_000;
/// Reports of conditions kept; a flood beyond this is counted as lost.
const CONDITIONS_MAX: usize = 5000;
/// An idle stream says this often that it lives.
const HEARTBEAT_MS: u32 = 3000;
/// Agents of schema 1.1 know no heartbeat parameter and send one every ten seconds.
const QUIET: Duration = Duration::from_secs(15);
/// A part that has begun ends within this, or the line is too slow to follow.
const PART_MAX: Duration = Duration::from_secs(60);
/// Observations in one part; the rest follows at once.
const COUNT_MAX: u64 = 10_000;
/// A present state asked for in the background may wait this long for its budget.
const RESYNC_MAX: Duration = Duration::from_secs(60);

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
    failure: Option<DriverError>,
}

/// What the stream's task and the driver share.
struct Shared {
    agent: Agent,
    routes: Routes,
    /// All devices of the agent are followed, so every sequence number comes by.
    is_all: bool,
    interval_ms: u32,
    follow: Mutex<Follow>,
    inbox: Mutex<Inbox>,
    position: Mutex<Position>,
    wake: Arc<Notify>,
}

/// A stream that stands. Its task ends with it.
pub(super) struct Standing {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to be followed.
pub(super) struct Wish {
    pub(super) agent: Agent,
    pub(super) routes: Routes,
    pub(super) is_all: bool,
    pub(super) interval_ms: u32,
    pub(super) wake: Arc<Notify>,
    /// Where the session before had come to.
    pub(super) before: Option<Position>,
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / 32,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(fields) => 1 + fields.iter().map(|(_, value)| 1 + weight(value)).sum::<usize>(),
        _ => 1,
    }
}

/// Asks for the present state and for a stream from there; `None` where the agent has no
/// sequence numbers, or does not stream.
pub(super) async fn establish(
    wish: Wish,
    paying: Paying<'_>,
) -> Result<Option<Standing>, DriverError> {
    let Wish { agent, routes, is_all, interval_ms, wake, before } = wish;
    let document = agent.get("current", paying).await?;
    let mut follow = Follow::default();
    let intake = snapshot(&document, &mut follow, &routes)?;
    let Some(next) = intake.header.next else { return Ok(None) };
    let position = Position { instance: intake.header.instance, next };
    let lost = before.map_or(0, |before| missed(before, position, &intake));
    let (follow, position) = (Mutex::new(follow), Mutex::new(position));
    let inbox = Mutex::new(Inbox { lost, is_whole: true, is_changed: true, ..Inbox::default() });
    let count = intake.header.buffer_size;
    let shared =
        Arc::new(Shared { agent, routes, is_all, interval_ms, follow, inbox, position, wake });
    shared.push(intake);
    let stream = match shared.stream(count, paying).await? {
        Streamed::Stream(stream) => stream,
        Streamed::Once(_) => return Ok(None),
    };
    let toll = paying.0.background();
    let task = tokio::spawn(run(shared.clone(), stream, count, toll));
    Ok(Some(Standing { shared, task }))
}

/// Counts the observations that nobody will ever send us again, but for the newest of each item.
fn missed(before: Position, now: Position, intake: &Intake) -> u64 {
    if before.instance != now.instance {
        // A buffer that is gone: one at least, and nobody can know how many.
        return 1;
    }
    let since = now.next.saturating_sub(before.next);
    since.saturating_sub(intake.since(before.next))
}

/// Why a stream was left.
enum Left {
    /// The present state must be asked for before it can go on.
    Behind,
    Failed(DriverError),
}

async fn run(shared: Arc<Shared>, stream: Stream, count: Option<u64>, toll: Toll) {
    let mut stream = stream;
    let error = loop {
        match listen(&shared, stream).await {
            Left::Failed(error) => break error,
            Left::Behind => match resync(&shared, count, &toll).await {
                Ok(next) => stream = next,
                Err(error) => break error,
            },
        }
    };
    shared.inbox.lock().failure = Some(error.reacting(Reaction::DropSession));
    shared.wake.notify_one();
}

/// Asks for the present state, counts what is lost, and opens the stream anew from there.
async fn resync(shared: &Shared, count: Option<u64>, toll: &Toll) -> Result<Stream, DriverError> {
    let paying = (toll, Instant::now() + RESYNC_MAX);
    let document = shared.agent.get("current", paying).await?;
    let before = *shared.position.lock();
    let fault = |fault| errors::document(&document.url, fault);
    let intake = {
        let mut follow = shared.follow.lock();
        let taken = follow.take(&document.text, Kind::Snapshot, &shared.routes, |intake| {
            before.is_same_life(intake)
        });
        taken.map_err(|f| if f == Fault::Restarted { shared.restarted() } else { fault(f) })?
    };
    let next = intake.header.next.ok_or_else(|| fault(Fault::Stranger))?;
    let now = Position { next, ..before };
    let lost = missed(before, now, &intake);
    tracing::warn!(lost, "an MTConnect agent's buffer ran ahead: its present state is taken");
    *shared.position.lock() = now;
    {
        let mut inbox = shared.inbox.lock();
        inbox.lost += lost.max(1);
        inbox.is_whole = true;
    }
    shared.push(intake);
    match shared.stream(count, paying).await? {
        Streamed::Stream(stream) => Ok(stream),
        Streamed::Once(document) => Err(errors::ended(&document.url)),
    }
}

/// Takes part after part until something is wrong.
async fn listen(shared: &Shared, stream: Stream) -> Left {
    let Stream { url, boundary, mut response } = stream;
    let mut cutter = Cutter::new(&boundary, BODY_BYTES_MAX);
    let mut part_until: Option<Instant> = None;
    loop {
        let quiet = Instant::now() + QUIET;
        let until = part_until.map_or(quiet, |part| part.min(quiet));
        let chunk = match timeout_at(until, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Left::Failed(errors::ended(&url)),
            Ok(Err(error)) => return Left::Failed(errors::request(&url, &error)),
            Err(_) if part_until.is_some_and(|part| part < quiet) => {
                return Left::Failed(errors::multipart(&url, "a part does not end"));
            }
            Err(_) => return Left::Failed(errors::quiet(&url, QUIET.as_secs())),
        };
        // A chunk may hold parts and the head of the next: each is cut off before more is read.
        for piece in chunk.chunks(64 * 1024) {
            cutter.feed(piece);
            loop {
                match cutter.cut() {
                    Ok(Cut::Part(part)) => {
                        part_until = None;
                        if let Err(left) = shared.part(&url, part) {
                            return left;
                        }
                    }
                    Ok(Cut::More) => break,
                    Ok(Cut::End) => return Left::Failed(errors::ended(&url)),
                    Err(damage) => {
                        return Left::Failed(errors::multipart(&url, damage.words()));
                    }
                }
            }
        }
        if cutter.is_within() {
            part_until.get_or_insert(Instant::now() + PART_MAX);
            if part_until.is_some_and(|until| until < Instant::now()) {
                return Left::Failed(errors::multipart(&url, "a part does not end"));
            }
        }
    }
}

impl Position {
    fn is_same_life(&self, intake: &Intake) -> Result<(), Fault> {
        match (self.instance, intake.header.instance) {
            (Some(before), Some(now)) if before != now => Err(Fault::Restarted),
            _ => Ok(()),
        }
    }

    /// Tells whether a part follows on what came before.
    fn is_followed_by(&self, intake: &Intake, is_all: bool) -> Result<(), Fault> {
        self.is_same_life(intake)?;
        let overran = intake.header.first.is_some_and(|first| first > self.next);
        let skipped = is_all && intake.sequences.is_some_and(|(low, _)| low > self.next);
        if overran || skipped { Err(Fault::Gap) } else { Ok(()) }
    }
}

impl Shared {
    async fn stream(
        &self,
        buffer_size: Option<u64>,
        paying: Paying<'_>,
    ) -> Result<Streamed, DriverError> {
        let count = buffer_size.filter(|size| *size > 0).map_or(COUNT_MAX, |n| n.min(COUNT_MAX));
        let (next, interval) = (self.position.lock().next, self.interval_ms);
        let request = format!(
            "sample?from={next}&interval={interval}&heartbeat={HEARTBEAT_MS}&count={count}"
        );
        self.agent.stream(&request, paying).await
    }

    fn restarted(&self) -> DriverError {
        errors::restarted(self.agent.base())
    }

    /// Takes one part of the stream.
    fn part(&self, url: &str, part: Vec<u8>) -> Result<(), Left> {
        let failed = |fault| Left::Failed(errors::document(url, fault));
        let text = String::from_utf8(part).map_err(|_| failed(Fault::Encoding))?;
        let position = *self.position.lock();
        let taken = self.follow.lock().take(&text, Kind::Changes, &self.routes, |intake| {
            position.is_followed_by(intake, self.is_all)
        });
        match taken {
            Ok(intake) => {
                let after = intake.sequences.map(|(_, high)| high.saturating_add(1));
                let next = intake.header.next.or(after).unwrap_or(position.next);
                self.position.lock().next = next.max(position.next);
                self.push(intake);
                Ok(())
            }
            Err(Fault::Gap) | Err(Fault::Agent(AgentError::OUT_OF_RANGE)) => Err(Left::Behind),
            Err(Fault::Restarted) => Err(Left::Failed(self.restarted())),
            Err(fault) => Err(failed(fault)),
        }
    }

    /// Puts what a document held into the inbox: the oldest go first, and are counted.
    fn push(&self, intake: Intake) {
        {
            let mut inbox = self.inbox.lock();
            inbox.is_changed |= intake.observations > 0;
            for reading in intake.readings {
                inbox.weight += weight(&reading.value);
                inbox.readings.push_back(reading);
            }
            while inbox.weight > WEIGHT_MAX && inbox.readings.len() > 1 {
                if let Some(oldest) = inbox.readings.pop_front() {
                    inbox.weight = inbox.weight.saturating_sub(weight(&oldest.value));
                    inbox.lost += 1;
                }
            }
            inbox.conditions.extend(intake.conditions);
            if inbox.conditions.len() > CONDITIONS_MAX {
                inbox.conditions.clear();
                inbox.is_whole = true;
            }
        }
        self.wake.notify_one();
    }
}

impl Standing {
    /// Moves what has come into the batch.
    pub(super) fn drain(&self, out: &mut Batch) -> Result<(), DriverError> {
        let inbox = std::mem::take(&mut *self.shared.inbox.lock());
        out.lost += inbox.lost;
        out.readings.extend(inbox.readings);
        if inbox.is_changed {
            out.current = Some(self.shared.follow.lock().current());
        }
        if inbox.is_whole {
            out.conditions = self.shared.follow.lock().active();
            out.hearing = Some(Hearing::Whole);
        } else {
            out.conditions.extend(inbox.conditions);
        }
        let Some(failure) = inbox.failure else { return Ok(()) };
        // Whoever asks again hears the same.
        self.shared.inbox.lock().failure = Some(failure.clone());
        Err(failure)
    }

    /// Gives where it has come to.
    pub(super) fn position(&self) -> Position {
        *self.shared.position.lock()
    }
}

/// Reads a present state without a stream.
pub(super) fn snapshot(
    document: &Document,
    follow: &mut Follow,
    routes: &Routes,
) -> Result<Intake, DriverError> {
    follow
        .take(&document.text, Kind::Snapshot, routes, |_| Ok(()))
        .map_err(|fault| errors::document(&document.url, fault))
}
