//! The driver: slices of tags, and calls, over one session.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::{self, Point};
use super::area::{Area, Kind};
use super::identity;
use super::plan::{self, Limits};
use super::scan::{self, Outcome, Pass, Points};
use super::session::Session;
use super::settings::Line;
use crate::clock;
use crate::driver::{
    Ask, Asking, Batch, BlockRef, Cadence, Driver, DriverError, EndpointSpec, ErrorKind, Identity,
    NodeReading, PlanReport, Planned, RawBlock, Reading, Reply, ScanCost, Slice, SliceId, Toll,
};
use crate::model::{Quality, Tag, TagId, Timestamp, UnitId, Value};
use crate::plan::{Group, Holes, Memory, Span};

/// One call reads at most this many addresses, as the reference's bulk read does.
const READ_REFS_MAX: usize = 100;

/// One call reads at most this much: a hundred values of eight bytes, and a long text.
const BLOCK_BYTES_MAX: u32 = 2048;

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
    spans: Vec<Span<Area>>,
    groups: Vec<Group<Area>>,
    requests: usize,
    /// What the memory's count was when they were planned.
    generation: u64,
}

impl Work {
    fn replan(&mut self, memory: &Memory<Area, DriverError>, limits: Limits) {
        let readable = (0..self.spans.len())
            .filter(|at| self.spans.get(*at).is_some_and(|span| memory.refusal(span).is_none()));
        self.groups = plan::groups(readable, &self.spans, memory.holes(), limits);
        self.requests = plan::pack(&self.groups, limits).len();
        self.generation = memory.generation();
    }
}

/// Sorts tags by scan class into pieces of work of so many requests.
fn divide<'a>(
    tags: impl IntoIterator<Item = (TagId, &'a Tag)>,
    limits: Limits,
    memory: &Memory<Area, DriverError>,
) -> (Vec<Work>, Vec<(TagId, DriverError)>) {
    let mut sorted: BTreeMap<u32, Vec<(Point, TagId)>> = BTreeMap::new();
    let mut rejected = Vec::new();
    for (id, tag) in tags {
        match address::resolve(tag) {
            Ok(point) => sorted.entry(tag.scan.scan_ms).or_default().push((point, id)),
            Err(error) => rejected.push((id, error)),
        }
    }
    let work = sorted.into_iter().flat_map(|(scan_ms, mut members)| {
        members.sort_by_key(|(point, id)| (point.span, *id));
        cut(&members, limits).into_iter().map(move |members| {
            let (points, tags): (Vec<Point>, Vec<TagId>) = members.into_iter().unzip();
            let spans = points.iter().map(|point| point.span).collect();
            let (groups, requests, generation) = (Vec::new(), 0, 0);
            let mut work = Work { scan_ms, tags, points, spans, groups, requests, generation };
            work.replan(memory, limits);
            work
        })
    });
    (work.collect(), rejected)
}

/// Cuts a scan into slices, between stretches. What is learnt of the device moves no cut: a tag
/// that changes its slice changes its ring.
fn cut(members: &[(Point, TagId)], limits: Limits) -> Vec<Vec<(Point, TagId)>> {
    let spans: Vec<Span<Area>> = members.iter().map(|(point, _)| point.span).collect();
    let groups = plan::groups(0..spans.len(), &spans, &Holes::default(), limits);
    let mut slices: Vec<Vec<(Point, TagId)>> = Vec::new();
    for packets in plan::pack(&groups, limits).chunks(SLICE_REQUESTS_MAX) {
        let first = packets.iter().flatten().filter(|piece| {
            // A stretch in several pieces belongs where its first one is.
            groups.get(piece.group).is_some_and(|group| group.span.start == piece.item.start)
        });
        let positions = first.filter_map(|piece| groups.get(piece.group)).flat_map(|g| &g.members);
        slices.push(positions.filter_map(|at| members.get(*at).copied()).collect());
    }
    slices.retain(|slice| !slice.is_empty());
    slices
}

