//! The driver: slices of tags, and calls, over one session.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::{self, ADDRESSES, Area, Point};
use super::memory::Memory;
use super::plan::{self, Group, Holes, Request};
use super::scan::{self, Outcome, Pass};
use super::session::Session;
use super::settings::{Line, unit_fault};
#[cfg(feature = "writes")]
use super::write::Write;
use crate::clock;
use crate::driver::{
    Ask, Asking, Batch, BlockRef, Cadence, Driver, DriverError, EndpointSpec, ErrorKind, Identity,
    Inspected, NodeReading, PlanReport, Planned, RawBlock, Reading, Reply, ScanCost, Slice,
    SliceId, Toll,
};
#[cfg(feature = "writes")]
use crate::gate::Authorized;
#[cfg(feature = "writes")]
use crate::model::Setpoint;
use crate::model::{DataType, Quality, Tag, TagId, UnitId, Value, WordOrder};

/// One call reads at most this many addresses, as the reference's bulk read does.
const READ_REFS_MAX: usize = 100;

/// One slice is read without a pause, and calls wait for it: so many requests are the default
/// burst, half a second at the default budget. The rest of a scan is further slices.
const SLICE_REQUESTS_MAX: usize = 10;

/// One unit's tags of one scan class, or a part of them.
struct Work {
    unit: UnitId,
    scan_ms: u32,
    tags: Vec<TagId>,
    /// By position as `tags`.
    points: Vec<Point>,
    groups: Vec<Group>,
    /// What the memory's count was when they were grouped.
    generation: u64,
}

impl Work {
    fn regroup(&mut self, memory: &Memory) {
        let readable =
            self.points.iter().enumerate().filter(|(_, point)| memory.refusal(point).is_none());
        self.groups = plan::group(readable, memory.holes());
        self.generation = memory.generation();
    }
}

/// Sorts tags by unit and scan class into pieces of work of so many requests.
fn divide<'a>(
    tags: impl IntoIterator<Item = (TagId, &'a Tag)>,
    line: &Line,
    memory: &Memory,
) -> (Vec<Work>, Vec<(TagId, DriverError)>) {
    let mut sorted: BTreeMap<(UnitId, u32), Vec<(Point, TagId)>> = BTreeMap::new();
    let mut rejected = Vec::new();
    for (id, tag) in tags {
        match resolve(tag, line) {
            Ok(point) => sorted.entry((tag.unit, tag.scan.scan_ms)).or_default().push((point, id)),
            Err(error) => rejected.push((id, error)),
        }
    }
    let work = sorted.into_iter().flat_map(|((unit, scan_ms), mut members)| {
        members.sort_by_key(|(point, id)| (point.area, point.start, point.width, *id));
        cut(members).into_iter().map(move |members| {
            let (points, tags) = members.into_iter().unzip();
            let mut work = Work { unit, scan_ms, tags, points, groups: Vec::new(), generation: 0 };
            work.regroup(memory);
            work
        })
    });
    (work.collect(), rejected)
}

/// Cuts a scan into slices, between requests. What is learnt of the device moves no cut: a tag
/// that changes its slice changes its ring.
fn cut(members: Vec<(Point, TagId)>) -> Vec<Vec<(Point, TagId)>> {
    let groups = plan::group(members.iter().map(|(point, _)| point).enumerate(), &Holes::default());
    let slices = groups.chunks(SLICE_REQUESTS_MAX).map(|groups| {
        let positions = groups.iter().flat_map(|group| &group.members);
        positions.filter_map(|position| members.get(*position).copied()).collect()
    });
    slices.collect()
}

fn resolve(tag: &Tag, line: &Line) -> Result<Point, DriverError> {
    match unit_fault(tag.unit, line.route.is_serial_framed()) {
        Some(why) => Err(DriverError::new(ErrorKind::Settings, why).hint("correct unit_id")),
        None => address::resolve(tag),
    }
}

