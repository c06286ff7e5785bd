//! The Modbus tools, against pymodbus (TCP and a serial line) and modbus-serial.

use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::device::Device;
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// Every Modbus tool against pymodbus' tables: holding = address * unit, input = 65535 - address,
/// discrete = odd addresses, coils off, 2000 of each.
async fn reads_as_pymodbus_serves(client: &Client) {
    let holding = client.call("modbus_read_holding", json!({"address": 10, "count": 3})).await;
    let holding = holding.good();
    assert_eq!(holding["raw_registers"], json!([10, 11, 12]));
    assert_eq!(holding["decoded"], json!([10, 11, 12]));
    assert_eq!((&holding["address"], &holding["count"]), (&json!(10), &json!(3)));
    assert_eq!((&holding["unit_id"], &holding["decode"]), (&json!(1), &json!("uint16")));
    assert_eq!(holding["endpoint"], "plc");
    assert_eq!(holding["provenance"]["source"], "device");

    let of_two = json!({"address": 10, "count": 2, "unit_id": 2});
    let of_two = client.call("modbus_read_holding", of_two).await.good();
    assert_eq!(of_two["raw_registers"], json!([20, 22]));
    assert_eq!(of_two["unit_id"], 2);

    let input = json!({"address": 0, "count": 2, "decode": "int16"});
    let input = client.call("modbus_read_input", input).await.good();
    assert_eq!(input["raw_registers"], json!([65535, 65534]));
    assert_eq!(input["decoded"], json!([-1, -2]));

    let swapped = json!({"address": 1, "count": 2, "decode": "uint32", "order": "CDAB"});
    let swapped = client.call("modbus_read_holding", swapped).await.good();
    assert_eq!(swapped["decoded"], json!([0x0002_0001]));

    let discrete = client.call("modbus_read_discrete", json!({"address": 4, "count": 3})).await;
    assert_eq!(discrete.good()["bits"], json!([false, true, false]));
    let coils = client.call("modbus_read_coils", json!({"address": 0, "count": 2000})).await;
    assert_eq!(coils.good()["bits"], json!(vec![false; 2000]));

    let thresholds = json!({"100": {"alarm_high": 100, "label": "full"}, "5": {"warn_low": 6}});
    let health = json!({"addresses": [100, 5, 50], "thresholds": thresholds});
    let health = client.call("modbus_health_summary", health).await.good();
    let statuses: Vec<&Value> =
        health["results"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
    assert_eq!(statuses, ["alarm", "warn", "ok"]);
    assert_eq!((&health["overall"], &health["evaluated"]), (&json!("alarm"), &json!(3)));
    assert_eq!(health["results"][0]["value"], 100.0);

    let beyond = client.call("modbus_read_holding", json!({"address": 2000})).await;
    assert_eq!(beyond.code(), "bad_address");
    let nobody = client.call("modbus_read_holding", json!({"address": 0, "unit_id": 9})).await;
    // pymodbus says that the target failed to respond (exception 11), or says nothing at all.
    assert!(["device_fault", "device_timeout"].contains(&nobody.code()), "{}", nobody.value);
    // A unit that does not answer leaves its neighbour be.
    let after = client.call("modbus_read_holding", json!({"address": 7, "max_age_s": 0})).await;
    assert_eq!(after.good()["raw_registers"], json!([7]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_modbus_tool_gives_right_values_from_pymodbus_over_tcp() {
    let server = peer::pymodbus();
    let collector = Collector::start(&plant(&[Endpoint::modbus("plc", server.port)])).await;
    reads_as_pymodbus_serves(&collector.agent().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_modbus_tool_gives_right_values_from_pymodbus_over_a_serial_line() {
    let line = peer::pymodbus_rtu();
    let collector = Collector::start(&plant(&[Endpoint::serial("plc", &line.near)])).await;
    reads_as_pymodbus_serves(&collector.agent().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modbus_serial_gives_values_counts_up_and_says_busy() {
    let server = peer::modbus_serial();
    let collector = Collector::start(&plant(&[Endpoint::modbus("plc", server.port)])).await;
    let client = collector.agent().await;
    let read = async |tool: &str, address: u16, count: u16| {
        client.call(tool, json!({"address": address, "count": count, "max_age_s": 0})).await
    };
    let registers = read("modbus_read_holding", 0, 125).await.good();
    assert_eq!(registers["raw_registers"], json!((0..125).collect::<Vec<_>>()));
    assert_eq!(read("modbus_read_input", 7, 2).await.good()["raw_registers"], json!([7, 8]));
    let discrete = read("modbus_read_discrete", 0, 3).await.good();
    assert_eq!(discrete["bits"], json!([false, true, false]));
    assert_eq!(read("modbus_read_coils", 0, 1).await.good()["bits"], json!([false]));
    let first = read("modbus_read_holding", 1000, 1).await.good();
    let second = read("modbus_read_holding", 1000, 1).await.good();
    let count = |v: &Value| v["raw_registers"][0].as_u64().unwrap();
    assert_eq!(count(&second), count(&first) + 1, "each call asked the device exactly once");
    assert_eq!(read("modbus_read_holding", 3000, 1).await.code(), "device_fault");
    assert_eq!(read("modbus_read_holding", 2500, 1).await.code(), "bad_address");
    // Address 4000 answers after 3 s: its value in time, or a timeout, and never another's value.
    let late = read("modbus_read_holding", 4000, 1).await;
    if late.is_error {
        assert_eq!(late.code(), "device_timeout");
    } else {
        assert_eq!(late.good()["raw_registers"], json!([4000]));
    }
    // A unit that let a request time out is left alone for a moment: calls are told so.
    eventually("the unit is read again", async || {
        let after = read("modbus_read_holding", 42, 1).await;
        if after.is_error {
            assert_eq!(after.code(), "device_timeout");
            return None;
        }
        assert_eq!(after.good()["raw_registers"], json!([42]));
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scanned_modbus_tags_have_values_units_and_history() {
    let server = peer::pymodbus();
    let endpoint = Endpoint::modbus("plc", server.port)
        .tag("line/speed", "holding:100", "unit = \"rpm\"\ndescription = \"belt speed\"")
        .tag("line/twice", "4x00101", "unit_id = 2")
        .tag("line/wide", "holding:1", "type = \"uint32\"\norder = \"CDAB\"")
        .tag("line/signed", "input:0", "type = \"int16\"")
        .tag("line/open", "discrete:5", "type = \"bool\"")
        .tag(
            "line/level",
            "holding:500",
            "scale = { raw = [0, 1000], eu = [0.0, 10.0] }\nunit = \"m\"",
        );
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let names = ["line/speed", "line/twice", "line/wide", "line/signed", "line/open", "line/level"];
    let items = good_tags(&client, &names).await;
    let values: Vec<&Value> = items.iter().map(|item| &item["value"]).collect();
    assert_eq!(values[0], &json!(100));
    assert_eq!(values[1], &json!(200), "4x00101 is the 0-based holding register 100");
    assert_eq!(values[2], &json!(0x0002_0001));
    assert_eq!(values[3], &json!(-1));
    assert_eq!(values[4], &json!(true));
    assert_eq!(values[5].as_f64(), Some(5.0));
    assert_eq!(items[0]["unit"], "rpm");
    assert!(items[0]["source_ts"].is_null(), "Modbus has no source time, and none is invented");
    assert!(items[0]["age_ms"].is_u64() && items[0]["received_ts"].is_string());

    let found = client.call("tag_find", json!({"text": "belt"})).await.good();
    assert_eq!(found["tags"][0]["tag"], "line/speed");
    assert_eq!(found["tags"][0]["unit"], "rpm");
    assert_eq!(found["tags"].as_array().unwrap().len(), 1);

    let stats = json!({"tags": ["line/speed"], "since": "-1h"});
    let stats = client.call("tag_stats", stats).await.good();
    assert_eq!(stats["items"][0]["last"], json!(100), "{stats}");
    let history = json!({"tag": "line/speed", "since": "-1h"});
    let history = client.call("tag_history", history).await.good();
    assert_eq!(
        (&history["tag"], &history["points"][0]["value"]),
        (&json!("line/speed"), &json!(100))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_one_address_share_its_connection() {
    let device = Device::start().await.holding(0, &[3, 4]);
    let endpoints = [
        Endpoint::modbus("left", device.port).tag("left/one", "holding:0", ""),
        Endpoint::modbus("right", device.port).with("unit_id = 7").tag(
            "right/two",
            "holding:1",
            "",
        ),
    ];
    let collector = Collector::start(&plant(&endpoints)).await;
    let client = collector.agent().await;
    let items = good_tags(&client, &["left/one", "right/two"]).await;
    assert_eq!((&items[0]["value"], &items[1]["value"]), (&json!(3), &json!(4)));
    for endpoint in ["left", "right"] {
        let ask = json!({"endpoint": endpoint, "address": 0, "max_age_s": 0});
        let read = client.call("modbus_read_holding", ask).await.good();
        assert_eq!(read["endpoint"], endpoint);
    }
    assert_eq!(device.connections(), 1);
}
