//! `s7_address.json` through the real tool, from python-snap7.

use serde_json::{Value, json};

use super::vectors;
use crate::collector::Collector;
use crate::peer;
use crate::plant::{Endpoint, plant};

#[tokio::test(flavor = "multi_thread")]
async fn s7_addresses_are_those_of_the_vectors() {
    let server = peer::snap7();
    let collector = Collector::start(&plant(&[Endpoint::s7("plc", server.port)])).await;
    let client = collector.agent().await;
    let mut tried = 0;
    for vector in vectors("s7_address") {
        // What can be written is the gate's: its vectors are tried there.
        let is_address =
            ["_s7_addr", "_addr_series"].contains(&vector["function"].as_str().unwrap());
        let Some(expect) = vector.get("expect").filter(|_| is_address) else { continue };
        let answer = client.call("s7_read_area", vector["input"].clone()).await;
        tried += 1;
        if expect.get("$error").is_some() {
            assert_eq!(answer.code(), "bad_address", "{}", vector["name"]);
            continue;
        }
        let answer = answer.good();
        let items = answer["items"].as_array().unwrap();
        let shown: Vec<&Value> = items.iter().map(|item| &item["address"]).collect();
        let want: Vec<&Value> =
            expect.as_array().map_or(vec![expect], |list| list.iter().collect());
        assert_eq!(shown, want, "{}", vector["name"]);
    }
    assert_eq!(tried, 9);
}

/// The vectors that the reference gets wrong without saying what would be right: the bytes, read
/// as the type that was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn flags_are_read_as_the_type_that_was_asked_for() {
    let server = peer::snap7();
    let collector = Collector::start(&plant(&[Endpoint::s7("plc", server.port)])).await;
    let client = collector.agent().await;
    for (dtype, start, want) in [
        ("REAL", 10, json!(2.5)),
        ("DWORD", 10, json!(0x4020_0000)),
        ("DINT", 10, json!(0x4020_0000)),
        ("CHAR", 10, json!("@")),
        ("USINT", 10, json!(0x40)),
        ("LREAL", 10, json!(f64::from_bits(0x4020_0000_0000_0000))),
        ("INT", 20, json!(-3)),
        ("WORD", 20, json!(65533)),
    ] {
        let ask = json!({"area": "m", "dtype": dtype, "start": start});
        let answer = client.call("s7_read_area", ask).await.good();
        assert_eq!(answer["items"][0]["value"], want, "{dtype}");
    }
}
