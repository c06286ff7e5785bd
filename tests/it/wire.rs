//! A minimal MCP client of our own: JSON-RPC, one message a line, over any pair of streams.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex as Lock};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use crate::wait::PATIENCE;

type Waiting = Arc<Lock<HashMap<u64, oneshot::Sender<Value>>>>;

/// A session with a collector.
pub(crate) struct Client {
    out: Mutex<Box<dyn AsyncWrite + Send + Unpin>>,
    waiting: Waiting,
    /// Messages that answer nothing: notifications, and errors without an id.
    pub(crate) other: Arc<Lock<Vec<Value>>>,
    next_id: AtomicU64,
    /// What `initialize` answered.
    pub(crate) greeting: Value,
    /// The bridge process, where there is one.
    pub(crate) child: Option<Child>,
}

/// The answer of a tool: the same object as text and as structured content.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Whether the call failed.
    pub(crate) is_error: bool,
    /// The structured content.
    pub(crate) value: Value,
}

impl Answer {
    /// Gives the result of a call that must have succeeded.
    pub(crate) fn good(self) -> Value {
        assert!(!self.is_error, "the call failed: {}", self.value);
        self.value
    }

    /// Gives the code of a call that must have failed as the contract says.
    pub(crate) fn code(&self) -> &str {
        assert!(self.is_error, "the call should have failed: {}", self.value);
        let error = &self.value["error"];
        for field in ["message", "hint"] {
            assert!(error[field].as_str().is_some_and(|t| !t.is_empty()), "{field}: {error}");
        }
        let retry = error["retry"].as_str().unwrap_or_default();
        assert!(["no", "later", "after_fix"].contains(&retry), "retry: {error}");
        error["code"].as_str().unwrap_or_else(|| panic!("no code: {error}"))
    }
}

impl Client {
    /// Opens a session at a collector's socket.
    pub(crate) async fn socket(path: &Path) -> Self {
        let stream = UnixStream::connect(path).await.unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let (read, write) = stream.into_split();
        Self::over(read, write).await
    }

    /// Opens a session through a process that speaks MCP on its standard streams.
    pub(crate) async fn process(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (read, write) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        Self { child: Some(child), ..Self::over(read, write).await }
    }

    /// Opens a session over any pair of streams.
    async fn over(
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let (waiting, other) = (Waiting::default(), Arc::<Lock<Vec<Value>>>::default());
        tokio::spawn(receive(read, waiting.clone(), other.clone()));
        let mut client = Self {
            out: Mutex::new(Box::new(write)),
            waiting,
            other,
            next_id: AtomicU64::new(1),
            greeting: Value::Null,
            child: None,
        };
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "harness", "version": "1"}
        });
        let greeting = client.request("initialize", hello).await;
        client.greeting = greeting["result"].clone();
        assert!(client.greeting.is_object(), "initialize failed: {greeting}");
        client.notify("notifications/initialized", json!({})).await;
        client
    }

    /// Sends a request and gives the whole response.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Value {
        let (id, response) = self.send(method, params).await;
        match timeout(PATIENCE, response).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => panic!("{method} ({id}): the session ended without an answer"),
            Err(_) => panic!("{method} ({id}): no answer in {} s", PATIENCE.as_secs()),
        }
    }

    /// Sends a request and gives its id and the response to come.
    pub(crate) async fn send(
        &self,
        method: &str,
        params: Value,
    ) -> (u64, oneshot::Receiver<Value>) {
        let id = self.next_id.fetch_add(1, Relaxed);
        let (answer, response) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, answer);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.line(request.to_string().as_bytes()).await.unwrap();
        (id, response)
    }

    /// Sends a notification.
    pub(crate) async fn notify(&self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.line(message.to_string().as_bytes()).await.unwrap();
    }

    /// Sends one line as it is.
    pub(crate) async fn line(&self, line: &[u8]) -> std::io::Result<()> {
        let mut out = self.out.lock().await;
        out.write_all(line).await?;
        out.write_all(b"\n").await?;
        out.flush().await
    }

    /// Calls a tool; holds the answer against what every answer must be.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        let params = json!({"name": tool, "arguments": arguments});
        let response = self.request("tools/call", params).await;
        answer(&response)
    }

    /// Lists every tool on offer.
    pub(crate) async fn tools(&self) -> Vec<Value> {
        let response = self.request("tools/list", json!({})).await;
        assert!(response["result"]["nextCursor"].is_null(), "one page holds them all");
        response["result"]["tools"].as_array().unwrap().clone()
    }
}

/// Reads a tool's answer out of a response.
pub(crate) fn answer(response: &Value) -> Answer {
    let result = &response["result"];
    let value = result["structuredContent"].clone();
    assert!(value.is_object(), "no structured content: {response}");
    let blocks = result["content"].as_array().unwrap();
    assert_eq!(blocks.len(), 1, "one text block: {response}");
    let text: Value = serde_json::from_str(blocks[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, value, "the text and the structured content are the same JSON");
    Answer { is_error: result["isError"].as_bool().unwrap_or_default(), value }
}

async fn receive(read: impl AsyncRead + Unpin, waiting: Waiting, other: Arc<Lock<Vec<Value>>>) {
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| {
            panic!("not JSON: {e}: {line}");
        });
        let asked = message["id"].as_u64().filter(|_| message["method"].is_null());
        let taken = asked.and_then(|id| waiting.lock().unwrap().remove(&id));
        match taken {
            // Whoever asked may have stopped waiting.
            Some(answer) => drop(answer.send(message)),
            None => other.lock().unwrap().push(message),
        }
    }
    waiting.lock().unwrap().clear();
}
