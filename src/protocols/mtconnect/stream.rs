//! The standing stream: what the agent sends is followed by its sequence numbers.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::errors;
use super::heard::Heard;
use super::http::{Agent, BODY_BYTES_MAX, Paying, Refusal, Stream, Streamed};
use super::items::Routes;
use super::multipart::{Cut, Cutter};
use super::streams::Survey;
use super::xml::{AgentError, Fault};
use crate::driver::{Batch, DriverError, ErrorKind, Reaction, Toll};

/// An idle stream says this often that it lives.
const HEARTBEAT_MS: u32 = 3000;
/// Agents of schema 1.1 know no heartbeat parameter and send one every ten seconds.
const QUIET: Duration = Duration::from_secs(15);
/// A part that has begun ends within this, or the line is too slow to follow.
const PART_MAX: Duration = Duration::from_secs(60);
/// A present state asked for in the background may wait this long for its budget.
const RESYNC_MAX: Duration = Duration::from_secs(60);

/// Who is followed, and how.
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) agent: Agent,
    pub(super) routes: Arc<Routes>,
    /// All devices of the agent are followed, so every sequence number comes by.
    pub(super) is_all: bool,
    pub(super) heard: Arc<Mutex<Heard>>,
}

impl Followed {
    /// Asks for the present state after the agent refused to go on, or something was missing.
    pub(super) async fn retake(
        &self,
        is_stuck: bool,
        paying: Paying<'_>,
    ) -> Result<(), DriverError> {
        let document = self.agent.get("current", paying).await?;
        let fault = |fault| errors::document(&document.url, fault);
        let survey = Survey::read(&document.text).map_err(fault)?;
        let mut heard = self.heard.lock();
        let is_same = |before: super::heard::Position| before.is_same_life(survey.header.instance);
        // Another life may have another model: the session begins anew.
        heard.position.map_or(Ok(()), is_same).map_err(|_| self.restarted())?;
        if survey.next().is_none() {
            return Err(fault(Fault::Stranger));
        }
        heard.begin(&document.text, &survey, &self.routes, is_stuck).map_err(fault)
    }

    pub(super) fn restarted(&self) -> DriverError {
        errors::restarted(self.agent.base())
    }
}

/// What the stream's task and the driver share.
struct Shared {
    followed: Followed,
    interval_ms: u32,
    wake: Arc<Notify>,
    session: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A part has come on this stream.
    has_come: bool,
    failure: Option<DriverError>,
}

/// A stream that stands. Its tasks end with it.
pub(super) struct Standing {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    /// Wakes the poller for what was too much at once.
    alarm: Option<JoinHandle<()>>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(alarm) = &self.alarm {
            alarm.abort();
        }
    }
}

