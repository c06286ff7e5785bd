//! What a bridge remembers, so that its client doesn't notice a collector's restart.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::surface::mcp::{TOOLSET_KEY, Toolset};
use crate::surface::wire::{refusal_of, rejection};
use crate::tools::{Code, ToolError};

/// Requests a client may have under way before the bridge stops reading it.
const PENDING_MAX: usize = 256;
/// The beginning of the ids that only bridge and collector know.
const OWN_ID: &str = "ot-bridge-";
/// JSON-RPC 2.0, 5.1: the first of the codes left to servers.
const SERVER_ERROR: i32 = -32000;

/// The parts of a message that a relay looks at.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<Value>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
}

/// A request under way.
#[derive(Debug)]
enum Pending {
    /// A call: asking twice could do it twice, so it ends with its collector.
    Call,
    /// Anything else is asked again.
    Repeatable(Vec<u8>),
    /// A standing subscription, which has been acknowledged to the client.
    Listening(Vec<u8>),
}

/// Where a client's line goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// To the collector.
    Onward(Vec<u8>),
    /// Back to the client, as an answer.
    Back(Vec<u8>),
}

/// A session as the bridge remembers it.
#[derive(Debug)]
pub(super) struct Relay {
    toolset: Toolset,
    initialize: Option<Value>,
    initialized: Option<Vec<u8>>,
    followed: BTreeSet<String>,
    pending: BTreeMap<String, Pending>,
    own_ids: u64,
    /// Acknowledgements that the client has had already.
    acknowledged_again: usize,
}

impl Relay {
    /// Begins a session.
    pub(super) fn new(toolset: Toolset) -> Self {
        Self {
            toolset,
            initialize: None,
            initialized: None,
            followed: BTreeSet::new(),
            pending: BTreeMap::new(),
            own_ids: 0,
            acknowledged_again: 0,
        }
    }

