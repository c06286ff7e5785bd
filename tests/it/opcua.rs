//! The OPC UA tools, against asyncua and node-opcua.

use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer::{self, Peer};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// A collector with one OPC UA endpoint, and a session with it.
async fn with(endpoint: Endpoint) -> (Collector, Client) {
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    (collector, client)
}

fn asyncua_endpoint(server: &Peer) -> Endpoint {
    Endpoint::opcua("srv", server.port, "/sim")
}

fn node_endpoint(server: &Peer) -> Endpoint {
    Endpoint::opcua("srv", server.port, "/UA/Sim")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scalar_type_of_asyncua_arrives_exactly() {
    let server = peer::asyncua();
    let (_collector, client) = with(asyncua_endpoint(&server)).await;
    for (name, datatype, value) in [
        ("Bool", "Boolean", json!(true)),
        ("SByte", "SByte", json!(-7)),
        ("Byte", "Byte", json!(200)),
        ("I16", "Int16", json!(-1234)),
        ("U16", "UInt16", json!(65535)),
        ("I32", "Int32", json!(i32::MIN)),
        ("U32", "UInt32", json!(u32::MAX)),
        ("I64", "Int64", json!(i64::MIN)),
        ("U64", "UInt64", json!(u64::MAX)),
        ("F32", "Float", json!(1.5)),
        ("F64", "Double", json!(std::f64::consts::PI)),
        ("Str", "String", json!("Gr\u{fc}\u{df}e \u{6f22}\u{5b57}")),
        ("Arr", "Double", json!([1.0, 2.0, 3.0])),
    ] {
        let ask = json!({"node_id": format!("ns=2;s=Zoo.{name}")});
        let read = client.call("opcua_read_node", ask).await.good();
        assert_eq!(read["value"], value, "{read}");
        assert_eq!(read["datatype"], datatype, "{read}");
        assert_eq!(read["status_code"], "Good", "{read}");
        assert_eq!(read["good"], true, "{read}");
        assert_eq!(read["endpoint"], "srv");
    }
    let nan = client.call("opcua_read_node", json!({"node_id": "ns=2;s=Zoo.NaN"})).await.good();
    assert!(nan["value"].is_null() && nan["good"] == false, "{nan}");
    let time = client.call("opcua_read_node", json!({"node_id": "ns=2;s=Zoo.Time"})).await.good();
    assert!(time["value"].as_str().is_some_and(|t| t.starts_with("2024-01-01")), "{time}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_structure_is_read_by_its_definition_and_a_tag_takes_a_part_of_it() {
    let server = peer::asyncua();
    let path = "path = \"Counts[1]\"";
    let endpoint = asyncua_endpoint(&server).tag("press/state", "nsu=urn:sim;s=Press", "").tag(
        "press/count",
        "nsu=urn:sim;s=Press",
        path,
    );
    let (_collector, client) = with(endpoint).await;
    let state = json!({"Name": "press 1", "Temp": 81.5, "Counts": [1, 2, 3]});
    let read = client.call("opcua_read_node", json!({"node_id": "ns=2;s=Press"})).await.good();
    assert_eq!(read["value"], state, "{read}");
    let items = good_tags(&client, &["press/state", "press/count"]).await;
    assert_eq!((&items[0]["value"], &items[1]["value"]), (&state, &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tags_history_is_read_from_the_servers_own_historian() {
    let (asyncua, node) = (peer::asyncua(), peer::node_opcua());
    let config = plant(&[
        Endpoint::opcua("one", asyncua.port, "/sim").tag("ramp", "ns=2;s=Ramp", ""),
        Endpoint::opcua("two", node.port, "/UA/Sim").tag("level", "ns=1;s=Tank.Level", ""),
    ]);
    let collector = Collector::start(&config).await;
    let client = collector.agent().await;
    good_tags(&client, &["ramp", "level"]).await;
    for tag in ["ramp", "level"] {
        eventually("the server's historian has a stretch", async || {
            let ask = json!({"tag": tag, "since": "-1h", "from": "device"});
            let answer = client.call("tag_history", ask).await.good();
            let points = answer["points"].as_array().unwrap().clone();
            assert_eq!(answer["provenance"]["source"], "device", "{answer}");
            let values: Vec<f64> = points.iter().filter_map(|p| p["value"].as_f64()).collect();
            let times: Vec<&str> = points.iter().filter_map(|p| p["ts"].as_str()).collect();
            assert!(times.is_sorted(), "{answer}");
            let moves = values.windows(2).all(|pair| pair[0] != pair[1]);
            (values.len() >= 3 && moves).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_quality_missing_nodes_and_unparsable_ids_are_told_apart() {
    let server = peer::asyncua();
    let (_collector, client) = with(asyncua_endpoint(&server)).await;
    let bad = json!({"node_id": "ns=2;s=BadQuality"});
    let bad = client.call("opcua_read_node", bad).await.good();
    assert_eq!(bad["status_code"], "BadSensorFailure", "{bad}");
    assert_eq!(bad["good"], false);
    let many = json!({"node_ids": ["ns=2;s=Zoo.U16", "ns=2;s=Nowhere", "ns=2;s=Zoo.Bool"]});
    let many = client.call("opcua_read_many", many).await.good();
    let items = many["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!((&items[0]["value"], &items[2]["value"]), (&json!(65535), &json!(true)));
    assert!(items[1]["error"].to_string().contains("BadNodeIdUnknown"), "{}", items[1]);
    for id in ["", "ns=;", "ns=2;x=1", "ns=2;i=99999999999", "ns=70000;i=1", "ns=2;g=nope"] {
        let answer = client.call("opcua_read_node", json!({"node_id": id})).await;
        assert!(["bad_address", "bad_arguments"].contains(&answer.code()), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncua_is_identified_browsed_and_judged() {
    let server = peer::asyncua();
    let (_collector, client) = with(asyncua_endpoint(&server)).await;
    let info = client.call("opcua_server_info", json!({})).await.good();
    assert_eq!(info["state"], 0, "{info}");
    assert_eq!(info["namespaces"][2], "urn:sim", "{info}");
    assert_eq!(info["namespace_count"], 3);

    let browse = json!({"node_id": "ns=2;s=Sim", "depth": 1});
    let browse = client.call("opcua_browse", browse).await.good();
    let nodes = browse["nodes"].as_array().unwrap();
    assert_eq!(nodes[0]["node_id"], "ns=2;s=Sim", "the root is the first");
    assert_eq!((&nodes[0]["parent"], &nodes[0]["depth"]), (&json!(""), &json!(0)));
    let named = |name: &str| nodes.iter().find(|n| n["browse_name"] == name).cloned();
    let ramp = named("Ramp").unwrap_or_else(|| panic!("{browse}"));
    assert_eq!(ramp["node_class"], "Variable");
    assert_eq!((&ramp["parent"], &ramp["depth"]), (&json!("ns=2;s=Sim"), &json!(1)));
    assert_eq!(nodes.iter().filter(|n| n["parent"] == "ns=2;s=Sim").count(), 124);

    let alarms = client.call("opcua_read_alarms", json!({"node_id": "ns=2;s=Sim"})).await.good();
    let active = alarms["active_alarms"].as_array().unwrap();
    let fault = active.iter().find(|a| a["browse_name"] == "PumpFault").unwrap();
    assert_eq!((&fault["value"], &fault["source"]), (&json!(true), &json!("node")));
    assert!(!active.iter().any(|a| a["browse_name"] == "PumpAlarm"), "it is off: {alarms}");

    let health = json!({
        "node_ids": ["ns=2;s=Zoo.U16", "ns=2;s=Zoo.NaN", "ns=2;s=Nowhere", "ns=2;s=Zoo.F32"],
        "thresholds": {"ns=2;s=Zoo.U16": {"alarm_high": 65535}, "ns=2;s=Zoo.F32": {"warn_low": 2}}
    });
    let health = client.call("health_summary", health).await.good();
    let statuses: Vec<&Value> =
        health["results"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
    assert_eq!(statuses, ["alarm", "unknown", "unknown", "warn"], "{health}");
    assert_eq!(health["overall"], "alarm");
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_of_a_moving_node_move() {
    let server = peer::asyncua();
    let (_collector, client) = with(asyncua_endpoint(&server)).await;
    let sample = json!({"node_id": "ns=2;s=Ramp", "samples": 4, "interval_ms": 600});
    let sample = client.call("opcua_subscribe_sample", sample).await.good();
    let values: Vec<f64> =
        sample["samples"].as_array().unwrap().iter().filter_map(|s| s["value"].as_f64()).collect();
    assert_eq!(values.len(), 4, "{sample}");
    assert_eq!((&sample["collected"], &sample["requested_samples"]), (&json!(4), &json!(4)));
    assert!(values[3] > values[0], "{sample}");
    let scan = json!({"node_id": "ns=2;s=Ramp", "samples": 5, "interval_ms": 600});
    let scan = client.call("anomaly_scan", scan).await.good();
    assert_eq!(scan["samples"], 5, "{scan}");
    assert!(scan["max"].as_f64() > scan["min"].as_f64(), "{scan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribed_tags_follow_both_servers() {
    let (asyncua, node) = (peer::asyncua(), peer::node_opcua());
    let config = plant(&[
        Endpoint::opcua("one", asyncua.port, "/sim")
            .tag("ramp", "ns=2;s=Ramp", "")
            .tag("ramp/by-uri", "nsu=urn:sim;s=Ramp", "")
            .tag("missing", "ns=2;s=Nowhere", ""),
        Endpoint::opcua("two", node.port, "/UA/Sim")
            .tag("level", "ns=1;s=Tank.Level", "unit = \"%\"")
            .tag("setpoint", "ns=1;s=Tank.Setpoint", ""),
    ]);
    let collector = Collector::start(&config).await;
    let client = collector.agent().await;
    let names = ["ramp", "ramp/by-uri", "level", "setpoint"];
    let first = good_tags(&client, &names).await;
    assert_eq!(first[3]["value"], 1.25);
    assert!(first[0]["source_ts"].is_string(), "the server's own time");
    eventually("the values move", async || {
        let now = good_tags(&client, &names).await;
        (0..3).all(|i| now[i]["value"] != first[i]["value"]).then_some(())
    })
    .await;
    let missing = client.call("tag_read", json!({"tags": ["missing"]})).await.good();
    let quality = missing["items"][0]["quality"].as_str().unwrap().to_owned();
    assert!(quality.starts_with("Bad"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_opcua_reads_within_its_limits_and_shows_its_conditions() {
    let server = peer::node_opcua();
    let (_collector, client) = with(node_endpoint(&server)).await;
    let read = client.call("opcua_read_node", json!({"node_id": "ns=1;s=Tank.Setpoint"})).await;
    let read = read.good();
    assert_eq!((&read["value"], &read["datatype"]), (&json!(1.25), &json!("Double")));
    let ids: Vec<String> = (0..100).map(|i| format!("ns=1;s=T{i}")).collect();
    let many = client.call("opcua_read_many", json!({"node_ids": ids})).await.good();
    let items = many["items"].as_array().unwrap();
    assert_eq!(items.len(), 100);
    assert!(items.iter().all(|i| i["value"].as_f64().is_some_and(|v| v.abs() <= 1.0)), "{many}");
    let info = client.call("opcua_server_info", json!({})).await.good();
    assert_eq!(info["state"], 0, "{info}");
    // The level swings through all limits in about 13 s.
    eventually("the level alarm is an active condition", async || {
        let alarms = client.call("opcua_read_alarms", json!({"max_age_s": 0})).await.good();
        let active = alarms["active_alarms"].as_array().unwrap().clone();
        let level = active.iter().find(|a| a["browse_name"] == "LevelAlarm")?;
        (level["source"] == "condition").then_some(())
    })
    .await;
    let fault = client.call("opcua_read_alarms", json!({"node_id": "ns=1;s=Tank"})).await.good();
    let active = fault["active_alarms"].as_array().unwrap();
    assert!(active.iter().any(|a| a["browse_name"] == "HighFault"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_that_are_subscribed_answer_from_the_cache_and_follow_the_server() {
    let server = peer::node_opcua();
    let endpoint = node_endpoint(&server).tag("level", "ns=1;s=Tank.Level", "");
    let (_collector, client) = with(endpoint).await;
    good_tags(&client, &["level"]).await;
    let ask = json!({"node_id": "ns=1;s=Tank", "depth": 1});
    // The level swings through all limits in about 13 s.
    let mut seen = [false, false];
    eventually("the level alarm comes and goes without a question", async || {
        let alarms = client.call("opcua_read_alarms", ask.clone()).await.good();
        (alarms["conditions"] == "subscribed").then_some(())?;
        // Nothing but the look for alarm-like nodes goes to the server.
        assert!(alarms["provenance"]["device_requests"].as_u64() <= Some(3), "{alarms}");
        let active = alarms["active_alarms"].as_array().unwrap().clone();
        let level = active.iter().any(|a| a["browse_name"] == "LevelAlarm");
        seen[usize::from(level)] = true;
        seen.iter().all(|seen| *seen).then_some(())
    })
    .await;
    let mut now = ask.clone();
    now["max_age_s"] = json!(0);
    let now = client.call("opcua_read_alarms", now).await.good();
    assert_eq!(now["conditions"], "read", "{now}");
    assert!(now["provenance"]["device_requests"].as_u64() > Some(3), "{now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_names_no_condition_is_no_proof_that_there_is_none() {
    let server = peer::node_opcua_with(&["REFRESH=1", "HOLD=97"]);
    let endpoint = node_endpoint(&server).tag("level", "ns=1;s=Tank.Level", "");
    let (_collector, client) = with(endpoint).await;
    good_tags(&client, &["level"]).await;
    for (age, how) in [(json!({}), "subscribed"), (json!({"max_age_s": 0}), "read")] {
        eventually("the level alarm stands, as it did before anyone came", async || {
            let alarms = client.call("opcua_read_alarms", age.clone()).await.good();
            (alarms["conditions"] == how).then_some(())?;
            let active = alarms["active_alarms"].as_array().unwrap().clone();
            active.iter().any(|alarm| alarm["browse_name"] == "LevelAlarm").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opcua_link_that_breaks_shows_it_and_comes_back() {
    let server = peer::asyncua();
    let line = Counter::before(server.port, Framing::OpcUa).await;
    let endpoint = Endpoint::opcua("srv", line.port, "/sim").tag("ramp", "ns=2;s=Ramp", "");
    let (_collector, client) = with(endpoint).await;
    let before = good_tags(&client, &["ramp"]).await[0]["value"].clone();
    line.cut();
    eventually("the break is seen in the quality", async || {
        let answer = client.call("tag_read", json!({"tags": ["ramp"]})).await.good();
        (answer["items"][0]["quality"] != "Good").then_some(())
    })
    .await;
    line.mend();
    eventually("new values come after the break", async || {
        (good_tags(&client, &["ramp"]).await[0]["value"] != before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_and_right_ones_read() {
    let server = peer::asyncua();
    for (password, works) in [("secret", true), ("wrong", false)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, password).unwrap();
        let login = format!("username = \"operator\"\npassword = \"file:{}\"", file.display());
        let (_collector, client) = with(asyncua_endpoint(&server).with(&login)).await;
        let read = client.call("opcua_read_node", json!({"node_id": "ns=2;s=Zoo.U16"})).await;
        if works {
            assert_eq!(read.good()["value"], 65535);
        } else {
            assert_eq!(read.code(), "login_refused");
            assert!(!read.value.to_string().contains(password), "no password in an answer");
        }
    }
}