/// Opens a stream from where what was heard has come to; `None` where the agent, or something
/// before it, does not stream.
pub(super) async fn establish(
    followed: Followed,
    interval_ms: u32,
    wake: Arc<Notify>,
    paying: Paying<'_>,
) -> Result<Option<Standing>, DriverError> {
    let (session, state) = (followed.heard.lock().session, Mutex::default());
    let shared = Arc::new(Shared { followed, interval_ms, wake, session, state });
    let stream = match shared.connect(paying).await {
        Ok(Streamed::Stream(stream)) => stream,
        Ok(Streamed::Once) => return Ok(None),
        // The present state was answered a moment ago.
        Err(error) if !is_about_us(&error) => {
            tracing::info!(%error, "no stream");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let task = tokio::spawn(run(shared.clone(), stream, paying.0.background()));
    Ok(Some(Standing { shared, task, alarm: None }))
}

/// Tells failures that any other request would meet, too.
fn is_about_us(error: &DriverError) -> bool {
    use ErrorKind::{BudgetExhausted, Closed, Unreachable};
    matches!(error.kind, BudgetExhausted | Closed | Unreachable)
}

/// Why a stream was left.
enum Left {
    /// The present state must be asked for before it can go on.
    Behind,
    Failed(DriverError),
}

async fn run(shared: Arc<Shared>, stream: Stream, toll: Toll) {
    let (mut stream, mut stuck) = (stream, None);
    let error = loop {
        match listen(&shared, stream).await {
            Left::Failed(error) => break error,
            Left::Behind => match shared.resync(&mut stuck, &toll).await {
                Ok(next) => stream = next,
                Err(error) => break error,
            },
        }
    };
    shared.state.lock().failure = Some(error.reacting(Reaction::DropSession));
    shared.wake.notify_one();
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

impl Shared {
    /// Opens the stream; where the agent no longer holds what follows, from its present state.
    async fn connect(&self, paying: Paying<'_>) -> Result<Streamed, DriverError> {
        match self.stream(paying).await {
            Err(Refusal { code: Some(AgentError::OUT_OF_RANGE), .. }) => {
                self.followed.retake(true, paying).await?;
                self.wake.notify_one();
                self.stream(paying).await.map_err(|refusal| refusal.error)
            }
            answer => answer.map_err(|refusal| refusal.error),
        }
    }

    async fn stream(&self, paying: Paying<'_>) -> Result<Streamed, Refusal> {
        let (count, next) = {
            let heard = self.followed.heard.lock();
            (heard.count(), heard.position.map_or(0, |position| position.next))
        };
        let interval = self.interval_ms;
        let request = format!(
            "sample?from={next}&interval={interval}&heartbeat={HEARTBEAT_MS}&count={count}"
        );
        self.followed.agent.stream(&request, paying).await
    }

    /// Asks for the present state and opens the stream anew: once from where it broke off, and
    /// where that was refused or not given, from the present state, what is lost counted.
    async fn resync(&self, stuck: &mut Option<u64>, toll: &Toll) -> Result<Stream, DriverError> {
        let paying = (toll, Instant::now() + RESYNC_MAX);
        let next = self.followed.heard.lock().position.map(|position| position.next);
        let is_stuck = std::mem::replace(stuck, next) == next;
        self.followed.retake(is_stuck, paying).await?;
        self.wake.notify_one();
        match self.connect(paying).await? {
            Streamed::Stream(stream) => Ok(stream),
            Streamed::Once => Err(errors::ended(self.followed.agent.base())),
        }
    }

    /// Takes one part of the stream.
    fn part(&self, url: &str, part: Vec<u8>) -> Result<(), Left> {
        self.state.lock().has_come = true;
        let failed = |fault| Left::Failed(errors::document(url, fault));
        let text = String::from_utf8(part).map_err(|_| failed(Fault::Encoding))?;
        let Followed { routes, is_all, heard, .. } = &self.followed;
        let taken = {
            let mut heard = heard.lock();
            if heard.session != self.session {
                // It is the next session's, which asks for it again.
                return Err(Left::Failed(errors::closed()));
            }
            heard.go_on(&text, routes, *is_all)
        };
        match taken {
            Ok(()) => {
                self.wake.notify_one();
                Ok(())
            }
            Err(Fault::Gap) | Err(Fault::Agent(AgentError::OUT_OF_RANGE)) => Err(Left::Behind),
            Err(Fault::Restarted) => Err(Left::Failed(self.followed.restarted())),
            Err(fault) => Err(failed(fault)),
        }
    }
}

impl Standing {
    /// Moves what has come into the batch.
    pub(super) fn drain(&mut self, out: &mut Batch) -> Result<(), DriverError> {
        let later = self.shared.followed.heard.lock().drain(out);
        if let Some(at) = later {
            let wake = self.shared.wake.clone();
            let alarm = tokio::spawn(async move {
                sleep_until(at).await;
                wake.notify_one();
            });
            if let Some(before) = self.alarm.replace(alarm) {
                before.abort();
            }
        }
        // Whoever asks again hears the same.
        self.shared.state.lock().failure.clone().map_or(Ok(()), Err)
    }

    /// Tells whether it ended or fell silent before anything came: something between here and
    /// the agent holds streams back.
    pub(super) fn is_mute(&self) -> bool {
        let state = self.shared.state.lock();
        let kind = state.failure.as_ref().map(|failure| failure.kind);
        !state.has_come && matches!(kind, Some(ErrorKind::Timeout | ErrorKind::LinkLost))
    }
}
