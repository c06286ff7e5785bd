//! kill -9 in the middle of writes: no ticket is lost or left open, and nothing is written twice.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{OFFLINE, Person, opened, policy, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// Kills of one run of the suite; `OT_KILLS` asks for more.
const KILLS: u64 = 12;
/// A write on loopback is over after the intent (some 10 ms), the message and two read-backs.
const WRITE_MS: u64 = 60;

const RULE: &str = "tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 60000";

/// Asks for a value, signs it, and kills the collector that many milliseconds after the approval
/// went out. Gives the ticket, and whether the approval was acknowledged.
async fn killed_while_writing(site: &mut Collector, value: u64, after_ms: u64) -> (String, bool) {
    let (agent, operator) = (site.agent().await, site.operator().await);
    let id = opened(&agent, "line/speed", &json!(value)).await;
    let approval = Person::new(OFFLINE).approval(&status(&operator, &id, 0).await);
    let call = json!({"name": "moc_approve", "arguments": approval});
    let (_, mut answer) = operator.send("tools/call", call).await;
    sleep(Duration::from_millis(after_ms)).await;
    site.kill_and_restart().await;
    (id, answer.try_recv().is_ok())
}

async fn settled(client: &Client, id: &str) -> Value {
    eventually(&format!("{id} is settled"), async || {
        let now = status(client, id, 0).await;
        let state = now["state"].as_str().unwrap();
        let waits = ["requested", "approved", "executing", "unknown", "reverting"];
        (!waits.contains(&state)).then_some(now)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_killed_in_the_middle_of_a_write_settles_it_by_reading() {
    let kills = std::env::var("OT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let mut site = Collector::with_policy(&plant(&[endpoint]), &policy(&[RULE])).await;
    let (mut value, mut outcomes) = (100, std::collections::BTreeMap::<String, u64>::new());
    let mut windows_us = Vec::new();
    good_tags(&site.agent().await, &["line/speed"]).await;
    for nth in 0..kills {
        let writes = counter.writes();
        let wished = 1_000 + nth;
        // Every moment of a write, in an order that is the same each time.
        let after_ms = nth * 37 % WRITE_MS;
        let (id, acknowledged) = killed_while_writing(&mut site, wished, after_ms).await;
        let agent = site.agent().await;
        let done = settled(&agent, &id).await;
        let sent = counter.writes() - writes;
        assert!(sent <= 1, "kill {nth}: {sent} writes for {done}");
        good_tags(&agent, &["line/speed"]).await;
        let ask = json!({"address": 100, "max_age_s": 0});
        let there = agent.call("modbus_read_holding", ask).await.good();
        let there = there["raw_registers"][0].as_u64().unwrap();
        match done["state"].as_str().unwrap() {
            "verified" | "verified_after_restart" => {
                assert_eq!((there, sent), (wished, 1), "kill {nth}: {done}");
                value = wished;
            }
            "not_applied" | "expired" | "refused" => {
                assert_eq!((there, sent), (value, 0), "kill {nth}: {done}");
            }
            other => panic!("kill {nth}: {other}: {done}"),
        }
        windows_us.extend(done["cas_window_us"].as_u64());
        if acknowledged {
            assert_ne!(
                done["approvals"], 0,
                "kill {nth}: an acknowledged approval is kept: {done}"
            );
        }
        *outcomes.entry(done["state"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    windows_us.sort_unstable();
    let longest = windows_us.last();
    eprintln!("{kills} kills: {outcomes:?}; read to end of write, longest: {longest:?} us");
    let list = site.agent().await.call("moc_list", json!({"limit": 100})).await.good();
    let kept = list["tickets"].as_array().unwrap().len();
    assert_eq!(u64::try_from(kept).unwrap(), kills.min(100), "no ticket is lost");
}
