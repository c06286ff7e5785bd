//! The Modbus tools: registers and bits by their addresses.

mod bits;
mod health;
mod registers;

pub(super) use bits::{ReadCoils, ReadDiscrete};
pub(super) use health::Health;
pub(super) use registers::{ReadHolding, ReadInput};

use std::sync::Arc;

use super::ask::{Held, ask, mismatched};
use super::endpoint::Target;
use super::provenance::Provenance;
use super::{Call, ToolError};
use crate::actors::{Deps, LinkReport};
use crate::driver::{Ask, BlockRef, RawBlock, Reply};
use crate::model::{LinkState, Quality, UnitId};

/// The unit a call means where it names none: the endpoint's.
fn unit(target: &Target, asked: Option<i64>) -> Result<UnitId, ToolError> {
    let configured = || target.spec().settings.get("unit_id").and_then(serde_json::Value::as_i64);
    let number = asked.or_else(configured).unwrap_or(1);
    u8::try_from(number)
        .map(UnitId)
        .map_err(|_| ToolError::argument(format!("unit_id {number} is outside 0..255")))
}

/// Checks an address and clamps a count, as the reference does; what makes no sense at all is
/// refused.
fn span(address: i64, count: i64, count_max: u32) -> Result<(u32, u32), ToolError> {
    let Ok(address) = u16::try_from(address) else {
        return Err(ToolError::argument(format!("address {address} is outside 0..65535")));
    };
    if !(0..=65_536).contains(&count) {
        return Err(ToolError::argument(format!("count {count} is outside 1..{count_max}")));
    }
    let count = u32::try_from(count).unwrap_or(count_max).clamp(1, count_max);
    if u32::from(address) + count > 65_536 {
        let last = u32::from(address) + count - 1;
        return Err(ToolError::argument(format!("the span ends at {last}, beyond 65535")));
    }
    Ok((u32::from(address), count))
}

/// A block with its footing.
struct Got {
    block: RawBlock,
    quality: Quality,
    provenance: Provenance,
}

/// Reads a block from the scanned image, or from the device.
async fn block(
    deps: &Deps,
    target: &Target,
    call: &Call,
    at: BlockRef,
    max_age_s: Option<f64>,
) -> Result<Got, ToolError> {
    let scanned = deps.cache.find_block(target.link.name(), &at).map(|found| {
        let received = found.block.received_ts;
        Held::new(Arc::new(Reply::Block(found.block)), found.seen_uptime_ms, received)
    });
    let (unit, is_scanned) = (at.unit, scanned.is_some());
    let (reply, provenance) = ask(deps, target, call, Ask::Block(at), max_age_s, scanned).await?;
    let Reply::Block(block) = reply.as_ref() else { return Err(mismatched()) };
    let is_live = provenance.source == super::provenance::Source::Device || {
        let report = target.link.report();
        let rests = report.units.iter().any(|u| u.unit == unit && u.fault.is_some());
        let is_current = !is_scanned || is_current(&report, unit, provenance.age_ms);
        report.state == LinkState::Up && !rests && is_current
    };
    let quality = if is_live { Quality::GOOD } else { Quality::UNCERTAIN_LAST_USABLE };
    Ok(Got { block: block.clone(), quality, provenance })
}

/// Scans of a unit after which a block that none of them brought is no longer scanned: the plan
/// goes around it since the device refused a part of it.
const SCANS_WITHOUT: u64 = 3;

/// Tells whether a scanned block is as new as the unit's scans make it.
fn is_current(report: &LinkReport, unit: UnitId, age_ms: Option<u64>) -> bool {
    let slices = report.slices.iter().filter(|slice| slice.unit == unit);
    let slowest = slices.filter_map(|slice| slice.scan_ms.max(slice.real_scan_ms)).max();
    let oldest = slowest.map(|ms| u64::from(ms).saturating_mul(SCANS_WITHOUT));
    // A second is for what a scan itself takes.
    age_ms.zip(oldest).is_some_and(|(age, oldest)| age <= oldest.saturating_add(1000))
}
