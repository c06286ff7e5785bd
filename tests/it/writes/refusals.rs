//! What must never reach a device: each a typed refusal that names its rule, and no write message.

use serde_json::{Value, json};
use tokio::process::Command;

use super::{OFFLINE, Person, approved, opened, policy, request, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer::{self, Peer};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

const RANGE: &str = "tier = \"one\"\nmin = 0\nmax = 1000";

struct Site {
    server: Peer,
    counter: Counter,
    collector: Collector,
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::modbus("plc", port)
        .tag("line/speed", "holding:100", "")
        .tag("line/real", "holding:200", "type = \"float32\"")
        .tag("line/open", "coil:5", "type = \"bool\"")
        .tag("line/gates", "coil:20", "type = \"bool[3]\"")
        .tag("line/mode", "holding:2", "")
        .tag("line/guarded", "holding:101", "")
        .tag("line/ruleless", "holding:102", "")
        .tag("line/never", "holding:103", "")
        .tag("line/safety_door", "holding:104", "")
        .tag("line/beyond", "holding:3000", "")
        .tag("line/input", "input:1", "")
        .tag("line/order", "holding:105", "")
}

fn rules() -> String {
    let rule = |tag: &str, rest: &str| format!("tag = \"line/{tag}\"\n{rest}");
    let rules = [
        rule("speed", RANGE),
        rule("real", "tier = \"one\"\nmin = 0.0\nmax = 10.0"),
        rule("open", "tier = \"one\""),
        rule("gates", "tier = \"one\""),
        rule("guarded", &format!("{RANGE}\nrequire = [\"line/mode == 3\"]")),
        rule("never", "tier = \"never\"\nmin = 0\nmax = 1000"),
        rule("safety_door", RANGE),
        rule("beyond", RANGE),
        rule("input", "tier = \"one\"\nmin = 0\nmax = 65535"),
        rule("order", &format!("{RANGE}\nwork_order = true")),
    ];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let deny = "[[deny]]\ntag = \"*/safety_*\"\nreason = \"no rule opens safety\"\n";
    format!("{}{deny}", policy(&rules))
}

async fn site(policy: &str) -> Site {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let config = plant(&[endpoint(counter.port)]);
    let collector = Collector::with_policy(&config, policy).await;
    good_tags(&collector.agent().await, &["line/speed", "line/mode", "line/open"]).await;
    Site { server, counter, collector }
}

/// The rule that stands against a dry run first.
async fn denied_by(site: &Site, tag: &str, value: &Value) -> String {
    let ask = json!({"tag": tag, "value": value, "dry_run": true});
    let dry = site.collector.agent().await.call("moc_request", ask).await.good();
    assert_eq!(dry["verdict"], "denied", "{tag} {value}: {dry}");
    let checks = dry["checks"].as_array().unwrap();
    let failed = checks.iter().find(|check| check["passed"] == false).unwrap();
    assert!(failed["detail"].as_str().is_some_and(|why| !why.is_empty()), "{failed}");
    failed["rule"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_wish_is_denied_by_the_rule_that_says_so() {
    let site = site(&rules()).await;
    for (tag, value, rule) in [
        ("line/speed", json!(1001), "range"),
        ("line/speed", json!(-1), "value"),
        ("line/speed", json!(70_000), "value"),
        ("line/speed", json!(1.5), "value"),
        ("line/speed", json!("120"), "value"),
        ("line/speed", json!("NaN"), "value"),
        ("line/speed", json!(true), "value"),
        ("line/speed", json!([120]), "value"),
        ("line/speed", Value::Null, "value"),
        ("line/speed", json!({"value": 120}), "value"),
        ("line/real", json!("inf"), "value"),
        ("line/real", json!(1e300), "value"),
        ("line/real", json!(10.5), "range"),
        ("line/open", json!(1), "value"),
        ("line/open", json!("false"), "value"),
        ("line/gates", json!([true]), "value"),
        ("line/gates", json!([true, false, 1]), "value"),
        ("line/guarded", json!(7), "require line/mode == 3"),
        ("line/ruleless", json!(7), "rule"),
        ("line/never", json!(7), "tier"),
        ("line/safety_door", json!(7), "deny */safety_*"),
        ("line/beyond", json!(7), "before"),
        ("line/order", json!(7), "work_order"),
    ] {
        assert_eq!(denied_by(&site, tag, &value).await, rule, "{tag} {value}");
    }
    let agent = site.collector.agent().await;
    assert_eq!(request(&agent, "line/speeed", &json!(1)).await.code(), "unknown_tag");
    let beyond = json!({"tag": "line/beyond", "value": 7, "dry_run": true});
    let dry = agent.call("moc_request", beyond).await.good();
    assert_eq!(dry["before"], Value::Null);
    assert!(dry["read_back_error"].as_str().is_some_and(|why| !why.is_empty()), "{dry}");
    // Asked for in earnest, each is refused; the third cools the caller's writes, never reads.
    for value in [json!(1001), json!(1.5)] {
        let refused = request(&agent, "line/speed", &value).await;
        assert_eq!(refused.code(), "denied", "{}", refused.value);
    }
    assert_eq!(request(&agent, "line/ruleless", &json!(1)).await.code(), "denied");
    assert_eq!(request(&agent, "line/speed", &json!(120)).await.code(), "budget_exhausted");
    good_tags(&agent, &["line/speed"]).await;
    assert!(
        agent.call("moc_list", json!({})).await.good()["tickets"].as_array().unwrap().is_empty()
    );
    assert_eq!(site.counter.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_only_read_gets_no_message_even_with_an_approval() {
    let site = site(&rules()).await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let id = opened(&agent, "line/input", &json!(1)).await;
    let done = approved(&operator, &id).await;
    assert_eq!(done["state"], "not_applied", "{done}");
    assert!(done["why"].as_str().is_some_and(|why| why.contains("nothing was sent")), "{done}");
    assert_eq!((site.counter.writes(), done["device_writes"].as_u64()), (0, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_holds_for_what_was_signed_and_nothing_else() {
    let site = site(&rules()).await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let person = Person::new(OFFLINE);
    let id = opened(&agent, "line/speed", &json!(120)).await;
    let other = opened(&agent, "line/real", &json!(2.5)).await;
    let shown = status(&operator, &id, 0).await;
    let good = person.approval(&shown);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let edited = |field: &str, value: Value| {
        let mut ticket = shown["ticket"].clone();
        ticket[field] = value;
        let ticket: ot_aiops::model::Ticket = serde_json::from_value(ticket).unwrap();
        with(&|a| a["signature"] = json!(person.sign(&ticket.canonical())))
    };
    let stranger = Person::new(9);
    let by_stranger = stranger.approval(&shown);
    for (what, approval, rule) in [
        ("another value", edited("value", json!(121)), "bad_signature"),
        ("another address", edited("address", json!("holding:101")), "bad_signature"),
        ("another device", edited("identity", json!("00")), "bad_signature"),
        ("a longer life", edited("not_after_ms", json!(i64::MAX)), "bad_signature"),
        ("another unit", edited("unit_id", json!(2)), "bad_signature"),
        ("another ticket", with(&|a| a["id"] = json!(other)), "bad_signature"),
        ("a stranger", by_stranger, "unknown_key"),
        ("no signature", with(&|a| a["signature"] = json!("")), "bad_signature"),
        ("the word true", with(&|a| a["key"] = json!("true")), "unknown_key"),
    ] {
        let answer = operator.call("moc_approve", approval).await;
        assert_eq!(answer.code(), "denied", "{what}");
        let message = answer.value["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(rule), "{what}: {message}");
    }
    let unknown = with(&|a| a["id"] = json!("MOC-999"));
    assert_eq!(operator.call("moc_approve", unknown).await.code(), "not_found");
    assert_eq!(status(&agent, &id, 0).await["state"], "requested");
    operator.call("moc_reject", json!({"id": other, "reason": "not today"})).await.good();
    let rejected = status(&agent, &other, 0).await;
    assert_eq!((&rejected["state"], &rejected["why"]), (&json!("rejected"), &json!("not today")));
    assert_eq!(site.counter.writes(), 0);
    let done = approved(&operator, &id).await;
    assert_eq!(done["state"], "verified", "{done}");
    assert_eq!(site.counter.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_moved_since_it_was_signed_is_left_alone() {
    let site = site(&rules()).await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let id = opened(&agent, "line/speed", &json!(120)).await;
    // Another master writes, with a client that others wrote, past our counter.
    let port = site.server.port.to_string();
    let words = ["-m", "tcp", "-p", &port, "-a", "1", "-0", "-r", "100", "-1", "127.0.0.1", "777"];
    let wrote = Command::new("mbpoll").args(words).output().await.unwrap();
    assert!(wrote.status.success(), "{wrote:?}");
    let done = approved(&operator, &id).await;
    assert_eq!((&done["state"], &done["rule"]), (&json!("refused"), &json!("precondition")));
    assert_eq!(done["found"], json!(777));
    assert_eq!(site.counter.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_writes_stay_frozen_until_an_approver_signs() {
    let mut site = site(&rules()).await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let id = opened(&agent, "line/speed", &json!(120)).await;
    operator.call("writes_freeze", json!({"reason": "maintenance"})).await.good();
    let approval = Person::new(OFFLINE).approval(&status(&operator, &id, 0).await);
    let refused = operator.call("moc_approve", approval).await;
    assert!(refused.value["error"]["message"].as_str().unwrap().starts_with("frozen"));
    assert_eq!(denied_by(&site, "line/real", &json!(1.0)).await, "frozen");
    assert_eq!(operator.call("writes_thaw", json!({})).await.code(), "denied");
    assert_eq!(agent.call("writes_thaw", json!({})).await.code(), "denied");
    site.collector.kill_and_restart().await;
    let operator = site.collector.operator().await;
    let frozen = operator.call("moc_list", json!({})).await.good();
    assert!(frozen["writes_frozen"].as_str().is_some_and(|why| why.contains("maintenance")));
    let stranger = Person::new(9);
    let wrong = stranger.stated(&operator, "thaw", "writes", json!({})).await;
    assert_eq!(operator.call("writes_thaw", wrong).await.code(), "denied");
    let other = Person::new(OFFLINE).stated(&operator, "enrol", "writes", json!({})).await;
    assert_eq!(operator.call("writes_thaw", other).await.code(), "denied");
    let right = Person::new(OFFLINE).stated(&operator, "thaw", "writes", json!({})).await;
    let thawed = operator.call("writes_thaw", right.clone()).await.good();
    assert_eq!(thawed["writes_frozen"], Value::Null);
    operator.call("writes_freeze", json!({})).await.good();
    assert_eq!(operator.call("writes_thaw", right).await.code(), "denied", "handed in twice");
    assert_eq!(site.counter.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_few_and_expire_and_die_with_the_run_they_were_opened_in() {
    let short = rules().replace("[[approver]]", "[defaults]\nticket_ttl = \"15s\"\n[[approver]]");
    let mut site = site(&short).await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let id = opened(&agent, "line/speed", &json!(120)).await;
    let signed = Person::new(OFFLINE).approval(&status(&operator, &id, 0).await);
    let expired = status(&agent, &id, 30).await;
    assert_eq!(
        (&expired["state"], &expired["rule"]),
        (&json!("expired"), &json!("ticket_expired"))
    );
    assert_eq!(operator.call("moc_approve", signed).await.code(), "denied");
    std::fs::write(site.collector.home().join("policy.toml"), rules()).unwrap();
    site.collector.kill_and_restart().await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let list = operator.call("policy_test", json!({"tag": "line/speed", "value": 1})).await.good();
    assert!(list["writes_frozen"].as_str().is_some_and(|why| why.contains("epoch")), "{list}");
    good_tags(&agent, &["line/speed"]).await;
    std::fs::write(site.collector.home().join("policy.toml"), &short).unwrap();
    operator.call("collector_reload", json!({})).await.good();
    good_tags(&agent, &["line/speed", "line/open"]).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(opened(&agent, "line/speed", &json!(120)).await);
    }
    assert_eq!(request(&agent, "line/speed", &json!(120)).await.code(), "budget_exhausted");
    site.collector.kill_and_restart().await;
    let agent = site.collector.agent().await;
    for id in open {
        let state = eventually("an open ticket expires with its run", async || {
            let now = status(&agent, &id, 0).await;
            (now["state"] != "requested").then_some(now)
        })
        .await;
        assert_eq!(state["state"], "expired", "{state}");
    }
    assert_eq!(site.counter.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_device_behind_the_name_is_not_written() {
    let site = site(&rules()).await;
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let id = opened(&agent, "line/speed", &json!(120)).await;
    let second = peer::pymodbus();
    let other = Counter::before(second.port, Framing::Modbus).await;
    std::fs::write(site.collector.config(), plant(&[endpoint(other.port)])).unwrap();
    operator.call("collector_reload", json!({})).await.good();
    good_tags(&agent, &["line/speed"]).await;
    let approval = Person::new(OFFLINE).approval(&status(&operator, &id, 0).await);
    let refused = operator.call("moc_approve", approval).await;
    assert!(refused.value["error"]["message"].as_str().unwrap().starts_with("identity_changed"));
    assert_eq!((site.counter.writes(), other.writes()), (0, 0));
}
