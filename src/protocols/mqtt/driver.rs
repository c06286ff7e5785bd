//! The driver: one session, the tags that follow it, and the calls beside it.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::Address;
use super::browse;
use super::collect::{self, Caller, Wanted};
use super::errors;
use super::hub::{Hub, Known, message};
use super::payload;
use super::settings::{Broker, Rebirth};
use crate::clock;
#[cfg(feature = "writes")]
use crate::driver::Inspected;
use crate::driver::{
    Ask, Asking, Batch, Cadence, Content, Driver, DriverError, EndpointSpec, ErrorKind, Identity,
    NodeReading, PlanReport, Planned, Reading, Reply, Slice, SliceId, Toll,
};
#[cfg(feature = "writes")]
use crate::gate::Authorized;
use crate::model::{DataType, EndpointName, Quality, Secret, UnitId, Value};
#[cfg(feature = "writes")]
use crate::model::{Setpoint, Tag};
use crate::net::mqtt::{Opening, Sender, Session, Version};
use crate::net::tls;

/// One call reads at most this many addresses.
const READ_REFS_MAX: usize = 500;

/// One endpoint's driver.
struct Mqtt {
    name: EndpointName,
    broker: Broker,
    password: Option<Secret>,
    client_id: String,
    hub: Arc<Hub>,
    session: Option<Session>,
    tags: Vec<(Planned, Address)>,
    /// What the tags and the settings ask to be listened to.
    filters: BTreeSet<Arc<str>>,
    /// What this session has asked for.
    subscribed: BTreeSet<Arc<str>>,
    /// Tags whose subscription was refused, and that were not told so yet.
    has_refused: bool,
    /// When a node was asked for its birth last.
    asked: HashMap<(String, String), Instant>,
}

/// Makes a driver.
pub(super) fn driver(spec: &EndpointSpec) -> Result<Box<dyn Driver>, DriverError> {
    let broker = Broker::parse(&spec.settings).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        DriverError::new(ErrorKind::Settings, all.join("; ")).hint("correct these keys")
    })?;
    if broker.username.is_some() && spec.password.is_none() {
        let text = "username is set and there is no password";
        return Err(DriverError::new(ErrorKind::Settings, text)
            .hint("store one with `ot-aiops secret set`, or remove username"));
    }
    // A broker ends the older of two sessions of one name, so each driver has its own.
    let own = || format!("otaiops-{:012x}", RandomState::new().hash_one(0_u8) >> 16);
    let filters = broker.topics.iter().cloned().collect();
    Ok(Box::new(Mqtt {
        name: spec.name.clone(),
        client_id: broker.client_id.clone().unwrap_or_else(own),
        password: spec.password.clone(),
        broker,
        hub: Hub::new(Known::default(), Arc::default()),
        session: None,
        tags: Vec::new(),
        filters,
        subscribed: BTreeSet::new(),
        has_refused: false,
        asked: HashMap::new(),
    }))
}

impl Mqtt {
    fn opening(&self) -> Result<Opening, DriverError> {
        let tls = match &self.broker.tls {
            None => None,
            Some(files) => Some(tls::config(files).map_err(|error| errors::of_tls(&error))?),
        };
        let password = self.password.as_ref().map(Secret::reveal).unwrap_or_default();
        Ok(Opening {
            host: self.broker.host.clone(),
            port: self.broker.port,
            version: self.broker.version,
            client_id: self.client_id.clone(),
            login: self.broker.username.clone().map(|user| (user, password.to_owned())),
            tls,
            keep_alive_s: self.broker.keep_alive_s,
        })
    }

    fn sender(&self) -> Result<Sender, DriverError> {
        match (self.hub.failure(), &self.session) {
            (Some(failure), _) => Err(failure),
            (None, None) => Err(errors::closed()),
            (None, Some(session)) => Ok(session.sender()),
        }
    }

    /// Subscribes to what is not subscribed yet; what the broker refuses is Bad.
    async fn subscribe(&mut self, toll: &Toll, deadline: Instant) -> Result<(), DriverError> {
        let new: Vec<Arc<str>> = self.filters.difference(&self.subscribed).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let sender = self.sender()?;
        toll.record(Sender::packets(new.len()));
        let granted = sender.subscribe(&new, self.broker.qos, deadline).await;
        let granted = granted.map_err(|error| errors::of_session(&error))?;
        for (filter, is_granted) in new.into_iter().zip(granted) {
            if is_granted {
                self.hub.known.lock().stand(filter.clone());
            } else {
                tracing::warn!(endpoint = %self.name, "the broker refuses a subscription");
                self.has_refused = true;
            }
            self.subscribed.insert(filter);
        }
        Ok(())
    }

    /// Gives a Bad reading to each tag whose subscription the broker refuses.
    fn refused(&mut self, out: &mut Batch) {
        if !std::mem::take(&mut self.has_refused) {
            return;
        }
        let known = self.hub.known.lock();
        for (planned, address) in &self.tags {
            if known.standing_since(&address.filter()).is_none() {
                out.readings.push(Reading {
                    tag: planned.id,
                    value: Value::Null,
                    quality: Quality::BAD_CONFIGURATION_ERROR,
                    source_ts: None,
                    received_ts: clock::now(),
                });
            }
        }
    }

