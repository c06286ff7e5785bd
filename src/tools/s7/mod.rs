//! The S7 tools: bytes of a controller by area or by address text.

mod area;
mod cpu;
mod many;
mod write;

pub(super) use area::{ReadArea, ReadDb};
pub(super) use cpu::CpuInfo;
pub(super) use many::ReadMany;
pub(super) use write::WriteDb;

use crate::driver::BlockData;
use crate::model::{Quality, Value};
use crate::protocols::s7::judged;

/// Gives the bytes of a block: timers and counters are held as words.
fn bytes(data: &BlockData) -> Option<Vec<u8>> {
    match data {
        BlockData::Bytes(bytes) => Some(bytes.to_vec()),
        BlockData::Registers(words) => Some(words.iter().flat_map(|w| w.to_be_bytes()).collect()),
        BlockData::Bits(_) => None,
    }
}

/// Judges a value by its bytes and by how far they may be trusted.
fn trusted(value: Option<Value>, bytes: Quality) -> (Value, Quality) {
    let (value, quality) = judged(value);
    (value, if quality.is_good() { bytes } else { quality })
}
