//! The driver: slices of tags, and calls, over one session.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::{self, Point};
use super::device::Device;
use super::frame::{Answer, Request};
use super::plan::{self, Job};
use super::scan::{self, Outcome, Pass, Points};
use super::session::Session;
use super::settings::{Line, Model};
use crate::clock;
use crate::driver::{
    Ask, Asking, Batch, BlockData, BlockRef, Cadence, Driver, DriverError, EndpointSpec, ErrorKind,
    Identity, Inspected, NodeReading, PlanReport, Planned, RawBlock, Reading, Reply, ScanCost,
    Slice, SliceId, Toll,
};
#[cfg(feature = "writes")]
use crate::gate::Authorized;
#[cfg(feature = "writes")]
use crate::model::Setpoint;
use crate::model::{DataType, Quality, Tag, TagId, UnitId, Value};
use crate::plan::{Group, Holes, Memory, Span};

/// One call reads at most this many addresses: both lists of the reference's bulk read.
const READ_REFS_MAX: usize = 512;

/// One slice is read without a pause, and calls wait for it: so many requests are the default
/// burst, half a second at the default budget. The rest of a scan is further slices.
const SLICE_REQUESTS_MAX: usize = 10;

/// The tags of one scan class, or a part of them.
struct Work {
    scan_ms: u32,
    tags: Vec<TagId>,
    /// By position as `tags`.
    points: Vec<Point>,
    /// By position as `tags`.
    spans: Vec<Span<Device>>,
    jobs: Vec<Job>,
    /// What the memory's count was when they were planned.
    generation: u64,
}

impl Work {
    fn replan(&mut self, memory: &Memory<Device, DriverError>, model: Option<Model>) {
        let readable = (0..self.spans.len())
            .filter(|at| self.spans.get(*at).is_some_and(|span| memory.refusal(span).is_none()));
        self.jobs = plan::jobs(readable, &self.spans, memory.holes(), model);
        self.generation = memory.generation();
    }
}

/// Sorts tags by scan class into pieces of work of so many requests.
fn divide<'a>(
    tags: impl IntoIterator<Item = (TagId, &'a Tag)>,
    model: Option<Model>,
    memory: &Memory<Device, DriverError>,
) -> (Vec<Work>, Vec<(TagId, DriverError)>) {
    let mut sorted: BTreeMap<u32, Vec<(Point, TagId)>> = BTreeMap::new();
    let mut rejected = Vec::new();
    for (id, tag) in tags {
        match address::resolve(tag, model) {
            Ok(point) => sorted.entry(tag.scan.scan_ms).or_default().push((point, id)),
            Err(error) => rejected.push((id, error)),
        }
    }
    let work = sorted.into_iter().flat_map(|(scan_ms, mut members)| {
        members.sort_by_key(|(point, id)| (point.span, *id));
        cut(&members, model).into_iter().map(move |members| {
            let (points, tags): (Vec<Point>, Vec<TagId>) = members.into_iter().unzip();
            let spans = points.iter().map(|point| point.span).collect();
            let mut work = Work { scan_ms, tags, points, spans, jobs: Vec::new(), generation: 0 };
            work.replan(memory, model);
            work
        })
    });
    (work.collect(), rejected)
}

/// Cuts a scan into slices, between requests. What is learnt of the device moves no cut: a tag
/// that changes its slice changes its ring.
fn cut(members: &[(Point, TagId)], model: Option<Model>) -> Vec<Vec<(Point, TagId)>> {
    let spans: Vec<Span<Device>> = members.iter().map(|(point, _)| point.span).collect();
    let jobs = plan::jobs(0..spans.len(), &spans, &Holes::default(), model);
    let slices = jobs.chunks(SLICE_REQUESTS_MAX).map(|jobs| {
        let positions = jobs.iter().flat_map(Job::members);
        positions.filter_map(|position| members.get(*position).copied()).collect()
    });
    slices.collect()
}

/// Counts the requests one scan of an endpoint's tags needs.
pub(super) fn requests(spec: &EndpointSpec) -> Vec<ScanCost> {
    let Ok(line) = Line::parse(&spec.settings) else { return Vec::new() };
    let tags = spec.tags.iter().map(|tag| (TagId(0), tag.as_ref()));
    let (work, _) = divide(tags, line.model, &Memory::default());
    let mut costs: BTreeMap<u32, ScanCost> = BTreeMap::new();
    for Work { scan_ms, points, jobs, .. } in work {
        let cost = costs.entry(scan_ms).or_insert(ScanCost { scan_ms, requests: 0, tags: 0 });
        cost.requests += count(jobs.len());
        cost.tags += count(points.len());
    }
    costs.into_values().collect()
}