    fn caller(&self, toll: Toll, deadline: Instant) -> Result<Caller, DriverError> {
        let (hub, qos) = (self.hub.clone(), self.broker.qos);
        Ok(Caller { hub, sender: self.sender()?, qos, toll, deadline })
    }

    fn identity(&self) -> Identity {
        let version = match self.broker.version {
            Version::V3 => "3.1.1",
            Version::V5 => "5.0",
        };
        Identity { details: vec![("mqtt_version", version.into())], ..Identity::default() }
    }
}

#[async_trait]
impl Driver for Mqtt {
    fn plan(&mut self, tags: &[Planned]) -> PlanReport {
        let mut report = PlanReport::default();
        let mut followed = Vec::with_capacity(tags.len());
        for planned in tags {
            match Address::of(&planned.tag) {
                Ok(address) => followed.push((planned.clone(), address)),
                Err(error) => report.rejected.push((planned.id, error)),
            }
        }
        let ids = |tags: &[(Planned, Address)]| -> Vec<_> {
            tags.iter().map(|(planned, address)| (planned.id, address.clone())).collect()
        };
        if ids(&followed) != ids(&self.tags) {
            self.hub.known.lock().follow(&followed);
            self.tags = followed;
            self.filters = self.broker.topics.iter().cloned().collect();
            self.filters.extend(self.tags.iter().map(|(_, address)| address.filter()));
        }
        // What stands without a tag stands by a slice of its own.
        if !self.filters.is_empty() {
            report.slices.push(Slice {
                id: SliceId(0),
                unit: UnitId(0),
                cadence: Cadence::Published,
                tags: self.tags.iter().map(|(planned, _)| planned.id).collect(),
                requests: 0,
            });
        }
        report
    }

    async fn open(
        &mut self,
        wake: Arc<Notify>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError> {
        let opening = self.opening()?;
        let store = std::mem::take(&mut self.hub.known.lock().store);
        let mut known = Known::after(store);
        known.follow(&self.tags);
        if self.broker.rebirth == Rebirth::Asked {
            known.nodes.want_all();
        }
        self.hub = Hub::new(known, wake.clone());
        self.subscribed.clear();
        toll.record(1);
        let deadline = deadline.min(Instant::now() + self.broker.timeout);
        let opened = Session::open(&opening, self.hub.clone(), deadline).await;
        self.session = Some(opened.map_err(|error| errors::of_session(&error))?);
        self.subscribe(toll, deadline).await?;
        // The first messages may be here already.
        wake.notify_one();
        Ok(self.identity())
    }

    async fn acquire(
        &mut self,
        _slice: SliceId,
        out: &mut Batch,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        self.hub.known.lock().tags.drain(out);
        self.subscribe(toll, deadline).await?;
        self.refused(out);
        self.ask_for_births(toll, deadline).await?;
        self.sender().map(|_| ())
    }

    fn ask(&mut self, ask: Ask, toll: Toll, deadline: Instant) -> Asking<'_> {
        let caller = match self.caller(toll, deadline) {
            Ok(caller) => caller,
            Err(error) => return Asking::Beside(Box::pin(async { Err(error) })),
        };
        let identity = self.identity();
        Asking::Beside(match ask {
            Ask::Connect => Box::pin(async { Ok(Reply::Connected) }),
            Ask::Identify => Box::pin(async { Ok(Reply::Identity(identity)) }),
            Ask::Messages { filter, count, per_topic, wait_ms } => {
                let wait = Duration::from_millis(u64::from(wait_ms));
                let wanted = Wanted { filter, count, per_topic, wait };
                Box::pin(async {
                    let (messages, truncated) = collect::collect(caller, wanted).await?;
                    Ok(Reply::Messages { messages, truncated })
                })
            }
            Ask::Browse { root, nodes_max, values, .. } => {
                Box::pin(browse::browse(caller, root, nodes_max, values))
            }
            Ask::Read { refs, .. } => Box::pin(async move { read(&caller, &refs) }),
            _ => Box::pin(async { Err(unsupported()) }),
        })
    }

    #[cfg(feature = "writes")]
    async fn inspect(
        &mut self,
        tag: &Tag,
        _toll: &Toll,
        _deadline: Instant,
    ) -> Result<Inspected, DriverError> {
        self.sender()?;
        let own = self.tags.iter().find(|(planned, _)| planned.tag.name == tag.name);
        super::write::inspect(&self.hub.known.lock(), tag, own.map(|(planned, _)| planned.id))
    }

    #[cfg(feature = "writes")]
    async fn operate(
        &mut self,
        setpoint: Authorized<Setpoint>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let sender = self.sender()?;
        let publish = super::write::publish(&self.hub.known.lock(), setpoint.get())?;
        toll.spend(deadline).await?;
        sender.publish(publish, deadline).await.map_err(|error| errors::of_session(&error))
    }

