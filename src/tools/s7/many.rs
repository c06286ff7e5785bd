//! `s7_read_many`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{bytes, trusted};
use crate::actors::Deps;
use crate::driver::{Ask, DriverError, NodeReading, Reply};
use crate::model::{EndpointName, Quality, escape};
use crate::protocols::s7::{block_ref, parse_point};
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::block::held;
use crate::tools::endpoint::{Target, pick};
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Tool, ToolError};

/// The most addresses, as in the reference; more are an error, not silently dropped.
const ADDRESSES_MAX: usize = 100;
/// Address texts are a few characters; nothing longer is looked at.
const ADDRESS_BYTES_MAX: usize = 64;

/// Reads addresses that lie apart, in as few requests as possible.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadManyInput {
    /// Addresses, at most 100: `DB1,REAL4`, `DB1.DBD4:REAL`, `DB1,X10.3`, `MW10`, `M0.3`.
    #[arg(value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// The endpoint; may be left out where only one speaks S7.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One address's value.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct AddressAnswer {
    address: String,
    /// Null where it could not be read.
    value: Json,
    #[schemars(with = "String")]
    quality: Quality,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The values, in the order asked.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadManyOutput {
    endpoint: EndpointName,
    count: usize,
    items: Vec<AddressAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct ReadMany;

impl Tool for ReadMany {
    const NAME: &'static str = "s7_read_many";
    const TITLE: &'static str = "Read many addresses";
    const PROTOCOL: Option<&'static str> = Some("s7");
    const COMMAND: Option<[&'static str; 2]> = Some(["s7", "read"]);
    type Input = ReadManyInput;
    type Output = ReadManyOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "s7")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        checked(&input.addresses)?;
        let mut provenance = Provenance::cache(None);
        let mut found: Vec<Option<AddressAnswer>> = Vec::new();
        let mut missing: Vec<Arc<str>> = Vec::new();
        for text in &input.addresses {
            let held = scanned(deps, &target, text, max_age_s);
            match &held {
                Some((_, part)) => provenance.join(part),
                None => missing.push(text.trim().into()),
            }
            found.push(held.map(|(answer, _)| answer));
        }
        if !missing.is_empty() {
            let question = Ask::Read { refs: missing, unit: None };
            let (reply, part) = ask(deps, &target, &call, question, max_age_s, None).await?;
            provenance.join(&part);
            let Reply::Readings(readings) = reply.as_ref() else { return Err(mismatched()) };
            let mut readings = readings.iter();
            for (place, text) in found.iter_mut().zip(&input.addresses) {
                if place.is_none() {
                    *place = readings.next().map(|reading| answer(text, reading));
                }
            }
        }
        let items: Option<Vec<AddressAnswer>> = found.into_iter().collect();
        let items = items.ok_or_else(mismatched)?;
        Ok(ReadManyOutput { endpoint: target.name, count: items.len(), items, provenance })
    }
}

fn checked(addresses: &[String]) -> Result<(), ToolError> {
    if addresses.is_empty() {
        return Err(ToolError::argument("No addresses given."));
    }
    if addresses.len() > ADDRESSES_MAX {
        let text = format!("{} addresses, at most {ADDRESSES_MAX} at once", addresses.len());
        return Err(ToolError::argument(text));
    }
    if addresses.iter().any(|address| address.len() > ADDRESS_BYTES_MAX) {
        return Err(ToolError::argument("an address is longer than any there is"));
    }
    Ok(())
}

/// Finds an address's value in what is scanned.
fn scanned(
    deps: &Deps,
    target: &Target,
    text: &str,
    max_age_s: Option<f64>,
) -> Option<(AddressAnswer, Provenance)> {
    let point = parse_point(text).ok()?;
    let got = held(deps, target, &block_ref(&point.span), max_age_s)?;
    let (value, quality) = trusted(point.read(&bytes(&got.block.data)?), got.quality);
    let answer = AddressAnswer { address: escape(text), value: json(&value), quality, error: None };
    Some((answer, got.provenance))
}

fn answer(text: &str, reading: &NodeReading) -> AddressAnswer {
    AddressAnswer {
        address: escape(text),
        value: json(&reading.value),
        quality: reading.quality,
        error: reading.error.as_ref().map(DriverError::with_hint),
    }
}
