//! A device that doesn't keep what it is told: the write is taken back where the policy says so
//! and the value is still ours, and left alone else.

use serde_json::{Value, json};
use tokio::process::Command;

use super::{OFFLINE, Person, approved, opened, policy, proved, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer::{self, Peer};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

/// Registers of the pymodbus server that end at 1950, and one that keeps 10 more.
const CLAMPED: &str = "line/clamped";
const LENIENT: &str = "line/lenient";
const OVER: &str = "line/over";
const PLAIN: &str = "line/plain";

struct Site {
    server: Peer,
    counter: Counter,
    collector: Collector,
}

async fn site() -> Site {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    // Nothing but the write and its read-backs is asked while a write is under way.
    let rare = "scan_ms = 60000";
    let endpoint = Endpoint::modbus("plc", counter.port)
        .tag(CLAMPED, "holding:1900", rare)
        .tag(LENIENT, "holding:1901", rare)
        .tag(OVER, "holding:1910", rare)
        .tag(PLAIN, "holding:100", rare);
    let rule = |tag: &str, more: &str| {
        format!("tag = {tag:?}\ntier = \"one\"\nmin = 0\nmax = 5000\n{more}")
    };
    let rules = [
        rule(CLAMPED, "revert = true"),
        rule(LENIENT, ""),
        rule(OVER, "revert = true"),
        rule(PLAIN, "revert = true"),
    ];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let mut rules = policy(&rules);
    // The last rule leaves somebody else the time to write in between.
    let last = rules.rfind("delay_ms = 100").unwrap();
    rules.replace_range(last..last + "delay_ms = 100".len(), "delay_ms = 3000");
    let collector = Collector::with_policy(&plant(&[endpoint]), &rules).await;
    good_tags(&collector.agent().await, &[CLAMPED, LENIENT, OVER, PLAIN]).await;
    Site { server, counter, collector }
}

impl Site {
    /// Reads a register with a master that others wrote, past our own connection.
    async fn there(&self, register: &str) -> u64 {
        let port = self.server.port.to_string();
        let words = ["-m", "tcp", "-p", &port, "-a", "1", "-0", "-r", register, "-1", "127.0.0.1"];
        let read = Command::new("mbpoll").args(words).output().await.unwrap();
        assert!(read.status.success(), "{read:?}");
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("[{register}]:")));
        line.unwrap_or_else(|| panic!("{text}")).trim().parse().unwrap()
    }

    /// Has a value written, and gives the finished ticket.
    async fn written(&self, tag: &str, value: u64) -> Value {
        let (agent, operator) = (self.collector.agent().await, self.collector.operator().await);
        let id = opened(&agent, tag, &json!(value)).await;
        approved(&operator, &id).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_clamps_is_taken_back_where_the_policy_says_so() {
    let site = site().await;
    let done = site.written(CLAMPED, 2000).await;
    assert_eq!((&done["state"], &done["applied"]), (&json!("reverted"), &json!(false)), "{done}");
    assert_eq!(done["readbacks"], json!([1900, 1900]), "{done}");
    assert_eq!((site.counter.writes(), done["device_writes"].as_u64()), (2, Some(2)));
    assert_eq!(site.there("1900").await, 1900);
    // Within what the device takes, the same rule writes.
    assert_eq!(site.written(CLAMPED, 1940).await["state"], "verified");
    assert_eq!(site.there("1900").await, 1940);

    let done = site.written(LENIENT, 2000).await;
    assert_eq!((&done["state"], &done["applied"]), (&json!("verify_failed"), &json!(false)));
    assert_eq!(done["readbacks"], json!([1950, 1950]), "{done}");
    assert_eq!((site.counter.writes(), done["device_writes"].as_u64()), (4, Some(1)));
    assert_eq!(site.there("1901").await, 1950, "what no rule takes back stays");
    proved(&site.collector, &site.counter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_beyond_what_we_wrote_is_not_ours_to_take_back() {
    let site = site().await;
    let done = site.written(OVER, 1920).await;
    assert_eq!(done["state"], "verify_failed", "{done}");
    let why = done["why"].as_str().unwrap();
    assert!(why.contains("not taken back") && why.contains("not the one we wrote"), "{why}");
    assert_eq!((site.counter.writes(), site.there("1910").await), (1, 1930));
    proved(&site.collector, &site.counter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_somebody_else_wrote_since_is_left_alone() {
    let site = site().await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let id = opened(&agent, PLAIN, &json!(140)).await;
    let before = site.counter.messages();
    let approval = Person::new(OFFLINE).approval(&status(&operator, &id, 0).await);
    operator.call("moc_approve", approval).await.good();
    // The fresh read, the write and the first read-back; the second waits for three seconds.
    eventually("the first read-back", async || {
        (site.counter.messages() >= before + 3).then_some(())
    })
    .await;
    assert_eq!(site.there("100").await, 140);
    let port = site.server.port.to_string();
    let words = ["-m", "tcp", "-p", &port, "-a", "1", "-0", "-r", "100", "-1", "127.0.0.1", "120"];
    let wrote = Command::new("mbpoll").args(words).output().await.unwrap();
    assert!(wrote.status.success(), "{wrote:?}");
    let done = status(&operator, &id, 30).await;
    assert_eq!((&done["state"], &done["applied"]), (&json!("verify_failed"), &json!(false)));
    assert_eq!(done["readbacks"], json!([140, 120]), "{done}");
    assert!(done["why"].as_str().unwrap().contains("not the one we wrote"), "{done}");
    assert_eq!((site.counter.writes(), site.there("100").await), (1, 120));
    proved(&site.collector, &site.counter).await;
}
