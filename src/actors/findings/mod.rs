//! The findings' actor: looks at the cache and the published reports again and again, and keeps
//! what is wrong.

mod alarms;
mod assets;
mod book;
mod face;
mod links;
mod shelf;
mod tags;
mod together;
mod watch;

use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

pub use assets::{AssetError, Assets};
pub use book::{About, Judged, OPEN_MAX, Open, Seen, Turn};
pub use face::{FindingsFace, Loss, Published, Round};
pub(crate) use links::present_fault;
pub use shelf::{Shelf, ShelveError};
pub(crate) use tags::{WINDOW, beside, confirmed, is_silence, neighbours_of};
pub use together::AssetState;
pub(crate) use watch::FindingsArgs;
use watch::Watch;

use crate::diagnose::Severity;
use crate::net::journal::{Journal, Level, Line, words};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What it is told.
#[derive(Debug)]
pub(crate) enum FindingsMsg {
    /// Look at everything.
    Look,
}

/// The actor.
pub(crate) struct Findings;

/// What it knows.
pub(crate) struct FindingsState {
    /// Away while a look is under way.
    watch: Option<Watch>,
    journal: Option<Journal>,
    timer: Option<JoinHandle<Result<(), ractor::MessagingErr<FindingsMsg>>>>,
}

#[async_trait]
impl Actor for Findings {
    type Msg = FindingsMsg;
    type State = FindingsState;
    type Arguments = FindingsArgs;

    async fn pre_start(
        &self,
        me: ActorRef<FindingsMsg>,
        args: FindingsArgs,
    ) -> Result<FindingsState, ActorProcessingErr> {
        me.send_message(FindingsMsg::Look)?;
        let journal = Journal::open();
        if let Err(error) = &journal {
            tracing::warn!(%error, "findings go to this log alone");
        }
        Ok(FindingsState { watch: Some(Watch::new(args)), journal: journal.ok(), timer: None })
    }

    async fn handle(
        &self,
        me: ActorRef<FindingsMsg>,
        message: FindingsMsg,
        state: &mut FindingsState,
    ) -> Result<(), ActorProcessingErr> {
        let FindingsMsg::Look = message;
        let Some(mut watch) = state.watch.take() else { return Ok(()) };
        // Off the runtime: a look may take fifty milliseconds.
        let looked = tokio::task::spawn_blocking(move || {
            let turns = watch.look();
            (watch, turns)
        });
        let (watch, turns) = looked.await?;
        state.watch = Some(watch);
        turns.iter().for_each(|turn| announce(state.journal.as_ref(), turn));
        let timer = me.send_after(LOOK_EVERY, || FindingsMsg::Look);
        if let Some(before) = state.timer.replace(timer) {
            before.abort();
        }
        Ok(())
    }
}

/// Writes an opening or a closing as one line of the system's log; of ours where there is none.
fn announce(journal: Option<&Journal>, turn: &Turn) {
    let (open, state) = match turn {
        Turn::Opened(open) => (open, "open"),
        Turn::Closed(open) => (open, "closed"),
    };
    let tag = open.seen.tag.as_deref().unwrap_or_default();
    let endpoint = open.seen.endpoint.as_deref().unwrap_or_default();
    let level = match (state, open.seen.severity) {
        ("closed", _) | (_, Severity::Low) => Level::Notice,
        (_, Severity::Medium) => Level::Warning,
        (_, Severity::High) => Level::Error,
    };
    let fields = [
        ("FINDING", open.id.as_str()),
        ("STATE", state),
        ("CODE", open.verdict.word()),
        ("TAG", tag),
        ("ENDPOINT", endpoint),
    ];
    let line = Line { level, message: &open.seen.summary, fields: &fields };
    let written = journal.is_some_and(|journal| journal.write(&line).is_ok());
    if !written {
        tracing::warn!("{}", words(&line));
    }
}
