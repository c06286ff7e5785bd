//! `s7_read_area` and `s7_read_db`: values in a row, by area, type and byte.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{bytes, trusted};
use crate::actors::Deps;
use crate::model::{EndpointName, Quality};
use crate::protocols::s7::{Area, Kind, Type, block_ref, point};
use crate::tools::ask::{MaxAge, mismatched};
use crate::tools::block::block;
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Code, Tool, ToolError};

/// The most values of one answer, as in the reference.
const COUNT_MAX: u32 = 100;
/// The types that stand in a row.
const DTYPES: [&str; 15] = [
    "BIT", "BYTE", "CHAR", "USINT", "SINT", "WORD", "INT", "UINT", "DWORD", "DINT", "UDINT",
    "REAL", "LREAL", "LINT", "ULINT",
];

fn one() -> i64 {
    1
}

/// Reads values in a row from an area of an S7 controller.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadAreaInput {
    /// DB, M, I (or E), Q (or A).
    pub area: String,
    /// BIT BYTE CHAR USINT SINT WORD INT UINT DWORD DINT UDINT REAL LREAL LINT ULINT.
    pub dtype: String,
    /// The first byte.
    pub start: i64,
    /// The endpoint; may be left out where only one speaks S7.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The number of the data block, for area DB.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    pub db: i64,
    /// How many values, 1 to 100; more are cut to 100.
    #[arg(long, default_value_t = 1)]
    #[serde(default = "one")]
    pub count: i64,
    /// The first bit of the byte, 0 to 7, for BIT.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    pub bit: i64,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// Reads values in a row from a data block of an S7 controller.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadDbInput {
    /// The number of the data block.
    pub db: i64,
    /// BIT BYTE CHAR USINT SINT WORD INT UINT DWORD DINT UDINT REAL LREAL LINT ULINT.
    pub dtype: String,
    /// The first byte.
    pub start: i64,
    /// The endpoint; may be left out where only one speaks S7.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many values, 1 to 100; more are cut to 100.
    #[arg(long, default_value_t = 1)]
    #[serde(default = "one")]
    pub count: i64,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One value.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct AreaItem {
    address: String,
    /// Null where the bytes are no value.
    value: Json,
    #[schemars(with = "String")]
    quality: Quality,
}

/// Values in a row.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadAreaOutput {
    endpoint: EndpointName,
    area: &'static str,
    db: u16,
    dtype: &'static str,
    start: u32,
    count: u32,
    items: Vec<AreaItem>,
    provenance: Provenance,
}

/// The tool of any area.
pub(in crate::tools) struct ReadArea;

/// The tool of data blocks.
pub(in crate::tools) struct ReadDb;

impl Tool for ReadArea {
    const NAME: &'static str = "s7_read_area";
    const TITLE: &'static str = "Read a memory area";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("s7");
    type Input = ReadAreaInput;
    type Output = ReadAreaOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        read(deps, &call, input).await
    }
}

impl Tool for ReadDb {
    const NAME: &'static str = "s7_read_db";
    const TITLE: &'static str = "Read a data block";
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("s7");
    const COMMAND: Option<[&'static str; 2]> = Some(["s7", "read-db"]);
    type Input = ReadDbInput;
    type Output = ReadAreaOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let ReadDbInput { db, dtype, start, endpoint, count, max_age_s } = input;
        let area = "DB".to_owned();
        let input = ReadAreaInput { area, dtype, start, endpoint, db, count, bit: 0, max_age_s };
        read(deps, &call, input).await
    }
}

/// What is asked for, checked.
struct Row {
    area: Area,
    dtype: &'static str,
    kind: Type,
    start: u32,
    count: u32,
}