/// Counts the requests one scan of an endpoint's tags needs, with messages as long as asked for.
pub(super) fn requests(spec: &EndpointSpec) -> Vec<ScanCost> {
    let Ok(line) = Line::parse(&spec.settings) else { return Vec::new() };
    let tags = spec.tags.iter().map(|tag| (TagId(0), tag.as_ref()));
    let (work, _) = divide(tags, Session::new(line).limits(), &Memory::default());
    let mut costs: BTreeMap<u32, ScanCost> = BTreeMap::new();
    for Work { scan_ms, points, requests, .. } in work {
        let cost = costs.entry(scan_ms).or_insert(ScanCost { scan_ms, requests: 0, tags: 0 });
        cost.requests += count(requests);
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
    Ok(Box::new(S7 { session: Session::new(line), memory: Memory::default(), work: Vec::new() }))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// One endpoint's driver.
struct S7 {
    session: Session,
    memory: Memory<Area, DriverError>,
    work: Vec<Work>,
}

#[async_trait]
impl Driver for S7 {
    fn plan(&mut self, tags: &[Planned]) -> PlanReport {
        let tags = tags.iter().map(|planned| (planned.id, planned.tag.as_ref()));
        let (work, rejected) = divide(tags, self.session.limits(), &self.memory);
        self.work = work;
        let slices = self.work.iter().zip(0..).map(|(work, id)| Slice {
            id: SliceId(id),
            unit: UnitId(0),
            cadence: Cadence::Polled { scan_ms: work.scan_ms },
            tags: work.tags.clone(),
            requests: count(work.requests),
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
            work.replan(memory, session.limits());
        }
        let mut pass = Pass::default();
        let of = Points { points: &work.points, spans: &work.spans };
        let paying = (toll, deadline);
        let mut result = scan::run(session, &of, &work.groups, memory, &mut pass, paying).await;
        if result.is_ok()
            && let Some(at) = memory.due(&work.spans, Instant::now())
            && let Some(span) = work.spans.get(at)
        {
            let again = [Group { span: *span, members: vec![at] }];
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
                    "S7 communication has blocks and bytes, and nothing to browse or listen to",
                )
                .hint("read by address, such as DB1.DBD4:REAL")),
            }
        }))
    }

    async fn close(&mut self, deadline: Instant) {
        self.session.close(deadline).await;
    }
}

/// Moves what a pass brought into the batch, tag by tag in the slice's order.
fn deliver(work: &Work, memory: &Memory<Area, DriverError>, pass: Pass, out: &mut Batch) {
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

impl S7 {
    async fn block(
        &mut self,
        at: &BlockRef,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<RawBlock, DriverError> {
        let bad = |what: String| DriverError::new(ErrorKind::BadAddress, what);
        let kind = Kind::of_name(at.area).ok_or_else(|| {
            bad("this is no area of an S7 controller".to_owned()).hint("DB, M, I, Q, T or C")
        })?;
        let bytes = at.count.saturating_mul(kind.element_bytes());
        if at.count == 0 || bytes > BLOCK_BYTES_MAX {
            let what = format!("{bytes} bytes can't be read at once");
            return Err(bad(what).hint(format!("1 to {BLOCK_BYTES_MAX} bytes")));
        }
        let area = Area { kind, block: at.section };
        let span = Span { area, start: at.address, width: at.count };
        let bytes = scan::stretch(&mut self.session, span, (toll, deadline)).await?;
        let data = scan::image(area, &bytes);
        Ok(RawBlock { at: at.clone(), data, received_ts: clock::now() })
    }

    /// Asks for what the CPU says of itself; what it doesn't say is left out.
    async fn identify(&mut self, toll: &Toll, deadline: Instant) -> Result<Identity, DriverError> {
        type Take = fn(&[u8], &mut Identity);
        let lists: [(u16, u16, Take); 3] = [
            (identity::MODULE, 0, identity::take_module),
            (identity::COMPONENT, 0, identity::take_component),
            (identity::STATE, 0, identity::take_state),
        ];
        let mut identity = Identity { manufacturer: "Siemens".into(), ..Identity::default() };
        for (id, index, take) in lists {
            match self.session.status_list(id, index, toll, deadline).await {
                Ok(list) => take(&list, &mut identity),
                // A controller that refuses one list may give the others.
                Err(error) if error.status.is_some() => {
                    identity.details.push(("info_error", error.message.into()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(identity)
    }

    /// Reads addresses; a wrong or refused one fails alone.
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
            refs.iter().map(|text| address::parse_point(text)).collect();
        let points: Vec<Point> = parsed.iter().flatten().copied().collect();
        let spans: Vec<Span<Area>> = points.iter().map(|point| point.span).collect();
        // What a call runs into says nothing of the configured tags: it is not remembered.
        let mut memory = self.memory.copy_of_holes();
        let limits = self.session.limits();
        let groups = plan::groups(0..spans.len(), &spans, memory.holes(), limits);
        let mut pass = Pass::default();
        let of = Points { points: &points, spans: &spans };
        let paying = (toll, deadline);
        scan::run(&mut self.session, &of, &groups, &mut memory, &mut pass, paying).await?;
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

fn read(item: &Arc<str>, value: Value, quality: Quality, received_ts: Timestamp) -> NodeReading {
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