    async fn close(&mut self, deadline: Instant) {
        if let Some(session) = self.session.take() {
            session.close(deadline).await;
        }
    }
}

#[cfg(feature = "writes")]
impl Mqtt {
    /// Asks nodes whose birth is missing for it, where the configuration says so.
    async fn ask_for_births(&mut self, toll: &Toll, deadline: Instant) -> Result<(), DriverError> {
        let wanting = self.hub.known.lock().nodes.take_wanting();
        if self.broker.rebirth == Rebirth::Never || wanting.is_empty() {
            return Ok(());
        }
        let sender = self.sender()?;
        let now = Instant::now();
        self.asked.retain(|_, at| now < *at + super::write::REBIRTH_EVERY);
        for node in wanting {
            if self.asked.contains_key(&node) || self.asked.len() >= super::write::REBIRTHS_MAX {
                continue;
            }
            toll.record(1);
            let publish = super::write::rebirth(&node.0, &node.1);
            let sent = sender.publish(publish, deadline).await;
            sent.map_err(|error| errors::of_session(&error))?;
            self.asked.insert(node, now);
        }
        Ok(())
    }
}

#[cfg(not(feature = "writes"))]
impl Mqtt {
    /// A rebirth request is a write, and this build has none.
    async fn ask_for_births(&mut self, _toll: &Toll, _at: Instant) -> Result<(), DriverError> {
        self.hub.known.lock().nodes.take_wanting();
        self.asked.clear();
        Ok(())
    }
}

fn unsupported() -> DriverError {
    DriverError::new(
        ErrorKind::Unsupported,
        "MQTT has topics with messages, and no addresses, history or conditions to ask for",
    )
    .hint("collect messages with mqtt_read_topic")
}

/// Gives the newest that was heard of each address.
fn read(caller: &Caller, refs: &[Arc<str>]) -> Result<Reply, DriverError> {
    if refs.len() > READ_REFS_MAX {
        let text = format!("{} addresses are more than {READ_REFS_MAX}", refs.len());
        return Err(DriverError::new(ErrorKind::BadAddress, text).hint("ask in several calls"));
    }
    let known = caller.hub.known.lock();
    Ok(Reply::Readings(refs.iter().map(|item| reading(&known, item)).collect()))
}

fn reading(known: &Known, item: &Arc<str>) -> NodeReading {
    let found = Address::parse(item).and_then(|address| newest(known, &address));
    let mut reading = NodeReading {
        item: item.clone(),
        value: Value::Null,
        data_type: "".into(),
        quality: Quality::BAD_WAITING_FOR_INITIAL_DATA,
        source_ts: None,
        received_ts: clock::now(),
        error: None,
    };
    match found {
        Ok(newest) => NodeReading { item: item.clone(), ..newest },
        Err(error) => {
            reading.quality = error.quality();
            reading.error = Some(error);
            reading
        }
    }
}

/// Finds the newest value that was heard of an address.
pub(super) fn newest(known: &Known, address: &Address) -> Result<NodeReading, DriverError> {
    let silent = || {
        DriverError::new(ErrorKind::Decode, "nothing was heard of this address yet")
            .hint("configure it as a tag, or name a filter that brings it in topic")
    };
    let base = |received_ts, data_type: &str| NodeReading {
        item: "".into(),
        value: Value::Null,
        data_type: data_type.into(),
        quality: Quality::BAD_DECODING_ERROR,
        source_ts: None,
        received_ts,
        error: None,
    };
    match address {
        Address::Plain { topic, path, .. } => {
            let kept = known.store.newest(topic).ok_or_else(silent)?;
            let body = payload::read(&kept.payload);
            let path = path.as_deref();
            let (value, quality) = payload::value(&body, &kept.payload, path, DataType::Native);
            Ok(NodeReading { value, quality, ..base(kept.received_ts, "") })
        }
        Address::Metric { group, node, device, metric } => {
            let (words, tail): (&[&str], String) = match device {
                None => (&["NDATA", "NBIRTH"], node.to_string()),
                Some(device) => (&["DDATA", "DBIRTH"], format!("{node}/{device}")),
            };
            let mut found: Vec<_> = words
                .iter()
                .flat_map(|word| {
                    known.store.find(&format!("spBv1.0/{group}/{word}/{tail}"), usize::MAX, 64).0
                })
                .collect();
            found.sort_by_key(|kept| std::cmp::Reverse(kept.order));
            for kept in &found {
                let Content::Metrics { metrics, .. } = message(kept).content else { continue };
                let is_it = |m: &&crate::driver::Metric| m.name == *metric && !m.is_historical;
                if let Some(m) = metrics.iter().rev().find(is_it) {
                    let (value, quality) = (m.value.clone(), m.quality);
                    let source_ts = m.source_ts;
                    let reading = base(kept.received_ts, m.data_type);
                    let error = m.error.clone();
                    return Ok(NodeReading { value, quality, source_ts, error, ..reading });
                }
            }
            Err(silent())
        }
    }
}
