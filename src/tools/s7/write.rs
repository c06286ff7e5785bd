//! `s7_write_db`: a value for a data block, through the gate.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::actors::Deps;
use crate::model::{DataType, EndpointName, Scalar, Setpoint, wish};
use crate::protocols::s7::PROTOCOL;
use crate::tools::endpoint::pick;
use crate::tools::write::{Proposed, Terms, proposed, raw_tag, typed, unnamed, yes};
use crate::tools::{Call, Code, Effect, Tool, ToolError};

/// The types that are written, and what they hold.
const DTYPES: [(&str, Scalar); 14] = [
    ("BIT", Scalar::Bool),
    ("BYTE", Scalar::UInt8),
    ("USINT", Scalar::UInt8),
    ("SINT", Scalar::Int8),
    ("WORD", Scalar::UInt16),
    ("UINT", Scalar::UInt16),
    ("INT", Scalar::Int16),
    ("DWORD", Scalar::UInt32),
    ("UDINT", Scalar::UInt32),
    ("DINT", Scalar::Int32),
    ("ULINT", Scalar::UInt64),
    ("LINT", Scalar::Int64),
    ("REAL", Scalar::Float32),
    ("LREAL", Scalar::Float64),
];

/// Writes a value to a data block of an S7 controller, through the gate: dry by default; with
/// dry_run=false a ticket is opened, which an operator has to approve.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteDbInput {
    /// The number of the data block.
    pub db: i64,
    /// BIT BYTE USINT SINT WORD INT UINT DWORD DINT UDINT REAL LREAL LINT ULINT.
    pub dtype: String,
    /// The byte.
    pub start: i64,
    /// The new value.
    #[arg(value_parser = typed, allow_hyphen_values = true)]
    pub value: Json,
    /// The endpoint; may be left out where only one speaks S7.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The bit of the byte, 0 to 7, for BIT.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    pub bit: i64,
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
pub(crate) struct WriteDbOutput {
    endpoint: EndpointName,
    address: String,
    #[serde(flatten)]
    proposed: Proposed<Json, Json>,
}

/// The tool.
pub(in crate::tools) struct WriteDb;

impl Tool for WriteDb {
    const NAME: &'static str = "s7_write_db";
    const TITLE: &'static str = "Write to a data block";
    const EFFECT: Effect = Effect::Write;
    const PROTOCOL: Option<&'static str> = Some("s7");
    const COMMAND: Option<[&'static str; 2]> = Some(["s7", "write-db"]);
    type Input = WriteDbInput;
    type Output = WriteDbOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "s7")?;
        let (address, scalar) = address(&input)?;
        let value = typed_value(scalar, &input.value)?;
        let mut tag = unnamed(&target.name, &address);
        tag.data_type = DataType::One(scalar);
        let tag = raw_tag(deps, &PROTOCOL, &target.name, tag)?;
        let WriteDbInput { dry_run, reason, work_order, .. } = input;
        let terms = Terms { dry_run, reason, work_order };
        let wished = (tag, value.clone());
        let proposed = proposed(deps, &call, wished, terms, (|before| before, value)).await?;
        Ok(WriteDbOutput { endpoint: target.name, address, proposed })
    }
}

fn bad(message: String, hint: &str) -> ToolError {
    ToolError::new(Code::BadAddress, message, hint)
}

/// Writes the address as the reference does.
fn address(input: &WriteDbInput) -> Result<(String, Scalar), ToolError> {
    let db = u16::try_from(input.db).ok().filter(|db| *db > 0);
    let db = db.ok_or_else(|| bad(format!("db {} is no data block", input.db), "1 to 65535"))?;
    let start = u16::try_from(input.start)
        .map_err(|_| bad(format!("start {} is no byte", input.start), "0 to 65535"))?;
    let known = DTYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&input.dtype));
    let (name, scalar) = known.ok_or_else(|| {
        let names: Vec<&str> = DTYPES.iter().map(|(name, _)| *name).collect();
        bad("there is no such type that is written".to_owned(), &names.join(" "))
    })?;
    match (scalar, input.bit) {
        (Scalar::Bool, bit @ 0..=7) => Ok((format!("DB{db},X{start}.{bit}"), *scalar)),
        (Scalar::Bool, bit) => Err(bad(format!("bit {bit} is none of a byte"), "0 to 7")),
        (_, 0) => Ok((format!("DB{db},{name}{start}"), *scalar)),
        _ => Err(bad("only a BIT has a bit".to_owned(), "leave out bit")),
    }
}

/// Reads a value as one of the type that was named: text as it is typed on a command line, and
/// nothing rounded or cut.
fn typed_value(scalar: Scalar, given: &Json) -> Result<Json, ToolError> {
    let wrong = |what: String| {
        let hint = "give a value of the type; nothing is rounded, cut or converted";
        ToolError::new(Code::BadArguments, format!("value: {what}"), hint)
    };
    let value = match (scalar, given) {
        (Scalar::Bool, given) => truth(given).ok_or_else(|| wrong("not true or false".into()))?,
        (_, Json::String(text)) => {
            let number: Json = serde_json::from_str(text.trim()).unwrap_or(Json::Null);
            Some(number).filter(Json::is_number).ok_or_else(|| wrong("no number".into()))?
        }
        (_, other) => other.clone(),
    };
    let tag = Arc::new(unnamed("", ""));
    let wished = wish(&value).ok_or_else(|| wrong("null and objects are none".into()))?;
    let fitted = Setpoint::fit(&tag, DataType::One(scalar), wished);
    fitted.map_err(|misfit| wrong(misfit.to_string()))?;
    Ok(value)
}

/// Reads a truth value: `false`, 0 and their texts are false.
fn truth(given: &Json) -> Option<Json> {
    let is_true = match given {
        Json::Bool(on) => *on,
        Json::Number(n) if n.as_f64() == Some(0.0) => false,
        Json::Number(n) if n.as_f64() == Some(1.0) => true,
        Json::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "0" | "false" | "off" => false,
            "1" | "true" | "on" => true,
            _ => return None,
        },
        _ => return None,
    };
    Some(Json::Bool(is_true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_those_of_the_vectors_and_nothing_is_cut() {
        let vectors = include_str!("../../../tests/golden/s7_address.json");
        let vectors: Json = serde_json::from_str(vectors).unwrap();
        let all = vectors["vectors"].as_array().unwrap();
        let ours: Vec<&Json> = all.iter().filter(|v| v["function"] == "_typed_value").collect();
        assert_eq!(ours.len(), 6);
        for vector in ours {
            let dtype = vector["input"]["dtype"].as_str().unwrap();
            let scalar = DTYPES.iter().find(|(name, _)| *name == dtype).map(|(_, scalar)| *scalar);
            let typed = scalar.and_then(|s| typed_value(s, &vector["input"]["value"]).ok());
            match &vector["expect"] {
                expect if expect.get("$error").is_some() => assert_eq!(typed, None, "{vector}"),
                expect => assert_eq!(typed.as_ref(), Some(expect), "{vector}"),
            }
        }
        assert_eq!(typed_value(Scalar::Bool, &json!("false")), Ok(json!(false)));
        assert_eq!(typed_value(Scalar::Int16, &json!("42")), Ok(json!(42)));
        for wrong in [json!("yes"), json!(2), json!([true]), json!(null)] {
            assert!(typed_value(Scalar::Bool, &wrong).is_err(), "{wrong}");
        }
        for wrong in [json!(40_000), json!("4e9"), json!(true), json!("inf"), json!("")] {
            assert!(typed_value(Scalar::Int16, &wrong).is_err(), "{wrong}");
        }
    }
}
