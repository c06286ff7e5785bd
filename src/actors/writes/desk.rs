//! The desk where tickets are opened, approved and closed. Every change is durable, together with
//! its record, before anybody sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex as Lock, RwLock};
use ractor::ActorRef;
use tokio::sync::{Mutex, watch};

use super::book::Book;
use super::budgets::Granted;
use super::freeze::{Cause, Freeze};
use super::rulebook::{Accepted, Rulebook};
use crate::actors::command::CommandMsg;
use crate::actors::deps::Deps;
use crate::clock;
use crate::gate::{Moment, Refusal, Rule};
use crate::govern::breaker::Tripped;
use crate::ledger::{Document, Event, LedgerError, Outcome, What};
use crate::model::{Approver, Door, Dossier, Principal};

/// The kind of a ticket's document.
pub(super) const TICKET: &str = "ticket";

/// Why the desk turns somebody away.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DeskError {
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It needs an approver's signature, and what was given is none.
    #[error("{refusal}")]
    Unsigned {
        /// The rule, and why.
        refusal: Refusal,
        /// Who could sign it.
        approvers: Vec<String>,
    },
    /// A breaker or a limit has tripped.
    #[error(transparent)]
    Tripped(#[from] Tripped),
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It can't be recorded, so it isn't done.
    #[error("it can't be recorded, so it isn't done: {0}")]
    Audit(#[from] LedgerError),
    /// The device could not be asked.
    #[error(transparent)]
    Device(#[from] crate::driver::DriverError),
}

/// What the tools and the command actor share.
pub struct Desk {
    /// Why nothing may be written.
    pub freeze: Freeze,
    pub(crate) rulebook: Rulebook,
    pub(crate) book: Mutex<Book>,
    /// Approvers enrolled here, and whether each was revoked.
    pub(super) people: Lock<Vec<(Approver, bool)>>,
    /// The policy that was accepted last.
    pub(super) accepted: Lock<Option<Accepted>>,
    /// What devices may be asked and agents may cost.
    pub(super) granted: Lock<Granted>,
    /// The number that the last accepted statement followed.
    pub(super) stated: AtomicU64,
    boot: u64,
    changed: watch::Sender<u64>,
    command: RwLock<Option<ActorRef<CommandMsg>>>,
    /// One write at a time for each connection.
    pub(super) turns: Lock<HashMap<String, Arc<Mutex<()>>>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            freeze: Freeze::default(),
            rulebook: Rulebook::new(),
            book: Mutex::default(),
            people: Lock::default(),
            accepted: Lock::default(),
            granted: Lock::default(),
            stated: AtomicU64::new(0),
            // Two runs never begin in the same nanosecond, unless the clock is set: then a ticket
            // of the one is held against the other's monotonic clock, and refused by that.
            boot: u64::try_from(clock::now().nanos()).unwrap_or(0) ^ u64::from(std::process::id()),
            changed: watch::Sender::new(0),
            command: RwLock::default(),
            turns: Lock::default(),
        }
    }
}

impl Desk {
    /// Gives this moment on both clocks.
    pub(crate) fn moment(&self) -> Moment {
        Moment { wall_ms: clock::now().millis(), uptime_ms: clock::uptime_ms(), boot: self.boot }
    }

    /// Gives a watch that wakes with each change of a ticket.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Names the actor that writes.
    pub(crate) fn serve(&self, command: Option<ActorRef<CommandMsg>>) {
        *self.command.write() = command;
    }

    /// Has a ticket written that is approved.
    pub(super) fn hand_over(&self, id: &str) {
        let command = self.command.read().clone();
        let sent = command.map(|command| command.send_message(CommandMsg::Execute(id.to_owned())));
        // One that is down looks for approved tickets when it comes back.
        if !matches!(sent, Some(Ok(()))) {
            tracing::warn!(id, "the command actor is down; the write waits for it");
        }
    }

    /// Gives the turn of the connection that an endpoint has.
    pub(super) fn turn_of(&self, deps: &Deps, endpoint: &str) -> Arc<Mutex<()>> {
        let link = deps.directory.find(endpoint);
        let name = link.map_or_else(|| endpoint.to_owned(), |link| link.name().to_string());
        self.turns.lock().entry(name).or_default().clone()
    }
}

/// Writes a ticket's file as a document.
fn document(dossier: &Dossier) -> Document {
    // A dossier is plain data: writing it as JSON can't fail.
    let bytes = serde_json::to_vec(dossier).unwrap_or_default();
    Document { kind: TICKET.to_owned(), id: dossier.ticket.id.clone(), bytes: Some(bytes) }
}

impl Deps {
    /// Says why nothing may be written now; `None` where it may.
    #[must_use]
    pub fn frozen(&self) -> Option<String> {
        self.desk.freeze.why().or_else(|| self.ledger.frozen())
    }

