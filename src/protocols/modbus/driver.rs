//! The driver: slices of tags, and calls, over one session.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::{self, ADDRESSES, Area, Point};
use super::call::Call;
use super::plan::{self, Group, Holes, Memory, Request, Span};
use super::scan::{self, Outcome, Pass, Points};
use super::session::Session;
use super::settings::{Line, unit_fault};
use crate::clock;
use crate::driver::{
    Ask, Asking, Batch, BlockRef, Cadence, Driver, DriverError, EndpointSpec, ErrorKind, Identity,
    PlanReport, Planned, RawBlock, Reading, Reply, ScanCost, Slice, SliceId, Toll,
};
use crate::model::{Tag, TagId, UnitId, Value};

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
    spans: Vec<Span>,
    groups: Vec<Group>,
    /// What the memory's count was when they were grouped.
    generation: u64,
}

impl Work {
    fn regroup(&mut self, memory: &Memory) {
        let readable =
            self.spans.iter().enumerate().filter(|(_, span)| memory.refusal(span).is_none());
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
        members.sort_by_key(|(point, id)| (point.span(), *id));
        cut(&members).into_iter().map(move |members| {
            let (points, tags): (Vec<Point>, Vec<TagId>) = members.into_iter().unzip();
            let spans = points.iter().map(Point::span).collect();
            let (groups, generation) = (Vec::new(), 0);
            let mut work = Work { unit, scan_ms, tags, points, spans, groups, generation };
            work.regroup(memory);
            work
        })
    });
    (work.collect(), rejected)
}

/// Cuts a scan into slices, between requests. What is learnt of the device moves no cut: a tag
/// that changes its slice changes its ring.
fn cut(members: &[(Point, TagId)]) -> Vec<Vec<(Point, TagId)>> {
    let spans: Vec<Span> = members.iter().map(|(point, _)| point.span()).collect();
    let groups = plan::group(spans.iter().enumerate(), &Holes::default());
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
    Ok(Box::new(Modbus { session, memory, work: Vec::new(), call: None }))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// One endpoint's driver.
struct Modbus {
    session: Session,
    memory: Memory,
    work: Vec<Work>,
    /// A call that waits for its next turn.
    call: Option<Call>,
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
        let Self { session, memory, work, .. } = self;
        let work = usize::try_from(slice.0).ok().and_then(|index| work.get_mut(index));
        let work = work.ok_or_else(|| {
            DriverError::new(ErrorKind::Settings, "the plan has no such slice").hint("plan anew")
        })?;
        if work.generation != memory.generation() {
            work.regroup(memory);
        }
        let mut pass = Pass::default();
        let of = Points { points: &work.points, spans: &work.spans };
        let paying = (toll, deadline);
        let mut result = scan::run(session, of, &work.groups, memory, &mut pass, paying).await;
        if result.is_ok()
            && let Some(position) = memory.due(&work.spans, Instant::now())
            && let Some(span) = work.spans.get(position)
        {
            let again = [Group { span: *span, members: vec![position] }];
            result = scan::run(session, of, &again, memory, &mut pass, paying).await;
        }
        deliver(work, memory, pass, out);
        result
    }

    fn ask(&mut self, ask: Ask, toll: Toll, deadline: Instant) -> Asking<'_> {
        if let Ask::Read { refs, .. } = ask {
            return Asking::InTurns(Box::pin(self.read(refs, toll, deadline)));
        }
        Asking::Here(Box::pin(async move {
            match ask {
                Ask::Connect => self.session.check().map(|()| Reply::Connected),
                Ask::Block(at) => self.block(&at, &toll, deadline).await.map(Reply::Block),
                _ => Err(DriverError::new(
                    ErrorKind::Unsupported,
                    "Modbus has registers and bits, and nothing to browse or listen to",
                )
                .hint("read registers or bits by their address")),
            }
        }))
    }

    async fn close(&mut self, deadline: Instant) {
        self.session.close(deadline).await;
    }
}

/// Moves what a pass brought into the batch, tag by tag in the slice's order.
fn deliver(work: &Work, memory: &Memory, pass: Pass, out: &mut Batch) {
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

    /// Reads scattered addresses, as far as this turn goes; nothing where more is to be read.
    async fn read(
        &mut self,
        refs: Vec<Arc<str>>,
        toll: Toll,
        deadline: Instant,
    ) -> Result<Option<Reply>, DriverError> {
        let begun = self.call.take().filter(|call| call.is_of(&toll));
        let mut call = match begun {
            Some(call) => call,
            None => Call::new(refs, self.session.line(), &self.memory, toll)?,
        };
        if call.turn(&mut self.session, deadline, SLICE_REQUESTS_MAX).await? {
            return Ok(Some(Reply::Readings(call.readings())));
        }
        self.call = Some(call);
        Ok(None)
    }
}
