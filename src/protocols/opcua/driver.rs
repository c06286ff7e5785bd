//! The driver: a plan, a session, and the asks beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use opcua::types::{AttributeId, DataValue, NodeId};
use tokio::sync::Notify;
use tokio::time::Instant;

#[cfg(feature = "writes")]
use super::address::Address;
use super::browse::{self, Walk};
use super::errors;
use super::history::{self, Past};
use super::identify;
use super::kinds::Kinds;
use super::limits::Limits;
use super::link::{Link, Opening};
use super::listen;
use super::plan::{Plan, Way};
use super::read;
use super::requests::{Caller, Live, attribute, detached};
use super::settings::{Events, OpcuaSettings, Subscribe};
use super::structures::Structures;
use super::subscribe::{self, Answer, Scope, Standing, pick};
use super::values::{self, Converter};
use super::wire::Wire;
use crate::clock;
#[cfg(feature = "writes")]
use crate::driver::Inspected;
use crate::driver::{
    Ask, Asking, Batch, Driver, DriverError, EndpointSpec, ErrorKind, Identity, PlanReport,
    Planned, Reading, Reply, SliceId, Toll,
};
#[cfg(feature = "writes")]
use crate::gate::Authorized;
use crate::model::{EndpointName, Secret, Value};
#[cfg(feature = "writes")]
use crate::model::{Setpoint, Tag};

/// Nodes of one read on demand.
const REFS_MAX: usize = 500;

/// How samples come in on this session.
enum Source {
    /// Nothing is open.
    Closed,
    Pushed(Box<Standing>),
    Polled,
}

/// One endpoint's driver.
pub(super) struct Opcua {
    name: EndpointName,
    settings: OpcuaSettings,
    password: Option<Secret>,
    state_dir: PathBuf,
    wire: Arc<Wire>,
    /// Limits outlive sessions: what a server lied about, it lies about again.
    limits: Arc<Limits>,
    live: Option<Arc<Live>>,
    source: Source,
    plan: Plan,
    /// The plan the standing subscription was made for; stale where the tags have changed since.
    is_stale: bool,
    wake: Option<Arc<Notify>>,
}

/// Makes a driver for an endpoint.
pub(super) fn make(spec: &EndpointSpec) -> Result<Box<dyn Driver>, DriverError> {
    let settings = OpcuaSettings::read(&spec.settings).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        DriverError::new(ErrorKind::Settings, first)
    })?;
    if settings.username.is_some() && spec.password.is_none() {
        return Err(DriverError::new(
            ErrorKind::Settings,
            "username is set and there is no password",
        )
        .hint("store one with `ot-aiops secret set`, or remove username"));
    }
    Ok(Box::new(Opcua {
        name: spec.name.clone(),
        settings,
        password: spec.password.clone(),
        state_dir: spec.state_dir.clone(),
        wire: Arc::default(),
        limits: Arc::default(),
        live: None,
        source: Source::Closed,
        plan: Plan::default(),
        is_stale: false,
        wake: None,
    }))
}

impl Opcua {
    fn way(&self) -> Way {
        match (&self.source, self.settings.subscribe) {
            (Source::Pushed(_), _) | (Source::Closed, Subscribe::Auto) => Way::Pushed,
            (Source::Polled, _) | (Source::Closed, Subscribe::Never) => Way::Polled,
        }
    }

    fn scope(&self) -> Scope {
        match self.settings.events {
            Events::Off => Scope::Data,
            Events::On => Scope::DataAndEvents,
            Events::WithTags if self.plan.items.is_empty() => Scope::Data,
            Events::WithTags => Scope::DataAndEvents,
        }
    }

    fn caller(&self, toll: &Toll, deadline: Instant) -> Result<Caller, DriverError> {
        let live = self.live.clone().ok_or_else(errors::closed)?;
        if let Some(failure) = live.link.health.failure() {
            return Err(failure);
        }
        Ok(Caller { live, toll: toll.clone(), deadline })
    }

