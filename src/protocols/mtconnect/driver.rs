//! The driver: a model, a stream or scans of the present state, and the asks beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answers::{self, Caller};
use super::devices;
use super::errors;
use super::follow::Follow;
use super::http::{Agent, Paying};
use super::items::{self, Routes};
use super::settings::{AgentSettings, Way};
use super::stream::{self, Position, Standing, Wish};
use crate::driver::{
    Ask, Asking, Batch, Cadence, Driver, DriverError, EndpointSpec, ErrorKind, Hearing, Identity,
    ModelDevice, PlanReport, Planned, Reaction, ScanCost, Slice, SliceId, Toll,
};
use crate::model::{Tag, TagId, UnitId};

/// Faster intervals only split what one part could carry; slower ones delay every change.
const INTERVALS_MS: std::ops::RangeInclusive<u32> = 10..=1000;

/// How observations come in on this session.
enum Source {
    /// Nothing is open.
    Closed,
    Pushed(Box<Standing>),
    /// The present state is asked for at each scan.
    Polled(Box<Follow>),
}

/// One endpoint's driver.
struct MtConnect {
    agent: Agent,
    settings: AgentSettings,
    tags: Vec<Planned>,
    model: Option<Arc<Vec<ModelDevice>>>,
    source: Source,
    /// The scan classes of a polled plan, each with where its tags' observations go.
    scans: Vec<Routes>,
    /// Where the stream had come to, so that what is missed between two sessions is counted.
    position: Option<Position>,
    /// The tags have changed since the stream was opened.
    is_stale: bool,
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
        scans: Vec::new(),
        position: None,
        is_stale: false,
        wake: Arc::default(),
    }))
}

/// Checks a tag's address, and says how it is asked for.
pub(super) fn address(tag: &Tag) -> Result<String, DriverError> {
    items::check(&tag.address)?;
    Ok(format!("data item {}", tag.address))
}

/// Counts the requests of each scan: none where the agent sends, one where it is asked.
pub(super) fn requests(spec: &EndpointSpec) -> Vec<ScanCost> {
    let Ok(settings) = AgentSettings::read(&spec.settings) else { return Vec::new() };
    let mut tags: BTreeMap<u32, u32> = BTreeMap::new();
    for tag in spec.tags.iter().filter(|tag| items::check(&tag.address).is_ok()) {
        *tags.entry(tag.scan.scan_ms).or_default() += 1;
    }
    let requests = u32::from(settings.way == Way::Never);
    tags.into_iter().map(|(scan_ms, tags)| ScanCost { scan_ms, requests, tags }).collect()
}

fn is_same(one: &[Planned], other: &[Planned]) -> bool {
    let pairs = one.iter().zip(other);
    one.len() == other.len() && pairs.into_iter().all(|(a, b)| a.id == b.id && a.tag == b.tag)
}

impl MtConnect {
    fn model(&self) -> Option<&[ModelDevice]> {
        self.model.as_deref().map(Vec::as_slice)
    }

    fn way(&self) -> Way {
        match self.source {
            Source::Polled(_) => Way::Never,
            Source::Pushed(_) => Way::Auto,
            Source::Closed => self.settings.way,
        }
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

    /// Opens the stream, or turns to asking where that is told or needed.
    async fn establish(&mut self, paying: Paying<'_>) -> Result<(), DriverError> {
        self.is_stale = false;
        if let Source::Pushed(standing) = &self.source {
            self.position = Some(standing.position());
        }
        self.source = Source::Polled(Box::default());
        if self.tags.is_empty() || self.settings.way == Way::Never {
            return Ok(());
        }
        let (routes, _) = Routes::arrange(&self.tags, self.model());
        let fastest = self.tags.iter().map(|planned| planned.tag.scan.scan_ms).min();
        let (least, most) = (*INTERVALS_MS.start(), *INTERVALS_MS.end());
        let wish = Wish {
            agent: self.agent.clone(),
            routes,
            is_all: self.settings.device.is_none(),
            interval_ms: fastest.unwrap_or(most).clamp(least, most),
            wake: self.wake.clone(),
            before: self.position,
        };
        match stream::establish(wish, paying).await? {
            Some(standing) => self.source = Source::Pushed(Box::new(standing)),
            None => tracing::info!(
                url = self.agent.base(),
                "the agent has no sequence numbers or no stream: asking at each scan"
            ),
        }
        Ok(())
    }

    /// Reads the tags of one scan class from the present state.
    async fn poll(
        &mut self,
        scan: usize,
        out: &mut Batch,
        paying: Paying<'_>,
    ) -> Result<(), DriverError> {
        let Some(routes) = self.scans.get(scan) else { return Err(errors::closed()) };
        let document = self.agent.get("current", paying).await?;
        let Source::Polled(follow) = &mut self.source else { return Err(errors::closed()) };
        let intake = stream::snapshot(&document, follow, routes)?;
        out.readings.extend(intake.readings);
        out.current = Some(follow.current());
        out.conditions = follow.active();
        out.hearing = Some(Hearing::Whole);
        Ok(())
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
        let (_, rejected) = Routes::arrange(tags, self.model());
        let is_taken = |planned: &&Planned| !rejected.iter().any(|(id, _)| *id == planned.id);
        let way = self.way();
        let mut classes: BTreeMap<u32, Vec<Planned>> = BTreeMap::new();
        for planned in tags.iter().filter(is_taken) {
            // A stream has one pace.
            let class = if way == Way::Never { planned.tag.scan.scan_ms } else { 0 };
            classes.entry(class).or_default().push(planned.clone());
        }
        let model = self.model();
        let scans: Vec<Routes> =
            classes.values().map(|tags| Routes::arrange(tags, model).0).collect();
        let slices = (0u32..).zip(classes).map(|(number, (scan_ms, tags))| Slice {
            id: SliceId(number),
            unit: UnitId(0),
            cadence: match way {
                Way::Auto => Cadence::Pushed,
                Way::Never => Cadence::Polled { scan_ms },
            },
            tags: tags.iter().map(|planned| planned.id).collect::<Vec<TagId>>(),
            requests: u32::from(way == Way::Never),
        });
        let slices = slices.collect();
        self.scans = scans;
        PlanReport { slices, rejected }
    }

    async fn open(
        &mut self,
        wake: Arc<Notify>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError> {
        self.source = Source::Closed;
        self.wake = wake;
        let identity = self.probe((toll, deadline)).await?;
        if let Err(error) = self.establish((toll, deadline)).await {
            self.source = Source::Closed;
            return Err(error);
        }
        self.wake.notify_one();
        Ok(identity)
    }

    async fn acquire(
        &mut self,
        slice: SliceId,
        out: &mut Batch,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        if self.is_stale && matches!(self.source, Source::Pushed(_)) {
            self.establish((toll, deadline)).await.map_err(drop_session)?;
        }
        match &self.source {
            Source::Closed => Err(errors::closed()),
            Source::Pushed(standing) => {
                let drained = standing.drain(out);
                self.position = Some(standing.position());
                drained
            }
            Source::Polled(_) => {
                let scan = usize::try_from(slice.0).unwrap_or(usize::MAX);
                self.poll(scan, out, (toll, deadline)).await.map_err(drop_session)
            }
        }
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
        if let Source::Pushed(standing) = &self.source {
            self.position = Some(standing.position());
        }
        self.source = Source::Closed;
    }
}

/// A scan that failed says that the session must be looked at; only the budget is no fault of it.
fn drop_session(error: DriverError) -> DriverError {
    if error.kind == ErrorKind::BudgetExhausted {
        return error;
    }
    error.reacting(Reaction::DropSession)
}