/// Counts the requests one scan of an endpoint's tags needs.
pub(super) fn requests(spec: &EndpointSpec) -> Vec<ScanCost> {
    let Ok(line) = Line::parse(&spec.settings) else { return Vec::new() };
    let tags = spec.tags.iter().map(|tag| (TagId(0), tag.as_ref()));
    let (work, _) = divide(tags, &line, &Memory::default());
    let mut costs: BTreeMap<u32, ScanCost> = BTreeMap::new();
    for Work { scan_ms, points, groups, .. } in work {
        let cost = costs.entry(scan_ms).or_insert(ScanCost { scan_ms, requests: 0, tags: 0 });
        cost.requests += count(groups.len());
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
    let (session, memory) = (Session::new(line), Memory::default());
    Ok(Box::new(Modbus { session, memory, work: Vec::new() }))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// One endpoint's driver.
struct Modbus {
    session: Session,
    memory: Memory,
    work: Vec<Work>,
}

#[async_trait]
impl Driver for Modbus {
    fn plan(&mut self, tags: &[Planned]) -> PlanReport {
        let tags = tags.iter().map(|planned| (planned.id, planned.tag.as_ref()));
        let (work, rejected) = divide(tags, self.session.line(), &self.memory);
        self.work = work;
        let slices = self.work.iter().zip(0..).map(|(work, id)| Slice {
            id: SliceId(id),
            unit: work.unit,
            cadence: Cadence::Polled { scan_ms: work.scan_ms },
            tags: work.tags.clone(),
            requests: count(work.groups.len()),
        });
        PlanReport { slices: slices.collect(), rejected }
    }

    async fn open(
        &mut self,
        _wake: Arc<Notify>,
        _toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError> {
        // Connecting sends no Modbus message, so there is nothing to pay for and nobody to name.
        self.session.open(deadline).await?;
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
            work.regroup(memory);
        }
        let mut pass = Pass::default();
        let paying = (toll, deadline);
        let mut result =
            scan::run(session, &work.points, &work.groups, memory, &mut pass, paying).await;
        if result.is_ok()
            && let Some(position) = memory.due(&work.points, Instant::now())
            && let Some(point) = work.points.get(position)
        {
            let again = [Group { request: plan::alone(point), members: vec![position] }];
            result = scan::run(session, &work.points, &again, memory, &mut pass, paying).await;
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
                _ => Err(DriverError::new(
                    ErrorKind::Unsupported,
                    "Modbus has registers and bits, and nothing to browse or listen to",
                )
                .hint("read registers or bits by their address")),
            }
        }))
    }

    async fn inspect(
        &mut self,
        tag: &Tag,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Inspected, DriverError> {
        let point = resolve(tag, self.session.line())?;
        let data = self.session.read(&plan::alone(&point), toll, deadline).await?;
        let (value, quality) = scan::cut(&point, &plan::alone(&point), &data);
        let data_type = point.shape.data_type();
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
        let point = resolve(tag, self.session.line())?;
        self.session.write(&Write::new(&point, raw)?, toll, deadline).await
    }

    async fn close(&mut self, deadline: Instant) {
        self.session.close(deadline).await;
    }
}

/// Moves what a pass brought into the batch, tag by tag in the slice's order.
fn deliver(work: &Work, memory: &Memory, pass: Pass, out: &mut Batch) {
    let now = clock::now();
    let rows = work.tags.iter().zip(&work.points).zip(pass.outcomes);
    out.readings.extend(rows.filter_map(|((tag, point), outcome)| {
        let (value, quality, received_ts) = match outcome {
            Some(Outcome::Read(value, quality, at)) => (value, quality, at),
            Some(Outcome::Failed(error, at)) => (Value::Null, error.quality(), at),
            None => (Value::Null, memory.refusal(point)?.quality(), now),
        };
        Some(Reading { tag: *tag, value, quality, source_ts: None, received_ts })
    }));
    out.blocks.extend(pass.blocks);
}

