//! The wall clock of a running collector set back and forward: no ticket lives longer by it, and
//! no write comes sooner.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;

use super::{OFFLINE, Person, approved, opened, policy, proved, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer::{self, package};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

const HOUR_S: i64 = 3600;

/// The wall clock of one process: `tests/peers/clock.c` adds what a file says.
struct Clock {
    offset: PathBuf,
    library: PathBuf,
    _folder: tempfile::TempDir,
}

impl Clock {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (offset, library) = (folder.path().join("offset"), folder.path().join("clock.so"));
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
        let made = command.arg(package("tests/peers/clock.c")).output().await.unwrap();
        assert!(made.status.success(), "{made:?}");
        let clock = Self { offset, library, _folder: folder };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds off. The file keeps its length: the process has it mapped.
    fn set(&self, offset_s: i64) {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).open(&self.offset).unwrap();
        file.write_all(&offset_s.to_ne_bytes()).unwrap();
    }

    fn exported(&self) -> [(&'static str, String); 2] {
        let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
        [("LD_PRELOAD", text(&self.library)), ("OT_TEST_CLOCK", text(&self.offset))]
    }
}

const SPEED: &str = "tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 1000";
const SELDOM: &str = "tag = \"line/seldom\"\ntier = \"one\"\nmin = 0\nmax = 1000\n\
                      max_per = \"10m:1\"";

#[tokio::test(flavor = "multi_thread")]
async fn setting_the_clock_back_or_forward_opens_nothing() {
    let clock = Clock::new().await;
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "").tag(
        "line/seldom",
        "holding:101",
        "",
    );
    let config = plant(&[endpoint]);
    let rules = policy(&[SPEED, SELDOM]);
    let collector = Collector::exporting(&config, Some(&rules), &clock.exported()).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed", "line/seldom"]).await;
    let id = opened(&agent, "line/speed", &json!(120)).await;
    let first = status(&operator, &id, 0).await;
    let approval = Person::new(OFFLINE).approval(&first);
    clock.set(-HOUR_S);
    let second = opened(&agent, "line/speed", &json!(121)).await;
    let created = status(&operator, &second, 0).await["created"].clone();
    assert!(created.as_str() < first["created"].as_str(), "the process sees its clock set back");
    let refused = operator.call("moc_approve", approval.clone()).await;
    assert_eq!(refused.code(), "denied");
    let message = refused.value["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("clock_suspect"), "{message}");
    assert_eq!(status(&operator, &id, 0).await["state"], "requested");
    assert_eq!(counter.writes(), 0);
    // An hour back by the wall, and the second one was opened an hour before.
    clock.set(0);
    let expired = status(&agent, &second, 30).await;
    assert_eq!(
        (&expired["state"], &expired["rule"]),
        (&json!("expired"), &json!("ticket_expired"))
    );
    // Set right, the first holds as it did.
    operator.call("moc_approve", approval).await.good();
    assert_eq!(status(&operator, &id, 30).await["state"], "verified");

    let id = opened(&agent, "line/seldom", &json!(7)).await;
    assert_eq!(approved(&operator, &id).await["state"], "verified");
    for offset_s in [HOUR_S, -HOUR_S, 24 * HOUR_S] {
        clock.set(offset_s);
        let ask = json!({"tag": "line/seldom", "value": 8, "dry_run": true});
        let dry = agent.call("moc_request", ask).await.good();
        assert_eq!(dry["verdict"], "denied", "{offset_s}: {dry}");
        let checks = dry["checks"].as_array().unwrap();
        let failed = checks.iter().find(|check| check["passed"] == false).unwrap();
        assert_eq!(failed["rule"], "rate", "{offset_s}: {dry}");
        good_tags(&agent, &["line/speed", "line/seldom"]).await;
    }
    clock.set(0);
    let id = opened(&agent, "line/speed", &json!(122)).await;
    clock.set(HOUR_S);
    let expired = status(&agent, &id, 30).await;
    assert_eq!(
        (&expired["state"], &expired["rule"]),
        (&json!("expired"), &json!("ticket_expired"))
    );
    assert_eq!(counter.writes(), 2);
    proved(&collector, &counter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lives_no_longer_for_a_clock_set_back() {
    let clock = Clock::new().await;
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let rules = policy(&[SPEED]);
    let rules = rules.replace("[[approver]]", "[defaults]\nticket_ttl = \"3s\"\n[[approver]]");
    let config = plant(&[endpoint]);
    let collector = Collector::exporting(&config, Some(&rules), &clock.exported()).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed"]).await;
    let id = opened(&agent, "line/speed", &json!(120)).await;
    clock.set(-HOUR_S);
    let expired = status(&agent, &id, 30).await;
    assert_eq!(
        (&expired["state"], &expired["rule"]),
        (&json!("expired"), &json!("ticket_expired"))
    );
    // By then the device is asked as before, and what comes is Good.
    eventually("a scan after the clock was set", async || {
        let before = counter.messages();
        good_tags(&agent, &["line/speed"]).await;
        (counter.messages() > before).then_some(())
    })
    .await;
    assert_eq!(
        operator
            .call(
                "moc_approve",
                json!({
                    "id": id, "key": Person::new(OFFLINE).public(), "signature": "00"
                })
            )
            .await
            .code(),
        "denied"
    );
    assert_eq!(counter.writes(), 0);
}
