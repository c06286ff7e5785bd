//! No room for the audit: writes freeze, reads go on, nothing that was acknowledged is lost, and
//! writes thaw by themselves once there is room again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{OFFLINE, Person, approved, opened, policy, proved, request, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer::{self, Peer};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

const RULE: &str = "tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 1000";
/// Denied calls until there is no room: some thousand records of seven kilobytes.
const DENIALS_MAX: usize = 3_000;
/// What is left of the room.
const ROOM: u64 = 1 << 20;

struct Site {
    _server: Peer,
    counter: Counter,
    collector: Collector,
}

/// Starts a collector in a home of its own.
async fn site(home: tempfile::TempDir) -> Site {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    std::fs::write(home.path().join("config.toml"), plant(&[endpoint])).unwrap();
    std::fs::write(home.path().join("policy.toml"), policy(&[RULE])).unwrap();
    let collector = Collector::at(home, &[]).await;
    good_tags(&collector.agent().await, &["line/speed"]).await;
    Site { _server: server, counter, collector }
}

/// Has records written, each acknowledged, until one can't be. Gives how many were.
async fn until_there_is_no_room(site: &Site) -> usize {
    let agent = site.collector.agent().await;
    let long: serde_json::Map<String, Value> =
        (0..7).map(|nth| (format!("x{nth}"), json!("x".repeat(1000)))).collect();
    for acknowledged in 0..DENIALS_MAX {
        let answer = agent.call("collector_reload", Value::Object(long.clone())).await;
        match answer.code() {
            "denied" => (),
            "storage" => return acknowledged,
            other => panic!("{other}: {}", answer.value),
        }
    }
    panic!("there was room for {DENIALS_MAX} records");
}

/// Goes through it all; `fill` leaves little room, `free` makes it again.
async fn freezes_and_thaws(mut site: Site, fill: impl FnOnce(), free: impl FnOnce()) {
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let open = opened(&agent, "line/speed", &json!(121)).await;
    let approval = Person::new(OFFLINE).approval(&status(&operator, &open, 0).await);
    fill();
    let (sent, acknowledged) = (site.counter.writes(), until_there_is_no_room(&site).await);
    let list = operator.call("moc_list", json!({})).await.good();
    let why = list["writes_frozen"].as_str().unwrap_or_else(|| panic!("{list}"));
    assert!(why.contains("full"), "{why}");
    for _ in 0..3 {
        let refused = operator.call("moc_approve", approval.clone()).await;
        assert!(["denied", "storage"].contains(&refused.code()), "{}", refused.value);
        let refused = request(&agent, "line/speed", &json!(122)).await;
        assert!(["denied", "storage"].contains(&refused.code()), "{}", refused.value);
        good_tags(&agent, &["line/speed"]).await;
        let now = json!({"address": 100, "max_age_s": 0});
        let read = agent.call("modbus_read_holding", now).await.good();
        assert_eq!(read["raw_registers"], json!([120]));
    }
    assert_eq!(status(&agent, &open, 0).await["state"], "requested");
    assert_eq!(site.counter.writes(), sent);
    free();
    eventually("writes thaw", async || {
        let list = operator.call("moc_list", json!({})).await.good();
        list["writes_frozen"].is_null().then_some(())
    })
    .await;
    operator.call("moc_approve", approval).await.good();
    assert_eq!(status(&operator, &open, 30).await["state"], "verified");
    assert_eq!(site.counter.writes(), sent + 1);
    site.collector.kill_and_restart().await;
    let operator = site.collector.operator().await;
    let mut kept = 0;
    for record in super::records(&operator, "tool_call").await {
        kept += usize::from(record["tool"] == "collector_reload");
    }
    assert!(kept >= acknowledged, "{kept} of {acknowledged} acknowledged records are there");
    eprintln!("{acknowledged} records were acknowledged before there was no room; {kept} are kept");
    proved(&site.collector, &site.counter).await;
}

async fn first_write(site: &Site) {
    let (agent, operator) = (site.collector.agent().await, site.collector.operator().await);
    let id = opened(&agent, "line/speed", &json!(120)).await;
    assert_eq!(approved(&operator, &id).await["state"], "verified");
}

/// RLIMIT_FSIZE: no file of the process may grow beyond so many bytes. Writes fail with EFBIG, as
/// they do with ENOSPC on a full disk, and it takes no privilege.
fn limit(pid: Pid, bytes: Option<u64>) {
    let hard = prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None });
    hard.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_freeze_writes_and_nothing_else() {
    let site = site(tempfile::tempdir().unwrap()).await;
    first_write(&site).await;
    let pid = std::fs::read_to_string(site.collector.state().join("run/collector.pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let audit = site.collector.state().join("audit.redb");
    let fill = || limit(pid, Some(std::fs::metadata(audit).unwrap().size() + ROOM));
    freezes_and_thaws(site, fill, || limit(pid, None)).await;
}

/// A file system of its own, gone when this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    async fn new(at: &Path) -> Self {
        std::fs::create_dir(at).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=32m,mode=711", "tmpfs"]).arg(at);
        let mounted = command.output().await.unwrap();
        assert!(mounted.status.success(), "{mounted:?}");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let gone = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be unmounted", self.0.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_freezes_writes_and_nothing_else() {
    if !rustix::process::getuid().is_root() {
        eprintln!("only root can mount; files that may not grow are tried instead");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mounted = Mounted::new(&home.path().join("state")).await;
    let site = site(home).await;
    first_write(&site).await;
    let filler = mounted.0.join("filler");
    let fill = || {
        let mut file = std::fs::File::create(&filler).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        // Some room is left.
        file.set_len(file.metadata().unwrap().len() - ROOM).unwrap();
    };
    freezes_and_thaws(site, fill, || std::fs::remove_file(&filler).unwrap()).await;
}
