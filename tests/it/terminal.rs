//! A new user at a terminal: `init` by question and answer, then the collector with what it wrote.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Child;

use crate::broker::Broker;
use crate::home::{Ended, Home, MASTER};
use crate::peer;
use crate::wait::eventually;

/// Answers questions at a terminal, each as it comes.
async fn typed(home: &Home, words: &[&str], steps: &[(&str, &str)]) -> Ended {
    let steps = json!(steps).to_string();
    let script = peer::package("tests/peers/terminal.py");
    let mut all = vec![script.to_str().unwrap(), steps.as_str(), env!("CARGO_BIN_EXE_ot-aiops")];
    all.extend(words);
    home.run("python3", &all, "").await
}

/// Starts the collector with what is in the home, as the last line of `init` says.
fn collector(home: &Home) -> Child {
    let mut run = home.program(env!("CARGO_BIN_EXE_ot-aiops"), &["run"]);
    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn good(home: &Home, tag: &str) -> Value {
    eventually(&format!("{tag} is read"), async || {
        let read = home.otctl(&["-o", "json", "tag", "read", tag]).await;
        let answer: Value = serde_json::from_str(&read.stdout).ok()?;
        let item = answer["items"][0].clone();
        (item["quality"] == "Good").then_some(item)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modbus_device_is_set_up_at_a_terminal_and_read() {
    let (home, server) = (Home::new(), peer::pymodbus());
    let port = server.port.to_string();
    let said = typed(
        &home,
        &["init"],
        &[
            ("Protocol", "modbus"),
            ("Name of the endpoint", "press"),
            ("IP address or name", "127.0.0.1"),
            ("TCP port", &port),
            ("Unit id", ""),
            ("Address of a value", "holding:9"),
            ("Type, such as", "integer"),
            ("Type, such as", ""),
            ("Name of this tag", "line1/press/nine"),
            ("Another address", ""),
            ("Another endpoint", "n"),
        ],
    )
    .await
    .good();
    assert!(said.contains("holding:9 = 9 Good") && said.contains("next:"), "{said}");
    home.ot(&["config", "check"]).await.good();
    let mut run = collector(&home);
    assert_eq!(good(&home, "line1/press/nine").await["value"], 9);
    run.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_password_is_told_where_it_is_typed() {
    let mut home = Home::new();
    home.write("config.toml", "");
    home.export(MASTER, "correct horse");
    home.answer(&["secret", "set", "line1"], "x\n").await.good();
    home.export(MASTER, "");
    let asks = |answer: &'static str| ("Master password", answer);
    let again = typed(&home, &["config", "check"], &[asks("wrong"), asks("correct horse")]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("does not open"), "{again:?}");
    let wrong = [asks("wrong"), asks("wronger"), asks("wrongest")];
    let never = typed(&home, &["run"], &wrong).await;
    assert_eq!(never.code, 4, "{never:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_login_is_set_up_at_a_terminal_and_its_password_never_shown() {
    let (mut home, broker) = (Home::new(), Broker::start());
    let port = broker.password.to_string();
    let login = ["-u", "operator", "-P", "secret", "-r", "-p", &port];
    broker.publish("line1/oven/temp", b"71.5", &login).await;
    let said = typed(
        &home,
        &["init"],
        &[
            ("Protocol", "mqtt"),
            ("Name of the endpoint", "shopfloor"),
            ("Broker's name", "127.0.0.1"),
            ("TLS (yes or no)", "n"),
            ("TCP port", &port),
            ("Topics to listen to", "line1/#"),
            ("User name", "operator"),
            ("Password, empty for none", "secret"),
            ("Tags:", "1"),
            ("Tags:", ""),
            ("New master password", "correct horse"),
            ("The same again", "correct horse"),
            ("Another endpoint", "n"),
        ],
    )
    .await
    .good();
    assert!(said.contains("71.5"), "{said}");
    assert!(said.contains("Password, empty for none: \r\n"), "nothing is echoed: {said}");
    assert!(!said.contains("correct horse"), "{said}");
    home.export(MASTER, "correct horse");
    home.ot(&["config", "check"]).await.good();
    let mut run = collector(&home);
    assert_eq!(good(&home, "shopfloor/line1/oven/temp").await["value"], 71.5);
    run.kill().await.unwrap();
}