/// Makes a driver.
pub(super) fn driver(spec: &EndpointSpec) -> Result<Box<dyn Driver>, DriverError> {
    let line = Line::parse(&spec.settings).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        DriverError::new(ErrorKind::Settings, all.join("; ")).hint("correct these keys")
    })?;
    Ok(Box::new(Mc { session: Session::new(line), memory: Memory::default(), work: Vec::new() }))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// One endpoint's driver.
struct Mc {
    session: Session,
    memory: Memory<Device, DriverError>,
    work: Vec<Work>,
}

#[async_trait]
impl Driver for Mc {
    fn plan(&mut self, tags: &[Planned]) -> PlanReport {
        let tags = tags.iter().map(|planned| (planned.id, planned.tag.as_ref()));
        let (work, rejected) = divide(tags, self.session.model(), &self.memory);
        self.work = work;
        let slices = self.work.iter().zip(0..).map(|(work, id)| Slice {
            id: SliceId(id),
            unit: UnitId(0),
            cadence: Cadence::Polled { scan_ms: work.scan_ms },
            tags: work.tags.clone(),
            requests: count(work.jobs.len()),
        });
        PlanReport { slices: slices.collect(), rejected }
    }

    async fn open(
        &mut self,
        _wake: Arc<Notify>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError> {
        self.session.open(toll, deadline).await?;
        Ok(Identity::default())
    }

    async fn acquire(
        &mut self,
        slice: SliceId,
        out: &mut Batch,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let Self { session, memory, work } = self;
        let work = usize::try_from(slice.0).ok().and_then(|index| work.get_mut(index));
        let work = work.ok_or_else(|| {
            DriverError::new(ErrorKind::Settings, "the plan has no such slice").hint("plan anew")
        })?;
        if work.generation != memory.generation() {
            work.replan(memory, session.model());
        }
        let mut pass = Pass::default();
        let of = Points { points: &work.points, spans: &work.spans };
        let paying = (toll, deadline);
        let mut result = scan::run(session, &of, &work.jobs, memory, &mut pass, paying).await;
        if result.is_ok()
            && let Some(at) = memory.due(&work.spans, Instant::now())
            && let Some(span) = work.spans.get(at)
        {
            let again = [Job::Batch(Group { span: *span, members: vec![at] })];
            result = scan::run(session, &of, &again, memory, &mut pass, paying).await;
        }
        deliver(work, memory, pass, out);
        result
    }

    fn ask(&mut self, ask: Ask, toll: Toll, deadline: Instant) -> Asking<'_> {
        Asking::Here(Box::pin(async move {
            match ask {
                Ask::Connect => self.session.check().map(|()| Reply::Connected),
                Ask::Block(at) => self.block(&at, &toll, deadline).await.map(Reply::Block),
                Ask::Read { refs, .. } => {
                    self.read(&refs, &toll, deadline).await.map(Reply::Readings)
                }
                Ask::Identify => self.identify(&toll, deadline).await.map(Reply::Identity),
                _ => Err(DriverError::new(
                    ErrorKind::Unsupported,
                    "a MELSEC controller has devices with numbers, and nothing to browse or \
                     listen to",
                )
                .hint("read words or bits by their device and number")),
            }
        }))
    }

