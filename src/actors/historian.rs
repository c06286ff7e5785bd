//! The historian: takes what the cache has gained and makes it durable, one commit at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::observed::HistorianReport;
use crate::cache::{TagCache, TakenUpTo};
use crate::clock;
use crate::config::History;
use crate::model::Pages;
use crate::store::{SampleStore, StoreError};

/// Old pages are looked for this often.
const RETAIN_EVERY: Duration = Duration::from_secs(60);

/// What the historian is told.
#[derive(Debug)]
pub(crate) enum HistorianMsg {
    /// Commit what has come.
    Commit,
    /// Commit, mark the file as closed properly, and say so.
    Close(RpcReplyPort<()>),
}

/// What it shares with those that look at it, and with its own successor after a panic.
pub struct HistorianFace {
    /// Where it stands.
    pub report: Mutex<HistorianReport>,
    /// How it keeps history; a reload changes it.
    pub history: Mutex<History>,
    /// What it has taken from the cache.
    taken: Mutex<TakenUpTo>,
    /// What was taken and could not be stored yet.
    pending: Mutex<Option<Pages>>,
}

impl HistorianFace {
    /// Makes the face of a historian that has not started.
    #[must_use]
    pub fn new(history: History) -> Arc<Self> {
        Arc::new(Self {
            report: Mutex::default(),
            history: Mutex::new(history),
            taken: Mutex::default(),
            pending: Mutex::default(),
        })
    }
}

/// The actor.
pub(crate) struct Historian;

/// What it starts from.
#[derive(Clone)]
pub(crate) struct HistorianArgs {
    pub(crate) store: Arc<SampleStore>,
    pub(crate) cache: Arc<TagCache>,
    pub(crate) face: Arc<HistorianFace>,
}

/// What it knows.
pub(crate) struct HistorianState {
    args: HistorianArgs,
    timer: Option<JoinHandle<Result<(), ractor::MessagingErr<HistorianMsg>>>>,
    retained: Instant,
}

#[async_trait]
impl Actor for Historian {
    type Msg = HistorianMsg;
    type State = HistorianState;
    type Arguments = HistorianArgs;

    async fn pre_start(
        &self,
        me: ActorRef<HistorianMsg>,
        args: HistorianArgs,
    ) -> Result<HistorianState, ActorProcessingErr> {
        me.send_message(HistorianMsg::Commit)?;
        Ok(HistorianState { args, timer: None, retained: Instant::now() })
    }

    async fn handle(
        &self,
        me: ActorRef<HistorianMsg>,
        message: HistorianMsg,
        state: &mut HistorianState,
    ) -> Result<(), ActorProcessingErr> {
        let began = Instant::now();
        // What could not be stored before goes first; the end has no other chance for the rest.
        let is_behind = state.args.face.pending.lock().is_some();
        state.commit().await;
        if is_behind {
            state.commit().await;
        }
        match message {
            HistorianMsg::Commit => {
                if state.retained.elapsed() >= RETAIN_EVERY {
                    state.retained = Instant::now();
                    state.retain().await;
                }
                let commit_ms = u64::from(state.args.face.history.lock().commit_ms);
                let pause = Duration::from_millis(commit_ms).saturating_sub(began.elapsed());
                let timer = me.send_after(pause, || HistorianMsg::Commit);
                if let Some(before) = state.timer.replace(timer) {
                    before.abort();
                }
            }
            HistorianMsg::Close(done) => {
                let store = state.args.store.clone();
                log(tokio::task::spawn_blocking(move || store.close_clean(clock::now()))
                    .await?
                    .err());
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the historian's end");
                }
                me.stop(None);
            }
        }
        Ok(())
    }
}

impl HistorianState {
    /// Stores what has come. What can't be stored now is kept and tried again; meanwhile the
    /// rings go on, and what they overwrite is counted.
    async fn commit(&mut self) {
        let HistorianArgs { store, cache, face } = self.args.clone();
        let stored = tokio::task::spawn_blocking(move || {
            // Kept until it is stored, so that not even a panic loses it.
            let mut pending = face.pending.lock();
            let pages = pending.get_or_insert_with(|| cache.take_pages(&mut face.taken.lock()));
            let result = store.commit(pages, &cache.blocks(), clock::now());
            let mut report = face.report.lock();
            match result {
                Ok(committed) => {
                    report.commits += 1;
                    report.samples += committed.samples;
                    report.lost += pages.lost;
                    report.last_commit = Some(clock::now());
                    report.fault = None;
                    *pending = None;
                }
                Err(error) => {
                    let text = error.to_string();
                    if report.fault.as_ref() != Some(&text) {
                        tracing::error!("history is not being stored: {text}");
                    }
                    report.fault = Some(text);
                }
            }
        });
        if let Err(error) = stored.await {
            self.args.face.report.lock().fault = Some(error.to_string());
            tracing::error!("the commit failed: {error}");
        }
    }

    async fn retain(&self) {
        let (store, history) = (self.args.store.clone(), *self.args.face.history.lock());
        let retained = tokio::task::spawn_blocking(move || {
            store.retain(clock::now(), history.keep_days, history.keep_bytes)
        });
        match retained.await {
            Ok(result) => log(result.err()),
            Err(error) => tracing::error!("retention failed: {error}"),
        }
    }
}

fn log(error: Option<StoreError>) {
    if let Some(error) = error {
        tracing::error!("the store failed: {error}");
    }
}
