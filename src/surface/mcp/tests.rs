//! Sessions over an in-memory stream, spoken to line by line as a client would.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, split,
};

use super::*;
use crate::model::Door;
use crate::surface::testing::{self, TAG, TEST_TOOLS};

/// Room in the stream: small, so that a client that reads nothing is felt soon.
const STREAM_BYTES: usize = 64 * 1024;

struct Client {
    deps: Deps,
    read: BufReader<ReadHalf<DuplexStream>>,
    write: WriteHalf<DuplexStream>,
    serving: tokio::task::JoinHandle<()>,
    stopping: CancellationToken,
}

impl Client {
    fn raw() -> Self {
        let (ours, theirs) = duplex(STREAM_BYTES);
        let catalog: &'static Catalog = Box::leak(Box::new(Catalog::new(TEST_TOOLS)));
        let (deps, stopping) = (testing::plant(), CancellationToken::new());
        let caller = testing::caller(Door::Agent);
        let session = Session::new(deps.clone(), caller, catalog, stopping.clone());
        let serving = tokio::spawn(serve(session, split(theirs), Limits::SOCKET));
        let (read, write) = split(ours);
        Self { deps, read: BufReader::new(read), write, serving, stopping }
    }

    async fn legacy() -> Self {
        let mut client = Self::raw();
        let params = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"}
        });
        let hello = client.ask(0, "initialize", params).await;
        assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        client
    }

    async fn send(&mut self, message: &Value) {
        self.line(format!("{message}\n").as_bytes()).await;
    }

    async fn line(&mut self, line: &[u8]) {
        self.write.write_all(line).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let mut line = String::new();
        self.read.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap_or(Value::Null)
    }

    async fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.send(&request(id, method, params)).await;
        self.next().await
    }

    async fn call(&mut self, id: i64, tool: &str, arguments: Value) -> Value {
        self.ask(id, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    async fn call_2026(&mut self, id: i64, tool: &str, arguments: Value) -> Value {
        self.ask(id, "tools/call", modern(json!({"name": tool, "arguments": arguments}))).await
    }
}

fn request(id: i64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

fn error(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let error = &answer["result"]["structuredContent"]["error"];
    let text: Value =
        serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text["error"], *error);
    assert!(error["hint"].is_string() && error["retry"].is_string(), "{answer}");
    error["code"].as_str().unwrap()
}

#[tokio::test]
async fn the_older_generation_is_served_with_initialize() {
    let mut client = Client::legacy().await;
    let list = client.ask(1, "tools/list", json!({})).await;
    let first = &list["result"]["tools"][0];
    assert_eq!(first["name"], "test_echo");
    assert_eq!(first["description"], "Gives text back.");
    assert_eq!(first["outputSchema"]["anyOf"].as_array().unwrap().len(), 2);
    let answer = client.call(2, "test_echo", json!({"text": "hello"})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "hello");
    assert_eq!(answer["result"]["isError"], false);
}

#[tokio::test]
async fn the_newer_generation_is_served_without() {
    let mut client = Client::raw();
    let found = client.ask(0, "server/discover", modern(json!({}))).await;
    let versions = found["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")), "{found}");
    let answer = client.call_2026(1, "test_echo", json!({"text": "hello"})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "hello");
    assert_eq!(answer["result"]["resultType"], "complete");
}

#[tokio::test]
async fn the_instructions_are_short_and_constant() {
    assert!(INSTRUCTIONS.split_whitespace().count() <= 200);
    let first = Client::raw().ask(0, "server/discover", modern(json!({}))).await;
    let again = Client::raw().ask(0, "server/discover", modern(json!({}))).await;
    assert_eq!(first["result"]["instructions"], again["result"]["instructions"]);
    assert_eq!(first["result"]["instructions"], INSTRUCTIONS);
}

#[tokio::test]
async fn a_toolset_is_chosen_by_metadata() {
    let mut client = Client::legacy().await;
    let meta = json!({"_meta": {TOOLSET_KEY: "core"}});
    let list = client.ask(1, "tools/list", meta).await;
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 1);
    let meta = json!({"_meta": {TOOLSET_KEY: "nonsense"}});
    let list = client.ask(2, "tools/list", meta).await;
    assert_eq!(list["error"]["code"], -32602);
}