    /// Tells whether another request may come.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX
    }

    /// Tells whether nothing is waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.values().all(|pending| matches!(pending, Pending::Listening(_)))
    }

    /// Takes a line of the client.
    pub(super) fn take_from_client(&mut self, line: Vec<u8>) -> Passage {
        let (id, method) = match serde_json::from_slice::<Envelope<'_>>(&line) {
            Ok(envelope) => (envelope.id, envelope.method.map(Cow::into_owned)),
            Err(error) => return Passage::Back(refusal_of(&line, &error)),
        };
        let line = ended(line);
        match (id, method.as_deref()) {
            (Some(id), Some(method)) => Passage::Onward(self.request(&id, method, line)),
            (None, Some("notifications/initialized")) => {
                self.initialized = Some(line.clone());
                Passage::Onward(line)
            }
            (None, Some("notifications/cancelled")) => {
                let note: Value = serde_json::from_slice(&line).unwrap_or_default();
                if let Some(id) = note.pointer("/params/requestId") {
                    self.pending.remove(&id.to_string());
                }
                Passage::Onward(line)
            }
            _ => Passage::Onward(line),
        }
    }

    fn request(&mut self, id: &Value, method: &str, line: Vec<u8>) -> Vec<u8> {
        let mut line = line;
        let pending = match method {
            "tools/call" => Pending::Call,
            "subscriptions/listen" => Pending::Listening(line.clone()),
            "initialize" => {
                self.initialize = serde_json::from_slice(&line).ok();
                Pending::Repeatable(line.clone())
            }
            "resources/subscribe" | "resources/unsubscribe" => {
                let asked: Value = serde_json::from_slice(&line).unwrap_or_default();
                if let Some(Value::String(uri)) = asked.pointer("/params/uri") {
                    if method == "resources/subscribe" {
                        self.followed.insert(uri.clone());
                    } else {
                        self.followed.remove(uri);
                    }
                }
                Pending::Repeatable(line.clone())
            }
            "tools/list" => {
                line = with_toolset(&line, &self.toolset).unwrap_or(line);
                Pending::Repeatable(line.clone())
            }
            _ => Pending::Repeatable(line.clone()),
        };
        // Of two requests with one id the collector refuses the second: the first counts.
        self.pending.entry(id.to_string()).or_insert(pending);
        line
    }

    /// Takes a line of the collector, and gives what the client is to see of it.
    pub(super) fn take_from_collector(&mut self, line: Vec<u8>) -> Option<Vec<u8>> {
        let Ok(Envelope { id, method }) = serde_json::from_slice::<Envelope<'_>>(&line) else {
            tracing::warn!("the collector sent what is no message");
            return None;
        };
        match (id, method.as_deref()) {
            (Some(Value::String(id)), None) if id.starts_with(OWN_ID) => return None,
            (Some(id), None) => {
                self.pending.remove(&id.to_string());
            }
            (None, Some("notifications/subscriptions/acknowledged"))
                if self.acknowledged_again > 0 =>
            {
                self.acknowledged_again -= 1;
                return None;
            }
            _ => {}
        }
        Some(ended(line))
    }

    /// Ends the calls under way, and gives the answers that their callers get.
    pub(super) fn lose_calls(&mut self) -> Vec<Vec<u8>> {
        let message = "the collector ended while the call was under way";
        let hint = "call again: it is being restarted";
        let error = ToolError::new(Code::CollectorRestarted, message, hint);
        let lost: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, pending)| matches!(pending, Pending::Call))
            .map(|(id, _)| id.clone())
            .collect();
        let modern = self.initialize.is_none();
        lost.iter()
            .filter(|id| self.pending.remove(*id).is_some())
            .filter_map(|id| serde_json::from_str(id).ok())
            .map(|id| tool_failure(&id, &error, modern))
            .collect()
    }

    /// Gives what a new collector must hear to stand where the old one stood.
    pub(super) fn replay(&mut self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut initialize = self.initialize.clone();
        let asked = initialize.as_ref().and_then(|message| message.get("id")).map(Value::to_string);
        if let Some(first) = asked.and_then(|id| self.pending.get(&id)) {
            // The client has no answer yet, so it gets this one.
            if let Pending::Repeatable(line) = first {
                lines.push(line.clone());
            }
        } else if let Some(Value::Object(message)) = &mut initialize {
            message.insert("id".to_owned(), self.own_id());
            lines.push(written(&Value::Object(message.clone())));
        }
        lines.extend(self.initialized.clone());
        for uri in self.followed.clone() {
            let params = json!({"uri": uri});
            let id = self.own_id();
            let method = "resources/subscribe";
            lines.push(written(&json!(
                {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
            )));
        }
        let first = lines.first().cloned();
        self.acknowledged_again = 0;
        for pending in self.pending.values() {
            match pending {
                Pending::Repeatable(line) if Some(line) != first.as_ref() => {
                    lines.push(line.clone());
                }
                Pending::Listening(line) => {
                    self.acknowledged_again += 1;
                    lines.push(line.clone());
                }
                _ => {}
            }
        }
        lines
    }

    /// Answers a line for which there is no collector; a notification needs no answer.
    pub(super) fn refuse(&mut self, line: Vec<u8>, why: &str) -> Option<Vec<u8>> {
        let envelope = match serde_json::from_slice::<Envelope<'_>>(&line) {
            Ok(envelope) => envelope,
            Err(error) => return Some(refusal_of(&line, &error)),
        };
        let (id, method) = (envelope.id?, envelope.method?);
        if method != "tools/call" {
            return Some(rejection(&id, SERVER_ERROR, why));
        }
        let error = ToolError::new(Code::Unreachable, why, "start it: ot-aiops run");
        Some(tool_failure(&id, &error, self.initialize.is_none()))
    }

    fn own_id(&mut self) -> Value {
        self.own_ids += 1;
        json!(format!("{OWN_ID}{}", self.own_ids))
    }
}

fn with_toolset(line: &[u8], toolset: &Toolset) -> Option<Vec<u8>> {
    let mut message: Value = serde_json::from_slice(line).ok()?;
    let params = message.as_object_mut()?.entry("params").or_insert_with(|| json!({}));
    let meta = params.as_object_mut()?.entry("_meta").or_insert_with(|| json!({}));
    meta.as_object_mut()?.insert(TOOLSET_KEY.to_owned(), json!(toolset.to_string()));
    Some(written(&message))
}