    async fn inspect(
        &mut self,
        tag: &Tag,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Inspected, DriverError> {
        let point = address::resolve(tag, self.session.model())?;
        let Span { area: device, start, width: count } = point.span;
        let request = Request::Batch { device, start, count };
        let value = match self.session.read(&request, toll, deadline).await? {
            Answer::Block(BlockData::Registers(words)) => point.of_words(&words),
            Answer::Block(BlockData::Bits(bits)) => point.of_bits(&bits),
            _ => return Err(mismatched()),
        };
        let quality = if value.is_some() { Quality::GOOD } else { Quality::BAD_DECODING_ERROR };
        let value = value.unwrap_or(Value::Null);
        let data_type = point.data_type();
        Ok(Inspected { value, quality, received_ts: clock::now(), data_type })
    }

    #[cfg(feature = "writes")]
    async fn operate(
        &mut self,
        setpoint: Authorized<Setpoint>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let Setpoint { tag, raw, .. } = setpoint.get();
        let point = address::resolve(tag, self.session.model())?;
        let request = super::write::request(&point, raw)?;
        match self.session.read(&request, toll, deadline).await? {
            Answer::Written => Ok(()),
            _ => Err(mismatched()),
        }
    }

    async fn close(&mut self, deadline: Instant) {
        self.session.close(deadline).await;
    }
}

/// Moves what a pass brought into the batch, tag by tag in the slice's order.
fn deliver(work: &Work, memory: &Memory<Device, DriverError>, pass: Pass, out: &mut Batch) {
    let now = clock::now();
    let rows = work.tags.iter().zip(&work.spans).zip(pass.outcomes);
    out.readings.extend(rows.filter_map(|((tag, span), outcome)| {
        let (value, quality, received_ts) = match outcome {
            Some(Outcome::Read(value, quality, at)) => (value, quality, at),
            Some(Outcome::Failed(error, at)) => (Value::Null, error.quality(), at),
            None => (Value::Null, memory.refusal(span)?.quality(), now),
        };
        Some(Reading { tag: *tag, value, quality, source_ts: None, received_ts })
    }));
    out.blocks.extend(pass.blocks);
}

impl Mc {
    async fn block(
        &mut self,
        at: &BlockRef,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<RawBlock, DriverError> {
        let Some(device) = Device::of_name(at.area) else {
            let what = "this is no device of a MELSEC controller";
            return Err(DriverError::new(ErrorKind::BadAddress, what).hint("D, W, R, M and so on"));
        };
        let max = plan::width_max(device);
        if !(1..=max).contains(&at.count) {
            let what = format!("a read of {} {} can't be asked at once", at.count, device.name());
            return Err(
                DriverError::new(ErrorKind::BadAddress, what).hint(format!("count is 1 to {max}"))
            );
        }
        let request = Request::Batch { device, start: at.address, count: at.count };
        match self.session.read(&request, toll, deadline).await? {
            Answer::Block(data) => Ok(RawBlock { at: at.clone(), data, received_ts: clock::now() }),
            _ => Err(mismatched()),
        }
    }

    async fn identify(&mut self, toll: &Toll, deadline: Instant) -> Result<Identity, DriverError> {
        match self.session.read(&Request::Cpu, toll, deadline).await? {
            Answer::Cpu { name, code } => Ok(Identity {
                product: name.into(),
                manufacturer: "Mitsubishi Electric".into(),
                version: format!("{code:04x}").into(),
                ..Identity::default()
            }),
            _ => Err(mismatched()),
        }
    }

    /// Reads addresses as words or bits, or as the type behind a colon (`D100:int32`); a wrong
    /// or refused one fails alone.
    async fn read(
        &mut self,
        refs: &[Arc<str>],
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Vec<NodeReading>, DriverError> {
        if refs.len() > READ_REFS_MAX {
            let what = format!("{} addresses are more than {READ_REFS_MAX}", refs.len());
            return Err(DriverError::new(ErrorKind::BadAddress, what).hint("ask in several calls"));
        }
        let model = self.session.model();
        let parsed: Vec<Result<Point, DriverError>> =
            refs.iter().map(|text| parse_ref(text, model)).collect();
        let points: Vec<Point> = parsed.iter().flatten().copied().collect();
        let spans: Vec<Span<Device>> = points.iter().map(|point| point.span).collect();
        // What a call runs into says nothing of the configured tags: it is not remembered.
        let mut memory = self.memory.copy_of_holes();
        let jobs = plan::jobs(0..spans.len(), &spans, memory.holes(), model);
        let mut pass = Pass::default();
        let of = Points { points: &points, spans: &spans };
        let paying = (toll, deadline);
        scan::run(&mut self.session, &of, &jobs, &mut memory, &mut pass, paying).await?;
        let mut outcomes = pass.outcomes.into_iter();
        let readings = refs.iter().zip(parsed).map(|(item, parsed)| match parsed {
            Err(error) => failed(item, error),
            Ok(_) => match outcomes.next().flatten() {
                Some(Outcome::Read(value, quality, at)) => read(item, value, quality, at),
                Some(Outcome::Failed(error, _)) => failed(item, *error),
                None => failed(item, DriverError::new(ErrorKind::Protocol, "it was not read")),
            },
        });
        Ok(readings.collect())
    }
}

/// Reads an address with its type behind a colon; without one a word is `int16`, as the
/// reference reads it.
fn parse_ref(text: &str, model: Option<Model>) -> Result<Point, DriverError> {
    let (text, data_type) = match text.split_once(':') {
        None => (text, None),
        Some((text, word)) => {
            let data_type = DataType::parse(word.trim()).ok_or_else(|| {
                DriverError::new(ErrorKind::BadAddress, "what follows the colon is no type")
                    .hint("write D100:int32 or D100:float32")
            })?;
            (text, Some(data_type))
        }
    };
    address::point(address::parse(text, model)?, data_type.unwrap_or(DataType::Native))
}

fn mismatched() -> DriverError {
    DriverError::new(ErrorKind::Protocol, "the answer is to another question")
}

fn read(
    item: &Arc<str>,
    value: Value,
    quality: Quality,
    received_ts: crate::model::Timestamp,
) -> NodeReading {
    NodeReading {
        item: item.clone(),
        value,
        data_type: "".into(),
        quality,
        source_ts: None,
        received_ts,
        error: None,
    }
}

fn failed(item: &Arc<str>, error: DriverError) -> NodeReading {
    NodeReading {
        error: Some(error.clone()),
        ..read(item, Value::Null, error.quality(), clock::now())
    }
}
