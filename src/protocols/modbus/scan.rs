//! One pass over planned requests: values cut from blocks, refused blocks halved until the bad
//! address stands alone.

use std::borrow::Cow;

use tokio::time::Instant;

use super::address::{Point, Shape};
use super::plan::{Group, Memory, Request, Span};
use super::quality;
use super::session::Session;
use crate::clock;
use crate::driver::{BlockData, BlockRef, DriverError, RawBlock, Toll};
use crate::model::{Quality, Timestamp, Value};
use crate::net::words;
use crate::plan::{between, halves};

/// Halvings one pass may spend on learning; each costs two requests. The rest of what is refused
/// waits for the next pass, so that a wrong register map can't use up the device's budget.
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Points<'a> {
    pub(super) points: &'a [Point],
    pub(super) spans: &'a [Span],
}

/// A refused request whose halves are being read.
#[derive(Debug)]
struct Split {
    whole: Span,
    halves: [Span; 2],
    halves_read: u8,
}

/// What is still to be asked in one pass.
#[derive(Debug)]
pub(super) struct Course<'a> {
    /// The last comes next; a half knows what it is a half of.
    stack: Vec<(Cow<'a, Group>, Option<usize>)>,
    splits: Vec<Split>,
    halvings_left: u32,
}

/// Reads the groups in order into `pass`.
///
/// # Errors
/// The unit or the session failed, or there was no time or budget for the rest.
pub(super) async fn run(
    session: &mut Session,
    of: Points<'_>,
    groups: &[Group],
    memory: &mut Memory,
    pass: &mut Pass,
    paying: (&Toll, Instant),
) -> Result<(), DriverError> {
    let mut course = Course::new(groups.iter().map(Cow::Borrowed));
    while !course.is_done() {
        course.step(session, of, memory, pass, paying).await?;
    }
    Ok(())
}

impl<'a> Course<'a> {
    pub(super) fn new(groups: impl DoubleEndedIterator<Item = Cow<'a, Group>>) -> Self {
        let stack = groups.rev().map(|group| (group, None)).collect();
        Self { stack, splits: Vec::new(), halvings_left: HALVINGS_MAX }
    }

    /// Tells whether nothing is left to ask.
    pub(super) fn is_done(&self) -> bool {
        self.stack.is_empty()
    }

    /// Sends the next request and takes what it brings into `pass`.
    ///
    /// # Errors
    /// The unit or the session failed, or there was no time or budget for it.
    pub(super) async fn step(
        &mut self,
        session: &mut Session,
        of: Points<'_>,
        memory: &mut Memory,
        pass: &mut Pass,
        (toll, deadline): (&Toll, Instant),
    ) -> Result<(), DriverError> {
        pass.outcomes.resize(of.points.len(), None);
        let Some((group, parent)) = self.stack.pop() else { return Ok(()) };
        let request = Request::of(&group.span).ok_or_else(quality::beyond_last)?;
        let error = match session.read(&request, toll, deadline).await {
            Ok(data) => {
                pass.take(of, &group, &request, data, memory);
                self.learn_seam(parent, memory);
                return Ok(());
            }
            Err(error) => error,
        };
        // Only the device's own refusal of this request leaves the others worth a try.
        if error.status.is_none() || error.reaction() != crate::driver::Reaction::FailTag {
            return Err(error);
        }
        let divisible = quality::is_divisible(&error);
        if let [only] = group.members.as_slice()
            && let Some(span) = of.spans.get(*only)
            && divisible
        {
            memory.refuse(span, error.clone(), Instant::now());
        } else if divisible
            && self.halvings_left > 0
            && let Some((left, right)) = halves(&group, of.spans)
        {
            self.halvings_left -= 1;
            let parts = [left.span, right.span];
            self.splits.push(Split { whole: group.span, halves: parts, halves_read: 0 });
            let parent = Some(self.splits.len() - 1);
            self.stack.push((Cow::Owned(right), parent));
            self.stack.push((Cow::Owned(left), parent));
            return Ok(());
        }
        pass.fail(&group, &error);
        Ok(())
    }

    /// Learns the hole between two halves once both were read as they are.
    fn learn_seam(&mut self, parent: Option<usize>, memory: &mut Memory) {
        let Some(split) = parent.and_then(|index| self.splits.get_mut(index)) else { return };
        split.halves_read += 1;
        if split.halves_read == 2 {
            let [left, right] = &split.halves;
            memory.learn(split.whole.area, between(&split.whole, left, right));
        }
    }
}

impl Pass {
    /// Cuts a group's values out of the block it brought.
    fn take(
        &mut self,
        of: Points<'_>,
        group: &Group,
        request: &Request,
        data: BlockData,
        memory: &mut Memory,
    ) {
        let now = clock::now();
        for position in &group.members {
            let (Some(point), Some(span)) = (of.points.get(*position), of.spans.get(*position))
            else {
                continue;
            };
            let (value, quality) = cut(point, request, &data);
            memory.accept(span);
            self.set(*position, Outcome::Read(value, quality, now));
        }
        self.blocks.push(RawBlock { at: block_ref(request), data, received_ts: now });
    }