fn tool_failure(id: &Value, error: &ToolError, modern: bool) -> Vec<u8> {
    let content = json!({ "error": error });
    let text = json!({"type": "text", "text": content.to_string()});
    let mut result = json!({"content": [text], "structuredContent": content, "isError": true});
    if let (true, Value::Object(result)) = (modern, &mut result) {
        result.insert("resultType".to_owned(), json!("complete"));
    }
    written(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn written(message: &Value) -> Vec<u8> {
    ended(message.to_string().into_bytes())
}

fn ended(mut line: Vec<u8>) -> Vec<u8> {
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay() -> Relay {
        Relay::new(Toolset::Core)
    }

    fn onward(relay: &mut Relay, message: &Value) -> Value {
        match relay.take_from_client(message.to_string().into_bytes()) {
            Passage::Onward(line) => serde_json::from_slice(&line).unwrap(),
            Passage::Back(line) => panic!("{}", String::from_utf8_lossy(&line)),
        }
    }

    fn request(id: u32, method: &str, params: &Value) -> Value {
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    fn answer(id: u32) -> Vec<u8> {
        json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string().into_bytes()
    }

    fn values(lines: &[Vec<u8>]) -> Vec<Value> {
        lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn the_toolset_rides_on_each_tools_list() {
        let mut relay = relay();
        let sent = onward(&mut relay, &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
        assert_eq!(sent["params"]["_meta"][TOOLSET_KEY], "core");
    }

    #[test]
    fn a_restart_repeats_the_handshake_and_hides_its_answer() {
        let mut relay = relay();
        onward(&mut relay, &request(0, "initialize", &json!({"protocolVersion": "2025-06-18"})));
        assert!(relay.take_from_collector(answer(0)).is_some());
        onward(&mut relay, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        onward(&mut relay, &request(1, "resources/subscribe", &json!({"uri": "ot://tag/a"})));
        relay.take_from_collector(answer(1));
        let replayed = values(&relay.replay());
        let methods: Vec<&str> = replayed.iter().map(|m| m["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["initialize", "notifications/initialized", "resources/subscribe"]);
        assert_eq!(replayed[0]["params"]["protocolVersion"], "2025-06-18");
        let hidden = json!({"jsonrpc": "2.0", "id": replayed[0]["id"], "result": {}});
        assert_eq!(relay.take_from_collector(hidden.to_string().into_bytes()), None);
    }

    #[test]
    fn a_handshake_without_an_answer_is_repeated_as_it_was() {
        let mut relay = relay();
        onward(&mut relay, &request(0, "initialize", &json!({})));
        let replayed = values(&relay.replay());
        assert_eq!(replayed.len(), 1);
        assert_eq!(replayed[0]["id"], 0);
        assert!(relay.take_from_collector(answer(0)).is_some());
    }

    #[test]
    fn calls_are_lost_once_and_everything_else_is_asked_again() {
        let mut relay = relay();
        onward(&mut relay, &request(1, "tools/call", &json!({"name": "x"})));
        onward(&mut relay, &request(2, "resources/list", &json!({})));
        assert!(!relay.is_idle());
        let lost = values(&relay.lose_calls());
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0]["id"], 1);
        let error = &lost[0]["result"]["structuredContent"]["error"];
        assert_eq!(error["code"], "collector_restarted");
        assert_eq!(error["retry"], "later");
        assert!(relay.lose_calls().is_empty());
        assert_eq!(values(&relay.replay())[0]["method"], "resources/list");
    }

    #[test]
    fn a_standing_subscription_is_opened_again_in_silence() {
        let mut relay = relay();
        onward(&mut relay, &request(1, "subscriptions/listen", &json!({})));
        let method = "notifications/subscriptions/acknowledged";
        let granted = json!({"jsonrpc": "2.0", "method": method}).to_string().into_bytes();
        assert!(relay.take_from_collector(granted.clone()).is_some());
        assert!(relay.is_idle());
        assert_eq!(relay.replay().len(), 1);
        assert_eq!(relay.take_from_collector(granted.clone()), None);
        assert!(relay.take_from_collector(granted).is_some());
    }

    #[test]
    fn what_is_cancelled_is_waited_for_no_longer() {
        let mut relay = relay();
        onward(&mut relay, &request(1, "tools/call", &json!({"name": "x"})));
        let params = json!({"requestId": 1});
        let method = "notifications/cancelled";
        onward(&mut relay, &json!({"jsonrpc": "2.0", "method": method, "params": params}));
        assert!(relay.is_idle() && relay.lose_calls().is_empty());
    }

    #[test]
    fn without_a_collector_each_request_is_answered() {
        let mut relay = relay();
        let call = request(1, "tools/call", &json!({})).to_string().into_bytes();
        let refused: Value = serde_json::from_slice(&relay.refuse(call, "gone").unwrap()).unwrap();
        assert_eq!(refused["result"]["structuredContent"]["error"]["code"], "unreachable");
        let list = request(2, "tools/list", &json!({})).to_string().into_bytes();
        let refused: Value = serde_json::from_slice(&relay.refuse(list, "gone").unwrap()).unwrap();
        assert_eq!(refused["error"]["message"], "gone");
        assert_eq!(relay.refuse(br#"{"method": "notifications/x"}"#.to_vec(), "gone"), None);
    }

    #[test]
    fn garbage_is_answered_without_asking_the_collector() {
        let Passage::Back(line) = relay().take_from_client(b"{nonsense".to_vec()) else { panic!() };
        let answer: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(answer["error"]["code"], -32700);
    }
}
