//! The newest raw block of each place, so that raw addresses answer at once after a restart.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::bytes::{Cursor, Malformed, put_count, put_zigzag};
use super::error::StoreError;
use super::index::{BLOCKS, View, seal, unseal};
use crate::driver::{BlockData, BlockRef, RawBlock};
use crate::model::{EndpointName, Timestamp, UnitId};

/// A changed block is written this often at most: registers change with every scan, and each
/// would cost what its samples cost.
const CHANGED_EVERY_MS: i64 = 10_000;
/// An unchanged block is written this often, so that its age after a restart is near the truth.
const SAME_EVERY_MS: i64 = 60_000;
/// Places kept: 65 536 blocks of 125 registers are 16 MB.
const PLACES_MAX: usize = 65_536;

/// Endpoint, unit, area, section, first address.
type Place = (EndpointName, u8, &'static str, u16, u32);

#[derive(Debug)]
struct Held {
    block: RawBlock,
    stored: Option<Stored>,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    hash: u64,
    received: Timestamp,
    at: Timestamp,
}

/// The newest image of each place in this run, and what of it is on disk.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    held: HashMap<Place, Held>,
    refused: u64,
}

impl Blocks {
    /// Takes newer images; a place in an unknown area or beyond the limit is counted, not kept.
    pub(super) fn offer(&mut self, blocks: &[(EndpointName, RawBlock)]) {
        for (endpoint, block) in blocks {
            let at = &block.at;
            let place = (Arc::clone(endpoint), at.unit.0, at.area, at.section, at.address);
            if let Some(held) = self.held.get_mut(&place) {
                if held.block.received_ts <= block.received_ts {
                    held.block = block.clone();
                }
            } else if self.held.len() < PLACES_MAX && BlockRef::AREAS.contains(&at.area) {
                self.held.insert(place, Held { block: block.clone(), stored: None });
            } else {
                self.refused += 1;
            }
        }
    }

    /// Gives how many offers were refused since last asked.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Gives the places to write now.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Place> {
        self.places(|held, stored| {
            let waited_ms = now.millis_since(stored.at);
            let changed = hash_of(&held.block.data) != stored.hash;
            let newer = held.block.received_ts != stored.received;
            // A clock that was set back must not keep a block unwritten.
            waited_ms < 0
                || (changed && waited_ms >= CHANGED_EVERY_MS)
                || (newer && waited_ms >= SAME_EVERY_MS)
        })
    }

    /// Gives the places whose newest image is not on disk.
    pub(super) fn pending(&self) -> Vec<Place> {
        self.places(|held, stored| held.block.received_ts != stored.received)
    }

    fn places(&self, due: impl Fn(&Held, &Stored) -> bool) -> Vec<Place> {
        let wanted = |held: &Held| held.stored.is_none_or(|stored| due(held, &stored));
        let held = self.held.iter().filter(|(_, held)| wanted(held));
        held.map(|(place, _)| place.clone()).collect()
    }

    /// Writes the images of these places.
    pub(super) fn put(
        &mut self,
        change: &WriteTransaction,
        mut places: Vec<Place>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        if places.is_empty() {
            return Ok(0);
        }
        places.sort();
        let mut table = change.open_table(BLOCKS)?;
        for place in &places {
            let Some(held) = self.held.get_mut(place) else { continue };
            let (endpoint, unit, area, section, address) = place;
            let key = (endpoint.as_ref(), *unit, *area, *section, *address);
            table.insert(key, put_block(seed(key), &held.block).as_slice())?;
            let hash = hash_of(&held.block.data);
            held.stored = Some(Stored { hash, received: held.block.received_ts, at: now });
        }
        Ok(u64::try_from(places.len()).unwrap_or(u64::MAX))
    }
}

/// Removes blocks that nothing has read since `cutoff`.
pub(super) fn forget(change: &WriteTransaction, cutoff: Timestamp) -> Result<(), StoreError> {
    let mut table = change.open_table(BLOCKS)?;
    table.retain(|key, row| {
        take_block(seed(key), row).is_ok_and(|(_, received)| received >= cutoff)
    })?;
    Ok(())
}

/// Reads all blocks, but for damaged ones.
pub(super) fn read(view: &View) -> Result<Vec<(EndpointName, RawBlock)>, StoreError> {
    let mut blocks = Vec::new();
    for row in view.snapshot.open_table(BLOCKS)?.iter()? {
        let (key, bytes) = row?;
        let (endpoint, unit, area, section, address) = key.value();
        let Some(area) = BlockRef::AREAS.into_iter().find(|known| *known == area) else {
            continue;
        };
        let key = (endpoint, unit, area, section, address);
        let Ok((data, received_ts)) = take_block(seed(key), bytes.value()) else { continue };
        let count = u32::try_from(data.count()).unwrap_or(u32::MAX);
        let at = BlockRef { unit: UnitId(unit), area, section, address, count };
        blocks.push((Arc::from(endpoint), RawBlock { at, data, received_ts }));
    }
    Ok(blocks)
}

fn seed((endpoint, unit, area, section, address): (&str, u8, &str, u16, u32)) -> u64 {
    let place = u64::from(section) << 40 | u64::from(unit) << 32 | u64::from(address);
    xxh3_64_with_seed(endpoint.as_bytes(), place ^ xxh3_64(area.as_bytes()))
}

fn put_data(out: &mut Vec<u8>, data: &BlockData) {
    match data {
        BlockData::Registers(registers) => {
            out.push(0);
            put_count(out, registers.len());
            out.extend(registers.iter().flat_map(|register| register.to_le_bytes()));
        }
        BlockData::Bits(bits) => {
            out.push(1);
            put_count(out, bits.len());
            out.extend(bits.chunks(8).map(|eight| {
                eight.iter().rev().fold(0, |byte: u8, bit| byte << 1 | u8::from(*bit))
            }));
        }
        BlockData::Bytes(bytes) => {
            out.push(2);
            put_count(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

fn hash_of(data: &BlockData) -> u64 {
    let mut out = Vec::new();
    put_data(&mut out, data);
    xxh3_64(&out)
}

fn put_block(seed: u64, block: &RawBlock) -> Vec<u8> {
    let mut out = Vec::new();
    put_zigzag(&mut out, block.received_ts.nanos());
    put_data(&mut out, &block.data);
    seal(seed, &out)
}

fn take_block(seed: u64, row: &[u8]) -> Result<(BlockData, Timestamp), Malformed> {
    let mut from = Cursor::new(unseal(seed, row)?);
    let received = Timestamp::from_nanos(from.zigzag()?);
    let data = match from.byte()? {
        0 => {
            let count = from.count(from.left() / 2)?;
            let (pairs, _) = from.take(count * 2)?.as_chunks::<2>();
            BlockData::Registers(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
        }
        1 => {
            let count = from.count(from.left().saturating_mul(8))?;
            let bytes = from.take(count.div_ceil(8))?.iter();
            let bits = bytes.flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
            BlockData::Bits(bits.take(count).collect())
        }
        2 => {
            let count = from.count(from.left())?;
            BlockData::Bytes(from.take(count)?.into())
        }
        _ => return Err(Malformed),
    };
    Ok((data, received))
}
