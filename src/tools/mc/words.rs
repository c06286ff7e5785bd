//! `mc_read_words`.

use serde::{Deserialize, Serialize};

use super::{count, device};
use crate::actors::Deps;
use crate::driver::{BlockData, BlockRef};
use crate::model::{EndpointName, Quality, UnitId, escape};
use crate::protocols::mc::Holds;
use crate::tools::ask::{MaxAge, mismatched};
use crate::tools::block::{Got, block};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// Bits of a bit device that are asked at once: whole words below the limit of one request.
const BITS_AT_ONCE: u32 = 2048;

fn one() -> i64 {
    1
}

/// Reads words from a device on; 16 bits make a word of a bit device.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadWordsInput {
    /// The first device: `D100`, `W1F`, `M16`.
    pub headdevice: String,
    /// The endpoint; may be left out where only one speaks MC.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many words, 1 to 256; more are cut to 256.
    #[arg(long, default_value_t = 1)]
    #[serde(default = "one")]
    pub count: i64,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// Words, signed as the reference has them.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadWordsOutput {
    endpoint: EndpointName,
    headdevice: String,
    count: u32,
    words: Vec<i16>,
    /// Good, or why the words may not be current.
    #[schemars(with = "String")]
    quality: Quality,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct ReadWords;

impl Tool for ReadWords {
    const NAME: &'static str = "mc_read_words";
    const TITLE: &'static str = "Read words";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("mc");
    const COMMAND: Option<[&'static str; 2]> = Some(["mc", "words"]);
    type Input = ReadWordsInput;
    type Output = ReadWordsOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mc")?;
        let count = count(input.count)?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let (device, start) = device(deps, &target, &call, &input.headdevice).await?;
        let (elements, step) = match device.holds() {
            Holds::Words => (count, count),
            Holds::Bits => (count * 16, BITS_AT_ONCE),
        };
        let (mut words, mut quality, mut provenance) = (Vec::new(), Quality::GOOD, None);
        let mut done = 0;
        while done < elements {
            let at = BlockRef {
                unit: UnitId(0),
                area: device.name(),
                section: 0,
                address: start + done,
                count: step.min(elements - done),
            };
            done += at.count;
            let got = block(deps, &target, &call, at, max_age_s).await?;
            words.extend(of_block(&got)?);
            if !got.quality.is_good() {
                quality = got.quality;
            }
            let part = got.provenance;
            provenance.get_or_insert_with(|| Provenance::cache(part.age_ms)).join(&part);
        }
        Ok(ReadWordsOutput {
            endpoint: target.name,
            headdevice: escape(&input.headdevice),
            count,
            words,
            quality,
            provenance: provenance.ok_or_else(mismatched)?,
        })
    }
}

fn of_block(got: &Got) -> Result<Vec<i16>, ToolError> {
    match &got.block.data {
        BlockData::Registers(words) => Ok(words.iter().map(|word| word.cast_signed()).collect()),
        BlockData::Bits(bits) => {
            let word = |bits: &[bool]| {
                bits.iter().rev().fold(0_u16, |word, bit| word << 1 | u16::from(*bit))
            };
            Ok(bits.chunks(16).map(|bits| word(bits).cast_signed()).collect())
        }
        BlockData::Bytes(_) => Err(mismatched()),
    }
}
