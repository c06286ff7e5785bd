//! The README's walk, as it is printed: the demo, a key, a request, an approval typed at a
//! terminal, the verified write, the undo, and the audit.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::policy;
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer::{self, package};
use crate::plant::{Endpoint, plant};
use crate::wait::PATIENCE;

const TAG: &str = "demo/line1/filler/speed_setpoint";
/// A passphrase that nobody else uses.
pub(super) const PHRASE: &str = "correct horse battery";

/// A home with a state directory, and `otctl` in it.
pub(super) struct Desk<'a> {
    pub(super) home: &'a Path,
    pub(super) state: &'a Path,
}

impl Desk<'_> {
    /// Makes the key of an approver here, and gives its public half.
    pub(super) async fn new_key(&self, id: &str) -> String {
        let phrases = [("10 characters", PHRASE), ("Once more", PHRASE)];
        let (shown, code) = self.typed(&["approver", "new", id], &phrases).await;
        assert_eq!(code, Some(0), "{shown}");
        assert!(!shown.contains(PHRASE), "a passphrase is never shown: {shown}");
        let key = std::fs::read_to_string(self.home.join(".ot-aiops-approver.key")).unwrap();
        assert!(!key.contains(PHRASE));
        let key: Value = serde_json::from_str(&key).unwrap();
        key["public"].as_str().unwrap().to_owned()
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let program = env!("CARGO_BIN_EXE_otctl").to_owned();
        let state = self.state.to_str().unwrap().to_owned();
        let mut all = vec![program, "--state".into(), state, "-o".into(), "json".into()];
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }

    async fn run(&self, words: &[&str]) -> Value {
        let all = self.words(words);
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).env("HOME", self.home).stdin(Stdio::null());
        let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {text}{why}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// Runs it at a terminal, where somebody types. Gives what was shown, and the exit code.
    pub(super) async fn typed(
        &self,
        words: &[&str],
        answers: &[(&str, &str)],
    ) -> (String, Option<i32>) {
        let answers: Vec<Value> = answers.iter().map(|(ask, say)| json!([ask, say])).collect();
        let mut command = Command::new("python3");
        command.arg(package("tests/peers/typed.py")).arg(Value::from(answers).to_string());
        command.args(self.words(words)).env("HOME", self.home).stdin(Stdio::null());
        let output = timeout(PATIENCE * 3, command.output()).await.unwrap().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    }
}

