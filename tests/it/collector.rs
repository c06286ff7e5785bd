//! A collector of its own for a test: the built program, its configuration and its state.

use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::wait::{PATIENCE, eventually};
use crate::wire::Client;

/// `ot-aiops run`, ended when this is dropped.
pub(crate) struct Collector {
    home: tempfile::TempDir,
    exported: Vec<(String, String)>,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// Starts a collector with a configuration and waits until it says `ready`.
    pub(crate) async fn start(config: &str) -> Self {
        Self::exporting(config, None, &[]).await
    }

    /// Starts a collector with a configuration and a policy beside it.
    pub(crate) async fn with_policy(config: &str, policy: &str) -> Self {
        Self::exporting(config, Some(policy), &[]).await
    }

    /// Starts a collector that has these variables in its environment.
    pub(crate) async fn exporting(
        config: &str,
        policy: Option<&str>,
        exported: &[(&str, String)],
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), config).unwrap();
        if let Some(policy) = policy {
            std::fs::write(home.path().join("policy.toml"), policy).unwrap();
        }
        Self::at(home, exported).await
    }

    /// Starts a collector in a home that has its configuration already.
    pub(crate) async fn at(home: tempfile::TempDir, exported: &[(&str, String)]) -> Self {
        let exported: Vec<(String, String)> =
            exported.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
        let (child, log) = run(&home, &exported).await;
        Self { home, exported, child, log }
    }

    /// The folder of configuration, policy and state.
    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// The folder of the state.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The file of the configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("config.toml")
    }

    /// Opens a session at the agents' door.
    pub(crate) async fn agent(&self) -> Client {
        Client::socket(&self.state().join("run/agent.sock")).await
    }

    /// Opens a session at the operators' door.
    pub(crate) async fn operator(&self) -> Client {
        Client::socket(&self.state().join("run/operator.sock")).await
    }

    /// Prepares one of the programs, pointed at this collector.
    pub(crate) fn program(&self, path: &str) -> Command {
        let mut command = Command::new(path);
        command.env("HOME", self.home.path()).env_remove("OT_AIOPS_HOME");
        command.env_remove("OT_AIOPS_CONFIG").env_remove("STATE_DIRECTORY").kill_on_drop(true);
        command
    }

    /// The words of `ot-aiops mcp`, attached to this collector.
    pub(crate) fn bridge(&self) -> Vec<String> {
        let state = self.state().to_str().unwrap().to_owned();
        let words = [env!("CARGO_BIN_EXE_ot-aiops"), "mcp", "--attach", "--toolset", "all"];
        let mut words = words.map(str::to_owned).to_vec();
        words.extend(["--state".to_owned(), state]);
        words
    }

    /// Runs `otctl` and gives its output.
    pub(crate) async fn otctl(&self, words: &[&str]) -> Output {
        let mut command = self.program(env!("CARGO_BIN_EXE_otctl"));
        command.arg("--state").arg(self.state()).args(words).stdin(Stdio::null());
        timeout(PATIENCE, command.output()).await.expect("otctl ends").unwrap()
    }

    /// Runs `otctl -o json`, which must succeed, and gives what it printed.
    pub(crate) async fn otctl_json(&self, words: &[&str]) -> Value {
        let output = self.otctl(&[&["-o", "json"], words].concat()).await;
        let text = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "otctl {words:?}: {}: {text}{why}", output.status);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("otctl {words:?}: {e}: {text}"))
    }

    /// Gives what the collector has written to its standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().expect("the collector runs")).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("the collector ends").unwrap()
    }

    /// Starts it again, after its end, on the same state.
    pub(crate) async fn again(&mut self) {
        (self.child, self.log) = run(&self.home, &self.exported).await;
    }

    /// Kills it without a word, and starts it again.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
        self.again().await;
    }

    /// Writes another configuration and asks for a reload by signal.
    pub(crate) fn reload(&self, config: &str) {
        std::fs::write(self.config(), config).unwrap();
        self.signal(Signal::HUP);
    }
}

async fn run(
    home: &tempfile::TempDir,
    exported: &[(String, String)],
) -> (Child, Arc<Mutex<Vec<String>>>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ot-aiops"))
        .arg("run")
        .arg("--config")
        .arg(home.path().join("config.toml"))
        .arg("--state")
        .arg(home.path().join("state"))
        .env("HOME", home.path())
        .env_remove("NOTIFY_SOCKET")
        .envs(exported.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let log = Arc::<Mutex<Vec<String>>>::default();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let copy = log.clone();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            copy.lock().unwrap().push(line);
        }
    });
    eventually("`ready` on the collector's standard error", async || {
        let ready = log.lock().unwrap().iter().any(|line| line.starts_with("ready"));
        if let (false, Ok(Some(status))) = (ready, child.try_wait()) {
            panic!("the collector ended with {status}:\n{}", log.lock().unwrap().join("\n"));
        }
        ready.then_some(())
    })
    .await;
    (child, log)
}

/// Asks for tags until each of them is Good, and gives the items in order.
pub(crate) async fn good_tags(client: &Client, tags: &[&str]) -> Vec<Value> {
    eventually(&format!("Good values of {tags:?}"), async || {
        let answer = client.call("tag_read", json!({"tags": tags})).await;
        let items = answer.value["items"].as_array()?.clone();
        let good = items.len() == tags.len() && items.iter().all(|i| i["quality"] == "Good");
        good.then_some(items)
    })
    .await
}
