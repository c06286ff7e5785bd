//! `mc_read_bits`.

use serde::{Deserialize, Serialize};

use super::{count, device};
use crate::actors::Deps;
use crate::driver::{BlockData, BlockRef};
use crate::model::{EndpointName, Quality, UnitId, escape};
use crate::protocols::mc::Holds;
use crate::tools::ask::{MaxAge, mismatched};
use crate::tools::block::block;
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Code, Tool, ToolError};

fn one() -> i64 {
    1
}

/// Reads bits from a bit device on.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadBitsInput {
    /// The first device: `M10`, `X1F`, `SM400`.
    pub headdevice: String,
    /// The endpoint; may be left out where only one speaks MC.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many bits, 1 to 256; more are cut to 256.
    #[arg(long, default_value_t = 1)]
    #[serde(default = "one")]
    pub count: i64,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// Bits.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadBitsOutput {
    endpoint: EndpointName,
    headdevice: String,
    count: u32,
    bits: Vec<bool>,
    /// Good, or why the bits may not be current.
    #[schemars(with = "String")]
    quality: Quality,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct ReadBits;

impl Tool for ReadBits {
    const NAME: &'static str = "mc_read_bits";
    const TITLE: &'static str = "Read bits";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("mc");
    const COMMAND: Option<[&'static str; 2]> = Some(["mc", "bits"]);
    type Input = ReadBitsInput;
    type Output = ReadBitsOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mc")?;
        let count = count(input.count)?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let (device, address) = device(deps, &target, &call, &input.headdevice).await?;
        if device.holds() == Holds::Words {
            return Err(ToolError::new(
                Code::BadAddress,
                format!("{} holds words, not bits", device.name()),
                "read its words with mc_read_words; a tag picks one bit of a word as D100.5",
            ));
        }
        let area = device.name();
        let at = BlockRef { unit: UnitId(0), area, section: 0, address, count };
        let got = block(deps, &target, &call, at, max_age_s).await?;
        let BlockData::Bits(bits) = &got.block.data else { return Err(mismatched()) };
        Ok(ReadBitsOutput {
            endpoint: target.name,
            headdevice: escape(&input.headdevice),
            count,
            bits: bits.to_vec(),
            quality: got.quality,
            provenance: got.provenance,
        })
    }
}
