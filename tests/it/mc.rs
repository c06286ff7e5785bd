//! The Mitsubishi MC tools, against a simulator written from the specification.
//!
//! It holds D0..99 = their number, D100 = 1234, D101 = -5, D102 = 77, W1F = 42 and M10, M12, M13.

use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn every_mc_tool_gives_right_values_whole_and_in_pieces() {
    for fault in ["none", "split"] {
        let server = peer::mc_sim(fault);
        let collector = Collector::start(&plant(&[Endpoint::mc("capper", server.port)])).await;
        let client = collector.agent().await;
        let cpu = client.call("mc_cpu_status", json!({})).await.good();
        assert_eq!((&cpu["cpu_type"], &cpu["cpu_code"]), (&json!("Q03UDVCPU"), &json!("0366")));
        assert_eq!((&cpu["plctype"], &cpu["endpoint"]), (&json!("Q"), &json!("capper")));

        let words = client.call("mc_read_words", json!({"headdevice": "D100", "count": 3})).await;
        let words = words.good();
        assert_eq!(words["words"], json!([1234, -5, 77]));
        assert_eq!((&words["headdevice"], &words["count"]), (&json!("D100"), &json!(3)));
        let source = &words["provenance"];
        assert_eq!((&source["source"], &source["device_requests"]), (&json!("device"), &json!(1)));
        let link = client.call("mc_read_words", json!({"headdevice": "W1F"})).await.good();
        assert_eq!(link["words"], json!([42]));
        let packed = json!({"headdevice": "M0", "count": 16});
        let packed = client.call("mc_read_words", packed).await.good();
        assert_eq!(packed["words"][0], json!(0x3400), "M10, M12 and M13");
        assert_eq!(packed["words"].as_array().unwrap().len(), 16);

        let bits = client.call("mc_read_bits", json!({"headdevice": "M10", "count": 4})).await;
        assert_eq!(bits.good()["bits"], json!([true, false, true, true]));
        let inputs = client.call("mc_read_bits", json!({"headdevice": "X1F"})).await.good();
        assert_eq!(inputs["bits"], json!([false]), "the controller's name tells that X is hex");

        let many = json!({
            "word_devices": ["D100", "W1F", "D99999"], "dword_devices": ["D100", "D2"]
        });
        let many = client.call("mc_read_many", many).await.good();
        assert_eq!(
            (&many["words"][0]["value"], &many["words"][1]["value"]),
            (&json!(1234), &json!(42))
        );
        assert_eq!(many["words"][2]["value"], Value::Null);
        assert!(many["words"][2]["error"].as_str().unwrap().contains("C056"), "{many}");
        assert_eq!(many["dwords"][0]["value"], json!(1234 - 5 * 65536));
        assert_eq!(many["dwords"][1]["value"], json!(0x0003_0002));

        for (tool, wrong, code) in [
            ("mc_read_words", json!({"headdevice": "D12288"}), "bad_address"),
            ("mc_read_words", json!({"headdevice": "Q1"}), "bad_address"),
            ("mc_read_bits", json!({"headdevice": "D1"}), "bad_address"),
            ("mc_read_words", json!({"headdevice": "D1", "count": -1}), "bad_arguments"),
            ("mc_read_many", json!({}), "bad_arguments"),
        ] {
            let answer = client.call(tool, wrong.clone()).await;
            assert_eq!(answer.code(), code, "{wrong}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scanned_mc_tags_are_good_and_tools_read_them_from_the_cache() {
    let server = peer::mc_sim("none");
    let endpoint = Endpoint::mc("capper", server.port)
        .tag("line/count", "D100", "type = \"int16\"")
        .tag("line/less", "D101", "type = \"int16\"")
        .tag("line/link", "W1F", "")
        .tag("line/runs", "M10", "type = \"bool\"")
        .tag("line/bit", "D100.1", "type = \"bool\"")
        .tag("line/wide", "D2", "type = \"uint32\"")
        .tag("line/gone", "D20000", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let names = ["line/count", "line/less", "line/link", "line/runs", "line/bit", "line/wide"];
    let items = good_tags(&client, &names).await;
    let values: Vec<&Value> = items.iter().map(|item| &item["value"]).collect();
    let want = [json!(1234), json!(-5), json!(42), json!(true), json!(true), json!(0x0003_0002)];
    assert_eq!(values, want.iter().collect::<Vec<_>>());
    let gone = client.call("tag_read", json!({"tags": ["line/gone"]})).await.good();
    assert_eq!(gone["items"][0]["quality"], "BadConfigurationError");
    assert_eq!(gone["items"][0]["value"], Value::Null);

    let words =
        client.call("mc_read_words", json!({"headdevice": "D100", "count": 2})).await.good();
    assert_eq!(words["words"], json!([1234, -5]));
    let source = &words["provenance"];
    assert_eq!((&source["source"], &source["device_requests"]), (&json!("cache"), &json!(0)));
    let many = client.call("mc_read_many", json!({"word_devices": ["D101"]})).await.good();
    assert_eq!(many["words"][0]["value"], json!(-5));
    assert_eq!(many["provenance"]["device_requests"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_twice_half_or_cut_off_are_no_values() {
    for fault in ["glue", "half", "rst"] {
        let server = peer::mc_sim(fault);
        let endpoint = Endpoint::mc("capper", server.port)
            .with("plctype = \"Q\"\ntimeout_ms = 300")
            .tag("line/count", "D100", "");
        let collector = Collector::start(&plant(&[endpoint])).await;
        let client = collector.agent().await;
        let ask = json!({"headdevice": "D0", "max_age_s": 0});
        let answer = client.call("mc_read_words", ask).await;
        let code = answer.code();
        assert!(["invalid_answer", "unreachable"].contains(&code), "{fault}: {}", answer.value);
        eventually("the tag says that nothing good came", async || {
            let read = client.call("tag_read", json!({"tags": ["line/count"]})).await.good();
            let item = &read["items"][0];
            assert!(item["value"].is_null(), "{fault}: {item}");
            item["quality"].as_str().is_some_and(|q| q.starts_with("Bad")).then_some(())
        })
        .await;
    }
}