    fn fail(&mut self, group: &Group, error: &DriverError) {
        let now = clock::now();
        for position in &group.members {
            self.set(*position, Outcome::Failed(Box::new(error.clone()), now));
        }
    }

    fn set(&mut self, position: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(position) {
            *slot = Some(outcome);
        }
    }
}

/// Names a request's stretch as the raw blocks do.
pub(super) fn block_ref(request: &Request) -> BlockRef {
    BlockRef {
        unit: request.unit,
        area: request.area.name(),
        section: 0,
        address: u32::from(request.start),
        count: u32::from(request.count),
    }
}

/// Makes a point's value of the block it lies in.
fn cut(point: &Point, request: &Request, data: &BlockData) -> (Value, Quality) {
    let from = usize::from(point.start.saturating_sub(request.start));
    let range = from..from + usize::from(point.width);
    let value = match data {
        BlockData::Bits(bits) => bits.get(range).and_then(|bits| of_bits(point, bits)),
        BlockData::Registers(words) => words.get(range).and_then(|words| of_words(point, words)),
        // No function code reads bytes.
        BlockData::Bytes(_) => None,
    };
    match value {
        None => (Value::Null, Quality::BAD_DECODING_ERROR),
        // JSON has no such number: it is shown as null, and never as good.
        Some(value) if holds_non_finite(&value) => (value, Quality::BAD_DECODING_ERROR),
        Some(value) => (value, Quality::GOOD),
    }
}

fn of_bits(point: &Point, bits: &[bool]) -> Option<Value> {
    match point.shape {
        Shape::Bit => bits.first().copied().map(Value::Bool),
        Shape::Bits(_) => Some(Value::list(bits.iter().copied().map(Value::Bool))),
        Shape::BitOf(_) | Shape::Number(_) | Shape::Numbers(..) | Shape::Text(_) => None,
    }
}

fn of_words(point: &Point, registers: &[u16]) -> Option<Value> {
    match point.shape {
        Shape::Number(decode) => words::value(registers, decode, point.order),
        Shape::Numbers(decode, _) => {
            Some(Value::list(words::decode(registers, decode, point.order).values))
        }
        Shape::BitOf(bit) => {
            let register = words::word(*registers.first()?, point.order);
            Some(Value::Bool(register >> bit & 1 == 1))
        }
        Shape::Text(bytes) => {
            words::text(registers, bytes, point.order).map(|text| Value::text(&text))
        }
        Shape::Bit | Shape::Bits(_) => None,
    }
}

fn holds_non_finite(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().any(Value::is_non_finite),
        one => one.is_non_finite(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::address;
    use super::*;
    use crate::model::{DataType, UnitId, WordOrder};

    fn read(address: &str, data_type: &str, order: WordOrder, data: &[u16]) -> (Value, Quality) {
        let place = address::parse(address).unwrap();
        let data_type = DataType::parse(data_type).unwrap();
        let point = address::point(place, data_type, order, UnitId(1)).unwrap();
        let data = BlockData::Registers(Arc::from(data));
        let (unit, area) = (point.unit, point.area);
        cut(&point, &Request { unit, area, start: 100, count: 8 }, &data)
    }

    #[test]
    fn values_are_cut_out_at_their_place() {
        let data = [7, 0x41A4, 0, 0xFFFF, 0x5075, 0x6D70, 0x0008, 0];
        let abcd = WordOrder::Abcd;
        for (address, data_type, value) in [
            ("100", "uint16", Value::U64(7)),
            ("101", "float32", Value::F64(20.5)),
            ("103", "int16", Value::I64(-1)),
            ("104", "string(4)", Value::text("Pump")),
            ("106.3", "bool", Value::Bool(true)),
            ("106.2", "bool", Value::Bool(false)),
            ("106", "uint16[2]", Value::list([Value::U64(8), Value::U64(0)])),
        ] {
            assert_eq!(read(address, data_type, abcd, &data), (value, Quality::GOOD), "{address}");
        }
        assert_eq!(read("106.11", "bool", WordOrder::Badc, &data).0, Value::Bool(true));
    }

    #[test]
    fn what_is_no_value_of_the_type_is_bad() {
        let data = [0x7FC0, 0, 0xFF41, 0];
        let abcd = WordOrder::Abcd;
        let (value, quality) = read("100", "float32", abcd, &data);
        assert!(value.is_non_finite() && quality == Quality::BAD_DECODING_ERROR);
        let (_, quality) = read("100", "float32[2]", abcd, &data);
        assert_eq!(quality, Quality::BAD_DECODING_ERROR);
        let bad_text = read("102", "string(2)", abcd, &data);
        assert_eq!(bad_text, (Value::Null, Quality::BAD_DECODING_ERROR));
        let beyond = read("104", "uint16", abcd, &data);
        assert_eq!(beyond, (Value::Null, Quality::BAD_DECODING_ERROR));
    }
}
