//! The actors around a device that does as it is told, on a clock that only tests move.

mod demands;
mod documented;
mod failures;
mod order;
mod reload;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::connections::{Connection, connections};
use super::directory::Directory;
use super::endpoints::{Endpoints, EndpointsArgs, EndpointsMsg};
use super::link::{Answer, AskError, Link};
use crate::cache::{CacheLimits, TagCache};
use crate::clock;
use crate::driver::{
    Ask, Asking, Batch, BlockData, BlockRef, Cadence, Discovery, Driver, DriverError, EndpointSpec,
    ErrorKind, Identity, PlanReport, Planned, Protocol, RawBlock, Reading, Reply, Slice, SliceId,
    Toll,
};
use crate::model::{Budget, Quality, ScanClass, Tag, TagId, UnitId, Value};

/// Messages that connecting costs.
const SETUP: u32 = 3;

static DEVICES: Mutex<Option<HashMap<String, Arc<Device>>>> = Mutex::new(None);

/// What a device does, and what it has seen.
#[derive(Default)]
pub(crate) struct Device {
    /// Every message that reached it.
    pub(crate) counter: AtomicU32,
    sessions: AtomicU32,
    is_down: AtomicBool,
    answer_ms: AtomicU64,
    close_ms: AtomicU64,
    /// Scans that panic from now on.
    scan_panics: AtomicU32,
    call_panics: AtomicU32,
    dead: Mutex<HashSet<UnitId>>,
    /// Addresses that calls asked for.
    asked: Mutex<Vec<u32>>,
    /// What it shares with others, to tell what came first.
    story: Mutex<Arc<Mutex<Vec<String>>>>,
}

impl Device {
    pub(crate) fn seen(&self) -> u32 {
        self.counter.load(SeqCst)
    }

    async fn request(
        &self,
        unit: UnitId,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        toll.spend(deadline).await?;
        self.counter.fetch_add(1, SeqCst);
        if self.is_down.load(SeqCst) {
            return Err(DriverError::new(ErrorKind::LinkLost, "the link is gone"));
        }
        if self.dead.lock().contains(&unit) {
            sleep(Duration::from_secs(1)).await;
            return Err(DriverError::new(ErrorKind::Timeout, "no answer").of_unit(unit));
        }
        sleep(Duration::from_millis(self.answer_ms.load(SeqCst))).await;
        Ok(())
    }
}

fn takes_one(counter: &AtomicU32) -> bool {
    counter.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

struct Fake {
    device: Arc<Device>,
    slices: Vec<(UnitId, Vec<TagId>)>,
    is_open: bool,
    /// Requests made of a call that is answered in turns.
    made: usize,
}

#[async_trait]
impl Driver for Fake {
    fn plan(&mut self, tags: &[Planned]) -> PlanReport {
        let mut units: Vec<UnitId> = tags.iter().map(|planned| planned.tag.unit).collect();
        units.sort_unstable();
        units.dedup();
        let of = |unit: UnitId| tags.iter().filter(move |planned| planned.tag.unit == unit);
        self.slices = units
            .iter()
            .map(|unit| (*unit, of(*unit).map(|planned| planned.id).collect()))
            .collect();
        let scan_ms = tags.first().map_or(1000, |planned| planned.tag.scan.scan_ms);
        let slice = |(id, (unit, tags)): (u32, &(UnitId, Vec<TagId>))| Slice {
            id: SliceId(id),
            unit: *unit,
            cadence: Cadence::Polled { scan_ms },
            tags: tags.clone(),
            requests: 1,
        };
        let slices = (0..).zip(&self.slices).map(slice).collect();
        PlanReport { slices, rejected: Vec::new() }
    }

    async fn open(
        &mut self,
        _wake: Arc<Notify>,
        toll: &Toll,
        _deadline: Instant,
    ) -> Result<Identity, DriverError> {
        self.device.counter.fetch_add(SETUP, SeqCst);
        toll.record(SETUP);
        if self.device.is_down.load(SeqCst) {
            return Err(DriverError::new(ErrorKind::Unreachable, "refused"));
        }
        self.device.sessions.fetch_add(1, SeqCst);
        self.is_open = true;
        Ok(Identity::default())
    }

    async fn acquire(
        &mut self,
        slice: SliceId,
        out: &mut Batch,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        assert!(self.is_open, "scanned without a session");
        let (unit, tags) = &self.slices[usize::try_from(slice.0).unwrap()];
        self.device.request(*unit, toll, deadline).await?;
        assert!(!takes_one(&self.device.scan_panics), "the driver breaks, as the test has it");
        out.readings.extend(tags.iter().map(|tag| Reading {
            tag: *tag,
            value: Value::I64(7),
            quality: Quality::GOOD,
            source_ts: None,
            received_ts: clock::now(),
        }));
        Ok(())
    }

    fn ask(&mut self, ask: Ask, toll: Toll, deadline: Instant) -> Asking<'_> {
        let device = self.device.clone();
        if let Ask::Read { refs, .. } = ask {
            return Asking::InTurns(Box::pin(async move {
                while !toll.must_wait(deadline)? {
                    device.request(UnitId(1), &toll, deadline).await?;
                    self.made += 1;
                    if self.made == refs.len() {
                        self.made = 0;
                        return Ok(Some(Reply::Connected));
                    }
                }
                Ok(None)
            }));
        }
        Asking::Here(Box::pin(async move {
            let Ask::Block(at) = ask else { return Ok(Reply::Connected) };
            device.request(at.unit, &toll, deadline).await?;
            device.asked.lock().push(at.address);
            assert!(!takes_one(&device.call_panics), "the driver breaks, as the test has it");
            let data = BlockData::Registers(Arc::from([1]));
            Ok(Reply::Block(RawBlock { at, data, received_ts: clock::now() }))
        }))
    }

    async fn close(&mut self, _deadline: Instant) {
        if std::mem::take(&mut self.is_open) {
            let story = self.device.story.lock().clone();
            story.lock().push("session".to_owned());
            sleep(Duration::from_millis(self.device.close_ms.load(SeqCst))).await;
        }
    }
}

