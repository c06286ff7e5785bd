//! The diagnostics without given inputs: out of the cache, right, at no cost to the device, and
//! with the reason where there is nothing to judge.

use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// No scan within a test but the first: what is counted then is what was asked.
const ONCE: &str = "scan_ms = 3600000";

fn cost(answer: &Value) -> u64 {
    answer["provenance"]["device_requests"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// Gives each result's name and what one field says of it.
fn said<'a>(answer: &'a Value, name: &str, field: &str) -> Vec<(&'a Value, &'a Value)> {
    let results = answer["results"].as_array().unwrap_or_else(|| panic!("{answer}"));
    results.iter().map(|one| (&one[name], &one[field])).collect()
}

/// Tells whether a reason is given for a check that was not made.
fn says_why(answer: &Value, check: &str) -> bool {
    let all = answer["not_evaluated"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let of = |one: &&Value| one["check"] == check;
    all.iter().find(of).is_some_and(|one| one["why"].as_str().is_some_and(|why| !why.is_empty()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modbus_device_is_judged_by_the_cache_and_never_asked() {
    let server = peer::pymodbus();
    let line = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", line.port)
        .tag("full", "holding:100", &format!("{ONCE}\nalarm_high = 100"))
        .tag("low", "holding:5", &format!("{ONCE}\nwarn_low = 6"))
        .tag("fine", "holding:50", &format!("{ONCE}\nalarm_high = 1000"));
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["full", "low", "fine"]).await;
    let before = line.messages();

    let health = client.call("modbus_health_summary", json!({})).await.good();
    let want = [(json!(100), json!("alarm")), (json!(5), json!("warn")), (json!(50), json!("ok"))];
    let want: Vec<(&Value, &Value)> = want.iter().map(|(a, b)| (a, b)).collect();
    assert_eq!(said(&health, "address", "status"), want, "{health}");
    assert_eq!((&health["overall"], &health["evaluated"]), (&json!("alarm"), &json!(3)));

    let tags = client.call("tag_health", json!({})).await.good();
    let flags = said(&tags, "ref", "flags");
    let of = |name: &str| flags.iter().find(|(tag, _)| *tag == name).unwrap().1;
    assert_eq!(*of("full"), json!(["out_of_range_alarm"]), "{tags}");
    assert_eq!(*of("low"), json!(["out_of_range_warn"]), "{tags}");
    assert_eq!((of("fine"), &tags["overall"]), (&json!([]), &json!("alarm")), "{tags}");
    // One sample says where a value is, and nothing of how it moves.
    assert!(tags["results"].as_array().unwrap().iter().all(|tag| says_why(tag, "flatline")));

    let flow = client.call("diagnose_dataflow", json!({"ref": "full"})).await.good();
    assert_eq!(flow["verdict"], "healthy", "{flow}");
    assert!(says_why(&flow, "freshness"), "a register has no time of its own: {flow}");

    let series = client.call("historian_health", json!({"tag": "fine"})).await.good();
    assert_eq!(series["samples"], 1, "{series}");
    assert!(says_why(&series, "flatline") && says_why(&series, "gaps"), "{series}");

    let alarms = eventually("the limits that are passed are events", async || {
        // Before the first look there is nothing to judge, and that is said as an error.
        let alarms = client.call("alarm_bad_actors", json!({})).await;
        (alarms.value["activation_count"] == 2).then(|| alarms.good())
    })
    .await;
    assert_eq!((&alarms["log"], &alarms["alarms_per_hour"]), (&json!("cache"), &Value::Null));
    assert_eq!(alarms["flood_verdict"], "insufficient_data", "no rate of seconds: {alarms}");
    assert!(says_why(&alarms, "alarms_per_hour"), "{alarms}");

    for answer in [&health, &tags, &flow, &series, &alarms] {
        assert_eq!((cost(answer), &answer["provenance"]["source"]), (0, &json!("cache")));
    }
    assert_eq!(line.messages(), before, "the device was asked nothing");
}

/// Calls a tool that must cost nothing, until nothing else was asked meanwhile either: a session
/// is kept alive by questions of its own.
async fn for_nothing(client: &Client, line: &Counter, tool: &str, ask: &Value) -> Value {
    eventually(&format!("{tool} while the line is quiet"), async || {
        let before = line.questions();
        let answer = client.call(tool, ask.clone()).await.good();
        assert_eq!((cost(&answer), &answer["provenance"]["source"]), (0, &json!("cache")));
        (line.questions() == before).then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opc_ua_server_is_judged_by_what_it_reported_and_never_asked() {
    let server = peer::asyncua();
    let line = Counter::before(server.port, Framing::OpcUa).await;
    let endpoint = Endpoint::opcua("srv", line.port, "/sim")
        .tag("ramp", "ns=2;s=Ramp", "")
        .tag("word", "ns=2;s=Zoo.U16", "alarm_high = 65535")
        .tag("float", "ns=2;s=Zoo.F32", "warn_low = 2")
        .tag("broken", "ns=2;s=Zoo.NaN", "alarm_high = 1");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["ramp", "word", "float"]).await;
    eventually("the ramp has moved", async || {
        let ask = json!({"tags": ["ramp"], "since": "-1h"});
        let stats = client.call("tag_stats", ask).await.good();
        stats["items"][0]["count"].as_u64().is_some_and(|count| count >= 8).then_some(())
    })
    .await;

    let health = for_nothing(&client, &line, "health_summary", &json!({})).await;
    let statuses = said(&health, "ref", "status");
    let of = |node: &str| statuses.iter().find(|(name, _)| *name == node).unwrap().1;
    assert_eq!(of("ns=2;s=Zoo.U16"), "alarm", "{health}");
    assert_eq!(of("ns=2;s=Zoo.F32"), "warn", "{health}");
    assert_eq!(of("ns=2;s=Zoo.NaN"), "unknown", "what is no number is not judged: {health}");
    assert_eq!((&health["overall"], &health["evaluated"]), (&json!("alarm"), &json!(4)));

    let scan = json!({"node_id": "ns=2;s=Ramp", "samples": 6});
    let scan = for_nothing(&client, &line, "anomaly_scan", &scan).await;
    assert_eq!((&scan["samples"], &scan["outlier_count"]), (&json!(6), &json!(0)), "{scan}");
    assert!(scan["max"].as_f64() > scan["min"].as_f64(), "{scan}");

    let flow = for_nothing(&client, &line, "diagnose_dataflow", &json!({"ref": "ramp"})).await;
    assert_eq!(flow["verdict"], "healthy", "{flow}");
    let series = for_nothing(&client, &line, "historian_health", &json!({"tag": "ramp"})).await;
    assert_eq!((&series["verdict"], &series["flatline"]), (&json!("ok"), &json!(false)));
    let tags = for_nothing(&client, &line, "tag_health", &json!({})).await;
    assert_eq!(tags["overall"], "alarm", "{tags}");
    let flags = said(&tags, "ref", "flags");
    let broken = flags.iter().find(|(tag, _)| *tag == "broken").unwrap().1;
    assert_eq!(*broken, json!(["bad_quality"]), "{tags}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_ever_came_nothing_is_said_to_be_well() {
    let endpoint =
        Endpoint::modbus("gone", peer::free_port()).tag("silent", "holding:0", "alarm_high = 5");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let flow = eventually("the device is known to be away", async || {
        let flow = client.call("diagnose_dataflow", json!({"ref": "silent"})).await.good();
        (cost(&flow) == 0).then_some(flow)
    })
    .await;
    assert_eq!(flow["verdict"], "cannot_connect", "{flow}");
    assert_eq!(flow["evaluated"], json!(["connect"]), "{flow}");

    let tags = client.call("tag_health", json!({})).await.good();
    assert_eq!((&tags["overall"], &tags["unknown_count"]), (&json!("unknown"), &json!(1)));
    assert!(says_why(&tags["results"][0], "range"), "{tags}");
    let health = client.call("modbus_health_summary", json!({})).await;
    assert!(health.is_error || health.value["overall"] == "unknown", "{}", health.value);
    let series = client.call("historian_health", json!({"tag": "silent"})).await;
    assert_eq!(series.code(), "not_found");
    assert_eq!(client.call("historian_health", json!({})).await.code(), "bad_arguments");
    let alarms = client.call("alarm_bad_actors", json!({})).await;
    match alarms.is_error {
        true => assert_eq!(alarms.code(), "not_found"),
        false => assert_eq!(alarms.value["flood_verdict"], "insufficient_data"),
    }
}
