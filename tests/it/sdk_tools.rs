//! Every tool, right and wrong, through the official Python and TypeScript clients.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::agent::{Agent, xml};
use crate::broker::Broker;
use crate::collector::{Collector, good_tags};
use crate::golden::matches;
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::sdk::{Sdk, SdkClient};
use crate::writes::{opened, policy};

/// A tool, right arguments, a pointer into the answer and the value there, wrong arguments.
type Case = (&'static str, Value, &'static str, Value, Value);

fn cases() -> Vec<Case> {
    [fieldbus(), controllers(), writes(), tags()].concat()
}

/// The tools of Modbus and OPC UA.
fn fieldbus() -> Vec<Case> {
    let sum = json!({"addresses": [100], "thresholds": {"100": {"alarm_high": 100}}});
    let health =
        json!({"node_ids": ["ns=2;s=Zoo.U16"], "thresholds": {"ns=2;s=Zoo.U16": {"warn_high": 1}}});
    let node = json!({"node_id": "ns=2;s=Zoo.F32"});
    let bad_node = json!({"node_id": "ns=2;q=1"});
    let some = |n: &str| json!({"node_id": n, "samples": 2, "interval_ms": 50});
    vec![
        ("protocols_supported", json!({}), "/tool", json!("ot-aiops"), unknown()),
        ("modbus_read_holding", json!({"address": 9}), "/raw_registers/0", json!(9), json!({})),
        ("modbus_read_input", json!({"address": 1}), "/decoded/0", json!(65534), json!({})),
        ("modbus_read_coils", json!({"address": 1}), "/bits/0", json!(false), json!({})),
        ("modbus_read_discrete", json!({"address": 1}), "/bits/0", json!(true), json!({})),
        ("modbus_health_summary", sum, "/overall", json!("alarm"), json!({"addresses": "x"})),
        ("opcua_server_info", json!({}), "/namespaces/2", json!("urn:sim"), unknown()),
        ("opcua_browse", json!({}), "/nodes/0/node_id", json!("i=85"), bad_node.clone()),
        ("opcua_read_node", node, "/value", json!(1.5), bad_node.clone()),
        (
            "opcua_read_many",
            json!({"node_ids": ["ns=2;s=Zoo.U64"]}),
            "/items/0/value",
            json!(u64::MAX),
            json!({"node_ids": 7}),
        ),
        ("opcua_subscribe_sample", some("ns=2;s=Zoo.F32"), "/collected", json!(2), json!({})),
        ("opcua_read_alarms", json!({}), "/endpoint", json!("srv"), bad_node.clone()),
        ("health_summary", health, "/overall", json!("warn"), json!({"node_ids": 7})),
        ("anomaly_scan", some("ns=2;s=Zoo.F32"), "/mean", json!(1.5), bad_node),
    ]
}

fn unknown() -> Value {
    json!({"no_such_argument": 1})
}

/// The tools of the controllers' own protocols.
fn controllers() -> Vec<Case> {
    let at = |endpoint: &str| json!({"endpoint": endpoint});
    let no_room = json!({"endpoint": "cnc", "limit": 0});
    vec![
        ("s7_cpu_info", json!({}), "/slot", json!(1), unknown()),
        (
            "s7_read_area",
            json!({"area": "M", "dtype": "REAL", "start": 10}),
            "/items/0/value",
            json!(2.5),
            json!({"area": "T", "dtype": "REAL", "start": 10}),
        ),
        (
            "s7_read_db",
            json!({"db": 1, "dtype": "INT", "start": 4}),
            "/items/0/value",
            json!(-7),
            json!({"db": 1, "dtype": "INT", "start": -2}),
        ),
        (
            "s7_read_many",
            json!({"addresses": ["DB1,X10.3"]}),
            "/items/0/value",
            json!(true),
            json!({"addresses": []}),
        ),
        ("mc_cpu_status", json!({}), "/cpu_type", json!("Q03UDVCPU"), unknown()),
        ("mc_read_words", json!({"headdevice": "D100"}), "/words/0", json!(1234), json!({})),
        ("mc_read_bits", json!({"headdevice": "M10"}), "/bits/0", json!(true), json!({})),
        (
            "mc_read_many",
            json!({"word_devices": ["D101"]}),
            "/words/0/value",
            json!(-5),
            json!({"word_devices": 7}),
        ),
        ("mtconnect_probe", at("cnc"), "/devices/0/name", json!("CNC1"), no_room),
        ("mtconnect_current", at("cnc"), "/truncated", json!(false), unknown()),
        ("mtconnect_sample", at("cnc"), "/requested_count", json!(100), json!({"count": "x"})),
        ("mtconnect_assets", at("store"), "/assets/0/asset_id", json!("T1"), at("nowhere")),
        ("mtconnect_oee_snapshot", at("cnc"), "/device", json!("CNC1"), unknown()),
        (
            "mqtt_read_topic",
            json!({"topic": "site/t", "count": 1, "timeout_s": 5}),
            "/messages/0/payload/text",
            json!("23.5"),
            json!({"topic": "a/#/b"}),
        ),
        (
            "sparkplug_subscribe_sample",
            json!({"topic": "spBv1.0/G/NBIRTH/E", "count": 1, "timeout_s": 5}),
            "/samples/0/sparkplug/group_id",
            json!("G"),
            json!({"count": "x"}),
        ),
        ("sparkplug_node_list", json!({"timeout_s": 1}), "/node_count", json!(1), unknown()),
        (
            "uns_browse",
            json!({"topic": "site/#", "timeout_s": 1}),
            "/topics/0",
            json!("site/t"),
            json!({"topic": "#/a"}),
        ),
        ("ethernetip_status", json!({}), "/implemented", json!(false), unknown()),
        ("ethercat_status", json!({}), "/implemented", json!(false), unknown()),
    ]
}

