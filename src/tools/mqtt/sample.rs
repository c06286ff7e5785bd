//! `sparkplug_subscribe_sample`.

use std::time::Duration;

use serde::Serialize;

use super::allowance;
use super::listen::{Listened, listen, listening};
use super::read::MessageAnswer;
use crate::actors::Deps;
use crate::driver::Message;
use crate::model::{EndpointName, sanitize};
use crate::protocols::mqtt::{Kind, Topic};
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// The reference's cut of an id.
const ID_MAX: usize = 128;

listening! {
    /// Collects Sparkplug B messages with their topics taken apart and their payloads decoded.
    SampleInput,
    "A filter such as spBv1.0/G1/#; the endpoint's own topic where empty, else spBv1.0/#."
}

/// A Sparkplug topic, taken apart.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct TopicAnswer {
    namespace: String,
    group_id: String,
    message_type: String,
    edge_node_id: String,
    device_id: String,
    /// The host application, of a STATE.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<String>,
}

impl TopicAnswer {
    /// Takes a topic apart; `None` where it is not Sparkplug's.
    fn of(topic: &str) -> Option<Self> {
        let parts = Topic::parse(topic)?;
        let is_state = parts.kind == Kind::State;
        let clean = |text: &str| sanitize(text, ID_MAX);
        Some(Self {
            namespace: clean(parts.namespace),
            group_id: clean(parts.group),
            message_type: clean(parts.word),
            edge_node_id: if is_state { String::new() } else { clean(parts.node) },
            device_id: clean(parts.device.unwrap_or_default()),
            host_id: is_state.then(|| clean(parts.node)),
        })
    }
}

/// One message.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct SampleAnswer {
    #[serde(flatten)]
    message: MessageAnswer,
    /// The parts of the topic; null where it is not Sparkplug's.
    sparkplug: Option<TopicAnswer>,
}

/// What was heard.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct SampleOutput {
    endpoint: EndpointName,
    topic: String,
    message_count: usize,
    samples: Vec<SampleAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct SubscribeSample;

impl Tool for SubscribeSample {
    const NAME: &'static str = "sparkplug_subscribe_sample";
    const TITLE: &'static str = "Read Sparkplug messages";
    const PROTOCOL: Option<&'static str> = Some("mqtt");
    const COMMAND: Option<[&'static str; 2]> = Some(["mqtt", "sample"]);
    type Input = SampleInput;
    type Output = SampleOutput;

    fn allowance(input: &Self::Input) -> Duration {
        allowance(input.timeout_s)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let show = |message: &Message| {
            let sparkplug = TopicAnswer::of(&message.topic);
            let message = MessageAnswer::of(message);
            let bytes = message.bytes() + 160;
            (SampleAnswer { message, sparkplug }, bytes)
        };
        let Listened { endpoint, topic, messages: samples, provenance } =
            listen(deps, &call, input.asked("spBv1.0/#"), show).await?;
        let message_count = samples.len();
        Ok(SampleOutput { endpoint, topic, message_count, samples, provenance })
    }
}
