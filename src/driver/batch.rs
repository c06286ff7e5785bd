//! What one acquisition brings in.

use std::sync::Arc;

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
    /// The area, as the protocol's tools name it: `holding`, `input`, `coil`, `discrete`.
    pub area: &'static str,
    /// The first address, 0-based, as it goes on the wire.
    pub address: u32,
    /// How many registers or bits.
    pub count: u32,
}

impl BlockRef {
    /// The names that `area` may have.
    pub const AREAS: [&'static str; 4] = ["holding", "input", "coil", "discrete"];
}

/// The contents of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockData {
    /// 16-bit registers.
    Registers(Arc<[u16]>),
    /// Single bits.
    Bits(Arc<[bool]>),
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
    /// Samples known to be lost on the way, by a queue's overflow for instance.
    pub lost: u64,
}

impl Batch {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.readings.clear();
        self.blocks.clear();
        self.types.clear();
        self.conditions.clear();
        self.lost = 0;
    }
}
