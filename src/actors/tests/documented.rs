//! `actors.md` says what the code does.

use crate::actors::link::DEMANDS_MAX;

const PAGE: &str = include_str!("../../../actors.md");

/// Gives the names of an enum's variants as its source has them.
fn variants(source: &'static str, of: &str) -> Vec<&'static str> {
    let body = source.split_once(of).and_then(|(_, after)| after.split_once("\n}")).unwrap().0;
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let name = |line: &'static str| line.split(|c: char| !c.is_alphanumeric()).next();
    lines.filter(|line| line.starts_with(char::is_uppercase)).filter_map(name).collect()
}

#[test]
fn every_message_stands_in_the_table_of_its_actor() {
    let actors = [
        ("Root", include_str!("../root.rs"), "enum RootMsg {"),
        ("Endpoints", include_str!("../endpoints.rs"), "enum EndpointsMsg {"),
        ("Command", include_str!("../command.rs"), "enum CommandMsg {"),
        ("Poller", include_str!("../poller/mod.rs"), "enum PollerMsg {"),
        ("Historian", include_str!("../historian.rs"), "enum HistorianMsg {"),
        ("LedgerKeeper", include_str!("../ledger.rs"), "enum LedgerMsg {"),
        ("Findings", include_str!("../findings/mod.rs"), "enum FindingsMsg {"),
        ("Doors", include_str!("../doors.rs"), "enum DoorsMsg {"),
    ];
    let (_, table) = PAGE.split_once("## Messages\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let mut actor = "";
    let mut listed: Vec<(&str, &str)> = Vec::new();
    for row in table.lines().skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, who, message, ..] = cells.as_slice() else { continue };
        if !who.is_empty() {
            actor = who;
        }
        let name = message.trim_matches('`').split('(').next().unwrap();
        listed.push((actor, name));
    }
    let mut built: Vec<(&str, &str)> = Vec::new();
    for (actor, source, of) in actors {
        built.extend(variants(source, of).into_iter().map(|name| (actor, name)));
    }
    listed.sort_unstable();
    built.sort_unstable();
    assert_eq!(listed, built);
}

#[test]
fn the_bounds_are_those_of_the_code() {
    assert!(PAGE.contains(&format!("| {DEMANDS_MAX} permits,")));
    let root = include_str!("../root.rs");
    for (text, constant) in [
        ("(0.3 s at most)", "COMMAND_MAX: Duration = Duration::from_millis(300)"),
        ("(0.7 s at most)", "DOORS_MAX: Duration = Duration::from_millis(700)"),
        ("(2.6 s at most)", "STEP_MAX: Duration = Duration::from_millis(2600)"),
        ("(1.2 s at most)", "STORES_MAX: Duration = Duration::from_millis(1200)"),
    ] {
        assert!(PAGE.contains(text) && root.contains(constant), "{text}");
    }
    assert!(PAGE.contains("4 panics in 60 s") && root.contains("LEDGER_RESTARTS_MAX: usize = 3;"));
    assert!(root.contains("LEDGER_WITHIN: Duration = Duration::from_secs(60)"));
    let endpoints = include_str!("../endpoints.rs");
    assert!(PAGE.contains("5 panics in 10 min") && endpoints.contains("PANICS_MAX: usize = 5;"));
    assert!(endpoints.contains("PANIC_WINDOW: Duration = Duration::from_secs(600)"));
    let session = include_str!("../poller/session.rs");
    assert!(PAGE.contains("| opening a session | 15 s |"));
    assert!(session.contains("OPEN_MAX: Duration = Duration::from_secs(15)"));
}
