//! The bridge against doors that really open, close and come back.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Doors;
use crate::surface::door::{Attendance, serve_catalog};
use crate::surface::mcp::Catalog;
use crate::surface::state::StateError;
use crate::surface::testing::{self, TEST_TOOLS};

struct Collecting {
    cancel: CancellationToken,
    serving: JoinHandle<Result<(), StateError>>,
}

impl Collecting {
    async fn start(state: &StateDir) -> Self {
        let claim = state.claim().unwrap();
        let (cancel, attendance) = (CancellationToken::new(), Attendance::default());
        let (until, watched) = (cancel.clone(), attendance.clone());
        let serving = tokio::spawn(async move {
            let catalog: &'static Catalog = Box::leak(Box::new(Catalog::new(TEST_TOOLS)));
            let options = Doors::default();
            serve_catalog(testing::plant(), catalog, &claim, &options, &watched, until).await
        });
        attendance.watch().wait_for(|now| now.open).await.unwrap();
        Self { cancel, serving }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

struct Client {
    input: DuplexStream,
    output: BufReader<DuplexStream>,
    pumping: JoinHandle<Result<(), BridgeError>>,
}

impl Client {
    fn start(state: &StateDir) -> Self {
        let (input, theirs_in) = duplex(64 * 1024);
        let (theirs_out, output) = duplex(64 * 1024);
        let (state, starting) = (state.clone(), Starting::Attach);
        let options = BridgeOptions { state, starting, toolset: Toolset::Core };
        let pumping = tokio::spawn(pump(options, theirs_in, theirs_out));
        Self { input, output: BufReader::new(output), pumping }
    }

    async fn send(&mut self, message: &Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        self.next().await
    }

    async fn initialize(&mut self) {
        let client = json!({"name": "t", "version": "1"});
        let params = json!(
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        );
        let hello = self.ask(0, "initialize", params).await;
        assert_eq!(hello["result"]["serverInfo"]["name"], "ot-aiops");
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    }
}

fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::at(dir.path());
    (dir, state)
}

#[tokio::test]
async fn a_session_survives_its_collectors_restart() {
    let (_dir, state) = state();
    let collecting = Collecting::start(&state).await;
    let mut client = Client::start(&state);
    client.initialize().await;
    let list = client.ask(1, "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 1);
    client
        .send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": "test_hangs"}}))
        .await;
    let echo = json!({"name": "test_echo", "arguments": {"text": "before"}});
    assert_eq!(client.ask(3, "tools/call", echo).await["id"], 3);
    collecting.stop().await;
    let lost = client.next().await;
    assert_eq!(lost["id"], 2);
    assert_eq!(lost["result"]["structuredContent"]["error"]["code"], "collector_restarted");
    let echo = json!({"name": "test_echo", "arguments": {"text": "after"}});
    let call = json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": echo});
    client.send(&call).await;
    let collecting = Collecting::start(&state).await;
    let answer = client.next().await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "after", "{answer}");
    drop(client.input);
    client.pumping.await.unwrap().unwrap();
    collecting.stop().await;
}

#[tokio::test]
async fn the_end_of_input_ends_the_bridge_after_its_answers() {
    let (_dir, state) = state();
    let collecting = Collecting::start(&state).await;
    let mut client = Client::start(&state);
    client.initialize().await;
    for id in 1..=20 {
        let echo = json!({"name": "test_echo", "arguments": {"text": "x"}});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": echo});
        client.send(&call).await;
    }
    client.input.shutdown().await.unwrap();
    let mut ids: Vec<u64> = Vec::new();
    for _ in 1..=20 {
        ids.push(client.next().await["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<u64>>());
    client.pumping.await.unwrap().unwrap();
    collecting.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_listening_ends_the_bridge() {
    let (_dir, state) = state();
    let collecting = Collecting::start(&state).await;
    let mut client = Client::start(&state);
    client.initialize().await;
    drop(client.output);
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    client.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    client.pumping.await.unwrap().unwrap();
    collecting.stop().await;
}

#[tokio::test]
async fn attaching_to_nothing_is_an_error_that_says_what_to_do() {
    let (_dir, state) = state();
    let client = Client::start(&state);
    let error = client.pumping.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("agent.sock") && error.contains("ot-aiops run"), "{error}");
}

#[tokio::test]
async fn bad_lines_are_answered_and_the_session_goes_on() {
    let (_dir, state) = state();
    let collecting = Collecting::start(&state).await;
    let mut client = Client::start(&state);
    client.initialize().await;
    client.input.write_all(&[vec![b'x'; 2_000_000], vec![b'\n']].concat()).await.unwrap();
    assert_eq!(client.next().await["error"]["code"], -32600);
    client.input.write_all(b"nonsense\n").await.unwrap();
    assert_eq!(client.next().await["error"]["code"], -32700);
    assert_eq!(client.ask(1, "ping", json!({})).await["result"], json!({}));
    drop(client.input);
    client.pumping.await.unwrap().unwrap();
    collecting.stop().await;
}

#[tokio::test]
async fn ten_thousand_calls_through_the_bridge_are_all_answered() {
    let (_dir, state) = state();
    let collecting = Collecting::start(&state).await;
    let mut client = Client::start(&state);
    client.initialize().await;
    let (mut input, mut output) = (client.input, client.output);
    let sending = tokio::spawn(async move {
        for id in 1..=10_000 {
            let echo = json!({"name": "test_echo", "arguments": {"text": "x".repeat(100)}});
            let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": echo});
            input.write_all(format!("{call}\n").as_bytes()).await.unwrap();
        }
        input
    });
    let mut ids = std::collections::HashSet::new();
    while ids.len() < 10_000 {
        let mut line = String::new();
        output.read_line(&mut line).await.unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(ids.insert(answer["id"].as_i64().unwrap()));
    }
    drop(sending.await.unwrap());
    client.pumping.await.unwrap().unwrap();
    collecting.stop().await;
}
