//! Setting up as a new user does: init, doctor, secrets, import, discover.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use ot_aiops::config::secret::SecretStore;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::collector::{Collector, good_tags};
use crate::home::{Home, MASTER};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

const CANARY: &str = "CANARY-9d1e";

/// Gives the checks of `doctor -o json` as `subject/check`, with their verdicts and fixes.
fn checks(report: &str) -> Vec<(String, String, String)> {
    let report: Value = serde_json::from_str(report).unwrap_or_else(|e| panic!("{e}: {report}"));
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let row = |check: &Value| {
        let name = format!("{}/{}", text(check, "subject"), text(check, "check"));
        (name, text(check, "verdict"), text(check, "fix"))
    };
    report["checks"].as_array().unwrap().iter().map(row).collect()
}

fn verdict<'a>(checks: &'a [(String, String, String)], name: &str) -> &'a str {
    let found = checks.iter().find(|(known, ..)| known == name);
    found.map_or_else(|| panic!("{name}: {checks:?}"), |(_, verdict, _)| verdict)
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_set_listed_removed_and_put_under_another_password() {
    let mut home = Home::new();
    let missing = home.answer(&["secret", "set", "line1"], CANARY).await;
    assert!(missing.code == 2 && missing.stderr.contains(MASTER), "{missing:?}");
    home.export(MASTER, "correct horse");
    let mut said = home.answer(&["secret", "set", "line1"], &format!("{CANARY}\n")).await.good();
    said += &home.answer(&["secret", "set", "other"], "x\n").await.good();
    let mode = home.path("secrets.enc").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(home.ot(&["secret", "list"]).await.good(), "line1\nother\n");

    home.export(MASTER, "wrong horse");
    for words in [&["secret", "rm", "other"][..], &["secret", "set", "z"], &["secret", "rotate"]] {
        let wrong = home.answer(words, "battery staple\n").await;
        assert!(wrong.code == 4 && wrong.stderr.contains("does not open"), "{words:?}: {wrong:?}");
        said += &wrong.stderr;
    }
    home.export(MASTER, "correct horse");
    said += &home.ot(&["secret", "rm", "other"]).await.good();
    let none = home.ot(&["secret", "rm", "other"]).await;
    assert!(none.code == 2 && none.stderr.contains("no secret"), "{none:?}");
    said += &home.answer(&["secret", "rotate"], "battery staple\n").await.good();
    assert_eq!(home.ot(&["secret", "rm", "line1"]).await.code, 4, "the old password is no more");
    home.export(MASTER, "battery staple");
    assert_eq!(home.ot(&["secret", "list"]).await.good(), "line1\n");
    said += &home.read("secrets.enc");
    assert!(!said.contains(CANARY), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_leaves_the_old_store_or_the_new_one() {
    let mut home = Home::new();
    let mut master = "correct horse".to_owned();
    home.export(MASTER, &master);
    home.answer(&["secret", "set", "line1"], "x\n").await.good();
    for round in 0..8_u64 {
        let new = format!("battery staple {round}");
        home.write("answer", format!("{new}\n"));
        let mut rotate = home.program(env!("CARGO_BIN_EXE_ot-aiops"), &["secret", "rotate"]);
        rotate.stdin(Stdio::from(std::fs::File::open(home.path("answer")).unwrap()));
        let mut child = rotate.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(250 * round)).await;
        child.kill().await.unwrap();
        let store = SecretStore::find(&home.path("")).unwrap().expect("the store is there");
        let opens = |text: &str| {
            let secret = ot_aiops::model::Secret::new(text.to_owned());
            store.open(&secret).is_ok_and(|open| open.get("line1").unwrap().reveal() == "x")
        };
        if opens(&new) {
            master = new;
        } else {
            assert!(opens(&master), "round {round}: neither the old password opens it nor the new");
        }
        home.export(MASTER, &master);
    }
    home.ot(&["secret", "rm", "line1"]).await.good();
}

const OLD_CONFIG: &str = "endpoints:
  - name: qa
    protocol: opcua
    endpoint_url: opc.tcp://127.0.0.1:4840/sim
    username: operator
    tags:
      - {ref: 'ns=2;s=Ramp', label: Ramp, warn_high: '15', alarm_high: 20}
  - {name: plc, protocol: modbus, host: 127.0.0.1, unit_id: 3, tags: [{ref: 100}]}
  - {name: bad, protocol: modbuss}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_references_configuration_and_secrets_are_taken_over() {
    let mut home = Home::new();
    let old = home.write("config.yaml", OLD_CONFIG);
    let old = old.to_str().unwrap();
    let store = home.write("secrets.enc", include_str!("../golden/secrets.enc.sample"));
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o600)).unwrap();
    home.write("rules.yaml", "deny: []\n");
    home.export(MASTER, "wrong");
    let wrong = home.ot(&["config", "import", old]).await;
    assert_eq!(wrong.code, 4, "{wrong:?}");
    assert!(!home.path("config.toml").exists(), "nothing is written with a wrong password");

    home.export(MASTER, "right");
    let said = home.ot(&["config", "import", old]).await.good();
    for part in ["2 endpoints, 2 tags", "1 secret,", "modbuss", "rules.yaml", "config.toml"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(home.ot(&["secret", "list"]).await.good(), "qa\n");
    assert!(home.path("secrets.enc.reference").exists(), "the old store is kept");
    let text = home.read("config.toml");
    assert!(text.contains("warn_high = 15") && text.contains("unit_id = 3"), "{text}");
    let check = home.ot(&["config", "check"]).await;
    assert_eq!(check.code, 0, "{check:?}");
    let master = ot_aiops::model::Secret::new("right".to_owned());
    let store = SecretStore::find(&home.path("")).unwrap().unwrap().open(&master);
    assert_eq!(store.ok().and_then(|s| s.get("qa").cloned()).unwrap().reveal(), "p");

    let again = home.ot(&["config", "import", old]).await;
    assert!(again.code == 2 && again.stderr.contains("already"), "{again:?}");
    assert_eq!(home.read("config.toml"), text, "nothing is overwritten unasked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_knows_is_left_out_alone_unless_it_may_change_what_is_read() {
    let home = Home::new();
    let old = "endpoints:\n  \
        - {name: plc, protocol: modbus, host: h, vendor: acme, tags: [{ref: 100, comment: x}]}\n  \
        - {name: odd, protocol: modbus, host: h, byte_order: big}\n";
    let old = home.write("config.yaml", old);
    let said = home.ot(&["config", "import", old.to_str().unwrap()]).await.good();
    for part in ["1 endpoint, 1 tag", "`vendor`", "`comment`", "`byte_order`", "what is read"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let text = home.read("config.toml");
    assert!(text.contains("\"plc\"") && !text.contains("odd"), "{text}");
    let check = home.ot(&["config", "check"]).await;
    assert_eq!(check.code, 0, "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_references_store_is_named_where_ours_should_be() {
    let mut home = Home::new();
    home.write("config.yaml", OLD_CONFIG);
    let store = home.write("secrets.enc", include_str!("../golden/secrets.enc.sample"));
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o600)).unwrap();
    home.export(MASTER, "right");
    let check = home.ot(&["config", "check"]).await;
    assert!(check.code == 1 && check.stderr.contains("config import"), "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn init_proves_a_modbus_device_and_adds_it_to_what_is_there() {
    let (home, server) = (Home::new(), peer::pymodbus());
    // It says READY a moment before it listens.
    eventually("pymodbus listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.ok()
    })
    .await;
    home.write("config.toml", "# kept as it is\n[history]\nkeep_days = 3");
    let answers = format!(
        "modbos\nmodbus\nplc1\n127.0.0.1\n{}\n1\nnonsense\n\nholding:9\n\nline/nine\n\
         holding:9000\n\ninput:1\nint16\n\n\nno\n",
        server.port
    );
    let said = home.answer(&["init"], &answers).await.good();
    for part in ["config.toml", "mean modbus", "holding:9 = 9 Good", "input:1 = -2 Good", "Saved"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let text = home.read("config.toml");
    assert!(
        text.starts_with("# kept as it is\n[history]\nkeep_days = 3\n\n[[endpoints]]"),
        "{text}"
    );
    assert!(text.contains("name = \"line/nine\"") && text.contains("plc1/input:1"), "{text}");
    assert!(!text.contains("9000"), "what could not be read is no tag: {text}");

    let report = home.ot(&["doctor", "-o", "json"]).await;
    let found = checks(&report.stdout);
    assert_eq!(report.code, 0, "{found:?}");
    for name in ["plc1/reach", "plc1/login", "plc1/read", "plc1/budget", "configuration/file"] {
        assert_eq!(verdict(&found, name), "ok", "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_offers_what_an_opcua_server_has_with_its_values() {
    let (home, server) = (Home::new(), peer::asyncua());
    let url = format!("opc.tcp://127.0.0.1:{}/sim", server.port);
    let answers = format!("opcua\nsrv\n{url}\nNone\nNone\n\nzoo.u\n1,2\n\nno\n");
    let said = home.answer(&["init"], &answers).await.good();
    assert!(said.contains("Zoo.U16") && said.contains("= 65535"), "{said}");
    assert!(!said.contains("aster password"), "without a secret none is asked for: {said}");
    let text = home.read("config.toml");
    assert_eq!(text.matches("[[endpoints.tags]]").count(), 2, "{text}");
    let report = home.ot(&["doctor", "-o", "json"]).await;
    let found = checks(&report.stdout);
    assert_eq!(report.code, 0, "{found:?}");
    for name in ["srv/identity", "srv/read", "srv/clock"] {
        assert_eq!(verdict(&found, name), "ok", "{found:?}");
    }
}

/// The last characters of the fingerprint of the certificate that asyncua made for itself.
fn asyncua_last8() -> String {
    let files = std::fs::read_dir(peer::asyncua_certificates()).unwrap();
    let mut paths = files.map(|entry| entry.unwrap().path());
    let path = paths.find(|path| path.extension().is_some_and(|e| e == "der")).unwrap();
    let digest = Sha256::digest(std::fs::read(path).unwrap());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex[hex.len() - 8..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn init_trusts_by_hand_and_keeps_the_password_in_the_store() {
    let (mut home, server) = (Home::new(), peer::asyncua());
    let url = format!("opc.tcp://127.0.0.1:{}/sim", server.port);
    let last = asyncua_last8();
    home.export(MASTER, "correct horse");
    let answers =
        format!("opcua\nsrv\n{url}\n\n\noperator\nsecret\n{last}\nagain\nzoo.u16\n1\n\nno\n");
    let said = home.answer(&["init"], &answers).await.good();
    assert!(said.contains("Trusted") && said.contains("= 65535"), "{said}");
    let text = home.read("config.toml");
    assert!(text.contains("the secret \"srv\"") && !text.contains("password ="), "{text}");
    assert_eq!(home.ot(&["secret", "list"]).await.good(), "srv\n");

    let report = home.ot(&["doctor", "-o", "json"]).await;
    let found = checks(&report.stdout);
    assert_eq!(report.code, 0, "{found:?}");
    assert_eq!(verdict(&found, "secrets/store"), "ok");
    assert_eq!(verdict(&found, "certificates/expiry"), "ok");

    home.export(MASTER, "wrong horse");
    let report = home.ot(&["doctor", "-o", "json"]).await;
    assert_eq!(report.code, 1);
    let found = checks(&report.stdout);
    assert_eq!(verdict(&found, "secrets/store"), "fault", "{found:?}");
    assert_eq!(verdict(&found, "srv/password"), "fault", "{found:?}");
    for (name, verdict, fix) in &found {
        assert!(verdict != "fault" || !fix.is_empty(), "{name} names no fix");
    }

    home.export(MASTER, "correct horse");
    home.answer(&["secret", "set", "srv"], &format!("{CANARY}\n")).await.good();
    let report = home.ot(&["doctor", "-o", "json"]).await;
    let found = checks(&report.stdout);
    assert_eq!((report.code, verdict(&found, "srv/login")), (1, "fault"), "{found:?}");
    assert!(!(report.stdout + &report.stderr).contains(CANARY));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_each_fault_with_its_fix() {
    let home = Home::new();
    let report = home.ot(&["doctor", "-o", "json"]).await;
    let found = checks(&report.stdout);
    assert_eq!((report.code, verdict(&found, "configuration/file")), (1, "fault"), "{found:?}");

    let dead = peer::free_port();
    let config = plant(&[
        Endpoint::modbus("dead", dead).tag("t", "holding:1", ""),
        Endpoint::modbus("typo", dead).with("prot = 502"),
    ]);
    let path = home.write("config.toml", config);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let store = home.write("secrets.enc", "{}");
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = home.ot(&["doctor", "-o", "json"]).await;
    let found = checks(&report.stdout);
    assert_eq!(report.code, 1);
    for (name, wanted) in [
        ("dead/reach", "fault"),
        ("typo/prot", "fault"),
        ("secrets/store", "fault"),
        ("state/modes", "fault"),
        ("configuration/file", "warning"),
    ] {
        // The store stands in the way of every endpoint's password, so the device comes later.
        if name != "dead/reach" {
            assert_eq!(verdict(&found, name), wanted, "{found:?}");
        }
    }
    std::fs::remove_file(store).unwrap();
    let report = home.ot(&["doctor", "-o", "json"]).await;
    let found = checks(&report.stdout);
    assert_eq!((report.code, verdict(&found, "dead/reach")), (1, "fault"), "{found:?}");
    for (name, verdict, fix) in &found {
        assert!(verdict != "fault" || !fix.is_empty(), "{name} names no fix");
    }
    let skipped = home.ot(&["doctor", "--skip-probe", "-o", "json"]).await;
    assert!(!checks(&skipped.stdout).iter().any(|(name, ..)| name == "dead/reach"));
    let table = home.ot(&["doctor"]).await;
    assert!(table.code == 1 && table.stdout.contains("dead"), "{table:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_asks_through_a_collector_that_runs() {
    let server = peer::pymodbus();
    let endpoint = Endpoint::modbus("plc", server.port).tag("nine", "holding:9", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    good_tags(&collector.agent().await, &["nine"]).await;
    let mut doctor = collector.program(env!("CARGO_BIN_EXE_ot-aiops"));
    doctor.arg("doctor").arg("--config").arg(collector.config());
    doctor.arg("--state").arg(collector.state()).args(["-o", "json"]).stdin(Stdio::null());
    let output = doctor.output().await.unwrap();
    let found = checks(&String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{found:?}");
    for name in ["collector/running", "plc/reach", "plc/read"] {
        assert_eq!(verdict(&found, name), "ok", "{found:?}");
    }
    let status = collector.otctl_json(&["endpoint", "status", "plc"]).await;
    assert_eq!(status["endpoints"][0]["sessions_opened"], 1, "one connection served both");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discovered_is_taken_as_tags() {
    let server = peer::asyncua();
    let collector = Collector::start(&plant(&[Endpoint::opcua("srv", server.port, "/sim")])).await;
    let csv = collector.state().join("tags.csv");
    let words = ["discover", "srv", "--csv", csv.to_str().unwrap()];
    let answer = collector.otctl_json(&words).await;
    let tags = answer["tags"].as_array().unwrap();
    let u16 = tags.iter().find(|tag| tag["ref"] == "nsu=urn:sim;s=Zoo.U16").unwrap();
    assert_eq!(u16["value"], 65535, "{u16}");
    assert_eq!(answer["total"].as_u64().unwrap(), tags.len() as u64);
    let again = collector.otctl(&words).await;
    assert_eq!(again.status.code(), Some(2), "the file is not overwritten");

    let endpoint = Endpoint::opcua("srv", server.port, "/sim");
    let endpoint = endpoint.with(&format!("tags_csv = {:?}", csv.to_str().unwrap()));
    collector.reload(&plant(&[endpoint]));
    let client = collector.agent().await;
    let name = u16["name"].as_str().unwrap().to_owned();
    let items = good_tags(&client, &[&name]).await;
    assert_eq!(items[0]["value"], 65535);
    let found = client.call("tag_find", serde_json::json!({"limit": 1})).await.good();
    assert!(!found["tags"].as_array().unwrap().is_empty(), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_browsed_discover_says_what_to_do() {
    let server = peer::pymodbus();
    let collector = Collector::start(&plant(&[Endpoint::modbus("plc", server.port)])).await;
    let output = collector.otctl(&["discover", "plc"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("can't be browsed") && said.contains("manual"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_opens_the_store_and_says_no_secret() {
    let (mut home, server) = (Home::new(), peer::pymodbus());
    home.export(MASTER, "correct horse");
    home.answer(&["secret", "set", "plc"], &format!("{CANARY}\n")).await.good();
    let endpoint = Endpoint::modbus("plc", server.port).tag("nine", "holding:9", "");
    home.write("config.toml", plant(&[endpoint]));
    let words = ["run", "--log", home.path("log").to_str().unwrap()].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut collector = home.program(env!("CARGO_BIN_EXE_ot-aiops"), &words);
    let mut child = collector.stdin(Stdio::null()).spawn().unwrap();
    let said = eventually("a Good value of an endpoint with a secret", async || {
        let read = home.otctl(&["-o", "json", "tag", "read", "nine"]).await;
        (read.code == 0 && read.stdout.contains("\"Good\"")).then_some(read.stdout)
    })
    .await;
    let status = home.otctl(&["-o", "json", "endpoint", "status"]).await.good();
    child.kill().await.unwrap();
    let all = said + &status + &home.read("log");
    assert!(!all.contains(CANARY), "{all}");
}
