//! A new user's home: the built programs, and nothing set up yet.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// The variable that opens the secret store.
pub(crate) const MASTER: &str = "OT_AIOPS_MASTER_PASSWORD";

/// A home, with what is exported in it.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    exported: Vec<(String, String)>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Insists on success, and gives all that was said.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout + &self.stderr
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), exported: Vec::new() }
    }

    /// Exports a variable.
    pub(crate) fn export(&mut self, name: &str, value: &str) {
        self.exported.retain(|(known, _)| known != name);
        self.exported.push((name.to_owned(), value.to_owned()));
    }

    /// Gives a path in `~/.ot-aiops`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(".ot-aiops").join(name)
    }

    /// Writes a file into `~/.ot-aiops`.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::create_dir_all(self.path("")).unwrap();
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Reads a file of `~/.ot-aiops`.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Prepares one of the programs.
    pub(crate) fn program(&self, path: &str, words: &[&str]) -> Command {
        let mut command = Command::new(path);
        command.args(words).env("HOME", self.dir.path()).kill_on_drop(true);
        for name in ["OT_AIOPS_HOME", "OT_AIOPS_CONFIG", "STATE_DIRECTORY", MASTER] {
            command.env_remove(name);
        }
        command.env_remove("CREDENTIALS_DIRECTORY").env_remove("NOTIFY_SOCKET");
        command.envs(self.exported.iter().cloned());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `ot-aiops` with answers on stdin.
    pub(crate) async fn answer(&self, words: &[&str], answers: &str) -> Ended {
        self.run(env!("CARGO_BIN_EXE_ot-aiops"), words, answers).await
    }

    /// Runs `ot-aiops`.
    pub(crate) async fn ot(&self, words: &[&str]) -> Ended {
        self.answer(words, "").await
    }

    /// Runs `otctl`.
    pub(crate) async fn otctl(&self, words: &[&str]) -> Ended {
        self.run(env!("CARGO_BIN_EXE_otctl"), words, "").await
    }

    /// Runs any program with answers on stdin.
    pub(crate) async fn run(&self, path: &str, words: &[&str], answers: &str) -> Ended {
        let mut command = self.program(path, words);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let answers = answers.to_owned();
        // A program that asks less than is answered closes its end.
        let typed = tokio::spawn(async move { stdin.write_all(answers.as_bytes()).await.is_ok() });
        let output = timeout(PATIENCE * 2, child.wait_with_output()).await;
        typed.await.unwrap();
        Ended::of(&output.unwrap_or_else(|_| panic!("{words:?} does not end")).unwrap())
    }
}
