//! What is recorded: one event, plain enough to be read without this program.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::model::{Door, Principal, Timestamp, escape, hex};

/// The number of a record: dense, from 1.
pub type Seq = u64;

/// One text of a record; what is longer is cut and says so.
const TEXT_CHARS_MAX: usize = 1024;
/// The arguments and the details of a record together, as JSON; above it their digest stands.
const DETAIL_BYTES_MAX: usize = 8 * 1024;
/// A deeper structure is no argument of ours.
const DEPTH_MAX: usize = 16;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The collector started.
    Started,
    /// The collector ended properly.
    Ended,
    /// A tool was called.
    ToolCall,
    /// Records were lost before they could be written; `count` says how many.
    Lost,
    /// A ticket was opened.
    TicketOpened,
    /// Somebody approved a ticket.
    TicketApproved,
    /// Somebody rejected a ticket.
    TicketRejected,
    /// Whoever asked took the ticket back.
    TicketCancelled,
    /// A ticket's time ran out.
    TicketExpired,
    /// A write is about to be sent.
    WriteIntent,
    /// A write has ended; the record says how.
    WriteOutcome,
    /// A write cut off by a crash was settled by reading back.
    WriteSettled,
    /// An approver was enrolled.
    ApproverEnrolled,
    /// An approver was revoked.
    ApproverRevoked,
    /// Something was refused by a rule.
    Denied,
    /// The configuration was read and applied.
    ConfigurationChanged,
    /// A policy came into force, or was refused.
    PolicyChanged,
    /// A certificate was trusted or rejected.
    CertificateChanged,
    /// A finding was laid aside for a while.
    FindingShelved,
    /// An asset was learnt from a stretch that somebody knows to be sound.
    AssetLearnt,
    /// A learnt asset was forgotten, and is judged no more.
    AssetForgotten,
    /// Writes were frozen.
    WritesFrozen,
    /// Writes were allowed again.
    WritesThawed,
    /// The head of the chain was signed and sent out.
    Checkpoint,
    /// A stretch of the chain was signed as a whole.
    Sealed,
    /// A stretch of the chain was written out for safekeeping elsewhere.
    Exported,
    /// An exported stretch was removed from the file.
    Released,
    /// A document outlives the stretch that held its record.
    Carried,
    /// The file before this one was damaged or missing, and this one was begun.
    BegunAnew,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As asked.
    Ok,
    /// A rule, a budget or the door forbade it.
    Refused,
    /// It failed.
    Error,
}

/// Who did it, as the kernel and the door say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Who {
    /// The user.
    pub uid: u32,
    /// The process, where the kernel gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// `agent` or `operator`.
    pub door: String,
    /// The session, counted from the start of the collector.
    pub session: u64,
}

impl Who {
    /// Names a caller.
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        let door = match principal.door {
            Door::Agent => "agent",
            Door::Operator => "operator",
        };
        let Principal { uid, pid, session, .. } = *principal;
        Self { uid, pid, door: door.to_owned(), session }
    }
}

/// One event. What it doesn't have is left out of the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub what: What,
    /// Who did it; the collector itself where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// The tool, by its plain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The code of a failure or the rule of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Messages to devices it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_requests: Option<u64>,
    /// How many identical ones this record stands for.
    #[serde(default = "one")]
    pub count: u64,
    /// Everything else by name, arguments among them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub detail: Map<String, Value>,
}

const fn one() -> u64 {
    1
}

impl Event {
    /// Begins an event.
    #[must_use]
    pub fn new(what: What) -> Self {
        Self {
            what,
            who: None,
            tool: None,
            outcome: None,
            code: None,
            ticket: None,
            endpoint: None,
            tag: None,
            device_requests: None,
            count: 1,
            detail: Map::new(),
        }
    }

    /// Says who did it.
    #[must_use]
    pub fn by(mut self, principal: &Principal) -> Self {
        self.who = Some(Who::of(principal));
        self
    }

