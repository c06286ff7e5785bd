//! `mc_read_many`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{DEVICE_BYTES_MAX, device};
use crate::actors::Deps;
use crate::driver::{Ask, BlockData, BlockRef, DriverError, NodeReading, Reply};
use crate::model::{EndpointName, Quality, UnitId, WordOrder, escape};
use crate::net::words::{self, Decode};
use crate::protocols::mc::Holds;
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::block::{Got, held};
use crate::tools::endpoint::{Target, pick};
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Tool, ToolError};

/// The most devices of each list, as in the reference; more are an error, not silently dropped.
const DEVICES_MAX: usize = 256;

/// Reads devices that lie apart, words and double words, in as few requests as possible.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadManyInput {
    /// The endpoint; may be left out where only one speaks MC.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Devices to read as 16-bit words, at most 256: `D100`.
    #[arg(long = "word", value_name = "DEVICE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_devices: Option<Vec<String>>,
    /// Devices to read as 32-bit double words, at most 256.
    #[arg(long = "dword", value_name = "DEVICE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dword_devices: Option<Vec<String>>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One device's value.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct DeviceAnswer {
    device: String,
    /// A signed number; null where it could not be read.
    value: Json,
    #[schemars(with = "String")]
    quality: Quality,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The devices' values, in the order asked.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadManyOutput {
    endpoint: EndpointName,
    words: Vec<DeviceAnswer>,
    dwords: Vec<DeviceAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct ReadMany;

impl Tool for ReadMany {
    const NAME: &'static str = "mc_read_many";
    const TITLE: &'static str = "Read many devices";
    const PROTOCOL: Option<&'static str> = Some("mc");
    type Input = ReadManyInput;
    type Output = ReadManyOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mc")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let lists = [
            (input.word_devices.unwrap_or_default(), Decode::Int16),
            (input.dword_devices.unwrap_or_default(), Decode::Int32),
        ];
        if lists.iter().all(|(devices, _)| devices.is_empty()) {
            return Err(ToolError::argument("No devices given."));
        }
        for (devices, decode) in &lists {
            checked(devices, *decode)?;
        }
        let mut provenance = Provenance::cache(None);
        let mut found: Vec<Option<DeviceAnswer>> = Vec::new();
        let mut missing: Vec<Arc<str>> = Vec::new();
        for (text, decode) in wanted(&lists) {
            let held = scanned(deps, &target, &call, text, decode, max_age_s).await;
            match held {
                Some((answer, part)) => {
                    provenance.join(&part);
                    found.push(Some(answer));
                }
                None => {
                    missing.push(format!("{}:{}", text.trim(), decode.word()).into());
                    found.push(None);
                }
            }
        }
        if !missing.is_empty() {
            let question = Ask::Read { refs: missing, unit: None };
            let (reply, part) = ask(deps, &target, &call, question, max_age_s, None).await?;
            provenance.join(&part);
            let Reply::Readings(readings) = reply.as_ref() else { return Err(mismatched()) };
            let mut readings = readings.iter();
            for (place, (text, _)) in found.iter_mut().zip(wanted(&lists)) {
                if place.is_none() {
                    *place = readings.next().map(|reading| answer(text, reading));
                }
            }
        }
        let all: Option<Vec<DeviceAnswer>> = found.into_iter().collect();
        let mut words = all.ok_or_else(mismatched)?;
        let dwords = words.split_off(lists[0].0.len());
        Ok(ReadManyOutput { endpoint: target.name, words, dwords, provenance })
    }
}

fn wanted(lists: &[(Vec<String>, Decode); 2]) -> impl Iterator<Item = (&str, Decode)> {
    lists
        .iter()
        .flat_map(|(devices, decode)| devices.iter().map(move |device| (device.as_str(), *decode)))
}

fn checked(devices: &[String], decode: Decode) -> Result<(), ToolError> {
    if devices.len() > DEVICES_MAX {
        let text = format!(
            "{} devices as {}, at most {DEVICES_MAX} at once",
            devices.len(),
            decode.word()
        );
        return Err(ToolError::argument(text));
    }
    if devices.iter().any(|device| device.len() > DEVICE_BYTES_MAX) {
        return Err(ToolError::argument("a device is longer than any there is"));
    }
    Ok(())
}

/// Finds a device's value in what is scanned.
async fn scanned(
    deps: &Deps,
    target: &Target,
    call: &Call,
    text: &str,
    decode: Decode,
    max_age_s: Option<f64>,
) -> Option<(DeviceAnswer, Provenance)> {
    let (device, address) = device(deps, target, call, text).await.ok()?;
    if device.holds() == Holds::Bits {
        return None;
    }
    let count = u32::from(decode.registers());
    let at = BlockRef { unit: UnitId(0), area: device.name(), section: 0, address, count };
    let Got { block, quality, provenance } = held(deps, target, &at, max_age_s)?;
    let BlockData::Registers(registers) = &block.data else { return None };
    let value = words::value(registers, decode, WordOrder::Cdab)?;
    let answer = DeviceAnswer { device: escape(text), value: json(&value), quality, error: None };
    Some((answer, provenance))
}

fn answer(text: &str, reading: &NodeReading) -> DeviceAnswer {
    DeviceAnswer {
        device: escape(text),
        value: json(&reading.value),
        quality: reading.quality,
        error: reading.error.as_ref().map(DriverError::with_hint),
    }
}