    /// Begins a record about a ticket.
    pub(super) fn event(&self, what: What, dossier: &Dossier) -> Event {
        let ticket = &dossier.ticket;
        let event = Event::new(what)
            .ticket(&ticket.id)
            .at(&ticket.endpoint, &ticket.tag)
            .with("state", dossier.state.word())
            .with("separation", serde_json::json!(ticket.separation));
        if dossier.rule.is_empty() {
            return event;
        }
        event.with("rule", dossier.rule.clone()).with("why", dossier.why.clone())
    }

    /// Makes a change of a ticket durable, and then visible.
    pub(super) async fn keep(
        &self,
        book: &mut Book,
        event: Event,
        dossier: Dossier,
    ) -> Result<(), DeskError> {
        let mut documents = vec![document(&dossier)];
        // What falls out of the book falls out of the file with the same record.
        let gone = book.put(dossier);
        let gone = gone.into_iter();
        documents.extend(gone.map(|id| Document { kind: TICKET.into(), id, bytes: None }));
        let kept = self.ledger.put(event, documents).await;
        self.desk.changed();
        match kept {
            Ok(_) => Ok(()),
            Err(error) => {
                self.desk.freeze.set(Cause::Audit, Some(error.to_string()));
                Err(DeskError::Audit(error))
            }
        }
    }

    /// Changes a ticket that stands in one of the states `from`; what it then is, is durable.
    ///
    /// # Errors
    /// It stands elsewhere by now, or the change can't be recorded: then nothing has changed.
    pub(super) async fn advance(
        &self,
        id: &str,
        event: What,
        by: Option<&Principal>,
        change: impl FnOnce(&mut Dossier) -> Result<(), Refusal>,
    ) -> Result<Dossier, DeskError> {
        let mut book = self.desk.book.lock().await;
        let before = book.get(id).cloned().ok_or_else(|| unknown(id))?;
        let mut after = before.clone();
        change(&mut after)?;
        let mut event = self.event(event, &after);
        if let Some(by) = by {
            event = event.by(by);
        }
        event = detailed(event, &after);
        match self.keep(&mut book, event, after.clone()).await {
            Ok(()) => Ok(after),
            Err(error) => {
                book.put(before);
                Err(error)
            }
        }
    }

    /// Records that something was refused. The refusal stands even where it can't be recorded.
    pub(crate) async fn denied(&self, by: &Principal, about: Option<&Dossier>, refusal: &Refusal) {
        let event = match about {
            Some(dossier) => self.event(What::Denied, dossier),
            None => Event::new(What::Denied),
        };
        let event = event.by(by).ended(Outcome::Refused, refusal.rule.word());
        let event = event.with("why", refusal.message.clone());
        if let Err(error) = self.ledger.append_durable(event).await {
            tracing::error!("a refusal could not be recorded: {error}");
        }
        // An approver's slip costs nobody a ticket; an agent that keeps asking rests.
        if by.door == Door::Agent {
            self.breaker.denied(by.uid, clock::uptime_ms());
        }
    }

    /// Gives a ticket's file.
    ///
    /// # Errors
    /// There is none of that id.
    pub async fn dossier(&self, id: &str) -> Result<Dossier, DeskError> {
        self.desk.book.lock().await.get(id).cloned().ok_or_else(|| unknown(id))
    }

    /// Gives a ticket's file to a caller who is shown its tag; to others there is none.
    ///
    /// # Errors
    /// There is none of that id, or it is not theirs to see.
    pub async fn shown_dossier(&self, id: &str) -> Result<Dossier, DeskError> {
        let found = self.dossier(id).await?;
        if self.shows(&found.ticket.tag) { Ok(found) } else { Err(unknown(id)) }
    }

    /// Lists the newest tickets, the newest first.
    pub async fn dossiers(&self, limit: usize) -> Vec<Dossier> {
        self.desk.book.lock().await.all().take(limit).cloned().collect()
    }
}

fn unknown(id: &str) -> DeskError {
    let id = crate::model::sanitize(id, 40);
    DeskError::Unknown(format!("there is no ticket {id}; see moc_list"))
}

/// Adds what a write left behind.
fn detailed(event: Event, dossier: &Dossier) -> Event {
    let mut event = event
        .with("before", dossier.ticket.before.clone())
        .with("value", dossier.ticket.value.clone())
        .with("writes", dossier.writes);
    if let Some(found) = &dossier.found {
        event = event.with("found", found.clone());
    }
    if !dossier.readbacks.is_empty() {
        event = event.with("readbacks", serde_json::Value::from(dossier.readbacks.clone()));
    }
    if let Some(us) = dossier.window_us {
        event = event.with("cas_window_us", us);
    }
    if !dossier.approved_by.is_empty() {
        event = event.with("approved_by", dossier.approved_by.clone());
    }
    event
}

/// Says that a ticket is not where it would have to be.
pub(super) fn used(dossier: &Dossier) -> Refusal {
    let word = dossier.state.word();
    let id = &dossier.ticket.id;
    Refusal::new(Rule::TicketUsed, format!("{id} is {word} already; request a new one"))
}
