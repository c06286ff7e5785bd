//! What the tests of this floor stand on: tools that misbehave, and a plant of one tag.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actors::Deps;
use crate::clock;
use crate::model::{self, Door, Principal, Quality, Sample, Tag};
use crate::tools::{Audience, Call, Effect, Tool, ToolDef, ToolError, define};

/// The tools of the tests.
pub(crate) const TEST_TOOLS: &[ToolDef] = &[
    define::<Echo>(),
    define::<Panics>(),
    define::<Hangs>(),
    define::<Counts>(),
    define::<Big>(),
    define::<Modbus>(),
    define::<Administer>(),
];

/// Makes handles to a plant with one tag.
pub(crate) fn plant() -> Deps {
    let deps = Deps::alone();
    let named = [(TAG.into(), Vec::new())];
    let ids = deps.store.intern(&named).unwrap();
    deps.cache.define(ids[0], Arc::new(Tag::new(TAG, "e", "0")));
    change(&deps, 1.0);
    deps
}

/// The tag of the tests' plant.
pub(crate) const TAG: &str = "site/line 1/temp";

/// Gives the tag another value.
pub(crate) fn change(deps: &Deps, value: f64) {
    let id = deps.cache.resolve(TAG).unwrap();
    let (quality, received_ts) = (Quality::GOOD, clock::now());
    let sample = Sample { value: model::Value::F64(value), quality, source_ts: None, received_ts };
    deps.cache.stream_group(&[id]).append(id, sample);
}

/// A caller.
pub(crate) fn caller(door: Door) -> Principal {
    Principal { door, uid: 1000, gid: 1000, pid: Some(1), session: 1 }
}

/// Nothing is asked for.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Gives text back.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct EchoInput {
    /// What comes back.
    text: String,
    /// How often.
    #[arg(long)]
    count: Option<u32>,
}

/// What came.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct EchoOutput {
    /// The text.
    text: String,
    /// The user the door saw.
    uid: u32,
}

struct Echo;
impl Tool for Echo {
    const NAME: &'static str = "test_echo";
    const TITLE: &'static str = "Echo";
    const CORE: bool = true;
    type Input = EchoInput;
    type Output = EchoOutput;

    async fn call(_: &Deps, call: Call, input: EchoInput) -> Result<EchoOutput, ToolError> {
        let count = usize::try_from(input.count.unwrap_or(1)).unwrap_or(1);
        Ok(EchoOutput { text: input.text.repeat(count), uid: call.principal.uid })
    }
}

struct Panics;
impl Tool for Panics {
    const NAME: &'static str = "test_panics";
    const TITLE: &'static str = "Panics";
    type Input = Nothing;
    type Output = Value;

    async fn call(_: &Deps, _: Call, _: Nothing) -> Result<Value, ToolError> {
        panic!("the tool of the test panics")
    }
}

struct Hangs;
impl Tool for Hangs {
    const NAME: &'static str = "test_hangs";
    const TITLE: &'static str = "Hangs";
    type Input = Nothing;
    type Output = Value;

    async fn call(_: &Deps, _: Call, _: Nothing) -> Result<Value, ToolError> {
        std::future::pending().await
    }
}

struct Counts;
impl Tool for Counts {
    const NAME: &'static str = "test_counts";
    const TITLE: &'static str = "Counts to three, a second each";
    type Input = Nothing;
    type Output = Value;

    async fn call(_: &Deps, call: Call, _: Nothing) -> Result<Value, ToolError> {
        for items in 1..=3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            call.progress.set(items);
        }
        Ok(json!({"items": 3}))
    }
}

struct Big;
impl Tool for Big {
    const NAME: &'static str = "test_big";
    const TITLE: &'static str = "Answers 1 MiB";
    type Input = Nothing;
    type Output = Value;

    async fn call(_: &Deps, _: Call, _: Nothing) -> Result<Value, ToolError> {
        Ok(json!({"text": "x".repeat(1 << 20)}))
    }
}

struct Modbus;
impl Tool for Modbus {
    const NAME: &'static str = "modbus_test";
    const TITLE: &'static str = "Belongs to a protocol";
    const PROTOCOL: Option<&'static str> = Some("modbus");
    const COMMAND: Option<[&'static str; 2]> = Some(["mb", "try"]);
    type Input = Nothing;
    type Output = Value;

    async fn call(_: &Deps, _: Call, _: Nothing) -> Result<Value, ToolError> {
        Ok(json!({"items": [{"address": 1, "value": 2}, {"address": 2, "error": "no"}]}))
    }
}

struct Administer;
impl Tool for Administer {
    const NAME: &'static str = "test_administer";
    const TITLE: &'static str = "For operators";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = Nothing;
    type Output = Value;

    async fn call(_: &Deps, _: Call, _: Nothing) -> Result<Value, ToolError> {
        Ok(json!({"done": true}))
    }
}
