//! One pass over planned requests: values cut from answers, refused requests halved until the
//! bad address stands alone.

use tokio::time::Instant;

use super::address::Point;
use super::device::Device;
use super::errors;
use super::frame::{self, Answer, Request};
use super::plan::{self, Access, Job};
use super::session::Session;
use crate::clock;
use crate::driver::{BlockData, BlockRef, DriverError, RawBlock, Reaction, Toll};
use crate::model::{Quality, Timestamp, UnitId, Value};
use crate::plan::{Memory, Span, between};

/// Halvings one pass may spend on learning; each costs two requests. The rest of what is refused
/// waits for the next pass, so that wrong addresses can't use up the device's budget.
const HALVINGS_MAX: u32 = 32;

/// What came of one value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Read(Value, Quality, Timestamp),
    /// Boxed: it is rare, and six times the size of a value.
    Failed(Box<DriverError>, Timestamp),
}

/// What came of one pass, also where it ended early.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// By the positions of the points; `None` was not reached.
    pub(super) outcomes: Vec<Option<Outcome>>,
    pub(super) blocks: Vec<RawBlock>,
}

/// Values with their places, in one order.
pub(super) struct Points<'a> {
    pub(super) points: &'a [Point],
    pub(super) spans: &'a [Span<Device>],
}

/// A refused batch whose halves are being read.
struct Split {
    whole: Span<Device>,
    halves: [Span<Device>; 2],
    halves_read: u8,
}

/// Does the jobs in order into `pass`.
///
/// # Errors
/// The session failed, or there was no time or budget for the rest.
pub(super) async fn run(
    session: &mut Session,
    of: &Points<'_>,
    jobs: &[Job],
    memory: &mut Memory<Device, DriverError>,
    pass: &mut Pass,
    (toll, deadline): (&Toll, Instant),
) -> Result<(), DriverError> {
    pass.outcomes.resize(of.points.len(), None);
    let mut splits: Vec<Split> = Vec::new();
    let mut halvings_left = HALVINGS_MAX;
    for planned in jobs {
        let mut stack = vec![(planned.clone(), None)];
        while let Some((job, parent)) = stack.pop() {
            let request = request(&job, of.spans);
            let error = match session.read(&request, toll, deadline).await {
                Ok(answer) => {
                    pass.take(of, &job, &request, &answer, memory);
                    learn_seam(parent, &mut splits, memory);
                    continue;
                }
                Err(error) => error,
            };
            // Only the controller's own refusal of this request leaves the others worth a try.
            if error.status.is_none() || error.reaction() != Reaction::FailTag {
                return Err(error);
            }
            let divisible = errors::is_divisible(&error);
            if let [only] = job.members()
                && let Some(span) = of.spans.get(*only)
                && divisible
            {
                memory.refuse(span, error.clone(), Instant::now());
            } else if divisible
                && halvings_left > 0
                && let Some((left, right)) = job.halves(of.spans)
            {
                halvings_left -= 1;
                let parent = split(&job, &left, &right, &mut splits);
                stack.push((right, parent));
                stack.push((left, parent));
                continue;
            }
            pass.fail(&job, &error);
        }
    }
    Ok(())
}

/// Notes two halves of a batch, so that the hole between them can be learnt.
fn split(job: &Job, left: &Job, right: &Job, splits: &mut Vec<Split>) -> Option<usize> {
    let (Job::Batch(whole), Job::Batch(left), Job::Batch(right)) = (job, left, right) else {
        return None;
    };
    let halves = [left.span, right.span];
    splits.push(Split { whole: whole.span, halves, halves_read: 0 });
    Some(splits.len() - 1)
}

/// Learns the hole between two halves once both were read as they are.
fn learn_seam(
    parent: Option<usize>,
    splits: &mut [Split],
    memory: &mut Memory<Device, DriverError>,
) {
    let Some(split) = parent.and_then(|index| splits.get_mut(index)) else { return };
    split.halves_read += 1;
    if split.halves_read == 2 {
        let [left, right] = &split.halves;
        memory.learn(split.whole.area, between(&split.whole, left, right));
    }
}

/// Makes the request of a job.
fn request(job: &Job, spans: &[Span<Device>]) -> Request {
    match job {
        Job::Batch(group) => {
            let Span { area, start, width } = group.span;
            Request::Batch { device: area, start, count: width }
        }
        Job::Random(members) => {
            let spans = members.iter().filter_map(|at| spans.get(*at));
            frame::random(spans.filter_map(plan::accesses).flatten())
        }
    }
}

