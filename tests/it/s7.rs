//! The S7 tools and tags, against python-snap7.
//!
//! It holds DB1 (256 bytes): REAL 3.14 at 0, INT -7 at 4, DINT 100000 at 6, a true bit 10.3,
//! STRING "snap7" at 20; MD10 holds REAL 2.5, MW20 INT -3.

use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::peer;
use crate::plant::{Endpoint, plant};

/// The REAL nearest to 3.14.
const TEMPERATURE: f64 = 3.140_000_104_904_175;

#[tokio::test(flavor = "multi_thread")]
async fn every_s7_tool_gives_right_values_or_says_why_not() {
    let server = peer::snap7();
    let collector = Collector::start(&plant(&[Endpoint::s7("plc", server.port)])).await;
    let client = collector.agent().await;

    let cpu = client.call("s7_cpu_info", json!({})).await.good();
    assert_eq!(
        (&cpu["endpoint"], &cpu["rack"], &cpu["slot"]),
        (&json!("plc"), &json!(0), &json!(1))
    );
    assert!(["RUN", "STOP", "unknown"].contains(&cpu["cpu_status"].as_str().unwrap()), "{cpu}");
    assert!(cpu["cpu_info"].as_object().is_some_and(|info| !info.is_empty()), "{cpu}");

    let real = json!({"db": 1, "dtype": "REAL", "start": 0});
    let real = client.call("s7_read_db", real).await.good();
    assert_eq!((&real["area"], &real["db"]), (&json!("DB"), &json!(1)));
    assert_eq!(real["items"][0]["address"], json!("DB1,REAL0"));
    assert_eq!(real["items"][0]["value"], json!(TEMPERATURE));
    let source = &real["provenance"];
    assert_eq!((&source["source"], &source["device_requests"]), (&json!("device"), &json!(1)));

    let bits = json!({"area": "DB", "db": 1, "dtype": "bit", "start": 10, "bit": 2, "count": 8});
    let bits = client.call("s7_read_area", bits).await.good();
    let shown: Vec<(&Value, &Value)> = bits["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (&item["address"], &item["value"]))
        .collect();
    assert_eq!(shown[1], (&json!("DB1,X10.3"), &json!(true)));
    assert_eq!(shown[7], (&json!("DB1,X11.1"), &json!(false)));

    let addresses = [
        "DB1,INT4",
        "DB1.DBD6:DINT",
        "DB1,X10.3",
        "DB1,STRING20.30",
        "MD10:REAL",
        "MW20:INT",
        "DB77,INT0",
        "DB1,REAL254",
        "DB1,FOO1",
    ];
    let many = client.call("s7_read_many", json!({"addresses": addresses})).await.good();
    let values: Vec<&Value> =
        many["items"].as_array().unwrap().iter().map(|item| &item["value"]).collect();
    let want = [
        json!(-7),
        json!(100_000),
        json!(true),
        json!("snap7"),
        json!(2.5),
        json!(-3),
        Value::Null,
        Value::Null,
        Value::Null,
    ];
    assert_eq!(values, want.iter().collect::<Vec<_>>());
    let why = |nth: usize| many["items"][nth]["error"].as_str().unwrap().to_owned();
    assert!(why(6).contains("optimised block access"), "{}", why(6));
    assert!(why(7).contains("beyond the end") || why(7).contains("no such"), "{}", why(7));
    assert_eq!(many["count"], json!(9));

    for (tool, wrong, code) in [
        ("s7_read_area", json!({"area": "T", "dtype": "WORD", "start": 2}), "bad_address"),
        ("s7_read_area", json!({"area": "M", "dtype": "FOO", "start": 2}), "bad_address"),
        ("s7_read_db", json!({"db": 0, "dtype": "INT", "start": 2}), "bad_address"),
        ("s7_read_db", json!({"db": 77, "dtype": "INT", "start": 0}), "bad_address"),
        ("s7_read_db", json!({"db": 1, "dtype": "INT", "start": 255}), "bad_address"),
        ("s7_read_many", json!({"addresses": []}), "bad_arguments"),
        ("s7_cpu_info", json!({"endpoint": "nowhere"}), "unknown_endpoint"),
    ] {
        let answer = client.call(tool, wrong.clone()).await;
        assert_eq!(answer.code(), code, "{wrong}: {}", answer.value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scanned_s7_tags_are_good_and_tools_read_them_from_the_cache() {
    let server = peer::snap7();
    let endpoint = Endpoint::s7("plc", server.port)
        .tag("press/temp", "DB1,REAL0", "")
        .tag("press/offset", "DB1.DBW4", "type = \"int16\"")
        .tag("press/count", "DB1.DBD6:DINT", "")
        .tag("press/runs", "DB1,X10.3", "")
        .tag("press/recipe", "DB1,STRING20.30", "")
        .tag("press/flag", "MD10:REAL", "")
        .tag("press/gone", "DB77,INT0", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let names =
        ["press/temp", "press/offset", "press/count", "press/runs", "press/recipe", "press/flag"];
    let items = good_tags(&client, &names).await;
    let values: Vec<&Value> = items.iter().map(|item| &item["value"]).collect();
    let want =
        [json!(TEMPERATURE), json!(-7), json!(100_000), json!(true), json!("snap7"), json!(2.5)];
    assert_eq!(values, want.iter().collect::<Vec<_>>());
    let gone = client.call("tag_read", json!({"tags": ["press/gone"]})).await.good();
    assert_eq!(gone["items"][0]["quality"], "BadConfigurationError");
    assert_eq!(gone["items"][0]["value"], Value::Null);

    let cached = json!({"addresses": ["DB1,INT4", "MD10:REAL"]});
    let cached = client.call("s7_read_many", cached).await.good();
    assert_eq!(
        (&cached["items"][0]["value"], &cached["items"][1]["value"]),
        (&json!(-7), &json!(2.5))
    );
    let source = &cached["provenance"];
    assert_eq!((&source["source"], &source["device_requests"]), (&json!("cache"), &json!(0)));
    let row = json!({"db": 1, "dtype": "INT", "start": 4});
    let row = client.call("s7_read_db", row).await.good();
    assert_eq!(row["provenance"]["device_requests"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_comes_back_is_read_again() {
    let server = peer::snap7();
    let port = server.port;
    let endpoint = Endpoint::s7("plc", port).with("timeout_ms = 300").tag("t", "DB1,INT4", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["t"]).await;
    drop(server);
    crate::wait::eventually("the last value is kept and said to be old", async || {
        let read = client.call("tag_read", json!({"tags": ["t"]})).await.good();
        let item = &read["items"][0];
        (item["value"] == -7 && item["quality"] == "UncertainLastUsableValue").then_some(())
    })
    .await;
}
