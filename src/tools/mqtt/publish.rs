//! `mqtt_publish`: one message to one topic, through the gate.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::actors::Deps;
use crate::model::{DataType, EndpointName, sanitize};
use crate::protocols::mqtt::{PROTOCOL, publish_ref};
use crate::tools::endpoint::pick;
use crate::tools::write::{Gated, Terms, before, gated, raw_tag, typed, unnamed, yes};
use crate::tools::{Call, Effect, Tool, ToolError};

use super::listen::TOPIC_MAX;

/// Publishes a text to a topic, through the gate: dry by default; with dry_run=false a ticket is
/// opened, which an operator has to approve. A topic that was never heard can't be compared with
/// anything, so it is not published to.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishInput {
    /// The topic, without wildcards.
    pub topic: String,
    /// The text.
    #[arg(allow_hyphen_values = true)]
    pub payload: String,
    /// The endpoint; may be left out where only one speaks MQTT.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// 0, 1 or 2; what is outside is cut to it.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    #[serde(default)]
    pub qos: i64,
    /// Whether the broker keeps it.
    #[arg(long)]
    #[serde(default)]
    pub retain: bool,
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

/// What would be published, and what stands against it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct PublishOutput {
    endpoint: EndpointName,
    topic: String,
    /// What was heard there last; null where nothing was.
    before: Json,
    would_publish_bytes: usize,
    qos: u8,
    retain: bool,
    #[serde(flatten)]
    gated: Gated,
}

/// The tool.
pub(in crate::tools) struct Publish;

impl Tool for Publish {
    const NAME: &'static str = "mqtt_publish";
    const TITLE: &'static str = "Publish a message";
    const EFFECT: Effect = Effect::Write;
    const PROTOCOL: Option<&'static str> = Some("mqtt");
    type Input = PublishInput;
    type Output = PublishOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mqtt")?;
        let PublishInput { topic, payload, retain, dry_run, reason, work_order, .. } = input;
        let qos = u8::try_from(input.qos.clamp(0, 2)).unwrap_or_default();
        // MQTT 3.1.1, 3.3.2.1 and 4.7.3: a message goes to one topic, by its whole name.
        if topic.is_empty() || topic.len() > TOPIC_MAX || topic.contains(['#', '+', '\0']) {
            return Err(ToolError::argument(format!(
                "topic is not the name of one topic: 1 to {TOPIC_MAX} bytes without #, + and NUL"
            )));
        }
        let address = publish_ref(&topic, qos, retain);
        let tag = raw_tag(deps, &PROTOCOL, &target.name, unnamed(&target.name, &address))?;
        let value = match tag.data_type {
            DataType::Native | DataType::Text(_) => Json::String(payload.clone()),
            // A tag of numbers is compared, and bounded, as a number.
            _ => typed(&payload).unwrap_or_default(),
        };
        let terms = Terms { dry_run, reason, work_order };
        let (selected, gated) = gated(deps, &call, tag, value, terms).await?;
        Ok(PublishOutput {
            endpoint: target.name,
            topic: sanitize(&topic, TOPIC_MAX),
            before: before(&selected),
            would_publish_bytes: payload.len(),
            qos,
            retain,
            gated,
        })
    }
}
