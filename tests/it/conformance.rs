//! Every protocol against its simulated server, with a relay between them that does what networks
//! and devices do: one test, so that a new protocol is held to it by being in the demo.

use std::collections::{BTreeMap, BTreeSet};

use ot_aiops::demo;
use ot_aiops::protocols::PROTOCOLS;
use serde_json::{Value, json};

use crate::collector::Collector;
use crate::meddler::{Meddler, Mode};
use crate::wait::eventually;
use crate::wire::Client;

/// The plant's seed: any will do.
const SEED: u64 = 7;

/// An endpoint of the demo behind its relay.
struct Behind {
    protocol: String,
    meddler: Meddler,
    tags: Vec<String>,
}

/// Puts a relay before each server that the configuration names, and names the relays instead.
async fn meddled(config: &str) -> (String, Vec<Behind>) {
    let mut config: toml::Table = config.parse().unwrap();
    let mut behind = Vec::new();
    for endpoint in config["endpoints"].as_array_mut().unwrap() {
        let endpoint = endpoint.as_table_mut().unwrap();
        let url = endpoint.iter().find_map(|(key, value)| {
            let (_, port) = value.as_str()?.split_once("//127.0.0.1:")?;
            let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
            Some((key.clone(), digits.parse::<u16>().unwrap()))
        });
        let port = endpoint.get("port").and_then(toml::Value::as_integer);
        let server = url.as_ref().map_or_else(|| u16::try_from(port.unwrap()).unwrap(), |u| u.1);
        let meddler = Meddler::before(server).await;
        match url {
            Some((key, _)) => {
                let text = endpoint[&key].as_str().unwrap();
                let text = text.replace(&format!(":{server}"), &format!(":{}", meddler.port));
                endpoint.insert(key, text.into());
            }
            None => {
                endpoint.insert("port".to_owned(), i64::from(meddler.port).into());
            }
        }
        let tags = endpoint["tags"].as_array().unwrap();
        let tags = tags.iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect();
        let protocol = endpoint["protocol"].as_str().unwrap().to_owned();
        behind.push(Behind { protocol, meddler, tags });
    }
    (toml::to_string(&config).unwrap(), behind)
}

async fn items(client: &Client, behind: &Behind) -> Vec<Value> {
    let answer = client.call("tag_read", json!({"tags": behind.tags})).await.good();
    answer["items"].as_array().unwrap().clone()
}

/// Waits until each tag of each endpoint is judged as it should be.
async fn until(client: &Client, all: &[Behind], mode: Mode, is_right: fn(&Value) -> bool) {
    for behind in all {
        let what = format!("{}: every tag as it should be under {mode:?}", behind.protocol);
        eventually(&what, async || items(client, behind).await.iter().all(is_right).then_some(()))
            .await;
    }
}

fn is_good(item: &Value) -> bool {
    item["quality"] == "Good"
}

#[tokio::test(flavor = "multi_thread")]
async fn no_protocol_takes_a_broken_answer_for_a_value_and_each_recovers() {
    let pki = tempfile::tempdir().unwrap();
    let plant = demo::start(&[], SEED, pki.path()).await.unwrap();
    let (config, all) = meddled(&plant.config_toml()).await;
    let tried: BTreeSet<&str> = all.iter().map(|behind| behind.protocol.as_str()).collect();
    let known: BTreeSet<&str> = PROTOCOLS.iter().map(|protocol| protocol.name).collect();
    assert_eq!(tried, known, "every protocol has a simulated server");
    let collector = Collector::start(&config).await;
    let client = collector.agent().await;
    until(&client, &all, Mode::Pass, is_good).await;
    for behind in &all {
        assert!(behind.meddler.answered() > 0, "{} went around its relay", behind.protocol);
    }
    for mode in [Mode::Silence, Mode::Garbage, Mode::Half, Mode::Drop] {
        all.iter().for_each(|behind| behind.meddler.set(mode));
        until(&client, &all, mode, |item| !is_good(item)).await;
        all.iter().for_each(|behind| behind.meddler.set(Mode::Pass));
        until(&client, &all, Mode::Pass, is_good).await;
    }
    all.iter().for_each(|behind| behind.meddler.set(Mode::Trickle));
    let mut before: BTreeMap<&str, u64> = BTreeMap::new();
    for behind in &all {
        before.insert(&behind.protocol, behind.meddler.answered());
    }
    for behind in &all {
        let what = format!("{}: good values in small pieces", behind.protocol);
        eventually(&what, async || {
            let has_come = behind.meddler.answered() > before[behind.protocol.as_str()] + 2000;
            (has_come && items(&client, behind).await.iter().all(is_good)).then_some(())
        })
        .await;
    }
    every_good_value_is_one_of_the_plant(&client, &all).await;
    plant.stop().await;
}

/// What a tag's sensor can show: a value made of garbage lies elsewhere.
async fn every_good_value_is_one_of_the_plant(client: &Client, all: &[Behind]) {
    let ranges: BTreeMap<String, (f64, f64)> = demo::ranges().collect();
    for behind in all {
        let ask = json!({"tags": behind.tags, "since": "-1h"});
        let stats = client.call("tag_stats", ask).await.good();
        for item in stats["items"].as_array().unwrap() {
            let (low, high) = ranges[item["tag"].as_str().unwrap()];
            let (Some(min), Some(max)) = (item["min"].as_f64(), item["max"].as_f64()) else {
                continue;
            };
            assert!(low <= min && max <= high, "{item} is outside {low}..{high}");
        }
    }
}
