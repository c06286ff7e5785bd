//! What one acquisition brings in.

use std::sync::Arc;

use super::Observations;
use crate::model::{ConditionEvent, Quality, TagId, Timestamp, UnitId, Value};

/// One tag's reading, before scale, limits and deadband.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The tag.
    pub tag: TagId,
    /// What the device said.
    pub value: Value,
    /// How far to trust it.
    pub quality: Quality,
    /// The device's own time, where it gave one.
    pub source_ts: Option<Timestamp>,
    /// When it arrived here.
    pub received_ts: Timestamp,
}

/// A stretch of a device's memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// The device behind the endpoint.
    pub unit: UnitId,
    /// The area, as the protocol's tools name it; one of [`BlockRef::AREAS`].
    pub area: &'static str,
    /// The part of the area: the number of an S7 data block, 0 elsewhere.
    pub section: u16,
    /// The first address, 0-based, as it goes on the wire.
    pub address: u32,
    /// How many registers, bits or bytes.
    pub count: u32,
}

impl BlockRef {
    /// The names that `area` may have: Modbus' four tables, S7's areas, the devices of MC.
    pub const AREAS: [&'static str; 28] = [
        "holding", "input", "coil", "discrete", //
        "DB", "M", "I", "Q", "T", "C", //
        "D", "W", "R", "ZR", "SD", "SW", "TN", "CN", "SN", //
        "X", "Y", "B", "L", "F", "V", "S", "SM", "SB",
    ];
}

/// The contents of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockData {
    /// 16-bit registers.
    Registers(Arc<[u16]>),
    /// Single bits.
    Bits(Arc<[bool]>),
    /// Bytes, where an area is addressed by them.
    Bytes(Arc<[u8]>),
}

impl BlockData {
    /// Gives how many registers, bits or bytes it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Registers(registers) => registers.len(),
            Self::Bits(bits) => bits.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// A block as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct RawBlock {
    /// Where it lies; `count` is the length of the data.
    pub at: BlockRef,
    /// What stood there.
    pub data: BlockData,
    /// When it arrived here.
    pub received_ts: Timestamp,
}

/// How much of a device's conditions a session knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hearing {
    /// Those it was told of; there may be others.
    #[default]
    Partial,
    /// Each one, and every change: what it was not told of is not active.
    Whole,
}

/// Everything that came in with one acquisition.
#[derive(Debug, Default)]
pub struct Batch {
    /// Readings of tags.
    pub readings: Vec<Reading>,
    /// The raw blocks they were cut from.
    pub blocks: Vec<RawBlock>,
    /// The protocol's names of the tags' types, each time one is learnt: `Double`.
    pub types: Vec<(TagId, Arc<str>)>,
    /// States of conditions.
    pub conditions: Vec<ConditionEvent>,
    /// How much of the conditions is known from now on, where that has changed; with
    /// [`Hearing::Whole`], `conditions` are all of them.
    pub hearing: Option<Hearing>,
    /// The newest observation of everything, as far as the session keeps it.
    pub current: Option<Observations>,
    /// Samples known to be lost on the way, by a queue's overflow for instance.
    pub lost: u64,
    /// Messages that came, whether a tag follows them or not: the session's sign of life.
    pub heard: u64,
}

impl Batch {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.readings.clear();
        self.blocks.clear();
        self.types.clear();
        self.conditions.clear();
        self.hearing = None;
        self.current = None;
        self.lost = 0;
        self.heard = 0;
    }
}
