//! `mqtt_read_topic`.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use super::listen::{Listened, TOPIC_MAX, listen, listening};
use super::{age_ms, allowance, payload};
use crate::actors::Deps;
use crate::driver::Message;
use crate::model::{EndpointName, Timestamp, sanitize};
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

listening! {
    /// Collects MQTT messages: those heard already first, then what arrives until count or
    /// timeout.
    ReadInput, "A filter such as site/line1/#; the endpoint's own topic where empty, else #."
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
        let show = |message: &Message| {
            let answer = MessageAnswer::of(message);
            let bytes = answer.bytes();
            (answer, bytes)
        };
        let Listened { endpoint, topic, messages, provenance } =
            listen(deps, &call, input.asked("#"), show).await?;
        let message_count = messages.len();
        Ok(ReadOutput { endpoint, topic, message_count, messages, provenance })
    }
}
