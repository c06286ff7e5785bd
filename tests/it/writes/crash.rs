//! kill -9 at random points of writes: no ticket is lost or left open, nothing that was
//! acknowledged is missing from the audit, and nothing is written twice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{OFFLINE, Person, approved, opened, policy, proved, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::{Client, answer};

/// Kills of one run of the suite; `OT_KILLS` asks for more, `OT_SEED` for other moments.
const KILLS: u64 = 12;
const SEED: u64 = 1;
/// Writes that are left alone first: they say how long one takes on this machine now.
const WHOLE: u64 = 3;

const RULE: &str = "tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 60000";

fn asked_for(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// SplitMix64: the same moments for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }
}

/// What was acknowledged before the kill.
struct Killed {
    id: String,
    /// The approval was answered.
    approved: bool,
    /// The state that was answered, where the write had ended.
    ended: Option<Value>,
}

/// Asks for a value, signs it, and kills the collector so long after the approval went out.
async fn killed_while_writing(site: &mut Collector, value: u64, after: Duration) -> Killed {
    let (agent, operator) = (site.agent().await, site.operator().await);
    let id = opened(&agent, "line/speed", &json!(value)).await;
    let approval = Person::new(OFFLINE).approval(&status(&operator, &id, 0).await);
    let follow = json!({"name": "moc_status", "arguments": {"id": id, "wait_s": 50}});
    let (_, mut end) = agent.send("tools/call", follow).await;
    let call = json!({"name": "moc_approve", "arguments": approval});
    let (_, mut approved) = operator.send("tools/call", call).await;
    sleep(after).await;
    site.kill_and_restart().await;
    let approved = approved.try_recv().is_ok_and(|response| !answer(&response).is_error);
    let ended = end.try_recv().ok().map(|response| answer(&response).good()["state"].clone());
    Killed { id, approved, ended }
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

/// Writes that nobody disturbs. Gives how long the longest took, from the approval to its end.
async fn whole(site: &Collector) -> Duration {
    let (agent, operator) = (site.agent().await, site.operator().await);
    let mut longest = Duration::ZERO;
    for nth in 0..WHOLE {
        let id = opened(&agent, "line/speed", &json!(900 + nth)).await;
        let began = Instant::now();
        assert_eq!(approved(&operator, &id).await["state"], "verified");
        longest = longest.max(began.elapsed());
    }
    longest
}

/// What stands in the audit of one ticket.
#[derive(Default)]
struct Recorded {
    opened: u64,
    approved: u64,
    intents: u64,
    ends: u64,
}

/// Counts what the exported audit has of each ticket.
async fn recorded(site: &Collector) -> BTreeMap<String, Recorded> {
    let export = site.operator().await.call("audit_export", json!({})).await.good();
    let text = std::fs::read_to_string(export["file"].as_str().unwrap()).unwrap();
    let mut found = BTreeMap::<String, Recorded>::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let record = &line["record"];
        let Some(ticket) = record["ticket"].as_str() else { continue };
        let of = found.entry(ticket.to_owned()).or_default();
        match record["what"].as_str().unwrap() {
            "ticket_opened" => of.opened += 1,
            "ticket_approved" => of.approved += 1,
            "write_intent" => of.intents += 1,
            "write_outcome" | "write_settled" | "ticket_expired" => of.ends += 1,
            other => assert_eq!(other, "denied", "{record}"),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_killed_in_the_middle_of_a_write_settles_it_by_reading() {
    let (kills, seed) = (asked_for("OT_KILLS", KILLS), asked_for("OT_SEED", SEED));
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    // A short pause between the read-backs leaves more of the moments to everything else.
    let rules = policy(&[RULE]).replace("delay_ms = 100", "delay_ms = 10");
    let mut site = Collector::with_policy(&plant(&[endpoint]), &rules).await;
    good_tags(&site.agent().await, &["line/speed"]).await;
    let longest = whole(&site).await;
    let mut span_us = u64::try_from(longest.as_micros()).unwrap();
    let (mut random, mut value) = (Random(seed), 900 + WHOLE - 1);
    let mut outcomes = BTreeMap::<String, u64>::new();
    let (mut approvals, mut ends) = (Vec::new(), 0);
    for nth in 0..kills {
        let writes = counter.writes();
        let wished = 1_000 + nth;
        let after = Duration::from_micros(random.below(span_us));
        let killed = killed_while_writing(&mut site, wished, after).await;
        let agent = site.agent().await;
        let done = settled(&agent, &killed.id).await;
        let sent = counter.writes() - writes;
        good_tags(&agent, &["line/speed"]).await;
        let ask = json!({"address": 100, "max_age_s": 0});
        let there = agent.call("modbus_read_holding", ask).await.good();
        let there = there["raw_registers"][0].as_u64().unwrap();
        let state = done["state"].as_str().unwrap();
        match state {
            "verified" | "verified_after_restart" => {
                assert_eq!((there, sent), (wished, 1), "kill {nth}: {done}");
                value = wished;
            }
            "not_applied" | "expired" => {
                assert_eq!((there, sent), (value, 0), "kill {nth}: {done}");
            }
            other => panic!("kill {nth}: {other}: {done}"),
        }
        if killed.approved {
            assert_ne!(done["approvals"], 0, "kill {nth}: an approval is lost: {done}");
            approvals.push(killed.id);
        }
        // The machine may be busier or idler than before: a third of the kills come too late.
        span_us = if killed.ended.is_some() { span_us * 9 / 10 } else { span_us * 21 / 20 };
        if let Some(ended) = killed.ended {
            assert_eq!(done["state"], ended, "kill {nth}: an outcome is lost: {done}");
            ends += 1;
        }
        *outcomes.entry(state.to_owned()).or_default() += 1;
    }
    let found = recorded(&site).await;
    let tickets = kills + WHOLE;
    assert_eq!(u64::try_from(found.len()).unwrap(), tickets, "no ticket is lost");
    for (id, of) in &found {
        assert_eq!((of.opened, of.ends), (1, 1), "{id} is opened once and ends once");
        assert!(of.approved <= 1 && of.intents <= of.approved, "{id}");
    }
    assert!(approvals.iter().all(|id| found[id].approved == 1), "an approval is lost");
    let written = outcomes.iter().filter(|(state, _)| state.starts_with("verified"));
    let written: u64 = written.map(|(_, count)| count).sum();
    assert_eq!(counter.writes(), written + WHOLE, "each write that is there was sent once");
    proved(&site, &counter).await;
    eprintln!(
        "{kills} kills, the last within {span_us} us of an approval, seed {seed}: {outcomes:?}; \
         {} approvals and {ends} outcomes were acknowledged before, 0 lost; {written} writes at \
         the server, 0 double",
        approvals.len()
    );
}