    async fn connect(
        &mut self,
        wake: Arc<Notify>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError> {
        let link = Link::open(Opening {
            settings: &self.settings,
            password: self.password.as_ref(),
            state_dir: &self.state_dir,
            name: &self.name,
            wire: &self.wire,
            wake,
            toll,
            deadline,
        })
        .await?;
        self.wire.settle(toll);
        let (limits, structures) = (self.limits.clone(), Arc::new(Structures::default()));
        let kinds = Kinds::default();
        let mut live = Live { link, limits, structures, kinds, namespaces: Vec::new() };
        // The namespaces must be known before anything that needs them can be shared.
        let identity = {
            let caller = Caller { live: Arc::new(live), toll: toll.clone(), deadline };
            let identity = identify::introduce(&caller).await?;
            live = Arc::into_inner(caller.live).ok_or_else(errors::closed)?;
            identity
        };
        live.namespaces.clone_from(&identity.namespaces);
        self.live = Some(Arc::new(live));
        self.subscribe(toll, deadline).await?;
        Ok(identity)
    }

    /// Subscribes to everything planned, or turns to polling where that is told or needed.
    async fn subscribe(&mut self, toll: &Toll, deadline: Instant) -> Result<(), DriverError> {
        let caller = self.caller(toll, deadline)?;
        if let Source::Pushed(standing) = &self.source {
            standing.end(&caller).await;
        }
        self.is_stale = false;
        self.source = Source::Polled;
        let scope = self.scope();
        let is_idle = self.plan.items.is_empty() && scope == Scope::Data;
        if is_idle || self.settings.subscribe == Subscribe::Never {
            return Ok(());
        }
        match subscribe::establish(&caller, &self.plan, scope).await? {
            Answer::Granted(standing) => self.source = Source::Pushed(standing),
            Answer::Refused(error) => {
                tracing::info!(endpoint = %self.name, %error, "no subscription: polling instead");
            }
        }
        Ok(())
    }

    /// Reads a slice, each node answering for itself.
    async fn poll(
        &self,
        caller: &Caller,
        slice: usize,
        out: &mut Batch,
    ) -> Result<(), DriverError> {
        let nodes: Vec<(usize, NodeId)> = self
            .plan
            .nodes(&caller.live.namespaces)
            .into_iter()
            .filter(|(at, _)| self.plan.items.get(*at).is_some_and(|item| item.slice == slice))
            .collect();
        let ids: Vec<_> =
            nodes.iter().map(|(_, id)| attribute(id.clone(), AttributeId::Value)).collect();
        let answers = caller.read(&ids).await?;
        read::learn(caller, answers.iter().filter_map(|answer| answer.value.as_ref())).await;
        let received_ts = clock::now();
        for ((at, _), answer) in nodes.into_iter().zip(answers) {
            let Some(item) = self.plan.items.get(at) else { continue };
            let name = answer.value.as_ref().map_or("", values::type_name);
            caller.live.kinds.tell(item.tag, name, out);
            let value = converted(caller, &answer);
            let (value, quality) = pick(value, item.path.as_deref(), values::quality(&answer));
            out.readings.push(Reading {
                tag: item.tag,
                value,
                quality,
                source_ts: answer.source_timestamp.as_ref().and_then(values::instant),
                received_ts,
            });
        }
        Ok(())
    }
}

fn converted(caller: &Caller, answer: &DataValue) -> Value {
    let mut converter = Converter::new(&caller.live.structures);
    answer.value.as_ref().map_or(Value::Null, |value| converter.value(value))
}

#[async_trait]
impl Driver for Opcua {
    fn plan(&mut self, tags: &[Planned]) -> PlanReport {
        let namespaces = self.live.as_ref().map(|live| live.namespaces.as_slice());
        let events_alone = self.settings.events == Events::On;
        let (plan, mut report) = Plan::arrange(tags, namespaces, events_alone);
        if matches!(self.source, Source::Pushed(_)) && plan.items != self.plan.items {
            self.is_stale = true;
            if let Some(wake) = &self.wake {
                wake.notify_one();
            }
        }
        self.plan = plan;
        report.slices = self.plan.slices(self.way(), self.limits.read.get());
        report
    }

