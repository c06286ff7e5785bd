//! The driver: a model, a stream or scans, and the asks beside them.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answers::{self, Caller};
use super::devices;
use super::errors;
use super::heard::Heard;
use super::http::{Agent, Paying};
use super::items::{self, Routes};
use super::scan::Scan;
use super::settings::{AgentSettings, Way};
use super::stream::{self, Followed, Standing};
use super::streams::Survey;
use crate::driver::{
    Ask, Asking, Batch, Cadence, Driver, DriverError, EndpointSpec, ErrorKind, Identity,
    ModelDevice, PlanReport, Planned, Reaction, ScanCost, Slice, SliceId, Toll,
};
use crate::model::{Tag, TagId, UnitId};

/// Faster intervals only split what one part could carry; slower ones delay every change.
const INTERVALS_MS: std::ops::RangeInclusive<u32> = 10..=1000;

/// How observations come in on this session.
enum Source {
    /// Nothing is open.
    Closed,
    /// Open, without tags to follow.
    Idle,
    Pushed(Box<Standing>),
    /// What has changed is asked for at each scan.
    Followed(Box<Scan>),
    /// The present state is asked for at each scan: the agent has no sequence.
    Polled,
}

impl Source {
    fn cadence(&self, settings: &AgentSettings, scan_ms: u32) -> Cadence {
        match (self, settings.way) {
            (Self::Pushed(_), _) | (Self::Closed | Self::Idle, Way::Auto) => Cadence::Pushed,
            (Self::Followed(_), _) | (Self::Closed | Self::Idle, Way::Never) => {
                Cadence::Followed { scan_ms }
            }
            (Self::Polled, _) => Cadence::Polled { scan_ms },
        }
    }
}

/// One endpoint's driver.
struct MtConnect {
    agent: Agent,
    settings: AgentSettings,
    tags: Vec<Planned>,
    model: Option<Arc<Vec<ModelDevice>>>,
    source: Source,
    /// What was heard of the agent, from session to session.
    heard: Arc<Mutex<Heard>>,
    /// Where the tags' observations go.
    routes: Arc<Routes>,
    /// The tags have changed since the session began, or they need their present values again.
    is_stale: bool,
    /// The last stream brought nothing: this session asks.
    is_mute: bool,
    wake: Arc<Notify>,
}

/// Makes a driver.
pub(super) fn driver(spec: &EndpointSpec) -> Result<Box<dyn Driver>, DriverError> {
    let settings = AgentSettings::read(&spec.settings).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        DriverError::new(ErrorKind::Settings, all.join("; ")).hint("correct these keys")
    })?;
    Ok(Box::new(MtConnect {
        agent: Agent::new(settings.clone())?,
        settings,
        tags: Vec::new(),
        model: None,
        source: Source::Closed,
        heard: Arc::default(),
        routes: Arc::default(),
        is_stale: false,
        is_mute: false,
        wake: Arc::default(),
    }))
}

/// Checks a tag's address, and says how it is asked for.
pub(super) fn address(tag: &Tag) -> Result<String, DriverError> {
    items::check(&tag.address)?;
    Ok(format!("data item {}", tag.address))
}

/// Counts the requests of a scan: none where the agent sends, one where it is asked, for all tags
/// at the pace of the fastest.
pub(super) fn requests(spec: &EndpointSpec) -> Vec<ScanCost> {
    let Ok(settings) = AgentSettings::read(&spec.settings) else { return Vec::new() };
    let tags = spec.tags.iter().filter(|tag| items::check(&tag.address).is_ok());
    let paces: Vec<u32> = tags.map(|tag| tag.scan.scan_ms).collect();
    let Some(scan_ms) = paces.iter().min().copied() else { return Vec::new() };
    let tags = u32::try_from(paces.len()).unwrap_or(u32::MAX);
    vec![ScanCost { scan_ms, requests: u32::from(settings.way == Way::Never), tags }]
}

