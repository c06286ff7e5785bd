//! `modbus_read_holding` and `modbus_read_input`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{block, mismatched, span, unit};
use crate::actors::Deps;
use crate::driver::{BlockData, BlockRef};
use crate::model::{EndpointName, Quality, WordOrder};
use crate::net::words::{self, Decode};
use crate::tools::ask::MaxAge;
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Tool, ToolError};

/// PDU is 253 bytes, so 125 registers (Modbus Application Protocol V1.1b3, 6.3 and 6.4).
const REGISTERS_MAX: u32 = 125;

fn one() -> i64 {
    1
}

/// Reads registers by their 0-based address and decodes them.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistersInput {
    /// The first register, 0-based, as it goes on the wire.
    pub address: i64,
    /// The endpoint; may be left out where only one speaks Modbus.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many registers, 1 to 125; more are cut to 125.
    #[arg(long, default_value_t = 1)]
    #[serde(default = "one")]
    pub count: i64,
    /// What they are read as.
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub decode: Decode,
    /// The byte order of values that span registers.
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    #[serde(default)]
    pub order: WordOrder,
    /// The unit behind the endpoint, where it is not the endpoint's own.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_id: Option<i64>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// Registers, raw and decoded.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct RegistersOutput {
    endpoint: EndpointName,
    address: u32,
    count: u32,
    unit_id: u8,
    decode: Decode,
    order: WordOrder,
    raw_registers: Vec<u16>,
    /// Numbers; null where the bits are no finite number.
    decoded: Vec<Json>,
    /// Registers at the end that make no whole value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leftover_registers: Vec<u16>,
    /// Good, or why the registers may not be current.
    #[schemars(with = "String")]
    quality: Quality,
    provenance: Provenance,
}

async fn read(
    deps: &Deps,
    call: Call,
    input: RegistersInput,
    area: &'static str,
) -> Result<RegistersOutput, ToolError> {
    let target = pick(deps, input.endpoint.as_deref(), "modbus")?;
    let unit = unit(&target, input.unit_id)?;
    let (address, count) = span(input.address, input.count, REGISTERS_MAX)?;
    let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
    // Of the reference's own types, fewer registers are an answer of leftovers alone. Who asks a
    // 64-bit type of two registers has mistaken the type.
    let width = u32::from(input.decode.registers());
    if width == 4 && count < width {
        let word = input.decode.word();
        let text = format!("{word} takes {width} registers a value, and count is {count}");
        return Err(ToolError::argument(text));
    }
    let at = BlockRef { unit, area, section: 0, address, count };
    let got = block(deps, &target, &call, at, max_age_s).await?;
    let BlockData::Registers(registers) = &got.block.data else { return Err(mismatched()) };
    let decoded = words::decode(registers, input.decode, input.order);
    Ok(RegistersOutput {
        endpoint: target.name,
        address,
        count,
        unit_id: unit.0,
        decode: input.decode,
        order: input.order,
        raw_registers: registers.to_vec(),
        decoded: decoded.values.iter().map(json).collect(),
        leftover_registers: decoded.leftover,
        quality: got.quality,
        provenance: got.provenance,
    })
}

/// FC03.
pub(in crate::tools) struct ReadHolding;

impl Tool for ReadHolding {
    const NAME: &'static str = "modbus_read_holding";
    const TITLE: &'static str = "Read holding registers";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("modbus");
    const COMMAND: Option<[&'static str; 2]> = Some(["modbus", "holding"]);
    type Input = RegistersInput;
    type Output = RegistersOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        read(deps, call, input, "holding").await
    }
}

/// FC04.
pub(in crate::tools) struct ReadInput;

impl Tool for ReadInput {
    const NAME: &'static str = "modbus_read_input";
    const TITLE: &'static str = "Read input registers";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("modbus");
    const COMMAND: Option<[&'static str; 2]> = Some(["modbus", "input"]);
    type Input = RegistersInput;
    type Output = RegistersOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        read(deps, call, input, "input").await
    }
}
