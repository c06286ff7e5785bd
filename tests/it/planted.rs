//! Links planted in the state directory: none is followed, and what they point to stays as it is.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::collector::Collector;
use crate::wait::PATIENCE;

const VICTIM: &str = "of somebody else\n";

/// A home whose state directory has a link to a file of somebody else.
fn planted(name: &str) -> (tempfile::TempDir, tempfile::NamedTempFile) {
    let (home, victim) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(victim.path(), VICTIM).unwrap();
    let run = home.path().join("state/run");
    std::fs::create_dir_all(run).unwrap();
    symlink(victim.path(), home.path().join("state").join(name)).unwrap();
    std::fs::write(home.path().join("config.toml"), "").unwrap();
    (home, victim)
}

async fn run(home: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ot-aiops"));
    command.arg("run").arg("--config").arg(home.join("config.toml"));
    command.arg("--state").arg(home.join("state")).env("HOME", home).stdin(Stdio::null());
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.expect("the collector ends by itself").unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_a_state_files_place_keeps_the_collector_from_starting() {
    for name in ["run/collector.lock", "run/collector.pid", "audit.redb", "audit.key"] {
        let (home, victim) = planted(name);
        let (code, said) = run(home.path()).await;
        assert_eq!(code, Some(2), "{name}: {said}");
        assert!(said.contains("error:") && !said.contains("ready"), "{name}: {said}");
        assert_eq!(std::fs::read_to_string(victim.path()).unwrap(), VICTIM, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_a_sockets_place_is_replaced_by_the_socket() {
    for name in ["run/agent.sock", "run/operator.sock"] {
        let (home, victim) = planted(name);
        let collector = Collector::at(home, &[]).await;
        let socket = collector.state().join(name).symlink_metadata().unwrap();
        assert!(socket.file_type().is_socket(), "{name}");
        collector.agent().await.call("moc_list", json!({})).await.good();
        assert_eq!(std::fs::read_to_string(victim.path()).unwrap(), VICTIM, "{name}");
    }
}