fn is_same(one: &[Planned], other: &[Planned]) -> bool {
    let pairs = one.iter().zip(other);
    one.len() == other.len() && pairs.into_iter().all(|(a, b)| a.id == b.id && a.tag == b.tag)
}

impl MtConnect {
    fn model(&self) -> Option<&[ModelDevice]> {
        self.model.as_deref().map(Vec::as_slice)
    }

    /// Reads the model. An agent whose model is no answer may still tell the present state.
    async fn probe(&mut self, paying: Paying<'_>) -> Result<Identity, DriverError> {
        self.model = None;
        let read = async {
            let document = self.agent.get("probe", paying).await?;
            devices::read(&document.text).map_err(|fault| errors::document(&document.url, fault))
        };
        match read.await {
            Ok((header, devices)) => {
                let identity = answers::identity(&header, &devices);
                self.model = Some(Arc::new(devices));
                Ok(identity)
            }
            Err(error) if has_answered(&error) => {
                tracing::warn!(%error, "no model: tags are found by what the agent sends");
                Ok(Identity::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the pace of the fastest tag.
    fn scan_ms(&self) -> Option<u32> {
        self.tags.iter().map(|planned| planned.tag.scan.scan_ms).min()
    }

    /// Whatever still listens, listens no more; what was heard stays.
    fn leave(&mut self) {
        self.source = Source::Closed;
        self.heard.lock().session += 1;
    }

    /// Takes the present state, and opens the stream or turns to asking where that is told or
    /// needed.
    async fn establish(&mut self, paying: Paying<'_>) -> Result<(), DriverError> {
        self.leave();
        let Some(scan_ms) = self.scan_ms() else {
            self.source = Source::Idle;
            return Ok(());
        };
        self.routes = Arc::new(Routes::arrange(&self.tags, self.model()).0);
        let is_told = self.begin(paying).await?;
        self.source = if self.heard.lock().position.is_none() {
            tracing::info!(url = self.agent.base(), "no sequence numbers: asking for all");
            Source::Polled
        } else {
            let is_mute = std::mem::take(&mut self.is_mute);
            let streams = self.settings.way == Way::Auto && is_told && !is_mute;
            self.follow(scan_ms, streams, paying).await?
        };
        self.is_stale = false;
        self.wake.notify_one();
        Ok(())
    }

    /// Takes the present state; tells whether the agent's header gives sequence numbers.
    async fn begin(&self, paying: Paying<'_>) -> Result<bool, DriverError> {
        let document = self.agent.get("current", paying).await?;
        let fault = |fault| errors::document(&document.url, fault);
        let survey = Survey::read(&document.text).map_err(fault)?;
        let mut heard = self.heard.lock();
        heard.begin(&document.text, &survey, &self.routes, false).map_err(fault)?;
        Ok(survey.header.next.is_some())
    }

    async fn follow(
        &self,
        scan_ms: u32,
        streams: bool,
        paying: Paying<'_>,
    ) -> Result<Source, DriverError> {
        let followed = Followed {
            agent: self.agent.clone(),
            routes: self.routes.clone(),
            is_all: self.settings.device.is_none(),
            heard: self.heard.clone(),
        };
        if streams {
            let interval_ms = scan_ms.clamp(*INTERVALS_MS.start(), *INTERVALS_MS.end());
            let wake = self.wake.clone();
            let standing = stream::establish(followed.clone(), interval_ms, wake, paying).await?;
            if let Some(standing) = standing {
                return Ok(Source::Pushed(Box::new(standing)));
            }
            tracing::info!(url = self.agent.base(), "no stream: asking for what has changed");
        }
        let mut scan = Scan::new(followed);
        match scan.ask(paying).await {
            Ok(()) => Ok(Source::Followed(Box::new(scan))),
            // It answers current, and not sample.
            Err(error) if has_answered(&error) => {
                tracing::warn!(%error, "no samples: asking for the present state at each scan");
                Ok(Source::Polled)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads all tags from the present state.
    async fn poll(&self, out: &mut Batch, paying: Paying<'_>) -> Result<(), DriverError> {
        let document = self.agent.get("current", paying).await?;
        let mut heard = self.heard.lock();
        heard
            .look(&document.text, &self.routes)
            .map_err(|fault| errors::document(&document.url, fault))?;
        let _later = heard.drain(out);
        Ok(())
    }

    /// Takes the present state again within a session.
    async fn renew(&mut self, paying: Paying<'_>) -> Result<(), DriverError> {
        let was_idle = matches!(self.source, Source::Idle);
        let before = self.source.cadence(&self.settings, 0);
        self.establish(paying).await?;
        if was_idle || self.source.cadence(&self.settings, 0) == before {
            return Ok(());
        }
        // How it is scanned is planned when a session begins.
        Err(errors::changed(self.agent.base()))
    }
}

/// Tells an agent that answers something from one that does not answer.
fn has_answered(error: &DriverError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Protocol
            | ErrorKind::BadAddress
            | ErrorKind::DeviceFault
            | ErrorKind::Unsupported
            | ErrorKind::Decode
    )
}

#[async_trait]
impl Driver for MtConnect {
    fn plan(&mut self, tags: &[Planned]) -> PlanReport {
        if !is_same(&self.tags, tags) {
            self.tags = tags.to_vec();
            self.is_stale = !matches!(self.source, Source::Closed);
            self.wake.notify_one();
        }
        let (routes, rejected) = Routes::arrange(tags, self.model());
        self.routes = Arc::new(routes);
        let is_taken = |planned: &&Planned| !rejected.iter().any(|(id, _)| *id == planned.id);
        let taken: Vec<TagId> = tags.iter().filter(is_taken).map(|planned| planned.id).collect();
        // One answer holds what has changed of all, and a stream has one pace.
        let cadence = self.source.cadence(&self.settings, self.scan_ms().unwrap_or_default());
        let slice = Slice {
            id: SliceId(0),
            unit: UnitId(0),
            cadence,
            requests: u32::from(cadence.scan_ms().is_some()),
            tags: taken,
        };
        PlanReport { slices: Vec::from_iter(Some(slice).filter(|s| !s.tags.is_empty())), rejected }
    }

    async fn open(
        &mut self,
        wake: Arc<Notify>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError> {
        self.leave();
        self.wake = wake;
        let identity = self.probe((toll, deadline)).await?;
        self.establish((toll, deadline)).await?;
        Ok(identity)
    }

    async fn acquire(
        &mut self,
        _slice: SliceId,
        out: &mut Batch,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let paying = (toll, deadline);
        if self.is_stale && !matches!(self.source, Source::Closed) {
            self.renew(paying).await.map_err(drop_session)?;
        }
        let acquired = match &mut self.source {
            Source::Closed => return Err(errors::closed()),
            Source::Idle => return Ok(()),
            Source::Pushed(standing) => {
                let drained = standing.drain(out);
                self.is_mute = standing.is_mute();
                return drained;
            }
            Source::Followed(scan) => scan.follow(out, paying).await,
            Source::Polled => self.poll(out, paying).await,
        };
        // A failure marks the tags, and what has not changed is not told again by itself.
        self.is_stale |= acquired.is_err();
        acquired.map_err(drop_session)
    }

    fn ask(&mut self, ask: Ask, toll: Toll, deadline: Instant) -> Asking<'_> {
        if matches!(self.source, Source::Closed) {
            return Asking::Beside(Box::pin(async { Err(errors::closed()) }));
        }
        let (agent, model) = (self.agent.clone(), self.model.clone());
        let is_streamed = matches!(self.source, Source::Pushed(_));
        let caller = Caller { agent, model, is_streamed, toll, deadline };
        Asking::Beside(Box::pin(answers::answer(caller, ask)))
    }

    async fn close(&mut self, _deadline: Instant) {
        self.leave();
    }
}

/// A scan that failed says that the session must be looked at; only the budget is no fault of it.
fn drop_session(error: DriverError) -> DriverError {
    if error.kind == ErrorKind::BudgetExhausted {
        return error;
    }
    error.reacting(Reaction::DropSession)
}