pub(crate) static PROTOCOLS: [Protocol; 1] = [Protocol {
    name: "fake",
    title: "Fake",
    library: "",
    transport: "",
    auth: "",
    keys: &[],
    sample: "",
    readme: "",
    prompts: &[],
    discovery: Discovery::ByHand("it is a test"),
    check: |_| Vec::new(),
    address: |_| Ok(String::new()),
    block: |_| None,
    requests: |_| Vec::new(),
    shared_as: |settings| settings.get("shared").map(ToString::to_string),
    driver: |spec| {
        let name = spec.settings.get("device").and_then(|name| name.as_str()).unwrap_or_default();
        let device = device(name);
        Ok(Box::new(Fake { device, slices: Vec::new(), is_open: false, made: 0 }))
    },
}];

/// Finds or makes the device of a name; tests run side by side, so each uses names of its own.
pub(crate) fn device(name: &str) -> Arc<Device> {
    let mut devices = DEVICES.lock();
    devices.get_or_insert_default().entry(name.to_owned()).or_default().clone()
}

/// An endpoint with one tag per unit, scanned ten times a second; its device has its name.
pub(crate) fn spec(name: &str, units: &[u8]) -> EndpointSpec {
    let tag = |unit: &u8| {
        let scan = ScanClass { scan_ms: 100 };
        Arc::new(Tag {
            unit: UnitId(*unit),
            scan,
            ..Tag::new(&format!("{name}/{unit}"), name, "0")
        })
    };
    EndpointSpec {
        name: name.into(),
        protocol: "fake",
        settings: json!({ "device": name }).as_object().unwrap().clone(),
        password: None,
        budget: Budget { requests_per_s: 1000.0, burst: 1000, ..Budget::default() },
        tags: units.iter().map(tag).collect(),
        state_dir: std::path::PathBuf::new(),
    }
}

pub(crate) fn block(unit: u8, address: u32) -> Ask {
    Ask::Block(BlockRef { unit: UnitId(unit), area: "holding", section: 0, address, count: 1 })
}

/// The supervisor of the pollers with what they share.
pub(crate) struct Rig {
    endpoints: ActorRef<EndpointsMsg>,
    directory: Arc<Directory>,
    cache: Arc<TagCache>,
    ids: Mutex<HashMap<String, TagId>>,
}

impl Rig {
    pub(crate) async fn start(specs: &[EndpointSpec]) -> Self {
        Self::over(TagCache::new(CacheLimits::default()), Arc::default(), specs).await
    }

    pub(crate) async fn over(
        cache: Arc<TagCache>,
        directory: Arc<Directory>,
        specs: &[EndpointSpec],
    ) -> Self {
        let args = EndpointsArgs { cache: cache.clone(), directory: directory.clone() };
        let (endpoints, _) = Actor::spawn(None, Endpoints, args).await.unwrap();
        let rig = Self { endpoints, directory, cache, ids: Mutex::default() };
        rig.reconcile(specs).await;
        rig
    }

    /// Defines the tags and gathers the endpoints, as the collector does.
    fn connections(&self, specs: &[EndpointSpec]) -> Vec<Connection> {
        let mut ids = self.ids.lock();
        for tag in specs.iter().flat_map(|spec| &spec.tags) {
            let next = TagId(u32::try_from(ids.len()).unwrap());
            let id = *ids.entry(tag.name.to_string()).or_insert(next);
            self.cache.define(id, tag.clone());
        }
        connections(specs, &PROTOCOLS, &|tag| ids.get(tag.name.as_ref()).copied())
    }

    async fn reconcile(&self, specs: &[EndpointSpec]) {
        let wanted = self.connections(specs);
        let asked = self.endpoints.call(|done| EndpointsMsg::Reconcile(wanted, done), None).await;
        assert!(asked.unwrap().is_success());
    }

    pub(crate) fn link(&self, endpoint: &str) -> Arc<Link> {
        self.directory.find(endpoint).expect("the endpoint is there")
    }

    /// Gives a tag's newest quality; `None` where it was never read.
    fn quality(&self, tag: &str) -> Option<Quality> {
        let id = self.cache.resolve(tag).unwrap();
        self.cache.latest(id).map(|latest| latest.sample.quality)
    }

    fn scans(&self, endpoint: &str, slice: usize) -> u64 {
        self.link(endpoint).report().slices[slice].scans
    }
}

async fn ask(link: &Link, question: Ask, within_s: u64) -> Result<Answer, AskError> {
    link.ask(question, Instant::now() + Duration::from_secs(within_s), &|_| ()).await
}

async fn ms(pause: u64) {
    sleep(Duration::from_millis(pause)).await;
}

fn kind(failed: Result<Answer, AskError>) -> ErrorKind {
    match failed.unwrap_err() {
        AskError::Driver { error, .. } => error.kind,
        AskError::Busy => panic!("busy"),
    }
}