async fn read(deps: &Deps, call: &Call, input: ReadAreaInput) -> Result<ReadAreaOutput, ToolError> {
    let target = pick(deps, input.endpoint.as_deref(), "s7")?;
    let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
    let row = Row::checked(&input)?;
    let count = u16::try_from(row.count).map_err(|_| mismatched())?;
    let whole = point(row.area, row.start, row.kind, count)?;
    let got = block(deps, &target, call, block_ref(&whole.span), max_age_s).await?;
    let bytes = bytes(&got.block.data).ok_or_else(mismatched)?;
    let items = (0..row.count).map(|nth| row.item(nth, &bytes, got.quality));
    Ok(ReadAreaOutput {
        endpoint: target.name,
        area: row.area.kind.name(),
        db: row.area.block,
        dtype: row.dtype,
        start: row.start,
        count: row.count,
        items: items.collect(),
        provenance: got.provenance,
    })
}

fn bad(message: String, hint: &str) -> ToolError {
    ToolError::new(Code::BadAddress, message, hint)
}

impl Row {
    fn checked(input: &ReadAreaInput) -> Result<Self, ToolError> {
        let kind = match input.area.to_ascii_uppercase().as_str() {
            "DB" => Kind::Block,
            "M" => Kind::Flags,
            "I" | "E" => Kind::Inputs,
            "Q" | "A" => Kind::Outputs,
            _ => return Err(bad("there is no such area".to_owned(), "DB, M, I (E) or Q (A)")),
        };
        let block = match kind {
            Kind::Block => u16::try_from(input.db)
                .ok()
                .filter(|db| *db > 0)
                .ok_or_else(|| bad(format!("db {} is no data block", input.db), "1 to 65535"))?,
            _ => 0,
        };
        let dtype = DTYPES.into_iter().find(|name| name.eq_ignore_ascii_case(&input.dtype));
        let no_type = || bad("there is no such type".to_owned(), &DTYPES.join(" "));
        let dtype = dtype.ok_or_else(no_type)?;
        let start = u32::try_from(input.start)
            .map_err(|_| bad(format!("start {} is no byte", input.start), "0 to 65535"))?;
        let bit = u8::try_from(input.bit)
            .ok()
            .filter(|bit| *bit < 8)
            .ok_or_else(|| bad(format!("bit {} is none of a byte", input.bit), "0 to 7"))?;
        let kind_of_value = match Type::parse(dtype).ok_or_else(no_type)? {
            Type::Bit(_) => Type::Bit(bit),
            _ if bit > 0 => return Err(bad("only a BIT has a bit".to_owned(), "leave out bit")),
            other => other,
        };
        let count = u32::try_from(input.count.clamp(1, i64::from(COUNT_MAX))).unwrap_or(1);
        Ok(Self { area: Area { kind, block }, dtype, kind: kind_of_value, start, count })
    }

    /// Gives the byte and type of the value at a position: bits run on through the bytes.
    fn at(&self, nth: u32) -> (u32, Type) {
        match self.kind {
            Type::Bit(first) => {
                let bit = u32::from(first) + nth;
                (self.start + bit / 8, Type::Bit(u8::try_from(bit % 8).unwrap_or_default()))
            }
            kind => (self.start + nth * kind.bytes(), kind),
        }
    }

    fn item(&self, nth: u32, bytes: &[u8], trust: Quality) -> AreaItem {
        let (at, kind) = self.at(nth);
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let width = usize::try_from(kind.bytes()).unwrap_or(usize::MAX);
        let own = from.checked_add(width).and_then(|to| bytes.get(from..to));
        let (value, quality) = trusted(own.and_then(|own| kind.read(own)), trust);
        AreaItem { address: self.label(at, kind), value: json(&value), quality }
    }

    /// Writes the address as the reference does: outside data blocks by its size alone.
    fn label(&self, at: u32, kind: Type) -> String {
        let area = self.area.kind.name();
        match (self.area.kind, kind) {
            (Kind::Block, Type::Bit(bit)) => format!("DB{},X{at}.{bit}", self.area.block),
            (Kind::Block, _) => format!("DB{},{}{at}", self.area.block, self.dtype),
            (_, Type::Bit(bit)) => format!("{area}{at}.{bit}"),
            (_, Type::Byte) => format!("{area}B{at}"),
            (_, kind) if kind.bytes() > 2 => format!("{area}D{at}"),
            _ => format!("{area}W{at}"),
        }
    }
}