/// Names a batch's stretch as the raw blocks do.
pub(super) fn block_ref(device: Device, start: u32, count: u32) -> BlockRef {
    BlockRef { unit: UnitId(0), area: device.name(), section: 0, address: start, count }
}

impl Pass {
    fn take(
        &mut self,
        of: &Points<'_>,
        job: &Job,
        request: &Request,
        answer: &Answer,
        memory: &mut Memory<Device, DriverError>,
    ) {
        let now = clock::now();
        match (job, request, answer) {
            (Job::Batch(group), Request::Batch { device, start, count }, Answer::Block(data)) => {
                for at in &group.members {
                    let Some(point) = of.points.get(*at) else { continue };
                    let from = point.span.start.saturating_sub(*start);
                    self.set(*at, judged(cut(point, data, from), now));
                    memory.accept(&point.span);
                }
                let at = block_ref(*device, *start, *count);
                self.blocks.push(RawBlock { at, data: data.clone(), received_ts: now });
            }
            (Job::Random(members), _, Answer::Points { words, doubles }) => {
                let (mut words, mut doubles) = (words.iter(), doubles.iter());
                for at in members {
                    let Some(point) = of.points.get(*at) else { continue };
                    let accesses = plan::accesses(&point.span).unwrap_or_default();
                    let mut came = Vec::with_capacity(4);
                    for access in accesses {
                        match access {
                            Access::Word { .. } => came.extend(words.next()),
                            Access::Double { .. } => {
                                came.extend(doubles.next().into_iter().flatten())
                            }
                        }
                    }
                    self.set(*at, judged(of_points(point, &came), now));
                    memory.accept(&point.span);
                    self.blocks.extend(image(point, &came, now));
                }
            }
            // The decoder gives each request its own kind of answer.
            _ => {}
        }
    }

    fn fail(&mut self, job: &Job, error: &DriverError) {
        let now = clock::now();
        for at in job.members() {
            self.set(*at, Outcome::Failed(Box::new(error.clone()), now));
        }
    }

    fn set(&mut self, position: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(position) {
            *slot = Some(outcome);
        }
    }
}

/// Cuts a point's value out of a block, `from` elements after its first.
fn cut(point: &Point, data: &BlockData, from: u32) -> Option<Value> {
    let from = usize::try_from(from).ok()?;
    let range = from..from.checked_add(usize::try_from(point.span.width).ok()?)?;
    match data {
        BlockData::Registers(words) => point.of_words(words.get(range)?),
        BlockData::Bits(bits) => point.of_bits(bits.get(range)?),
        BlockData::Bytes(_) => None,
    }
}

/// Makes a point's value of the words a random read brought for it.
fn of_points(point: &Point, words: &[u16]) -> Option<Value> {
    match point.shape {
        super::address::Shape::Bit => point.of_bits(&[bit(point, *words.first()?)]),
        _ => point.of_words(words),
    }
}

/// Picks a bit device's bit out of the 16 around it.
fn bit(point: &Point, word: u16) -> bool {
    word >> (point.span.start % 16) & 1 == 1
}

/// Makes the raw image of what a random read brought for one point.
fn image(point: &Point, words: &[u16], now: Timestamp) -> Option<RawBlock> {
    let Span { area, start, width } = point.span;
    let data = match point.shape {
        super::address::Shape::Bit => BlockData::Bits([bit(point, *words.first()?)].into()),
        _ => BlockData::Registers(words.into()),
    };
    Some(RawBlock { at: block_ref(area, start, width), data, received_ts: now })
}

fn judged(value: Option<Value>, now: Timestamp) -> Outcome {
    match value {
        None => Outcome::Read(Value::Null, Quality::BAD_DECODING_ERROR, now),
        // JSON has no such number: it is shown as null, and never as good.
        Some(value) if holds_non_finite(&value) => {
            Outcome::Read(value, Quality::BAD_DECODING_ERROR, now)
        }
        Some(value) => Outcome::Read(value, Quality::GOOD, now),
    }
}

fn holds_non_finite(value: &Value) -> bool {
    match value {
        Value::F64(x) => !x.is_finite(),
        Value::List(items) => items.iter().any(holds_non_finite),
        _ => false,
    }
}
