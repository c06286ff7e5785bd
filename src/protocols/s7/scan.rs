//! One pass over planned stretches: values cut from their bytes, refused stretches halved until
//! the bad address stands alone.

use tokio::time::Instant;

use super::address::Point;
use super::area::Area;
use super::errors;
use super::frame::Item;
use super::plan;
use super::session::Session;
use super::value::judged;
use crate::clock;
use crate::driver::{BlockData, BlockRef, DriverError, ErrorKind, RawBlock, Toll};
use crate::model::{Quality, Timestamp, UnitId, Value};
use crate::plan::{Group, Memory, Span, between, halves};

/// Halvings one pass may spend on learning; each adds two stretches. The rest of what is refused
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
    pub(super) spans: &'a [Span<Area>],
}

/// A refused stretch whose halves are being read.
struct Split {
    whole: Span<Area>,
    halves: [Span<Area>; 2],
    halves_read: u8,
}

/// What is still to be read, with the split it comes from.
struct Wanted {
    group: Group<Area>,
    parent: Option<usize>,
}

/// Reads the groups into `pass`.
///
/// # Errors
/// The session failed, the controller refused a whole request, or there was no time or budget
/// for the rest.
pub(super) async fn run(
    session: &mut Session,
    of: &Points<'_>,
    groups: &[Group<Area>],
    memory: &mut Memory<Area, DriverError>,
    pass: &mut Pass,
    paying: (&Toll, Instant),
) -> Result<(), DriverError> {
    pass.outcomes.resize(of.points.len(), None);
    let mut splits: Vec<Split> = Vec::new();
    let mut halvings_left = HALVINGS_MAX;
    let mut wanted: Vec<Wanted> =
        groups.iter().map(|group| Wanted { group: group.clone(), parent: None }).collect();
    while !wanted.is_empty() {
        let stretches: Vec<Group<Area>> = wanted.iter().map(|w| w.group.clone()).collect();
        let came = fetch(session, &stretches, paying).await?;
        let mut again = Vec::new();
        for (wanted, came) in wanted.into_iter().zip(came) {
            let refused = match came.result {
                Ok(bytes) => {
                    pass.take(of, &wanted.group, &bytes, memory);
                    learn_seam(wanted.parent, &mut splits, memory);
                    continue;
                }
                Err(refused) => refused,
            };
            let (code, item) = refused;
            let error = errors::item(code, &item);
            if !errors::is_divisible(code) {
                pass.fail(&wanted.group, &error);
            } else if let [only] = wanted.group.members.as_slice()
                && let Some(span) = of.spans.get(*only)
            {
                memory.refuse(span, error.clone(), Instant::now());
                pass.fail(&wanted.group, &error);
            } else if halvings_left > 0
                && let Some((left, right)) = halves(&wanted.group, of.spans)
            {
                halvings_left -= 1;
                let both = [left.span, right.span];
                splits.push(Split { whole: wanted.group.span, halves: both, halves_read: 0 });
                let parent = Some(splits.len() - 1);
                again.extend([left, right].map(|group| Wanted { group, parent }));
            } else {
                pass.fail(&wanted.group, &error);
            }
        }
        wanted = again;
    }
    Ok(())
}

/// Learns the hole between two halves once both were read as they are.
fn learn_seam(parent: Option<usize>, splits: &mut [Split], memory: &mut Memory<Area, DriverError>) {
    let Some(split) = parent.and_then(|index| splits.get_mut(index)) else { return };
    split.halves_read += 1;
    if split.halves_read == 2 {
        let [left, right] = &split.halves;
        memory.learn(split.whole.area, between(&split.whole, left, right));
    }
}

/// What came of a stretch: its bytes so far, or the code of the first piece that was refused.
struct Stretch {
    result: Result<Vec<u8>, (u8, Item)>,
}

/// Reads stretches in as few requests as there can be.
///
/// The pieces of a stretch are asked for in the order of their addresses, and an answer has every
/// item that was asked for, each as long as asked: so a stretch is whole, or refused.
async fn fetch(
    session: &mut Session,
    stretches: &[Group<Area>],
    (toll, deadline): (&Toll, Instant),
) -> Result<Vec<Stretch>, DriverError> {
    let mut came: Vec<Stretch> =
        stretches.iter().map(|_| Stretch { result: Ok(Vec::new()) }).collect();
    for packet in plan::pack(stretches, session.limits()) {
        let items: Vec<Item> = packet.iter().map(|piece| piece.item).collect();
        let results = session.read(&items, toll, deadline).await?;
        for (piece, result) in packet.iter().zip(results) {
            let Some(Stretch { result: so_far }) = came.get_mut(piece.group) else { continue };
            match (so_far.as_mut(), result) {
                (Ok(bytes), Ok(more)) => bytes.extend(more),
                (Ok(_), Err(code)) => *so_far = Err((code, piece.item)),
                (Err(_), _) => {}
            }
        }
    }
    Ok(came)
}

/// Reads one stretch as it is.
///
/// # Errors
/// As [`run`]; a refused piece fails the whole.
pub(super) async fn stretch(
    session: &mut Session,
    span: Span<Area>,
    paying: (&Toll, Instant),
) -> Result<Vec<u8>, DriverError> {
    let group = Group { span, members: Vec::new() };
    let came = fetch(session, &[group], paying).await?.into_iter().next();
    let came = came.ok_or_else(|| DriverError::new(ErrorKind::Protocol, "nothing was asked"))?;
    came.result.map_err(|(code, item)| errors::item(code, &item))
}

/// Names a stretch as the raw blocks do.
pub(crate) fn block_ref(span: &Span<Area>) -> BlockRef {
    BlockRef {
        unit: UnitId(0),
        area: span.area.kind.name(),
        section: span.area.block,
        address: span.start,
        count: span.width,
    }
}

/// Makes the raw image of a stretch: bytes, or a word for each timer and counter.
pub(super) fn image(area: Area, bytes: &[u8]) -> BlockData {
    match area.kind.element_bytes() {
        1 => BlockData::Bytes(bytes.into()),
        _ => {
            let (words, _) = bytes.as_chunks::<2>();
            BlockData::Registers(words.iter().map(|word| u16::from_be_bytes(*word)).collect())
        }
    }
}

impl Pass {
    fn take(
        &mut self,
        of: &Points<'_>,
        group: &Group<Area>,
        bytes: &[u8],
        memory: &mut Memory<Area, DriverError>,
    ) {
        let now = clock::now();
        for at in &group.members {
            let Some(point) = of.points.get(*at) else { continue };
            let (value, quality) = judged(cut(point, group, bytes));
            self.set(*at, Outcome::Read(value, quality, now));
            memory.accept(&point.span);
        }
        let data = image(group.span.area, bytes);
        self.blocks.push(RawBlock { at: block_ref(&group.span), data, received_ts: now });
    }

    fn fail(&mut self, group: &Group<Area>, error: &DriverError) {
        let now = clock::now();
        for at in &group.members {
            self.set(*at, Outcome::Failed(Box::new(error.clone()), now));
        }
    }

    fn set(&mut self, position: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(position) {
            *slot = Some(outcome);
        }
    }
}

/// Cuts a point's value out of its stretch.
fn cut(point: &Point, group: &Group<Area>, bytes: &[u8]) -> Option<Value> {
    let element = point.span.area.kind.element_bytes();
    let from = usize::try_from((point.span.start - group.span.start) * element).ok()?;
    let width = usize::try_from(point.span.width * element).ok()?;
    point.read(bytes.get(from..from.checked_add(width)?)?)
}