/// `ot-aiops demo` with a fault that no setpoint has, ended when this is dropped.
async fn demo(state: &Path, home: &Path) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ot-aiops"))
        .args(["demo", "--fault", "stuck-sensor", "--state"])
        .arg(state)
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (mut said, mut is_ready) = (String::new(), false);
    while let Ok(Ok(Some(line))) = timeout(PATIENCE, lines.next_line()).await {
        is_ready = line.starts_with("ready");
        said.push_str(&line);
        said.push('\n');
        if is_ready {
            break;
        }
    }
    assert!(is_ready, "{said}");
    assert!(said.contains("moc approve MOC-1"), "the walk is printed: {said}");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_of_the_readme_runs_against_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let (home, state) = (folder.path(), folder.path().join("demo"));
    let _demo = demo(&state, home).await;
    let desk = Desk { home, state: &state };
    let public = desk.new_key("me").await;
    desk.run(&["approver", "enrol", "me", &public]).await;

    let dry = desk.run(&["moc", "request", TAG, "560", "--dry-run"]).await;
    assert_eq!((&dry["verdict"], &dry["before"]), (&json!("allowed"), &json!(600)), "{dry}");
    let asked = desk.run(&["moc", "request", TAG, "560", "--reason", "bottle change"]).await;
    assert_eq!((&asked["moc_id"], &asked["demo"]), (&json!("MOC-1"), &json!(true)));
    // Somebody who types something else, or a wrong passphrase, approves nothing.
    let wrong = [("Type the new value", "y")];
    let (shown, code) = desk.typed(&["moc", "approve", "MOC-1"], &wrong).await;
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("before") && shown.contains("600 bottles/min"), "{shown}");
    assert!(shown.contains("untrusted") && shown.contains("bottle change"), "{shown}");
    let wrong = [("Type the new value", "560"), ("Passphrase", "not it at all")];
    let (shown, code) = desk.typed(&["moc", "approve", "MOC-1"], &wrong).await;
    assert_eq!(code, Some(4), "{shown}");
    let right = [("Type the new value", "560"), ("Passphrase", PHRASE)];
    let (shown, code) = desk.typed(&["moc", "approve", "MOC-1"], &right).await;
    assert_eq!(code, Some(0), "{shown}");
    let done = desk.run(&["moc", "status", "MOC-1"]).await;
    assert_eq!((&done["state"], &done["found"]), (&json!("verified"), &json!(600)), "{done}");
    assert_eq!((&done["separation_relaxed"], &done["written"]), (&json!(true), &json!(560)));

    let undo = desk.run(&["moc", "undo", "MOC-1", "--reason", "back to normal"]).await;
    assert_eq!((&undo["moc_id"], &undo["would_write"]), (&json!("MOC-2"), &json!(600)));
    let right = [("Type the new value", "600"), ("Passphrase", PHRASE)];
    let (shown, code) = desk.typed(&["moc", "approve", "MOC-2"], &right).await;
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(desk.run(&["moc", "status", "MOC-1"]).await["state"], "undone");
    let audit = desk.run(&["audit", "verify"]).await;
    assert_eq!((&audit["ok"], &audit["first_bad"]), (&json!(true), &Value::Null), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_signed_on_another_machine_and_a_policy_by_its_approver() {
    let folder = tempfile::tempdir().unwrap();
    let far = Desk { home: folder.path(), state: folder.path() };
    let public = far.new_key("far").await;
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let far_one =
        format!("[[approver]]\nid = \"far\"\nkey = \"{public}\"\noffline = true\n[[write]]");
    let rules = policy(&["tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 1000"]);
    let rules = rules.replacen("[[write]]", &far_one, 1);
    let collector = Collector::with_policy(&plant(&[endpoint]), &rules).await;
    let agent = collector.agent().await;
    good_tags(&agent, &["line/speed"]).await;
    let id = super::opened(&agent, "line/speed", &json!(120)).await;
    let file = folder.path().join("ticket.json");
    let path = file.to_str().unwrap();
    collector.otctl_json(&["moc", "export", &id, path]).await;
    let answers = [("Type the new value", "120"), ("Passphrase", PHRASE)];
    let (shown, code) = far.typed(&["moc", "sign", path], &answers).await;
    assert_eq!(code, Some(0), "{shown}");
    let done = collector.otctl_json(&["moc", "import", &format!("{path}.signed")]).await;
    assert_eq!((&done["state"], &done["approved_by"]), (&json!("verified"), &json!(["far"])));
    assert_eq!(counter.writes(), 1);

    // A new policy: refused until an approver of the one in force has signed that very text.
    let file = collector.home().join("policy.toml");
    let wider = rules.replace("epoch = 1", "epoch = 2").replace("max = 1000", "max = 2000");
    std::fs::write(&file, &wider).unwrap();
    let reads_on = async |what: &str| {
        // A policy that can't be used leaves the rest applied: a part.
        let reload = collector.otctl(&["-o", "json", "collector", "reload"]).await;
        let answer: Value = serde_json::from_slice(&reload.stdout).unwrap();
        let code = if what == "signed" { 0 } else { 5 };
        assert_eq!(reload.status.code(), Some(code), "{what}: {reload:?}");
        if what == "unsigned" {
            let problem = answer["problems"][0].as_str().unwrap();
            assert!(problem.contains("frozen") && problem.contains("policy sign"), "{problem}");
        }
        good_tags(&agent, &["line/speed"]).await;
        let list = collector.otctl_json(&["moc", "list"]).await;
        assert_eq!(list["writes_frozen"].is_null(), what == "signed", "{what}: {list}");
    };
    reads_on("unsigned").await;
    let path = file.to_str().unwrap();
    let answers = [("Type the epoch", "2"), ("Passphrase", PHRASE)];
    let (shown, code) = far.typed(&["policy", "sign", path], &answers).await;
    assert_eq!(code, Some(0), "{shown}");
    let checked = collector.otctl_json(&["policy", "check", path]).await;
    assert_eq!((&checked["epoch"], &checked["signed_by"]), (&json!(2), &json!(public)));
    reads_on("signed").await;
    std::fs::write(&file, wider.replace("max = 2000", "max = 9000")).unwrap();
    reads_on("edited after signing").await;
    std::fs::write(&file, "mode = ").unwrap();
    reads_on("broken").await;
    std::fs::write(&file, &wider).unwrap();
    reads_on("signed").await;
    assert_eq!(counter.writes(), 1);
}
