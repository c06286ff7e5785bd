//! The Modbus tools: registers and bits by their addresses.

mod bits;
mod health;
mod registers;

pub(super) use bits::{ReadCoils, ReadDiscrete};
pub(super) use health::Health;
pub(super) use registers::{ReadHolding, ReadInput};

use super::ToolError;
use super::ask::mismatched;
use super::block::block;
use super::endpoint::Target;
use crate::model::UnitId;

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
