//! `mc_write_words`: words in a row, through the gate.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::device;
use crate::actors::Deps;
use crate::model::{DataType, EndpointName, Scalar, escape};
use crate::protocols::mc::{Holds, PROTOCOL};
use crate::tools::endpoint::pick;
use crate::tools::write::{Proposed, Terms, proposed, raw_tag, unnamed, yes};
use crate::tools::{Call, Code, Effect, Tool, ToolError};

/// Words in one call, as in the reference; there the rest was dropped without a word.
const WORDS_MAX: usize = 256;

/// Writes words from a device on, through the gate: dry by default; with dry_run=false a ticket
/// is opened, which an operator has to approve.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteWordsInput {
    /// The first device: `D100`, `W1F`.
    pub headdevice: String,
    /// The words, -32768 to 32767, at most 256.
    #[arg(required = true, allow_hyphen_values = true)]
    pub values: Vec<i64>,
    /// The endpoint; may be left out where only one speaks MC.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Only asks the rules, and opens no ticket.
    #[arg(long = "apply", action = clap::ArgAction::SetFalse, help = "Opens a ticket")]
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// Why, for the people who decide.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The plant's number for the work.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_order: Option<String>,
}

/// What would be written, and what stands against it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WriteWordsOutput {
    endpoint: EndpointName,
    headdevice: String,
    #[serde(flatten)]
    proposed: Proposed<Vec<Json>, Vec<i64>>,
}

/// The tool.
pub(in crate::tools) struct WriteWords;

impl Tool for WriteWords {
    const NAME: &'static str = "mc_write_words";
    const TITLE: &'static str = "Write words";
    const EFFECT: Effect = Effect::Write;
    const PROTOCOL: Option<&'static str> = Some("mc");
    const COMMAND: Option<[&'static str; 2]> = Some(["mc", "write-words"]);
    type Input = WriteWordsInput;
    type Output = WriteWordsOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mc")?;
        let words = &input.values;
        let count = u16::try_from(words.len()).ok().filter(|_| words.len() <= WORDS_MAX);
        let count = count.filter(|count| *count > 0).ok_or_else(|| {
            ToolError::argument(format!("{} words, and 1 to {WORDS_MAX} are taken", words.len()))
        })?;
        if let Some(wide) = words.iter().find(|word| i16::try_from(**word).is_err()) {
            let text = format!("{wide} is no 16-bit word: -32768 to 32767");
            return Err(ToolError::argument(text));
        }
        let (area, _) = device(deps, &target, &call, &input.headdevice).await?;
        if area.holds() == Holds::Bits {
            let text = "bit devices are not written, only words";
            return Err(ToolError::new(Code::BadAddress, text, "D, W, R or ZR"));
        }
        let mut tag = unnamed(&target.name, input.headdevice.trim());
        tag.data_type = match count {
            1 => DataType::One(Scalar::Int16),
            count => DataType::Array(Scalar::Int16, count),
        };
        let tag = raw_tag(deps, &PROTOCOL, &target.name, tag)?;
        let value = match words.as_slice() {
            // A configured tag without a type is one word.
            [word] if !matches!(tag.data_type, DataType::Array(..)) => json!(word),
            words => json!(words),
        };
        let terms =
            Terms { dry_run: input.dry_run, reason: input.reason, work_order: input.work_order };
        let as_words = |before| match before {
            Json::Array(words) => words,
            Json::Null => Vec::new(),
            word => vec![word],
        };
        let shown = (as_words, input.values);
        let proposed = proposed(deps, &call, (tag, value), terms, shown).await?;
        let headdevice = escape(&input.headdevice);
        Ok(WriteWordsOutput { endpoint: target.name, headdevice, proposed })
    }
}
