//! `modbus_read_coils` and `modbus_read_discrete`.

use serde::{Deserialize, Serialize};

use super::{block, mismatched, span, unit};
use crate::actors::Deps;
use crate::driver::{BlockData, BlockRef};
use crate::model::{EndpointName, Quality};
use crate::tools::ask::MaxAge;
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// 250 bytes of eight bits each (Modbus Application Protocol V1.1b3, 6.1 and 6.2).
const BITS_MAX: u32 = 2000;

fn one() -> i64 {
    1
}

/// Reads bits by their 0-based address.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct BitsInput {
    /// The first bit, 0-based, as it goes on the wire.
    pub address: i64,
    /// The endpoint; may be left out where only one speaks Modbus.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many bits, 1 to 2000; more are cut to 2000.
    #[arg(long, default_value_t = 1)]
    #[serde(default = "one")]
    pub count: i64,
    /// The unit behind the endpoint, where it is not the endpoint's own.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_id: Option<i64>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// Bits.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct BitsOutput {
    endpoint: EndpointName,
    address: u32,
    count: u32,
    unit_id: u8,
    bits: Vec<bool>,
    /// Good, or why the bits may not be current.
    #[schemars(with = "String")]
    quality: Quality,
    provenance: Provenance,
}

async fn read(
    deps: &Deps,
    call: Call,
    input: BitsInput,
    area: &'static str,
) -> Result<BitsOutput, ToolError> {
    let target = pick(deps, input.endpoint.as_deref(), "modbus")?;
    let unit = unit(&target, input.unit_id)?;
    let (address, count) = span(input.address, input.count, BITS_MAX)?;
    let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
    let at = BlockRef { unit, area, section: 0, address, count };
    let got = block(deps, &target, &call, at, max_age_s).await?;
    let BlockData::Bits(bits) = &got.block.data else { return Err(mismatched()) };
    Ok(BitsOutput {
        endpoint: target.name,
        address,
        count,
        unit_id: unit.0,
        bits: bits.to_vec(),
        quality: got.quality,
        provenance: got.provenance,
    })
}

/// FC01.
pub(in crate::tools) struct ReadCoils;

impl Tool for ReadCoils {
    const NAME: &'static str = "modbus_read_coils";
    const TITLE: &'static str = "Read coils";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("modbus");
    const COMMAND: Option<[&'static str; 2]> = Some(["modbus", "coils"]);
    type Input = BitsInput;
    type Output = BitsOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        read(deps, call, input, "coil").await
    }
}

/// FC02.
pub(in crate::tools) struct ReadDiscrete;

impl Tool for ReadDiscrete {
    const NAME: &'static str = "modbus_read_discrete";
    const TITLE: &'static str = "Read discrete inputs";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("modbus");
    const COMMAND: Option<[&'static str; 2]> = Some(["modbus", "discrete"]);
    type Input = BitsInput;
    type Output = BitsOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        read(deps, call, input, "discrete").await
    }
}