    /// Says which tool it was done with.
    #[must_use]
    pub fn tool(mut self, tool: &str) -> Self {
        self.tool = Some(tool.to_owned());
        self
    }

    /// Says which ticket it is about.
    #[must_use]
    pub fn ticket(mut self, ticket: &str) -> Self {
        self.ticket = Some(ticket.to_owned());
        self
    }

    /// Says which endpoint and tag it is about.
    #[must_use]
    pub fn at(mut self, endpoint: &str, tag: &str) -> Self {
        self.endpoint = Some(endpoint.to_owned());
        self.tag = Some(tag.to_owned()).filter(|tag| !tag.is_empty());
        self
    }

    /// Says how it ended; `code` is empty where it went well.
    #[must_use]
    pub fn ended(mut self, outcome: Outcome, code: &str) -> Self {
        self.outcome = Some(outcome);
        self.code = Some(code.to_owned()).filter(|code| !code.is_empty());
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// Makes the event safe to keep and to show: every text escaped and bounded, the details
    /// replaced by their digest where they are too long.
    #[must_use]
    pub(super) fn bounded(mut self) -> Self {
        let texts =
            [&mut self.tool, &mut self.code, &mut self.ticket, &mut self.endpoint, &mut self.tag];
        for text in texts.into_iter().flatten() {
            *text = shown(text);
        }
        let whole = Value::Object(std::mem::take(&mut self.detail));
        let bytes = whole.to_string();
        self.detail = match safe(whole, DEPTH_MAX) {
            Value::Object(detail) if bytes.len() <= DETAIL_BYTES_MAX => detail,
            _ => {
                let digest = hex(&Sha256::digest(bytes.as_bytes()));
                [("sha256".to_owned(), json!(digest)), ("bytes".to_owned(), json!(bytes.len()))]
                    .into_iter()
                    .collect()
            }
        };
        self
    }
}

/// Escapes and bounds a text.
fn shown(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => escape(text),
        Some((at, _)) => format!("{}...", escape(text.get(..at).unwrap_or_default())),
    }
}

/// Escapes and bounds every text of a structure.
fn safe(value: Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return json!("(deeper)") };
    match value {
        Value::String(text) => Value::String(shown(&text)),
        Value::Array(items) => items.into_iter().map(|item| safe(item, depth)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, field)| (shown(&name), safe(field, depth))).collect()
        }
        plain => plain,
    }
}

/// A document that changes together with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its kind, such as `ticket`.
    pub kind: String,
    /// Its name within the kind.
    pub id: String,
    /// What it is from now on; `None` removes it.
    pub bytes: Option<Vec<u8>>,
}

/// An event with its time and the documents that change with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) uptime_ms: u64,
    pub(super) event: Event,
    pub(super) documents: Vec<Document>,
}

impl Entry {
    /// Makes an entry of now.
    pub(super) fn now(event: Event, documents: Vec<Document>) -> Self {
        let event = event.bounded();
        Self { at: clock::now(), uptime_ms: clock::uptime_ms(), event, documents }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_long_details_become_a_digest() {
        let event = Event::new(What::ToolCall)
            .tool("tag_read\u{202e}")
            .with("arguments", json!({"a\u{1b}[2J": ["x\u{200b}"]}))
            .bounded();
        assert_eq!(event.tool.as_deref(), Some("tag_read\\u{202e}"));
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains("a\\\\u{1b}[2J") && text.contains("x\\\\u{200b}"), "{text}");
        let long = Event::new(What::ToolCall).with("data", "x".repeat(9000)).bounded();
        assert_eq!(long.detail["bytes"], 9000 + r#"{"data":""}"#.len());
        assert_eq!(long.detail["sha256"].as_str().unwrap().len(), 64);
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        let deep = Event::new(What::ToolCall).with("deep", deep).bounded();
        assert!(serde_json::to_string(&deep).unwrap().contains("(deeper)"));
    }
}
