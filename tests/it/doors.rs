//! The wire: what is no JSON, too long, too deep, too much, or never read.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::collector::{Collector, good_tags};
use crate::device::Device;
use crate::plant::{Endpoint, plant};
use crate::wait::{PATIENCE, eventually};
use crate::wire::{Client, answer};

async fn small_plant() -> (Device, Collector) {
    let device = Device::start().await.holding(0, &[1, 2, 3]);
    let endpoint = Endpoint::modbus("plc", device.port).tag("one", "holding:0", "").tag(
        "two",
        "holding:1",
        "",
    );
    let collector = Collector::start(&plant(&[endpoint])).await;
    good_tags(&collector.agent().await, &["one", "two"]).await;
    (device, collector)
}

/// The session still answers.
async fn is_alive(client: &Client) {
    let items = client.call("tag_read", json!({"tags": ["one"]})).await.good();
    assert_eq!(items["items"][0]["value"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_request_get_an_error_and_the_session_goes_on() {
    let (_device, collector) = small_plant().await;
    let mut bridge = collector.program(&collector.bridge()[0]);
    bridge.args(&collector.bridge()[1..]);
    for client in [collector.agent().await, Client::process(bridge).await] {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"pad\":\"{}\"}}", "x".repeat(2 << 20));
        for (line, codes) in [
            (b"this is not JSON".as_slice(), [-32700, -32600].as_slice()),
            (b"\xff\xfe\x00", &[-32700, -32600]),
            (b"{\"jsonrpc\":\"2.0\",\"id\":", &[-32700, -32600]),
            (deep.as_bytes(), &[-32700, -32600]),
            (long.as_bytes(), &[-32700, -32600]),
            (b"[]", &[-32700, -32600]),
        ] {
            client.line(line).await.unwrap();
            let what = String::from_utf8_lossy(&line[..line.len().min(30)]).into_owned();
            let error = eventually(&format!("an error for {what}"), async || {
                client.other.lock().unwrap().pop()
            })
            .await;
            let code = error["error"]["code"].as_i64().unwrap_or_else(|| panic!("{what}: {error}"));
            assert!(codes.contains(&code), "{what}: {error}");
            is_alive(&client).await;
        }
        let unknown = client.request("no/such/method", json!({})).await;
        assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
        let wrong = client.request("tools/call", json!({"name": 7})).await;
        assert!(wrong["error"]["code"].is_i64(), "{wrong}");
        is_alive(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_at_once_are_all_answered_or_told_busy() {
    let (_device, collector) = small_plant().await;
    let client = collector.agent().await;
    let mut responses = Vec::new();
    for _ in 0..10_000 {
        let params = json!({"name": "tag_read", "arguments": {"tags": ["one", "two"]}});
        responses.push(client.send("tools/call", params).await.1);
    }
    let mut good = 0;
    for response in responses {
        let response: Value = timeout(PATIENCE, response).await.unwrap().unwrap();
        if response["result"].is_object() && response["result"]["isError"] != true {
            assert_eq!(answer(&response).good()["items"][1]["value"], 2);
            good += 1;
        } else {
            assert!(response.to_string().contains("busy"), "{response}");
        }
    }
    assert!(good >= 32, "only {good} were answered");
    is_alive(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_dropped_and_delays_nobody() {
    let (_device, collector) = small_plant().await;
    let socket = collector.state().join("run/agent.sock");
    let mut deaf = UnixStream::connect(&socket).await.unwrap();
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "deaf", "version": "1"}}});
    let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    deaf.write_all(format!("{hello}\n{done}\n").as_bytes()).await.unwrap();
    let other = collector.agent().await;
    // It asks and asks, and never reads, until the collector will take no more.
    let mut asked = 0_u64;
    let dropped = loop {
        asked += 1;
        let ask = json!({"jsonrpc": "2.0", "id": asked, "method": "tools/list"});
        let line = format!("{ask}\n");
        match timeout(Duration::from_secs(30), deaf.write_all(line.as_bytes())).await {
            Ok(Ok(())) if asked < 1_000_000 => {}
            Ok(Ok(())) => break false,
            Ok(Err(_)) => break true,
            Err(_) => panic!("neither read from nor dropped after {asked} requests"),
        }
        if asked.is_multiple_of(1000) {
            is_alive(&other).await;
        }
    };
    assert!(dropped, "{asked} requests were swallowed");
    is_alive(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_ends_with_its_input_and_never_starts_one_when_attaching() {
    let (_device, collector) = small_plant().await;
    let words = collector.bridge();
    let mut bridge = collector.program(&words[0]);
    bridge.args(&words[1..]);
    let mut client = Client::process(bridge).await;
    is_alive(&client).await;
    let mut child = client.child.take().unwrap();
    drop(client);
    let status = timeout(PATIENCE, child.wait()).await.expect("the bridge ends").unwrap();
    assert!(status.success(), "{status}");

    let empty = tempfile::tempdir().unwrap();
    let mut lonely = Command::new(env!("CARGO_BIN_EXE_ot-aiops"));
    lonely.args(["mcp", "--attach", "--state"]).arg(empty.path()).env("HOME", empty.path());
    let output = timeout(PATIENCE, lonely.stdin(std::process::Stdio::null()).output()).await;
    output.expect("the bridge ends").unwrap();
    assert!(!empty.path().join("run/agent.sock").exists(), "--attach never starts a collector");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_closed_to_others_and_a_second_collector_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (_device, collector) = small_plant().await;
    let mode = |below: &str| {
        let meta = std::fs::metadata(collector.state().join(below)).unwrap();
        meta.permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("run")), (0o711, 0o711));
    for socket in ["run/agent.sock", "run/operator.sock"] {
        assert_eq!(mode(socket) & 0o007, 0, "{socket} is closed to others");
    }
    assert_eq!(mode("samples.redb"), 0o600);
    let mut second = collector.program(env!("CARGO_BIN_EXE_ot-aiops"));
    second.arg("run").arg("--config").arg(collector.config()).arg("--state");
    let output = timeout(PATIENCE, second.arg(collector.state()).output()).await;
    let output = output.expect("the second collector ends").unwrap();
    assert!(!output.status.success());
    is_alive(&collector.agent().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_does_not_live_for_ever() {
    let (_device, collector) = small_plant().await;
    let mut silent = UnixStream::connect(collector.state().join("run/agent.sock")).await.unwrap();
    let mut byte = [0_u8; 1];
    let end = timeout(PATIENCE, silent.read(&mut byte)).await.expect("it is closed");
    assert!(matches!(end, Ok(0) | Err(_)), "closed without a word");
}
