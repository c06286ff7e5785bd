//! The Mitsubishi MC tools: words and bits by their device and number.

mod bits;
mod cpu;
mod many;
mod words;
mod write;

pub(super) use bits::ReadBits;
pub(super) use cpu::CpuStatus;
pub(super) use many::ReadMany;
pub(super) use words::ReadWords;
pub(super) use write::WriteWords;

use super::ask::{ask, mismatched};
use super::endpoint::Target;
use super::{Call, ToolError};
use crate::actors::Deps;
use crate::driver::{Ask, Reply};
use crate::protocols::mc::{Device, head, series_of};

/// The most elements of one answer, as in the reference.
const COUNT_MAX: u32 = 256;
/// Device texts are a few characters; nothing longer is looked at.
const DEVICE_BYTES_MAX: usize = 64;

/// Reads a device text as the controller's series writes it. The controller is asked for its
/// series where neither the settings nor its name tell it and the number depends on it.
async fn device(
    deps: &Deps,
    target: &Target,
    call: &Call,
    text: &str,
) -> Result<(Device, u32), ToolError> {
    if text.len() > DEVICE_BYTES_MAX {
        return Err(ToolError::argument("the device is longer than any there is"));
    }
    let configured = target.spec().settings.get("plctype").and_then(serde_json::Value::as_str);
    let error = match head(text, configured) {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let is_input_or_output = text.trim().starts_with(['x', 'X', 'y', 'Y']);
    if configured.is_some() || !is_input_or_output {
        return Err(error.into());
    }
    let (reply, _) = ask(deps, target, call, Ask::Identify, Some(f64::MAX), None).await?;
    let Reply::Identity(identity) = reply.as_ref() else { return Err(mismatched()) };
    Ok(head(text, series_of(&identity.product))?)
}

/// Checks a count and cuts it to the limit, as the reference does.
fn count(asked: i64) -> Result<u32, ToolError> {
    if !(0..=65_536).contains(&asked) {
        return Err(ToolError::argument(format!("count {asked} is outside 1..{COUNT_MAX}")));
    }
    Ok(u32::try_from(asked).unwrap_or(COUNT_MAX).clamp(1, COUNT_MAX))
}
