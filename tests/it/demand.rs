//! What a call costs the device: counted there, and held against what the answer says.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::device::{Device, Request};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wire::Client;

/// No scan within a test but the first.
const ONCE: &str = "scan_ms = 3600000";

fn cost(answer: &Value) -> u64 {
    answer["provenance"]["device_requests"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

fn source(answer: &Value) -> &str {
    answer["provenance"]["source"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_demands_for_one_address_cost_one_request() {
    let device = Device::start().await.holding(100, &[7, 8, 9]);
    let collector = Collector::start(&plant(&[Endpoint::modbus("plc", device.port)])).await;
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(Arc::new(collector.agent().await));
    }
    // The age makes late ones count too: they find the answer of the first in the cache.
    let ask = json!({"address": 100, "count": 3, "max_age_s": 60});
    let calls = (0..1000).map(|i| {
        let (session, ask) = (sessions[i % sessions.len()].clone(), ask.clone());
        async move { session.call("modbus_read_holding", ask).await.good() }
    });
    let answers = join_all(calls).await;
    assert!(answers.iter().all(|a| a["raw_registers"] == json!([7, 8, 9])));
    let wanted = Request { unit: 1, function: 3, address: 100, count: 3 };
    assert_eq!(device.requests(), [wanted], "one request reached the device");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reads_of_scanned_tags_cost_nothing() {
    let device = Device::start().await.holding(0, &[11, 12, 13]);
    let endpoint = Endpoint::modbus("plc", device.port)
        .tag("a", "holding:0", ONCE)
        .tag("b", "holding:1", ONCE)
        .tag("c", "holding:2", ONCE);
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["a", "b", "c"]).await;
    let before = device.requests();
    for _ in 0..500 {
        let answer = client.call("tag_read", json!({"tags": ["a", "b", "c"]})).await.good();
        assert_eq!(answer["items"][1]["value"], 12);
        let block = client.call("modbus_read_holding", json!({"address": 0, "count": 3})).await;
        let block = block.good();
        assert_eq!(block["raw_registers"], json!([11, 12, 13]));
        assert_eq!((source(&block), cost(&block)), ("cache", 0));
    }
    assert_eq!(device.requests(), before, "the device was asked nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_state_exactly_what_the_modbus_device_was_asked() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let collector = Collector::start(&plant(&[Endpoint::modbus("plc", counter.port)])).await;
    let client = collector.agent().await;
    let mut said = 0;
    for (tool, arguments) in [
        ("modbus_read_holding", json!({"address": 0, "count": 10})),
        ("modbus_read_holding", json!({"address": 0, "count": 10, "max_age_s": 0})),
        ("modbus_read_holding", json!({"address": 0, "count": 10, "max_age_s": 600})),
        ("modbus_read_input", json!({"address": 0, "count": 125})),
        ("modbus_read_coils", json!({"address": 0, "count": 2000})),
        ("modbus_health_summary", json!({"addresses": [0, 1, 2, 3, 1500]})),
    ] {
        let before = counter.messages();
        let answer = client.call(tool, arguments.clone()).await.good();
        said += cost(&answer);
        let asked = counter.messages() - before;
        assert_eq!(cost(&answer), asked, "{tool} {arguments}: {answer}");
        assert_eq!(source(&answer), if asked == 0 { "cache" } else { "device" });
    }
    assert_eq!(said, counter.messages());
    assert_eq!(counter.connections(), 1, "one connection, kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identical_read_within_max_age_comes_from_the_cache_with_its_age() {
    let device = Device::start().await.holding(5, &[1]);
    let collector = Collector::start(&plant(&[Endpoint::modbus("plc", device.port)])).await;
    let client = collector.agent().await;
    let first = client.call("modbus_read_holding", json!({"address": 5})).await.good();
    assert_eq!((source(&first), cost(&first)), ("device", 1));
    device.set(3, 5, &[2]);
    let cached = json!({"address": 5, "max_age_s": 600});
    let cached = client.call("modbus_read_holding", cached).await.good();
    assert_eq!(cached["raw_registers"], json!([1]), "the cached value, not a new one");
    assert_eq!((source(&cached), cost(&cached)), ("cache", 0));
    assert!(cached["provenance"]["age_ms"].is_u64());
    let now = json!({"address": 5, "max_age_s": 0});
    let now = client.call("modbus_read_holding", now).await.good();
    assert_eq!(now["raw_registers"], json!([2]));
    assert_eq!(device.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_budget_the_cache_answers_and_what_is_not_cached_fails_at_its_deadline() {
    let device = Device::start().await.holding(0, &[1, 2, 3, 4]);
    // One call, and the next one a good while after every deadline.
    let budget = "{ requests_per_s = 0.01, burst = 1, on_demand_share = 1.0 }";
    let endpoint = Endpoint::modbus("plc", device.port).budget(budget);
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    client.call("modbus_read_holding", json!({"address": 0})).await.good();
    let cached = json!({"address": 0, "max_age_s": 0});
    let cached = client.call("modbus_read_holding", cached).await.good();
    assert_eq!(cached["raw_registers"], json!([1]));
    assert_eq!(cached["provenance"]["budget"], "exhausted");
    assert_eq!((source(&cached), cost(&cached)), ("cache", 0));
    let other = client.call("modbus_read_holding", json!({"address": 3})).await;
    assert_eq!(other.code(), "budget_exhausted", "{}", other.value);
    assert_eq!(device.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_state_exactly_what_the_opcua_server_was_asked() {
    for (server, path) in [(peer::asyncua(), "/sim"), (peer::node_opcua(), "/UA/Sim")] {
        let counter = Counter::before(server.port, Framing::OpcUa).await;
        let collector =
            Collector::start(&plant(&[Endpoint::opcua("srv", counter.port, path)])).await;
        let client: Client = collector.agent().await;
        let mut said = 0;
        for (tool, arguments) in [
            // The first call pays for the connection: HEL, OPN, and the session.
            ("opcua_read_node", json!({"node_id": "i=2258"})),
            ("opcua_read_node", json!({"node_id": "i=2258", "max_age_s": 0})),
            ("opcua_read_node", json!({"node_id": "i=2258", "max_age_s": 600})),
            ("opcua_read_many", json!({"node_ids": ["i=2258", "i=2259", "i=2255"]})),
            ("opcua_browse", json!({"node_id": "i=85", "depth": 2})),
            ("opcua_server_info", json!({})),
        ] {
            let before = counter.messages();
            let answer = client.call(tool, arguments.clone()).await.good();
            let asked = counter.messages() - before;
            assert_eq!(cost(&answer), asked, "{path} {tool} {arguments}: {answer}");
            said += cost(&answer);
        }
        assert_eq!(said, counter.messages(), "{path}: nothing was asked behind the calls' back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_subscribed_tags_send_the_opcua_server_nothing() {
    let server = peer::asyncua();
    let counter = Counter::before(server.port, Framing::OpcUa).await;
    let endpoint = Endpoint::opcua("srv", counter.port, "/sim").tag("a", "ns=2;s=Zoo.F32", "").tag(
        "b",
        "ns=2;s=Zoo.U16",
        "",
    );
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["a", "b"]).await;
    let before = counter.questions();
    for _ in 0..500 {
        let answer = client.call("tag_read", json!({"tags": ["a", "b"]})).await.good();
        assert_eq!((source(&answer), cost(&answer)), ("cache", 0), "{answer}");
        let node = client.call("opcua_read_node", json!({"node_id": "ns=2;s=Zoo.F32"})).await;
        let node = node.good();
        assert_eq!((source(&node), cost(&node)), ("cache", 0), "{node}");
    }
    assert_eq!(counter.questions(), before, "the server was asked nothing more");
    assert!(before > 0 && counter.messages() > counter.questions(), "a subscription was up");
}
