//! Devices that misbehave: the tool fails in time, the tag turns Bad with the reason, its
//! neighbours stay Good, and all of it heals by itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::device::{Device, Manner};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

async fn tag(client: &Client, name: &str) -> Value {
    client.call("tag_read", json!({"tags": [name]})).await.good()["items"][0].clone()
}

/// A device goes wrong in one manner while it is scanned, and recovers.
async fn goes_wrong_and_heals(manner: Manner) {
    let device = Device::start().await.holding(0, &[100, 200]);
    let neighbour = Device::start().await.holding(0, &[1]);
    let config = plant(&[
        Endpoint::modbus("plc", device.port).tag("sick", "holding:0", ""),
        Endpoint::modbus("other", neighbour.port).tag("well", "holding:0", ""),
    ]);
    let collector = Collector::start(&config).await;
    let client = collector.agent().await;
    good_tags(&client, &["sick", "well"]).await;

    device.behave(manner);
    device.set(3, 0, &[666]);
    let sick = eventually(&format!("{manner:?}: the tag turns from Good"), async || {
        let item = tag(&client, "sick").await;
        (item["quality"] != "Good").then_some(item)
    })
    .await;
    assert_ne!(sick["value"], 666, "{manner:?}: nothing of it became a value: {sick}");
    let ask = json!({"endpoint": "plc", "address": 1, "max_age_s": 0});
    let failed = client.call("modbus_read_holding", ask).await;
    let codes = ["device_timeout", "unreachable", "invalid_answer", "budget_exhausted"];
    assert!(codes.contains(&failed.code()), "{manner:?}: {}", failed.value);

    neighbour.set(3, 0, &[2]);
    eventually(&format!("{manner:?}: the neighbour goes on"), async || {
        let item = tag(&client, "well").await;
        (item["value"] == 2 && item["quality"] == "Good").then_some(())
    })
    .await;

    device.behave(Manner::Right);
    device.set(3, 0, &[300]);
    eventually(&format!("{manner:?}: the device is read again"), async || {
        let item = tag(&client, "sick").await;
        (item["value"] == 300 && item["quality"] == "Good").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_sends_garbage_turns_bad_and_heals() {
    goes_wrong_and_heals(Manner::Garbage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_stops_mid_frame_turns_bad_and_heals() {
    goes_wrong_and_heals(Manner::StopMidFrame).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_trickles_turns_bad_and_heals() {
    goes_wrong_and_heals(Manner::Trickle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_answers_late_turns_bad_and_heals() {
    goes_wrong_and_heals(Manner::Late(Duration::from_secs(30))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_another_transaction_unit_or_function_never_become_values() {
    for manner in [Manner::OtherTransaction, Manner::OtherUnit, Manner::OtherFunction] {
        goes_wrong_and_heals(manner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_short_never_becomes_a_value() {
    goes_wrong_and_heals(Manner::TooShort).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_never_answers_or_hangs_up_turns_bad_and_heals() {
    for manner in [Manner::Silent, Manner::HangUp] {
        goes_wrong_and_heals(manner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_unit_and_a_bad_address_leave_their_neighbours_good() {
    let device = Device::start().await.holding(0, &[1, 2, 3]);
    device.kill_unit(2);
    let endpoint = Endpoint::modbus("line", device.port)
        .tag("one", "holding:0", "unit_id = 1")
        .tag("two", "holding:0", "unit_id = 2")
        .tag("three", "holding:0", "unit_id = 3")
        .tag("missing", "holding:9000", "unit_id = 1");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["one", "three"]).await;
    eventually("the dead unit and the bad address are named", async || {
        let (two, missing) = (tag(&client, "two").await, tag(&client, "missing").await);
        let named =
            two["quality"] == "BadNoCommunication" && missing["quality"] == "BadConfigurationError";
        named.then_some(())
    })
    .await;
    for value in 10..15 {
        device.set(3, 0, &[value]);
        eventually("the living units are still scanned", async || {
            let (one, three) = (tag(&client, "one").await, tag(&client, "three").await);
            (one["value"] == value && three["value"] == value).then_some(())
        })
        .await;
    }
    let stats = json!({"tags": ["one", "three"], "since": "-1h"});
    let stats = client.call("tag_stats", stats).await.good();
    for item in stats["items"].as_array().unwrap() {
        assert_eq!(item["good"], item["count"], "not one bad sample: {item}");
    }
    eventually("the dead unit is tried again and again", async || {
        let tried = device.requests().iter().filter(|request| request.unit == 2).count();
        (tried > 3).then_some(())
    })
    .await;
    device.revive_unit(2);
    good_tags(&client, &["two"]).await;
    let about = |text: &str| {
        let log = collector.log();
        log.lines().filter(|l| l.contains("unit=2") && l.contains(text)).count()
    };
    eventually("its end is logged", async || (about("INFO") > 0).then_some(())).await;
    assert_eq!((about("WARN"), about("answers again")), (1, 1), "once an outage, and its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_there_yet_is_found_once_it_comes() {
    let port = crate::peer::free_port();
    let endpoint = Endpoint::modbus("plc", port).tag("late", "holding:0", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let early = tag(&client, "late").await;
    assert!(early["value"].is_null() && early["quality"] != "Good", "{early}");
    let device = Device::start_at(port).await.holding(0, &[5]);
    assert_eq!(good_tags(&client, &["late"]).await[0]["value"], 5);
    assert!(device.connections() >= 1);
}
