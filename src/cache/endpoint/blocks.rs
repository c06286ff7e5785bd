//! The newest image of a device's memory, in pieces as they were read.

use std::collections::BTreeMap;

use crate::clock;
use crate::driver::{BlockData, BlockRef, RawBlock};
use crate::model::{Timestamp, UnitId};

/// Pieces kept per endpoint, oldest out: a plan has tens of them, agents ask for the rest.
const PIECES_MAX: usize = 4096;

/// Registers, bits and bytes kept per endpoint, oldest out: every register of 16 units.
const ELEMENTS_MAX: usize = 16 * 65_536;

/// A block as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundBlock {
    /// The range; `received_ts` is that of its oldest piece.
    pub block: RawBlock,
    /// When its oldest piece was read, in [`crate::clock::uptime_ms`]; `None` where any piece
    /// came from the store and its age is by wall time.
    pub seen_uptime_ms: Option<u64>,
}

#[derive(Clone)]
struct Piece {
    data: BlockData,
    received_ts: Timestamp,
    seen_uptime_ms: Option<u64>,
    /// Counts the puts: the wall clock may step.
    order: u64,
}

/// Unit, area, section.
type AreaKey = (UnitId, &'static str, u16);

/// One endpoint's image; no two pieces overlap.
#[derive(Default)]
pub(super) struct Blocks {
    areas: BTreeMap<AreaKey, BTreeMap<u32, Piece>>,
    next_order: u64,
    pieces: usize,
    elements: usize,
}

fn cut(data: &BlockData, from: usize, to: usize) -> Option<BlockData> {
    Some(match data {
        BlockData::Registers(registers) => BlockData::Registers(registers.get(from..to)?.into()),
        BlockData::Bits(bits) => BlockData::Bits(bits.get(from..to)?.into()),
        BlockData::Bytes(bytes) => BlockData::Bytes(bytes.get(from..to)?.into()),
    })
}

/// The distance between two addresses, of which the second is not lower.
fn distance(from: u32, to: u32) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

impl Piece {
    fn end(&self, address: u32) -> u32 {
        address.saturating_add(u32::try_from(self.data.count()).unwrap_or(u32::MAX))
    }

    /// Gives the part of a piece at `address` that lies in a range.
    fn part(&self, address: u32, from: u32, to: u32) -> Option<Self> {
        let (first, last) = (from.max(address), to.min(self.end(address)));
        if first >= last {
            return None;
        }
        let data = cut(&self.data, distance(address, first), distance(address, last))?;
        Some(Self { data, ..self.clone() })
    }
}

impl Blocks {
    pub(super) fn put(&mut self, block: RawBlock) {
        let RawBlock { at, data, received_ts } = block;
        let seen_uptime_ms = Some(clock::uptime_ms());
        let piece = Piece { data, received_ts, seen_uptime_ms, order: self.next_order };
        self.next_order += 1;
        let key = (at.unit, at.area, at.section);
        let end = piece.end(at.address);
        if end == at.address {
            return;
        }
        self.clear(key, at.address, end);
        self.insert(key, at.address, piece);
        self.drop_surplus();
    }

    fn drop_surplus(&mut self) {
        while self.pieces > PIECES_MAX || self.elements > ELEMENTS_MAX {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    pub(super) fn restore(&mut self, block: RawBlock) {
        let RawBlock { at, data, received_ts } = block;
        let piece = Piece { data, received_ts, seen_uptime_ms: None, order: 0 };
        let key = (at.unit, at.area, at.section);
        let end = piece.end(at.address);
        let mut from = at.address;
        for (taken, until) in self.overlapping(key, at.address, end) {
            if let Some(part) = piece.part(at.address, from, taken) {
                self.insert(key, from, part);
            }
            from = from.max(until);
        }
        if let Some(part) = piece.part(at.address, from, end) {
            self.insert(key, from, part);
        }
        self.drop_surplus();
    }

    pub(super) fn find(&self, at: &BlockRef) -> Option<FoundBlock> {
        let area = self.areas.get(&(at.unit, at.area, at.section))?;
        let end = at.address.checked_add(at.count)?;
        let (mut registers, mut bits, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = at.address;
        let mut received_ts: Option<Timestamp> = None;
        let mut seen_uptime_ms = Some(u64::MAX);
        while next < end {
            let (address, piece) = area.range(..=next).next_back()?;
            let part = piece.part(*address, next, end)?;
            next = next.saturating_add(u32::try_from(part.data.count()).ok()?);
            match part.data {
                BlockData::Registers(part) => registers.extend_from_slice(&part),
                BlockData::Bits(part) => bits.extend_from_slice(&part),
                BlockData::Bytes(part) => bytes.extend_from_slice(&part),
            }
            received_ts =
                Some(received_ts.map_or(part.received_ts, |oldest| oldest.min(part.received_ts)));
            // No uptime is less than any.
            seen_uptime_ms = seen_uptime_ms.min(part.seen_uptime_ms);
        }
        let data = match (registers.is_empty(), bits.is_empty(), bytes.is_empty()) {
            (false, true, true) => BlockData::Registers(registers.into()),
            (true, false, true) => BlockData::Bits(bits.into()),
            (true, true, false) => BlockData::Bytes(bytes.into()),
            _ => return None,
        };
        let block = RawBlock { at: at.clone(), data, received_ts: received_ts? };
        Some(FoundBlock { block, seen_uptime_ms })
    }

    pub(super) fn images(&self) -> Vec<RawBlock> {
        let mut images = Vec::with_capacity(self.pieces);
        for ((unit, area, section), pieces) in &self.areas {
            for (address, piece) in pieces {
                let (unit, area, section, address) = (*unit, *area, *section, *address);
                let count = u32::try_from(piece.data.count()).unwrap_or(u32::MAX);
                images.push(RawBlock {
                    at: BlockRef { unit, area, section, address, count },
                    data: piece.data.clone(),
                    received_ts: piece.received_ts,
                });
            }
        }
        images
    }

    /// Gives the ranges of the pieces that overlap one, by address.
    fn overlapping(&self, key: AreaKey, from: u32, to: u32) -> Vec<(u32, u32)> {
        let Some(area) = self.areas.get(&key) else { return Vec::new() };
        let mut ranges: Vec<(u32, u32)> = area
            .range(..to)
            .rev()
            .map(|(address, piece)| (*address, piece.end(*address)))
            .take_while(|(_, end)| *end > from)
            .collect();
        ranges.reverse();
        ranges
    }

    /// Makes room for a newer piece; what sticks out on either side stays.
    fn clear(&mut self, key: AreaKey, from: u32, to: u32) {
        for (address, end) in self.overlapping(key, from, to) {
            let Some(piece) = self.remove(key, address) else { continue };
            if let Some(before) = piece.part(address, address, from) {
                self.insert(key, address, before);
            }
            if let Some(after) = piece.part(address, to, end) {
                self.insert(key, to, after);
            }
        }
    }

    fn insert(&mut self, key: AreaKey, address: u32, piece: Piece) {
        self.pieces += 1;
        self.elements += piece.data.count();
        self.areas.entry(key).or_default().insert(address, piece);
    }

    fn remove(&mut self, key: AreaKey, address: u32) -> Option<Piece> {
        let piece = self.areas.get_mut(&key)?.remove(&address)?;
        self.pieces -= 1;
        self.elements -= piece.data.count();
        Some(piece)
    }

    fn drop_oldest(&mut self) -> bool {
        let every = self
            .areas
            .iter()
            .flat_map(|(key, area)| area.iter().map(move |(at, piece)| (piece.order, *key, *at)));
        let oldest = every.min();
        oldest.is_some_and(|(_, key, address)| self.remove(key, address).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: u32, count: u32) -> BlockRef {
        BlockRef { unit: UnitId(1), area: "holding", section: 0, address, count }
    }

    fn block(address: u32, registers: &[u16], millis: i64) -> RawBlock {
        RawBlock {
            at: at(address, u32::try_from(registers.len()).unwrap()),
            data: BlockData::Registers(registers.into()),
            received_ts: Timestamp::from_millis(millis),
        }
    }

    fn registers(found: Option<FoundBlock>) -> Option<Vec<u16>> {
        match found?.block.data {
            BlockData::Registers(registers) => Some(registers.to_vec()),
            BlockData::Bits(_) | BlockData::Bytes(_) => None,
        }
    }

    #[test]
    fn a_range_is_put_together_from_the_newest_pieces_and_is_as_old_as_the_oldest() {
        let mut blocks = Blocks::default();
        blocks.put(block(10, &[1, 2, 3, 4, 5, 6], 1000));
        blocks.put(block(12, &[30, 40], 2000));
        blocks.put(block(16, &[7, 8], 3000));
        let found = blocks.find(&at(11, 6)).unwrap();
        assert_eq!(found.block.received_ts, Timestamp::from_millis(1000));
        assert!(found.seen_uptime_ms.is_some());
        assert_eq!(registers(Some(found)), Some(vec![2, 30, 40, 5, 6, 7]));
        assert_eq!(registers(blocks.find(&at(12, 2))), Some(vec![30, 40]));
        assert_eq!(blocks.images().len(), 4);
    }

    #[test]
    fn a_range_with_a_hole_is_not_found() {
        let mut blocks = Blocks::default();
        blocks.put(block(0, &[1, 2], 0));
        blocks.put(block(3, &[4], 0));
        assert_eq!(blocks.find(&at(0, 4)), None);
        assert_eq!(blocks.find(&at(3, 2)), None);
        assert_eq!(blocks.find(&at(0, 0)), None);
        assert_eq!(blocks.find(&BlockRef { unit: UnitId(2), ..at(0, 2) }), None);
        assert_eq!(blocks.find(&at(u32::MAX, 2)), None);
    }

    #[test]
    fn what_is_restored_fills_holes_and_has_no_uptime() {
        let mut blocks = Blocks::default();
        blocks.put(block(2, &[22, 33], 5000));
        blocks.put(block(6, &[66], 5000));
        blocks.restore(block(0, &[0, 1, 2, 3, 4, 5, 6, 7], 1000));
        assert_eq!(registers(blocks.find(&at(0, 8))), Some(vec![0, 1, 22, 33, 4, 5, 66, 7]));
        assert_eq!(blocks.find(&at(0, 8)).unwrap().seen_uptime_ms, None);
        assert!(blocks.find(&at(2, 2)).unwrap().seen_uptime_ms.is_some());
    }

    #[test]
    fn the_image_is_bounded_and_the_oldest_goes() {
        let mut blocks = Blocks::default();
        let last = u32::try_from(PIECES_MAX).unwrap();
        (0..=last).for_each(|n| blocks.put(block(n * 2, &[1], 0)));
        assert_eq!(blocks.images().len(), PIECES_MAX);
        assert_eq!(blocks.find(&at(0, 1)), None);
        assert!(blocks.find(&at(last * 2, 1)).is_some());
    }
}
