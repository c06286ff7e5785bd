//! What the tools that show messages have in common: how they are asked, and how they listen.

use super::{PER_TOPIC, Wish, collect, filters, fitting};
use crate::actors::Deps;
use crate::driver::Message;
use crate::model::{EndpointName, sanitize};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, ToolError};

/// The longest topic that is shown.
pub(super) const TOPIC_MAX: usize = 256;

/// Defines the input of such a tool: its description, its name, and what its topic is.
macro_rules! listening {
    ($(#[$about:meta])* $name:ident, $topic:literal) => {
        $(#[$about])*
        #[derive(
            Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema, clap::Args,
        )]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            #[doc = $topic]
            #[arg(long, default_value = "")]
            #[serde(default)]
            pub topic: String,
            /// The endpoint; may be left out where only one speaks MQTT.
            #[arg(short, long)]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub endpoint: Option<String>,
            /// Messages wanted, 1 to 500.
            #[arg(long, default_value_t = 25)]
            #[serde(default = "super::twenty_five")]
            pub count: i64,
            /// Seconds until it ends in any case, 1 to 60.
            #[arg(long, default_value_t = 10)]
            #[serde(default = "super::ten")]
            pub timeout_s: i64,
        }

        impl $name {
            /// Says what is asked; `other` is the filter where neither it nor the endpoint has
            /// one.
            fn asked(&self, other: &'static str) -> super::listen::Asked<'_> {
                super::listen::Asked {
                    topic: &self.topic,
                    endpoint: self.endpoint.as_deref(),
                    count: self.count,
                    timeout_s: self.timeout_s,
                    other,
                }
            }
        }
    };
}

pub(super) use listening;

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) topic: &'a str,
    pub(super) endpoint: Option<&'a str>,
    pub(super) count: i64,
    pub(super) timeout_s: i64,
    pub(super) other: &'static str,
}

/// What was heard.
pub(super) struct Listened<T> {
    pub(super) endpoint: EndpointName,
    /// The filters that were listened to.
    pub(super) topic: String,
    pub(super) messages: Vec<T>,
    pub(super) provenance: Provenance,
}

/// Listens, and shows each message; `show` gives also about how many bytes it takes of an answer.
pub(super) async fn listen<T>(
    deps: &Deps,
    call: &Call,
    asked: Asked<'_>,
    show: impl Fn(&Message) -> (T, usize),
) -> Result<Listened<T>, ToolError> {
    let target = pick(deps, asked.endpoint, "mqtt")?;
    let wish = Wish::checked(asked.count, PER_TOPIC, asked.timeout_s)?;
    let filters = filters(&target, asked.topic, asked.other);
    let (found, mut provenance) = collect(&target, call, &filters, wish).await?;
    let (messages, is_cut) = fitting(found.iter().map(show).collect(), wish.bytes());
    provenance.truncated |= is_cut;
    let topic = sanitize(&filters.join(" "), TOPIC_MAX);
    Ok(Listened { endpoint: target.name, topic, messages, provenance })
}
