//! Stretches of a device's memory: from the scanned image, or from the device.

use std::sync::Arc;

use super::ask::{Held, ask, mismatched};
use super::endpoint::Target;
use super::provenance::{Provenance, Source};
use super::{Call, Code, ToolError};
use crate::actors::{Deps, LinkReport};
use crate::driver::{Ask, BlockRef, RawBlock, Reply};
use crate::model::{LinkState, Quality, UnitId};

/// A block with its footing.
pub(super) struct Got {
    pub(super) block: RawBlock,
    pub(super) quality: Quality,
    pub(super) provenance: Provenance,
}

/// Reads a block from the scanned image, or from the device.
pub(super) async fn block(
    deps: &Deps,
    target: &Target,
    call: &Call,
    at: BlockRef,
    max_age_s: Option<f64>,
) -> Result<Got, ToolError> {
    within_sight(deps, target, &at)?;
    let scanned = scanned(deps, target, &at);
    let (unit, is_scanned) = (at.unit, scanned.is_some());
    let (reply, provenance) = ask(deps, target, call, Ask::Block(at), max_age_s, scanned).await?;
    judged(target, unit, is_scanned, &reply, provenance).ok_or_else(mismatched)
}

/// Refuses a stretch that is not wholly within tags its caller is shown, where the caller is held
/// to those.
pub(super) fn within_sight(deps: &Deps, target: &Target, at: &BlockRef) -> Result<(), ToolError> {
    if deps.reads_block(&target.link, at) {
        return Ok(());
    }
    let BlockRef { unit, area, address, count, .. } = at;
    let message = format!(
        "free_reads: {area} {address}, {count} in a row at unit {}, is not wholly within tags of \
         this user",
        unit.0
    );
    Err(ToolError::new(Code::Denied, message, "tag_find lists the tags, tag_read reads them"))
}

/// Gives a block of the scanned image, where that will do.
pub(super) fn held(
    deps: &Deps,
    target: &Target,
    at: &BlockRef,
    max_age_s: Option<f64>,
) -> Option<Got> {
    let held = scanned(deps, target, at).filter(|held| held.will_do(max_age_s))?;
    let (reply, provenance) = held.answer();
    judged(target, at.unit, true, &reply, provenance)
}

fn scanned(deps: &Deps, target: &Target, at: &BlockRef) -> Option<Held> {
    let found = deps.cache.find_block(target.link.name(), at)?;
    let received = found.block.received_ts;
    Some(Held::new(Arc::new(Reply::Block(found.block)), found.seen_uptime_ms, received))
}

/// Judges how far a block may be trusted now.
fn judged(
    target: &Target,
    unit: UnitId,
    is_scanned: bool,
    reply: &Reply,
    provenance: Provenance,
) -> Option<Got> {
    let Reply::Block(block) = reply else { return None };
    let is_live = provenance.source == Source::Device || {
        let report = target.link.report();
        let rests = report.units.iter().any(|u| u.unit == unit && u.fault.is_some());
        let is_current = !is_scanned || is_current(&report, unit, provenance.age_ms);
        report.state == LinkState::Up && !rests && is_current
    };
    let quality = if is_live { Quality::GOOD } else { Quality::UNCERTAIN_LAST_USABLE };
    Some(Got { block: block.clone(), quality, provenance })
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
