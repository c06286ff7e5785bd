//! The MQTT tools and tags, against mosquitto and sparkplug-client's edge node.

use ot_aiops::net::mqtt;
use serde_json::{Value, json};

use crate::broker::{Broker, edge_node, file};
use crate::collector::{Collector, good_tags};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

const VERSIONS: [&str; 2] = ["3.1.1", "5"];

/// Waits until a tag is judged so, and gives its item.
async fn until(client: &Client, tag: &str, quality: &str) -> Value {
    eventually(&format!("{tag} is {quality}"), async || {
        let read = client.call("tag_read", json!({"tags": [tag]})).await.good();
        let item = read["items"][0].clone();
        (item["quality"] == quality).then_some(item)
    })
    .await
}

/// Waits until the session stands: its subscriptions do then.
async fn up(client: &Client, endpoint: &str) -> Value {
    eventually(&format!("{endpoint} is up"), async || {
        let status = client.call("endpoint_status", json!({"endpoint": endpoint})).await.good();
        let status = status["endpoints"][0].clone();
        (status["link"] == "up").then_some(status)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_of_a_broker_is_passed_in_both_versions() {
    let broker = Broker::start();
    broker.publish("line/temp", b"23.5", &["-r"]).await;
    let mut endpoints = Vec::new();
    let mut tags = Vec::new();
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("password");
    std::fs::write(&secret, "secret").unwrap();
    for version in VERSIONS {
        let tls =
            |endpoint: Endpoint| endpoint.with("use_tls = true").with(&file("ca_file", "ca.crt"));
        let doors = [
            ("plain", Endpoint::mqtt(&format!("plain-{version}"), broker.plain)),
            ("tls", tls(Endpoint::mqtt(&format!("tls-{version}"), broker.tls))),
            (
                "mutual",
                tls(Endpoint::mqtt(&format!("mutual-{version}"), broker.mutual))
                    .with(&file("cert_file", "client.crt"))
                    .with(&file("key_file", "client.key")),
            ),
            (
                "password",
                Endpoint::mqtt(&format!("password-{version}"), broker.password)
                    .with("username = \"operator\"")
                    .with(&format!("password = \"file:{}\"", secret.display())),
            ),
        ];
        for (door, endpoint) in doors {
            let tag = format!("{door}/{version}");
            let endpoint = endpoint.with(&format!("version = {version:?}"));
            endpoints.push(endpoint.tag(&tag, "line/temp", ""));
            tags.push(tag);
        }
    }
    let collector = Collector::start(&plant(&endpoints)).await;
    let client = collector.agent().await;
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    for item in good_tags(&client, &tags).await {
        assert_eq!((&item["value"], &item["source_ts"]), (&json!(23.5), &Value::Null), "{item}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_and_an_untrusted_certificate_are_said_at_once() {
    let broker = Broker::start();
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("password");
    std::fs::write(&secret, "wrong").unwrap();
    let mut endpoints = Vec::new();
    for version in VERSIONS {
        let of = |name: &str, port| {
            Endpoint::mqtt(&format!("{name}-{version}"), port)
                .with(&format!("version = {version:?}"))
        };
        endpoints.push(
            of("login", broker.password)
                .with("username = \"operator\"")
                .with(&format!("password = \"file:{}\"", secret.display())),
        );
        endpoints.push(of("nobody", broker.password));
        let tls = |endpoint: Endpoint, ca: &str| {
            endpoint.with("use_tls = true").with(&file("ca_file", ca))
        };
        endpoints.push(tls(of("authority", broker.tls), "other.crt"));
        endpoints.push(tls(of("stranger", broker.mutual), "ca.crt"));
    }
    let collector = Collector::start(&plant(&endpoints)).await;
    let client = collector.agent().await;
    for version in VERSIONS {
        for (name, code) in [
            ("login", "login_refused"),
            ("nobody", "login_refused"),
            ("authority", "certificate_rejected"),
            ("stranger", "certificate_rejected"),
        ] {
            let ask =
                json!({"endpoint": format!("{name}-{version}"), "topic": "a", "timeout_s": 5});
            let answer = client.call("mqtt_read_topic", ask).await;
            assert_eq!(answer.code(), code, "{name} {version}: {}", answer.value);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_topics_json_and_binary_are_tags_and_messages() {
    let broker = Broker::start();
    let endpoint = broker
        .endpoint("uns")
        .with("topic = \"site/#\"")
        .tag("speed", "site/state#drive.speed", "")
        .tag("mode", "site/state", "path = \"mode\"")
        .tag("count", "site/count", "type = \"uint16\"")
        .tag("gone", "site/state#no.such", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    up(&client, "uns").await;
    let state = br#"{"drive": {"speed": 1450.5}, "mode": "auto", "big": 9007199254740993}"#;
    broker.publish("site/state", state, &["-q", "1"]).await;
    broker.publish("site/count", b"17", &[]).await;
    broker.publish("site/raw", &[0x80, 0x81, 0], &["-r"]).await;
    let items = good_tags(&client, &["speed", "mode", "count"]).await;
    let values: Vec<&Value> = items.iter().map(|item| &item["value"]).collect();
    assert_eq!(values, [&json!(1450.5), &json!("auto"), &json!(17)]);
    until(&client, "gone", "BadNoData").await;
    broker.publish("site/count", b"70000", &[]).await;
    until(&client, "count", "BadDecodingError").await;

    let ask = json!({"topic": "site/#", "count": 4, "timeout_s": 20});
    let answer = client.call("mqtt_read_topic", ask).await.good();
    assert_eq!(answer["message_count"], 4, "{answer}");
    assert_eq!(answer["provenance"]["device_requests"], 0, "it is listened to already");
    let first = &answer["messages"][0];
    assert_eq!(first["payload"]["json"]["big"], json!(9_007_199_254_740_993_u64));
    assert_eq!((&first["qos"], &first["retain"]), (&json!(1), &json!(false)));
    let raw = &answer["messages"][2]["payload"];
    assert_eq!((&raw["encoding"], &raw["hex_preview"]), (&json!("binary"), &json!("808100")));

    // Outside the configured filters: subscribed for the call, and the kept message comes.
    broker.publish("other/kept", b"text", &["-r"]).await;
    let ask = json!({"topic": "other/+", "count": 1, "timeout_s": 20});
    let answer = client.call("mqtt_read_topic", ask).await.good();
    assert_eq!(answer["messages"][0]["payload"]["text"], "text", "{answer}");
    assert_eq!(answer["messages"][0]["retain"], true);
    assert_eq!(answer["provenance"]["device_requests"], 1);
    let deep = "[".repeat(200_000);
    broker.publish("site/deep", deep.as_bytes(), &[]).await;
    let answer = eventually("the nested message", async || {
        let ask = json!({"topic": "site/deep", "count": 1, "timeout_s": 1});
        let answer = client.call("mqtt_read_topic", ask).await.good();
        (answer["message_count"] == 1).then_some(answer)
    })
    .await;
    let note = answer["messages"][0]["payload"]["note"].as_str().unwrap();
    assert!(note.contains("nested deeper than 32"), "{answer}");
    let wrong = client.call("mqtt_read_topic", json!({"topic": "a/#/b"})).await;
    assert_eq!(wrong.code(), "bad_address");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparkplug_node_is_followed_until_its_death_and_from_its_next_birth() {
    let broker = Broker::start();
    let endpoint = broker
        .endpoint("spb")
        .with("version = \"5\"")
        .with("topic = \"spBv1.0/#\"")
        .tag("temp", "spBv1.0/G1/EdgeJS/D1:Inputs/Temp", "")
        .tag("count", "spBv1.0/G1/EdgeJS/D1:Inputs/Count", "")
        .tag("sp", "spBv1.0/G1/EdgeJS/D1:Outputs/SP", "")
        .tag("hw", "spBv1.0/G1/EdgeJS:Properties/HW", "")
        .tag("none", "spBv1.0/G1/EdgeJS/D1:No/Such", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    up(&client, "spb").await;
    let node = edge_node(&broker, "G1", "EdgeJS");
    let items = good_tags(&client, &["temp", "count", "sp", "hw"]).await;
    let temp = items[0]["value"].as_f64().unwrap();
    assert!((19.0..=21.0).contains(&temp), "{temp}");
    assert!(items[1]["value"].is_u64(), "{items:?}");
    // This node gives its messages a time and its metrics none: none is invented.
    assert_eq!(items[0]["source_ts"], Value::Null, "{items:?}");
    assert_eq!((&items[2]["value"], &items[3]["value"]), (&json!(1.5), &json!("sim")));
    until(&client, "none", "BadNodeIdUnknown").await;

    let sample = json!({"count": 25, "timeout_s": 2});
    let sample = client.call("sparkplug_subscribe_sample", sample).await.good();
    let births = sample["samples"].as_array().unwrap().iter();
    let birth = births.clone().find(|s| s["sparkplug"]["message_type"] == "DBIRTH").unwrap();
    assert_eq!(birth["payload"]["encoding"], "sparkplug_b");
    let metrics = birth["payload"]["metrics"].as_array().unwrap();
    let run = metrics.iter().find(|metric| metric["name"] == "Inputs/Run").unwrap();
    assert_eq!((&run["datatype"], run["value"].is_boolean()), (&json!("Boolean"), true));

    let listed = client.call("sparkplug_node_list", json!({"timeout_s": 1})).await.good();
    let listed = &listed["nodes"][0];
    assert_eq!(listed["devices"], json!(["D1"]));
    assert_eq!((&listed["online"], &listed["birth_seen"]), (&json!(true), &json!(true)));

    drop(node);
    let stale = until(&client, "temp", "UncertainLastUsableValue").await;
    assert!(stale["value"].is_f64(), "the last value is kept: {stale}");
    let stale = until(&client, "hw", "UncertainLastUsableValue").await;
    assert_eq!(stale["value"], "sim");
    let listed = client.call("sparkplug_node_list", json!({"timeout_s": 1})).await.good();
    assert_eq!(listed["nodes"][0]["online"], false, "{listed}");
    let _node = edge_node(&broker, "G1", "EdgeJS");
    good_tags(&client, &["temp", "count", "sp", "hw"]).await;
}

/// A payload with one Int32 metric `x` that says its name and type.
fn payload(seq: u8, value: u8) -> Vec<u8> {
    let metric = [10, 1, b'x', 32, 3, 80, value];
    let mut out = vec![18, metric.len() as u8];
    out.extend(metric);
    out.extend([24, seq]);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_sequence_is_counted_and_stale_until_a_birth() {
    let broker = Broker::start();
    let endpoint = broker.endpoint("spb").tag("x", "spBv1.0/G/E:x", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    up(&client, "spb").await;
    broker.publish("spBv1.0/G/NBIRTH/E", &payload(0, 1), &[]).await;
    broker.publish("spBv1.0/G/NDATA/E", &payload(1, 2), &[]).await;
    eventually("2, and Good", async || {
        let item = until(&client, "x", "Good").await;
        (item["value"] == 2).then_some(())
    })
    .await;
    assert_eq!(up(&client, "spb").await["samples_lost"], 0);
    broker.publish("spBv1.0/G/NDATA/E", &payload(5, 3), &[]).await;
    let item = until(&client, "x", "UncertainLastUsableValue").await;
    assert!(item["value"] == 2 || item["value"] == 3, "{item}");
    assert_eq!(up(&client, "spb").await["samples_lost"], 3);
    broker.publish("spBv1.0/G/NBIRTH/E", &payload(0, 4), &[]).await;
    assert_eq!(until(&client, "x", "Good").await["value"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_born_before_is_asked_for_its_birth_where_that_is_configured() {
    let broker = Broker::start();
    let _node = edge_node(&broker, "G1", "EdgeJS");
    let endpoint = |name: &str| {
        broker.endpoint(name).tag(&format!("{name}/hw"), "spBv1.0/G1/EdgeJS:Properties/HW", "")
    };
    let only_listening = endpoint("listening").with("topic = \"spBv1.0/#\"");
    let collector = Collector::start(&plant(&[only_listening])).await;
    let client = collector.agent().await;
    let seen = async || {
        let ask = json!({"timeout_s": 2});
        let listed = client.call("sparkplug_node_list", ask).await.good();
        listed["nodes"].as_array().unwrap().first().map(|node| node["birth_seen"].clone())
    };
    let born = eventually("the node by its data", async || seen().await).await;
    assert_eq!(born, json!(false), "nobody has asked it");
    let asking = Collector::start(&plant(&[endpoint("asking").with("rebirth = true")])).await;
    let item = until(&asking.agent().await, "asking/hw", "Good").await;
    assert_eq!(item["value"], "sim");
    eventually("the birth at the other host", async || {
        seen().await.filter(|born| *born == json!(true))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_heard_again() {
    let broker = Broker::start();
    let endpoint = broker.endpoint("uns").with("keep_alive_s = 1").tag("t", "line/t", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    broker.publish("line/t", b"1", &["-r"]).await;
    assert_eq!(good_tags(&client, &["t"]).await[0]["value"], 1);
    let broker = broker.again();
    let item = until(&client, "t", "UncertainLastUsableValue").await;
    assert_eq!(item["value"], 1, "the last value is kept, and said to be old");
    broker.publish("line/t", b"2", &["-r"]).await;
    assert_eq!(until(&client, "t", "Good").await["value"], 2);
}

/// Ears that hear nothing.
struct Deaf;

impl mqtt::Ear for Deaf {
    fn hear(&self, _message: mqtt::Heard) {}

    fn ended(&self, _why: mqtt::MqttError) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_broker_refuses_is_no_success_at_any_quality_it_answers_to() {
    let broker = Broker::start();
    let opening = mqtt::Opening {
        host: "127.0.0.1".to_owned(),
        port: broker.password,
        version: mqtt::Version::V5,
        client_id: "publisher".to_owned(),
        login: Some(("operator".to_owned(), "secret".to_owned())),
        tls: None,
        keep_alive_s: 60,
    };
    let deadline = tokio::time::Instant::now() + crate::wait::PATIENCE;
    let session = mqtt::Session::open(&opening, std::sync::Arc::new(Deaf), deadline).await.unwrap();
    for qos in [1, 2] {
        let publish = |topic: &str| mqtt::Publish {
            topic: topic.to_owned(),
            payload: b"1".to_vec(),
            qos,
            retain: false,
        };
        let sender = session.sender();
        assert_eq!(sender.publish(publish("allowed/a"), deadline).await, Ok(()), "{qos}");
        let refused = sender.publish(publish("refused/a"), deadline).await;
        assert_eq!(refused, Err(mqtt::MqttError::Publish("not authorized")), "{qos}");
    }
}