/// The tools that ask for a write; a ticket for `nine` is open.
fn writes() -> Vec<Case> {
    let s7 = |value: Value| json!({"db": 1, "dtype": "INT", "start": 4, "value": value});
    let words = |values: Value| json!({"headdevice": "D100", "values": values});
    let ask = json!({"tag": "nine", "value": 10, "dry_run": true});
    let wait = json!({"id": "MOC-1", "wait_s": 99});
    vec![
        ("moc_request", ask, "/verdict", json!("allowed"), json!({"tag": 7})),
        ("moc_status", json!({"id": "MOC-1"}), "/state", json!("requested"), wait),
        ("moc_list", json!({}), "/tickets/0/moc_id", json!("MOC-1"), json!({"limit": 0})),
        ("s7_write_db", s7(json!(5)), "/verdict", json!("denied"), s7(json!(4.5))),
        ("mc_write_words", words(json!([7])), "/before/0", json!(1234), words(json!([]))),
        (
            "mqtt_publish",
            json!({"topic": "site/t", "payload": "24"}),
            "/would_publish_bytes",
            json!(2),
            json!({"topic": "site/#", "payload": "24"}),
        ),
    ]
}

/// The tools of tags and endpoints, whatever their protocol.
fn tags() -> Vec<Case> {
    vec![
        ("tag_find", json!({"text": "nine"}), "/tags/0/tag", json!("nine"), json!({"limit": -1})),
        ("tag_read", json!({"tags": ["nine"]}), "/items/0/value", json!(9), json!({"tags": [1]})),
        ("tag_history", json!({"tag": "nine", "since": "-1h"}), "/tag", json!("nine"), json!({})),
        (
            "tag_stats",
            json!({"tags": ["nine"], "since": "-1h"}),
            "/items/0/min",
            json!(9.0),
            json!({"tags": ["nine"], "since": "soon"}),
        ),
        (
            "tag_watch",
            json!({"pattern": "nine", "wait_ms": 0}),
            "/gap",
            json!(0),
            json!({"wait_ms": 99_999_999}),
        ),
        ("tag_why", json!({"tag": "nine"}), "/verdict", json!("ok"), json!({"tag": 7})),
        ("finding_list", json!({"about": "ghost"}), "/total", json!(1), json!({"limit": 0})),
        (
            "finding_show",
            json!({"id": "ghost"}),
            "/finding/verdict",
            json!("bad_address"),
            json!({}),
        ),
        (
            "diagnose_dataflow",
            json!({"endpoint": "plc", "ref": "nine"}),
            "/verdict",
            json!("healthy"),
            json!({"endpoint": "x"}),
        ),
        (
            "historian_health",
            json!({"series": [1, 2, 3]}),
            "/verdict",
            json!("ok"),
            json!({"series": []}),
        ),
        (
            "alarm_bad_actors",
            json!({"events": [{"source": "a", "timestamp": "2026-06-30T10:00:00Z"}]}),
            "/flood_verdict",
            json!("insufficient_data"),
            json!({"events": [1]}),
        ),
        (
            "tag_health",
            json!({"tags": [{"ref": "a", "samples": [95], "alarm_high": 90}]}),
            "/overall",
            json!("alarm"),
            json!({"tags": []}),
        ),
        ("endpoint_status", json!({"endpoint": "plc"}), "", Value::Null, json!({"endpoint": "x"})),
        ("plant_overview", json!({}), "", Value::Null, unknown()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_answers_right_and_wrong_through_every_official_client() {
    let (modbus, opcua) = (peer::pymodbus(), peer::asyncua());
    let (s7, mc) = (peer::snap7(), peer::mc_sim("none"));
    let cnc = peer::mtconnect_agent();
    // The other author's agent has no assets.
    let tool = "<CuttingTool assetId='T1' timestamp='2026-01-01T00:00:00Z'/>";
    let store = format!("<MTConnectAssets><Header/><Assets>{tool}</Assets></MTConnectAssets>");
    let store = Agent::start(move |_| xml(&store)).await;
    let broker = Broker::start();
    broker.publish("site/t", b"23.5", &["-r"]).await;
    // A birth is not kept by nodes of the field; here it waits for whoever comes.
    broker.publish("spBv1.0/G/NBIRTH/E", &[24, 0], &["-r"]).await;
    let config = plant(&[
        Endpoint::mtconnect("cnc", cnc.port),
        Endpoint::mtconnect("store", store.port),
        Endpoint::modbus("plc", modbus.port).tag("nine", "holding:9", "").tag(
            "ghost",
            "holding:9999",
            "",
        ),
        Endpoint::opcua("srv", opcua.port, "/sim"),
        Endpoint::s7("press", s7.port),
        Endpoint::mc("capper", mc.port),
        broker.endpoint("uns").with("topics = [\"site/#\", \"spBv1.0/#\"]").tag("t", "site/t", ""),
    ]);
    let rule = "tag = \"nine\"\ntier = \"one\"\nmin = 0\nmax = 100";
    let collector = Collector::with_policy(&config, &policy(&[rule])).await;
    good_tags(&collector.agent().await, &["nine", "t"]).await;
    assert_eq!(opened(&collector.agent().await, "nine", &json!(10)).await, "MOC-1");
    crate::findings::found(&collector.agent().await, "ghost").await;
    for sdk in Sdk::ALL {
        let mut client = SdkClient::start(sdk, &collector.bridge()).await;
        let tools = client.tools().await;
        let offered: BTreeSet<&str> = tools.iter().filter_map(|t| t["name"].as_str()).collect();
        let tried: BTreeSet<&str> = cases().iter().map(|case| case.0).collect();
        assert_eq!(offered, tried, "{sdk:?}: every tool on offer is tried, and no other");
        for tool in &tools {
            let name = &tool["name"];
            assert_eq!(tool["outputSchema"]["type"], "object", "{name}");
            assert!(tool["outputSchema"]["anyOf"].as_array().is_some_and(|a| a.len() == 2));
            assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{name}: {tool}");
            assert!(tool["description"].as_str().is_some_and(|d| !d.is_empty()), "{name}");
        }
        for (tool, right, pointer, value, wrong) in cases() {
            let answer = client.call(tool, right).await.good();
            let found = answer.pointer(pointer);
            assert!(
                value.is_null() || found.is_some_and(|found| matches(&value, found).is_ok()),
                "{sdk:?} {tool}: {pointer} is {found:?}, not {value}: {answer}"
            );
            let answer = client.call(tool, wrong).await;
            let code = answer.code();
            let known = ["bad_arguments", "bad_address", "unknown_endpoint"];
            assert!(known.contains(&code), "{sdk:?} {tool}: {}", answer.value);
        }
        let instructions = client.session["instructions"].as_str().unwrap_or_default();
        let words = instructions.split_whitespace().count();
        assert!((1..=200).contains(&words), "{sdk:?}: instructions of {words} words");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_toolsets_keep_to_their_size() {
    let modbus = peer::pymodbus();
    let collector = Collector::start(&plant(&[Endpoint::modbus("plc", modbus.port)])).await;
    for (toolset, tokens_max) in [("core", 4_000), ("auto", 16_000)] {
        let mut words = collector.bridge();
        let at = words.iter().position(|word| word == "all").unwrap();
        words[at] = toolset.to_owned();
        let mut bridge = collector.program(&words[0]);
        bridge.args(&words[1..]);
        let client = crate::wire::Client::process(bridge).await;
        let tools = client.tools().await;
        let tokens = serde_json::to_string(&tools).unwrap().len() / 4;
        assert!(!tools.is_empty() && tokens <= tokens_max, "{toolset}: {tokens} tokens");
        let strange = tools.iter().find(|t| t["name"].as_str().unwrap().starts_with("opcua_"));
        assert!(strange.is_none(), "{toolset}: no OPC UA is configured");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_resources_with_completion_through_the_official_clients() {
    let modbus = peer::pymodbus();
    let endpoint = Endpoint::modbus("plc", modbus.port).tag("line/a b/nine", "holding:9", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    good_tags(&collector.agent().await, &["line/a b/nine"]).await;
    for sdk in Sdk::ALL {
        let mut client = SdkClient::start(sdk, &collector.bridge()).await;
        let templates = client.ask(json!({"list": "templates"})).await;
        let template = templates["items"][0]["uriTemplate"].as_str().unwrap().to_owned();
        assert!(template.starts_with("ot://tag/"), "{template}");
        let read = client.ask(json!({"read": "ot://tag/line/a%20b/nine"})).await;
        let text = read["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{read}"));
        let content: Value = serde_json::from_str(text).unwrap();
        assert_eq!(content["value"], 9, "{sdk:?}: {content}");
        let ask = json!({"complete": {"uri": template, "name": "name", "value": "line/"}});
        let completion = client.ask(ask).await;
        assert_eq!(completion["completion"]["values"][0], "line/a b/nine", "{sdk:?}");
    }
}