impl Modbus {
    async fn block(
        &mut self,
        at: &BlockRef,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<RawBlock, DriverError> {
        let request = self.block_request(at)?;
        let data = self.session.read(&request, toll, deadline).await?;
        Ok(RawBlock { at: at.clone(), data, received_ts: clock::now() })
    }

    fn block_request(&self, at: &BlockRef) -> Result<Request, DriverError> {
        let bad = |what: String, hint: String| {
            Err(DriverError::new(ErrorKind::BadAddress, what).hint(hint))
        };
        let Some(area) = Area::of_name(at.area) else {
            let what = "this is no area of a Modbus device".to_owned();
            return bad(what, "holding, input, coil or discrete".to_owned());
        };
        if let Some(why) = unit_fault(at.unit, self.session.line().route.is_serial_framed()) {
            return bad(why, "correct unit_id".to_owned());
        }
        let max = area.count_max();
        let start = u16::try_from(at.address).ok();
        let count = u16::try_from(at.count).ok().filter(|count| (1..=max).contains(count));
        match (start, count) {
            (_, None) => bad(
                format!("a read of {} {} can't be asked at once", at.count, area.name()),
                format!("count is 1 to {max}"),
            ),
            (Some(start), Some(count)) if u32::from(start) + u32::from(count) <= ADDRESSES => {
                Ok(Request { unit: at.unit, area, start, count })
            }
            _ => bad(
                format!("{} from {} on end beyond 65535", at.count, at.address),
                "addresses are 0 to 65535".to_owned(),
            ),
        }
    }

    /// Reads addresses as `uint16` or `bool`, coalesced; a wrong or refused one fails alone.
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
        let parsed: Vec<Result<Point, DriverError>> =
            refs.iter().map(|text| self.parse_ref(text)).collect();
        let points: Vec<Point> = parsed.iter().flatten().copied().collect();
        // What a call runs into says nothing of the configured tags: it is not remembered.
        let mut memory = self.memory.copy_of_holes();
        let groups = plan::group(points.iter().enumerate(), memory.holes());
        let mut pass = Pass::default();
        let paying = (toll, deadline);
        scan::run(&mut self.session, &points, &groups, &mut memory, &mut pass, paying).await?;
        let mut outcomes = points.iter().zip(pass.outcomes);
        let readings = refs.iter().zip(parsed).map(|(item, parsed)| match parsed {
            Err(error) => failed(item, "", error),
            Ok(_) => match outcomes.next() {
                Some((point, Some(outcome))) => reading(item, point, outcome),
                _ => failed(item, "", DriverError::new(ErrorKind::Protocol, "it was not read")),
            },
        });
        Ok(readings.collect())
    }

    /// Reads an address with its unit behind an `@`, or of the endpoint's own unit.
    fn parse_ref(&self, text: &str) -> Result<Point, DriverError> {
        let line = self.session.line();
        let (text, unit) = match text.rsplit_once('@') {
            None => (text, line.unit),
            Some((text, unit)) => {
                let unit = unit.trim().parse().map(UnitId).map_err(|_| {
                    DriverError::new(ErrorKind::BadAddress, "what follows the @ is no unit id")
                        .hint("write holding:100@3 for unit 3")
                })?;
                (text, unit)
            }
        };
        if let Some(why) = unit_fault(unit, line.route.is_serial_framed()) {
            return Err(DriverError::new(ErrorKind::BadAddress, why).hint("correct the unit id"));
        }
        address::point(address::parse(text)?, DataType::Native, WordOrder::Abcd, unit)
    }
}

fn reading(item: &Arc<str>, point: &Point, outcome: Outcome) -> NodeReading {
    let data_type = match point.shape {
        address::Shape::Bit | address::Shape::BitOf(_) => "bool",
        _ => "uint16",
    };
    match outcome {
        Outcome::Failed(error, _) => failed(item, data_type, *error),
        Outcome::Read(value, quality, received_ts) => NodeReading {
            item: item.clone(),
            value,
            data_type: data_type.into(),
            quality,
            source_ts: None,
            received_ts,
            error: None,
        },
    }
}

fn failed(item: &Arc<str>, data_type: &str, error: DriverError) -> NodeReading {
    let quality: Quality = error.quality();
    NodeReading {
        item: item.clone(),
        value: Value::Null,
        data_type: data_type.into(),
        quality,
        source_ts: None,
        received_ts: clock::now(),
        error: Some(error),
    }
}