#[tokio::test]
async fn a_panicking_tool_answers_an_error_and_the_session_goes_on() {
    let mut client = Client::legacy().await;
    let answer = client.call(1, "test_panics", json!({})).await;
    assert_eq!(error(&answer), "internal");
    let answer = client.call(2, "test_echo", json!({"text": "on"})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "on");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_tool_answers_at_its_deadline_and_delays_nobody() {
    let mut client = Client::legacy().await;
    client.send(&request(1, "tools/call", json!({"name": "test_hangs"}))).await;
    let answer = client.call(2, "test_echo", json!({"text": "on"})).await;
    assert_eq!(answer["id"], 2);
    let answer = client.next().await;
    assert_eq!(answer["id"], 1);
    assert_eq!(error(&answer), "deadline_exceeded");
}

#[tokio::test]
async fn wrong_calls_are_answered_in_band_with_what_was_meant() {
    let mut client = Client::legacy().await;
    let answer = client.call(1, "test_eco", json!({})).await;
    assert_eq!(error(&answer), "unknown_tool");
    let details = &answer["result"]["structuredContent"]["error"];
    assert_eq!(details["did_you_mean"][0], "test_echo");
    let answer = client.call(2, "test_echo", json!({"txt": "x"})).await;
    assert_eq!(error(&answer), "bad_arguments");
    let details = &answer["result"]["structuredContent"]["error"];
    assert_eq!(details["did_you_mean"], json!(["text"]));
    for wrong in [
        json!({}),
        json!({"text": 1}),
        json!({"text": "x", "count": -1}),
        json!({"text": "x", "count": 1e300}),
        json!({"text": null}),
    ] {
        let answer = client.call(3, "test_echo", wrong).await;
        assert_eq!(error(&answer), "bad_arguments");
    }
}

#[tokio::test]
async fn an_answer_above_the_limit_is_an_error() {
    let mut client = Client::legacy().await;
    let answer = client.call(1, "test_big", json!({})).await;
    assert_eq!(error(&answer), "bad_arguments");
}

#[tokio::test]
async fn bad_lines_are_answered_and_the_session_goes_on() {
    let mut client = Client::legacy().await;
    let long = [vec![b'x'; 2_000_000], vec![b'\n']].concat();
    let deep = format!("{{\"id\":1,\"x\":{}\n", "[".repeat(1000)).into_bytes();
    let cases: [(&[u8], i64); 5] = [
        (&long, -32600),
        (b"{garbage\n", -32700),
        (b"{\"jsonrpc\":\"2.0\",\"x\":\"\xff\"}\n", -32700),
        (&deep, -32700),
        (b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]\n", -32600),
    ];
    for (line, code) in cases {
        client.line(line).await;
        let answer = client.next().await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert_eq!(answer["id"], Value::Null);
    }
    let answer = client.call(2, "test_echo", json!({"text": "on"})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "on");
}

#[tokio::test]
async fn bad_parameters_of_a_known_method_are_no_unknown_method() {
    let mut client = Client::legacy().await;
    let answer = client.ask(1, "tools/call", json!({"name": 7})).await;
    assert_eq!(answer["error"]["code"], -32602);
    let answer = client.ask(2, "tools/nonsense", json!({})).await;
    assert_eq!(answer["error"]["code"], -32601);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_id_is_refused_and_the_first_call_lives() {
    let mut client = Client::legacy().await;
    client.send(&request(1, "tools/call", json!({"name": "test_counts"}))).await;
    let refusal = client.call(1, "test_echo", json!({"text": "x"})).await;
    assert_eq!(refusal["error"]["code"], -32600);
    assert_eq!(refusal["id"], Value::Null);
    let answer = client.next().await;
    assert_eq!(answer["result"]["structuredContent"], json!({"items": 3}));
}

#[tokio::test]
async fn notifications_before_the_first_request_are_harmless() {
    let mut client = Client::raw();
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    client.send(&json!({"jsonrpc": "2.0", "id": 3, "result": {}})).await;
    let answer = client.ask(1, "ping", json!({})).await;
    assert_eq!(answer["result"], json!({}));
}

#[tokio::test]
async fn ten_thousand_requests_at_once_are_all_answered() {
    let client = Client::legacy().await;
    let (mut read, mut write) = (client.read, client.write);
    tokio::spawn(async move {
        for id in 1..=10_000 {
            let call = json!({"name": "test_echo", "arguments": {"text": "x".repeat(100)}});
            let line = format!("{}\n", request(id, "tools/call", call));
            write.write_all(line.as_bytes()).await.unwrap();
        }
        // The session ends with the stream: keep it until all is read.
        std::future::pending::<()>().await;
    });
    let mut ids = std::collections::HashSet::new();
    while ids.len() < 10_000 {
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let content = &answer["result"]["structuredContent"];
        assert!(content["text"].is_string() || content["error"]["code"] == "busy", "{answer}");
        assert!(ids.insert(answer["id"].as_i64().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_thirty_third_call_is_told_to_wait() {
    let mut client = Client::legacy().await;
    for id in 1..=33 {
        client.send(&request(id, "tools/call", json!({"name": "test_hangs"}))).await;
    }
    let answer = client.next().await;
    assert_eq!(error(&answer), "busy");
    let cancelled = json!({"requestId": 5});
    let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled});
    client.send(&note).await;
    let mut answer = client.call(40, "test_echo", json!({"text": "x"})).await;
    if answer["result"]["isError"] == true {
        // The cancelled call frees its place when its task next runs.
        assert_eq!(error(&answer), "busy");
        answer = client.call(41, "test_echo", json!({"text": "x"})).await;
    }
    assert_eq!(answer["result"]["structuredContent"]["text"], "x");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_dropped_and_its_calls_end() {
    let client = Client::legacy().await;
    let (_read, mut write) = (client.read, client.write);
    let flood = async {
        let mut id = 1;
        loop {
            let call = json!({"name": "test_echo", "arguments": {"text": "x".repeat(20_000)}});
            let line = format!("{}\n", request(id, "tools/call", call));
            if write.write_all(line.as_bytes()).await.is_err() {
                return id;
            }
            id += 1;
        }
    };
    let taken = flood.await;
    // 2 MiB of answers of 40 KB, the calls in flight, and what lay in the stream.
    assert!(taken < 1000, "{taken} requests were taken");
    client.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_dropped() {
    let mut client = Client::raw();
    assert_eq!(client.next().await, Value::Null);
    client.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_input_still_gets_its_answers() {
    let mut client = Client::legacy().await;
    client.send(&request(1, "tools/call", json!({"name": "test_counts"}))).await;
    client.write.shutdown().await.unwrap();
    let answer = client.next().await;
    assert_eq!(answer["result"]["structuredContent"], json!({"items": 3}));
    client.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn progress_comes_in_order_and_before_the_answer() {
    let mut client = Client::legacy().await;
    let params = json!({"name": "test_counts", "_meta": {"progressToken": "p"}});
    let mut message = client.ask(1, "tools/call", params).await;
    let mut told = Vec::new();
    while message["method"] == "notifications/progress" {
        assert_eq!(message["params"]["progressToken"], "p");
        told.push(message["params"]["progress"].as_f64().unwrap());
        message = client.next().await;
    }
    assert_eq!(told, [1.0, 2.0]);
    assert_eq!(message["result"]["structuredContent"], json!({"items": 3}));
}

#[tokio::test(start_paused = true)]
async fn a_stopping_collector_says_so_to_calls_under_way() {
    let mut client = Client::legacy().await;
    client.send(&request(1, "tools/call", json!({"name": "test_hangs"}))).await;
    let answer = client.call(2, "test_echo", json!({"text": "x"})).await;
    assert_eq!(answer["id"], 2);
    client.stopping.cancel();
    assert_eq!(error(&client.next().await), "collector_restarted");
    client.serving.await.unwrap();
}

#[tokio::test]
async fn a_tag_is_listed_read_and_completed() {
    let mut client = Client::legacy().await;
    let list = client.ask(1, "resources/list", json!({})).await;
    let uri = list["result"]["resources"][0]["uri"].clone();
    assert_eq!(uri, "ot://tag/site/line%201/temp");
    let read = client.ask(2, "resources/read", json!({"uri": uri})).await;
    let text = read["result"]["contents"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["tag"], TAG);
    let read = client.ask(3, "resources/read", json!({"uri": "ot://tag/none"})).await;
    assert_eq!(read["error"]["code"], -32002);
    let template = json!({"type": "ref/resource", "uri": "ot://tag/{name}"});
    let params = json!({"ref": template, "argument": {"name": "name", "value": "site/"}});
    let complete = client.ask(4, "completion/complete", params).await;
    assert_eq!(complete["result"]["completion"]["values"], json!([TAG]));
}

#[tokio::test(start_paused = true)]
async fn the_older_generation_hears_of_changes_at_most_once_a_second() {
    let mut client = Client::legacy().await;
    let uri = json!({"uri": "ot://tag/site/line%201/temp"});
    client.ask(1, "resources/subscribe", uri.clone()).await;
    let started = tokio::time::Instant::now();
    for value in 2_u8..50 {
        testing::change(&client.deps, f64::from(value));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..3 {
        let note = client.next().await;
        assert_eq!(note["method"], "notifications/resources/updated");
        assert_eq!(note["params"]["uri"], uri["uri"]);
    }
    assert!(started.elapsed() >= Duration::from_secs(2));
    client.ask(2, "resources/unsubscribe", uri).await;
    testing::change(&client.deps, 100.0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(client.ask(3, "ping", json!({})).await["id"], 3);
}

#[tokio::test(start_paused = true)]
async fn the_newer_generation_listens() {
    let mut client = Client::raw();
    let uri = "ot://tag/site/line%201/temp";
    let wish = json!({"resourceSubscriptions": [uri, "ot://tag/none"]});
    let params = modern(json!({"notifications": wish}));
    let granted = client.ask(1, "subscriptions/listen", params).await;
    assert_eq!(granted["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(granted["params"]["notifications"]["resourceSubscriptions"], json!([uri]));
    testing::change(&client.deps, 2.0);
    let note = client.next().await;
    assert_eq!(note["method"], "notifications/resources/updated");
    assert_eq!(note["params"]["uri"], uri);
}
