//! Who may do what: users of their own for agent and approver.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::json;
use tokio::process::Command;

use super::{Person, policy, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// Users that need no account: the kernel knows them by number alone.
pub(super) const AGENT: u32 = 1601;
pub(super) const APPROVER: u32 = 1502;
const RULE: &str = "tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 1000";

/// Tells whether the tests can be several users.
pub(super) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// A program, run as another user.
fn as_user(uid: u32, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let (user, group) = (format!("--reuid={uid}"), format!("--regid={uid}"));
    command.args([&user, &group, "--clear-groups", "--", program]).kill_on_drop(true);
    command.env("HOME", "/nonexistent");
    command
}

async fn otctl(uid: u32, state: &Path, words: &[&str]) -> Output {
    let mut command = as_user(uid, env!("CARGO_BIN_EXE_otctl"));
    command.arg("--state").arg(state).args(["-o", "json"]).args(words);
    command.output().await.unwrap()
}

/// Opens a session through a bridge of that user.
pub(super) async fn agent_of(uid: u32, state: &Path) -> Client {
    let mut command = as_user(uid, env!("CARGO_BIN_EXE_ot-aiops"));
    command.args(["mcp", "--attach", "--toolset", "all", "--state"]).arg(state);
    Client::process(command).await
}

/// A collector with a group for agents and one for operators, where that needs no privilege.
pub(super) async fn site(counter: &Counter, policy: &str) -> Collector {
    let groups = format!("agent_group = \"{AGENT}\"\noperator_group = \"{APPROVER}\"\n");
    let doors = if is_root() { format!("[doors]\n{groups}") } else { String::new() };
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let config = format!("{doors}{}", plant(&[endpoint]));
    let collector = Collector::with_policy(&config, policy).await;
    std::fs::set_permissions(collector.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    good_tags(&collector.agent().await, &["line/speed"]).await;
    collector
}

/// Two approvers: one elsewhere, and one with a user of this machine.
pub(super) fn policy_of_people() -> String {
    let here = Person::new(1).public();
    let rule =
        format!("[[approver]]\nid = \"m.kovacs\"\nkey = \"{here}\"\nuid = {APPROVER}\n[[write]]");
    policy(&[RULE]).replacen("[[write]]", &rule, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_and_another_user_approves() {
    if !is_root() {
        eprintln!("only root can be two users; the walk with an offline key is tried elsewhere");
        return;
    }
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let collector = site(&counter, &policy_of_people()).await;
    let agent = agent_of(AGENT, &collector.state()).await;
    let ask = json!({"tag": "line/speed", "value": 120, "reason": "warm up"});
    let answer = agent.call("moc_request", ask).await.good();
    assert_eq!(answer["approvers"], json!(["offline", "m.kovacs"]), "{answer}");
    let id = answer["moc_id"].as_str().unwrap();
    let shown = status(&agent, id, 0).await;
    assert_eq!(shown["requested_by_uid"], AGENT);
    assert_eq!(shown["untrusted_reason"], "warm up");
    let approval = Person::new(1).approval(&shown).to_string();
    let words = ["call", "moc_approve", "--json", &approval];
    // The key belongs to another user than root, who hands it in here.
    let by_root = collector.otctl(&words).await;
    assert!(!by_root.status.success());
    let approved = otctl(APPROVER, &collector.state(), &words).await;
    assert!(approved.status.success(), "{approved:?}");
    let done = status(&agent, id, 30).await;
    assert_eq!((&done["state"], &done["approved_by"]), (&json!("verified"), &json!(["m.kovacs"])));
    assert_eq!(counter.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_who_runs_everything_is_refused_and_told_why() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let here = Person::new(1).public();
    let own = rustix::process::getuid().as_raw();
    let alone = format!(
        "version = 1\nepoch = 1\nmode = \"supervised\"\n[[approver]]\nid = \"me\"\n\
         key = \"{here}\"\nuid = {own}\n[[write]]\n{RULE}\n"
    );
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let collector = Collector::with_policy(&plant(&[endpoint]), &alone).await;
    let agent = collector.agent().await;
    good_tags(&agent, &["line/speed"]).await;
    let refused = agent.call("moc_request", json!({"tag": "line/speed", "value": 120})).await;
    assert_eq!(refused.code(), "denied");
    let message = refused.value["error"]["message"].as_str().unwrap();
    assert!(message.contains("separation") && message.contains("user of their own"), "{message}");
    let list = collector.operator().await.call("approver_list", json!({})).await.good();
    assert!(list["separation_fault"].as_str().is_some_and(|why| why.contains("offline")), "{list}");
    assert_eq!(counter.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_are_enrolled_by_approvers_and_revoked_at_once() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let mut collector = Collector::with_policy(&plant(&[endpoint]), &policy(&[RULE])).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed"]).await;
    let fresh = Person::new(11);
    let enrol = json!({"id": "second", "public_key": fresh.public(), "offline": true});
    assert_eq!(operator.call("approver_enrol", enrol.clone()).await.code(), "denied");
    let approver = ot_aiops::model::Approver {
        id: "second".into(),
        key: fresh.public(),
        uid: None,
        offline: true,
    };
    let subject = ot_aiops::govern::keys::enrolment(&approver);
    let by_itself = fresh.stated(&operator, "enrol", &subject, enrol.clone()).await;
    assert_eq!(operator.call("approver_enrol", by_itself).await.code(), "denied");
    let signed = Person::new(super::OFFLINE).stated(&operator, "enrol", &subject, enrol).await;
    operator.call("approver_enrol", signed).await.good();
    collector.kill_and_restart().await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed"]).await;
    let id = super::opened(&agent, "line/speed", &json!(120)).await;
    let approval = fresh.approval(&status(&operator, &id, 0).await);
    operator.call("approver_revoke", json!({"id": "second"})).await.good();
    assert_eq!(operator.call("moc_approve", approval).await.code(), "denied");
    let list = operator.call("approver_list", json!({})).await.good();
    assert_eq!(list["approvers"].as_array().unwrap().len(), 1, "{list}");
    let done = super::approved(&operator, &id).await;
    assert_eq!(done["state"], "verified");
    eventually("the tag shows it", async || {
        let read = agent.call("tag_read", json!({"tags": ["line/speed"]})).await.good();
        (read["items"][0]["value"] == 120).then_some(())
    })
    .await;
    assert_eq!(counter.writes(), 1);
}
