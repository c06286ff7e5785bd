//! Ends and beginnings: kill -9, restart, reload, and clients that live through them.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::device::Device;
use crate::plant::{Endpoint, plant};
use crate::sdk::{Sdk, SdkClient};
use crate::wait::eventually;
use crate::wire::Client;

async fn value_of(client: &Client, name: &str) -> Value {
    client.call("tag_read", json!({"tags": [name]})).await.good()["items"][0].clone()
}

/// Gives every value that history holds for a tag, oldest first.
async fn history(client: &Client, tag: &str) -> Vec<Value> {
    let ask = json!({"tag": tag, "since": "-1h", "max_points": 400});
    let answer = client.call("tag_history", ask).await.good();
    answer["points"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_survives_a_kill_and_is_served_at_once() {
    let device = Device::start().await.holding(0, &[0]);
    let endpoint = Endpoint::modbus("plc", device.port).tag("count", "holding:0", "");
    let mut collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    for count in 1..=20_u16 {
        device.set(3, 0, &[count]);
        eventually("the count is seen", async || {
            let item = value_of(&client, "count").await;
            (item["value"] == count && item["quality"] == "Good").then_some(())
        })
        .await;
    }
    // Durable `commit_ms` after it was received; many times that, on a busy machine.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    collector.signal(Signal::KILL);
    collector.ended().await;
    // Without the device, all that is served comes from the store.
    drop(device);
    collector.again().await;
    let client = collector.agent().await;
    let item = value_of(&client, "count").await;
    assert_eq!(item["value"], 20, "{item}");
    assert_eq!(item["quality"], "UncertainLastUsableValue", "{item}");
    let points = history(&client, "count").await;
    let values: Vec<&Value> = points.iter().map(|point| &point["value"]).collect();
    for count in 1..=20 {
        assert!(values.contains(&&json!(count)), "{count} is missing in {values:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_in_order_and_the_state_is_good() {
    let device = Device::start().await.holding(0, &[7]);
    let endpoint = Endpoint::modbus("plc", device.port).tag("seven", "holding:0", "");
    let mut collector = Collector::start(&plant(&[endpoint])).await;
    good_tags(&collector.agent().await, &["seven"]).await;
    collector.signal(Signal::TERM);
    let status = collector.ended().await;
    assert!(status.success(), "{status}: {}", collector.log());
    collector.again().await;
    assert_eq!(good_tags(&collector.agent().await, &["seven"]).await[0]["value"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_one_endpoint_and_the_other_misses_no_scan() {
    let (kept, changed) = (Device::start().await, Device::start().await);
    kept.set(3, 0, &[1, 2]);
    changed.set(3, 0, &[3, 4]);
    let stays = Endpoint::modbus("stays", kept.port).tag("kept", "holding:0", "");
    let before = Endpoint::modbus("moves", changed.port).tag("old", "holding:0", "");
    let after = Endpoint::modbus("moves", changed.port).tag("new", "holding:1", "");
    let collector = Collector::start(&plant(&[stays.clone(), before])).await;
    let client = collector.agent().await;
    good_tags(&client, &["kept", "old"]).await;
    collector.reload(&plant(&[stays, after]));
    assert_eq!(good_tags(&client, &["new"]).await[0]["value"], 4);
    let gone = client.call("tag_read", json!({"tags": ["old"]})).await;
    assert!(gone.is_error || gone.value["items"][0]["error"].is_object(), "{}", gone.value);
    kept.set(3, 0, &[10]);
    eventually("the untouched endpoint is scanned on", async || {
        (value_of(&client, "kept").await["value"] == 10).then_some(())
    })
    .await;
    assert_eq!(kept.connections(), 1, "the untouched endpoint kept its connection");
    let stats = client.call("tag_stats", json!({"tags": ["kept"], "since": "-1h"})).await.good();
    let kept = &stats["items"][0];
    assert_eq!((&kept["good"], &kept["gaps"]), (&kept["count"], &json!(0)), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_reload_changes_nothing_and_says_why() {
    let device = Device::start().await.holding(0, &[1]);
    let endpoint = Endpoint::modbus("plc", device.port).tag("t", "holding:0", "");
    let collector = Collector::start(&plant(std::slice::from_ref(&endpoint))).await;
    let client = collector.agent().await;
    good_tags(&client, &["t"]).await;
    collector.reload("[[endpoints]]\nname = \"plc\"\nprotocoll = \"modbus\"\n");
    eventually("the fault is reported with the nearest key", async || {
        let log = collector.log();
        (log.contains("protocoll") && log.contains("protocol")).then_some(())
    })
    .await;
    device.set(3, 0, &[9]);
    eventually("the plant goes on as it was", async || {
        (value_of(&client, "t").await["value"] == 9).then_some(())
    })
    .await;
    assert_eq!(device.connections(), 1);
    // What is wrong now stands on top of the overview.
    let overview = client.call("plant_overview", json!({})).await.good();
    assert!(overview.to_string().contains("protocoll"), "{overview}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_share_one_collector_and_live_through_its_restart() {
    let device = Device::start().await.holding(0, &[1, 2]);
    let endpoint = Endpoint::modbus("plc", device.port).tag("t", "holding:0", "");
    let mut collector = Collector::start(&plant(&[endpoint])).await;
    let mut python = SdkClient::start(Sdk::PythonLegacy, &collector.bridge()).await;
    let mut script = SdkClient::start(Sdk::TypeScript, &collector.bridge()).await;
    for client in [&mut python, &mut script] {
        let read = client.call("modbus_read_holding", json!({"address": 1, "max_age_s": 0})).await;
        assert_eq!(read.good()["raw_registers"], json!([2]));
    }
    assert_eq!(device.connections(), 1, "both went through the collector's one connection");
    collector.kill_and_restart().await;
    device.set(3, 1, &[22]);
    for client in [&mut python, &mut script] {
        eventually("the same session works again", async || {
            let ask = json!({"address": 1, "max_age_s": 0});
            let answer = client.call("modbus_read_holding", ask).await;
            if answer.is_error {
                assert_eq!(answer.code(), "collector_restarted");
                return None;
            }
            (answer.value["raw_registers"] == json!([22])).then_some(())
        })
        .await;
    }
}
