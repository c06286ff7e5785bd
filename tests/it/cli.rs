//! `otctl` as an operator types it: outputs, short forms and exit codes.

use serde_json::Value;

use crate::collector::{Collector, good_tags};
use crate::device::Device;
use crate::plant::{Endpoint, plant};

async fn plant_of_three() -> (Device, Collector) {
    let device = Device::start().await.holding(0, &[16804, 0, 7]);
    let endpoint = Endpoint::modbus("plc", device.port)
        .tag("line/temp", "holding:0", "type = \"float32\"\nunit = \"degC\"")
        .tag("line/count", "holding:2", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    good_tags(&collector.agent().await, &["line/temp", "line/count"]).await;
    (device, collector)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_output_form_carries_the_value() {
    let (_device, collector) = plant_of_three().await;
    let json = collector.otctl_json(&["tag", "read", "line/temp", "line/count"]).await;
    assert_eq!(json["items"][0]["value"], 20.5);
    let table = collector.otctl(&["tag", "read", "line/temp"]).await;
    let table = text(&table.stdout);
    assert!(table.contains("line/temp") && table.contains("20.5") && table.contains("degC"));
    let lines = collector.otctl(&["-o", "jsonl", "tag", "read", "line/temp", "line/count"]).await;
    let lines: Vec<Value> =
        text(&lines.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "a line an item");
    assert_eq!(lines[1]["value"], 7);
    let csv = collector.otctl(&["-o", "csv", "tag", "read", "line/temp", "line/count"]).await;
    let csv = text(&csv.stdout);
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows.len() == 3 && rows[0].contains("value") && rows[2].contains('7'), "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_references_commands_and_the_short_forms_work() {
    let (_device, collector) = plant_of_three().await;
    let words = ["modbus", "holding", "0", "-e", "plc", "--count", "2", "--decode", "float32"];
    assert_eq!(collector.otctl_json(&words).await["decoded"][0], 20.5);
    let call = ["call", "modbus_read_holding", "--json", r#"{"address": 2}"#];
    assert_eq!(collector.otctl_json(&call).await["raw_registers"][0], 7);
    for words in [&["status"][..], &["endpoint", "status"], &["tag", "history", "line/temp"]] {
        let output = collector.otctl(words).await;
        let said = text(&output.stdout);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        assert!(!said.trim().is_empty(), "{words:?} prints something");
    }
    let status = text(&collector.otctl(&["status"]).await.stdout);
    assert!(status.contains("plc"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_codes_tell_usage_from_no_collector() {
    let (_device, collector) = plant_of_three().await;
    for words in [&["no-such-noun"][..], &["tag", "read"], &["modbus", "holding", "minus"]] {
        let output = collector.otctl(words).await;
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
    }
    let empty = tempfile::tempdir().unwrap();
    let mut lonely = collector.program(env!("CARGO_BIN_EXE_otctl"));
    lonely.arg("--state").arg(empty.path()).arg("status");
    let output = lonely.output().await.unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(empty.path().to_str().unwrap()), "it says what was tried: {said}");
    let failed = collector.otctl(&["modbus", "holding", "9000"]).await;
    assert!(!failed.status.success(), "a call that fails is no success");
    assert!(!failed.stderr.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_with_a_command_that_works_when_copied() {
    let (_device, collector) = plant_of_three().await;
    let state = collector.state();
    let find = format!("otctl --state {} tag find", state.display());
    for words in [&["tail", "nothing/**"][..], &["tail", "nothing"], &["why", "nothing"]] {
        let output = collector.otctl(words).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains("nothing") && said.contains(&find), "{words:?}: {said}");
    }
    let failed = collector.otctl(&["-o", "json", "why", "nothing"]).await;
    let answer: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(answer["error"]["hint"], "search with tag_find", "scripts get it as it is");
    let none = text(&collector.otctl(&["moc", "list"]).await.stdout);
    assert!(none.contains("no tickets"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_help_and_no_panic_leaves_a_trace() {
    let (_device, collector) = plant_of_three().await;
    let operator = collector.operator().await;
    for tool in operator.tools().await {
        let name = tool["name"].as_str().unwrap();
        let (noun, verb) = name.split_once('_').unwrap();
        let verb = verb.replace('_', "-");
        let output = collector.otctl(&[noun, &verb, "--help"]).await;
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "otctl {noun} {verb} --help: {said}");
    }
    assert!(!collector.log().contains("panicked"), "{}", collector.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_a_watch_can_not_follow_are_counted_and_not_passed_over() {
    // A scan class each makes a group each; the device need not answer.
    let device = Device::start().await;
    let mut endpoint = Endpoint::modbus("plc", device.port);
    for nth in 0..1030 {
        let scan = format!("scan_ms = {}", 3_600_000 + nth);
        endpoint = endpoint.tag(&format!("t/{nth}"), &format!("holding:{nth}"), &scan);
    }
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let watch = serde_json::json!({"pattern": "t/*", "wait_ms": 0});
    let watch = client.call("tag_watch", watch).await.good();
    assert_eq!(
        (&watch["not_followed"], &watch["provenance"]["truncated"]),
        (&6.into(), &true.into())
    );
    let few = serde_json::json!({"pattern": "t/1*", "wait_ms": 0});
    let few = client.call("tag_watch", few).await.good();
    assert!(few["not_followed"].is_null() && few["provenance"]["truncated"] == false, "{few}");
}