    async fn open(
        &mut self,
        wake: Arc<Notify>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError> {
        self.live = None;
        self.source = Source::Closed;
        self.wake = Some(wake.clone());
        let opened = self.connect(wake.clone(), toll, deadline).await;
        self.wire.settle(toll);
        if opened.is_err()
            && let Some(live) = self.live.take()
        {
            self.source = Source::Closed;
            live.link.close(deadline.max(Instant::now() + Duration::from_millis(500))).await;
        }
        // The first values may be here already.
        wake.notify_one();
        opened
    }

    async fn acquire(
        &mut self,
        slice: SliceId,
        out: &mut Batch,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let caller = self.caller(toll, deadline)?;
        if self.is_stale {
            self.subscribe(toll, deadline).await?;
        }
        let slice = usize::try_from(slice.0).unwrap_or(usize::MAX);
        match &self.source {
            Source::Closed => Err(errors::closed()),
            Source::Pushed(standing) => standing.drain(&caller, &self.plan, slice, out).await,
            Source::Polled => self.poll(&caller, slice, out).await,
        }
    }

    fn ask(&mut self, ask: Ask, toll: Toll, deadline: Instant) -> Asking<'_> {
        let known = match &self.source {
            Source::Pushed(standing) if ask == Ask::Conditions => standing.known(),
            _ => Vec::new(),
        };
        let caller = self.caller(&toll, deadline);
        Asking::Beside(match caller {
            Err(error) => Box::pin(async { Err(error) }),
            Ok(caller) => answer(caller, ask, known),
        })
    }

    #[cfg(feature = "writes")]
    async fn inspect(
        &mut self,
        tag: &Tag,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Inspected, DriverError> {
        let caller = self.caller(toll, deadline)?;
        let mut readings = read::readings(&caller, std::slice::from_ref(&tag.address)).await?;
        let reading = readings.pop().ok_or_else(errors::closed)?;
        if let Some(error) = reading.error {
            return Err(error);
        }
        let (value, quality) = pick(reading.value, tag.path.as_deref(), reading.quality);
        let data_type = super::write::data_type(&reading.data_type, &value);
        Ok(Inspected { value, quality, received_ts: reading.received_ts, data_type })
    }

    #[cfg(feature = "writes")]
    async fn operate(
        &mut self,
        setpoint: Authorized<Setpoint>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let caller = self.caller(toll, deadline)?;
        let Setpoint { tag, raw, data_type, .. } = setpoint.get();
        let node = Address::parse(&tag.address)?.resolve(&caller.live.namespaces)?;
        let value = super::write::write_value(node, *data_type, raw).ok_or_else(|| {
            DriverError::new(ErrorKind::Settings, "the value is none of the node's type")
                .hint("request it again with a value of the type that the dry run shows")
        })?;
        let status = caller.write(value).await?;
        if super::write::is_taken(status) { Ok(()) } else { Err(errors::from_item(status)) }
    }

    async fn close(&mut self, deadline: Instant) {
        self.source = Source::Closed;
        if let Some(live) = self.live.take() {
            live.link.close(deadline).await;
        }
    }
}

fn unsupported() -> DriverError {
    DriverError::new(ErrorKind::Unsupported, "OPC UA has no registers and no agent")
        .hint("read nodes by their ids: opcua_read_node, opcua_read_many")
}

/// Answers a question; everything runs beside everything else.
fn answer(
    caller: Caller,
    ask: Ask,
    known: Vec<crate::model::ConditionEvent>,
) -> BoxFuture<'static, Result<Reply, DriverError>> {
    match ask {
        Ask::Connect => Box::pin(async { Ok(Reply::Connected) }),
        Ask::Block(_)
        | Ask::Model
        | Ask::Current
        | Ask::Recent { .. }
        | Ask::Assets
        | Ask::Messages { .. } => Box::pin(async { Err(unsupported()) }),
        Ask::Read { refs, .. } => Box::pin(read_many(caller, refs)),
        Ask::Identify => {
            Box::pin(async move { identify::identify(&caller).await.map(Reply::Identity) })
        }
        Ask::Browse { root, depth, nodes_max, values } => {
            let walk = Walk { root, depth, nodes_max, values };
            detached(|cancel| browse::browse(caller, walk, cancel))
        }
        Ask::History { item, since, until, samples_max } => {
            let past = Past { item, since, until, samples_max };
            detached(|cancel| history::history(caller, past, cancel))
        }
        Ask::Listen { item, samples, interval_ms } => {
            detached(move |cancel| listen::listen(caller, item, samples, interval_ms, cancel))
        }
        Ask::Conditions => detached(|cancel| listen::conditions(caller, known, cancel)),
    }
}

async fn read_many(caller: Caller, refs: Vec<Arc<str>>) -> Result<Reply, DriverError> {
    if refs.len() > REFS_MAX {
        return Err(DriverError::new(
            ErrorKind::Unsupported,
            format!("{} nodes asked for; {REFS_MAX} at once are the most", refs.len()),
        ));
    }
    read::readings(&caller, &refs).await.map(Reply::Readings)
}
