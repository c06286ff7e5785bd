//! `mqtt_read_topic`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{PER_TOPIC, Wish, age_ms, allowance, collect, filters, fitting, payload};
use super::{ten, twenty_five};
use crate::actors::Deps;
use crate::driver::Message;
use crate::model::{EndpointName, Timestamp, sanitize};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// The longest topic that is shown.
pub(super) const TOPIC_MAX: usize = 256;

/// Collects MQTT messages: those heard already first, then what arrives until count or timeout.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadInput {
    /// A filter such as site/line1/#; the endpoint's own topic where empty, else #.
    #[arg(long, default_value = "")]
    #[serde(default)]
    pub topic: String,
    /// The endpoint; may be left out where only one speaks MQTT.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Messages wanted, 1 to 500.
    #[arg(long, default_value_t = 25)]
    #[serde(default = "twenty_five")]
    pub count: i64,
    /// Seconds until it ends in any case, 1 to 60.
    #[arg(long, default_value_t = 10)]
    #[serde(default = "ten")]
    pub timeout_s: i64,
}

/// One message.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct MessageAnswer {
    topic: String,
    /// By `encoding`: json, text, `sparkplug_b`, binary or empty.
    payload: Json,
    qos: u8,
    /// The broker had kept it: it may be old.
    retain: bool,
    received_ts: Timestamp,
    age_ms: u64,
}

/// What was heard.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadOutput {
    endpoint: EndpointName,
    topic: String,
    message_count: usize,
    messages: Vec<MessageAnswer>,
    provenance: Provenance,
}

impl MessageAnswer {
    pub(super) fn of(message: &Message) -> Self {
        Self {
            topic: sanitize(&message.topic, TOPIC_MAX),
            payload: payload::shown(message),
            qos: message.qos,
            retain: message.retain,
            received_ts: message.received_ts,
            age_ms: age_ms(message),
        }
    }

    /// Gives about how many bytes it takes of an answer.
    pub(super) fn bytes(&self) -> usize {
        self.payload.to_string().len() + self.topic.len() + 120
    }
}

/// The tool.
pub(in crate::tools) struct ReadTopic;

impl Tool for ReadTopic {
    const NAME: &'static str = "mqtt_read_topic";
    const TITLE: &'static str = "Read MQTT messages";
    const PROTOCOL: Option<&'static str> = Some("mqtt");
    const COMMAND: Option<[&'static str; 2]> = Some(["mqtt", "read"]);
    type Input = ReadInput;
    type Output = ReadOutput;

    fn allowance(input: &Self::Input) -> Duration {
        allowance(input.timeout_s)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mqtt")?;
        let wish = Wish::checked(input.count, PER_TOPIC, input.timeout_s)?;
        let filters = filters(&target, &input.topic, "#");
        let (found, mut provenance) = collect(&target, &call, &filters, wish).await?;
        let answers = found.iter().map(|message| {
            let answer = MessageAnswer::of(message);
            let bytes = answer.bytes();
            (answer, bytes)
        });
        let (messages, is_cut) = fitting(answers.collect(), wish.bytes());
        provenance.truncated |= is_cut;
        Ok(ReadOutput {
            endpoint: target.name,
            topic: sanitize(&filters.join(" "), TOPIC_MAX),
            message_count: messages.len(),
            messages,
            provenance,
        })
    }
}
