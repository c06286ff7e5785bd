//! What endpoints get right and wrong.

use super::*;
use crate::model::Budget;

const GOOD: &str = "[[endpoints]]\nname='good'\nprotocol='modbus'\nhost='h'\n";

/// Loads a bad endpoint beside a good one, and gives its only problem.
fn beside_a_good_one(bad: &str) -> String {
    let config = toml(&format!("{bad}\n{GOOD}"));
    let running: Vec<&str> = config.endpoints.iter().map(|spec| spec.name.as_ref()).collect();
    assert_eq!(running, ["good"], "{bad}");
    line(only(&config))
}

#[test]
fn one_bad_endpoint_is_reported_at_its_line_and_left_out() {
    for (keys, wanted) in [
        (
            "prot=1",
            "5:1 Error prot: unknown key `prot` in a modbus endpoint; the nearest known key is \
             `port`",
        ),
        (
            "port='abc'",
            "5:6 Error port: `port` must be a whole number from 1 to 65535, not `abc`; ",
        ),
        ("port=0", "5:6 Error port: `port` must be a whole number from 1 to 65535, not 0; "),
        (
            "port=65536",
            "5:6 Error port: `port` must be a whole number from 1 to 65535, not 65536; ",
        ),
        ("port=[1]", "5:6 Error port: `port` must be a whole number from 1 to 65535, not a list; "),
        (
            "unit_id=256",
            "5:9 Error unit_id: `unit_id` must be a whole number from 0 to 255, not 256; ",
        ),
        (
            "unit_id=-1",
            "5:9 Error unit_id: `unit_id` must be a whole number from 0 to 255, not -1; ",
        ),
        (
            "scan_ms=9",
            "5:9 Error scan_ms: `scan_ms` must be a whole number from 10 to 86400000, not 9; ",
        ),
        (
            "enabled='perhaps'",
            "5:9 Error enabled: `enabled` must be true or false, not `perhaps`; ",
        ),
        ("framing='udp'", "5:9 Error framing: `framing`: must be tcp, rtu or rtu_over_tcp; "),
        (
            "tags={}",
            "5:6 Error tags: `tags` must be a list of tags, not a table; begin each with \
             [[endpoints.tags]]",
        ),
        ("budget=5", "5:8 Error budget: `budget` must be a table of keys, not 5; "),
        (
            "budget={rate=5}",
            "5:9 Error rate: unknown key `rate` in budget; the nearest known key is `burst`",
        ),
        (
            "budget={requests_per_s=0}",
            "5:24 Error requests_per_s: `requests_per_s` must be above 0 and at most 100000; ",
        ),
        (
            "budget={requests_per_s=nan}",
            "5:24 Error requests_per_s: `requests_per_s` must be a number, not nan; ",
        ),
        (
            "budget={on_demand_share=1.5}",
            "5:25 Error on_demand_share: `on_demand_share` must be from 0 to 1; 0.2 is a fifth",
        ),
        (
            "budget={burst=0}",
            "5:15 Error burst: `burst` must be a whole number from 1 to 100000, not 0; ",
        ),
    ] {
        let bad = format!("[[endpoints]]\nname='bad'\nprotocol='modbus'\nhost='h'\n{keys}");
        assert_eq!(beside_a_good_one(&bad), wanted, "{keys}");
    }
}

#[test]
fn mistakes_stand_in_the_order_of_the_file_those_of_tags_of_a_bad_endpoint_too() {
    let config = toml(
        "[[endpoints]]\nname='a'\nprotocol='modbus'\nhost='h'\n\
         [[endpoints.tags]]\nname='x'\nref='holding:1'\nscan_ms=1\n\
         [endpoints.budget]\nburst='many'\n\
         [[endpoints]]\nname='b'\nprotocol='modbus'\nhost='h'\n\
         [[endpoints.tags]]\nname='x'\nref='holding:1'\n",
    );
    let lines: Vec<u32> = config.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [8, 10], "{:#?}", config.problems);
    // The name of a tag that is left out with its endpoint is free.
    assert_eq!(config.endpoints[0].tags[0].name.as_ref(), "x");
    assert_eq!(config.left_out, [LeftOut::Endpoint(Some("a".into()))]);
}

#[test]
fn what_the_protocol_misses_is_reported_at_the_endpoint() {
    let problem = beside_a_good_one("[[endpoints]]\nname='bad'\nprotocol='modbus'");
    assert_eq!(problem, "1:1 Error host: `host`: is missing; ");
}

#[test]
fn a_name_is_needed_and_names_one_endpoint() {
    assert!(beside_a_good_one("[[endpoints]]\nhost='h'").contains("an endpoint has no name"));
    assert!(beside_a_good_one("[[endpoints]]\nname=''").contains("an endpoint has no name"));
    let config = toml(&format!("{GOOD}{GOOD}"));
    assert_eq!(config.endpoints.len(), 1);
    assert!(line(only(&config)).contains("named `good`, in line 2 and line 6"));
}

#[test]
fn an_unknown_protocol_names_the_nearest_and_the_supported_ones() {
    for word in ["OPCUA", "profibus"] {
        let problem = beside_a_good_one(&format!("[[endpoints]]\nname='b'\nprotocol='{word}'"));
        assert!(problem.contains(&format!("3:1 Error protocol: unknown protocol `{word}`")));
        assert!(problem.ends_with("supported: modbus, opcua"), "{problem}");
    }
    let problem = beside_a_good_one("[[endpoints]]\nname='b'\nprotocol='OPCUA'");
    assert!(problem.contains("the nearest one is `opcua`"), "{problem}");
}

#[test]
fn a_protocol_that_comes_later_is_a_warning_whatever_its_keys() {
    let problem = beside_a_good_one("[[endpoints]]\nname='b'\nprotocol='ethernetip'\nslut=1");
    assert!(problem.contains("Warning protocol: the protocol ethernetip is not in this build"));
}

#[test]
fn unknown_sections_and_bad_ones_leave_the_rest_running() {
    let config =
        toml(&format!("targts=1\n[history]\nkeep_days=0\ncommit_ms=50\n[doors]\nx=1\n{GOOD}"));
    let keys: Vec<&str> = config.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["targts", "keep_days", "x"]);
    assert_eq!((config.history.keep_days, config.history.commit_ms), (u32::MAX, 50));
    assert_eq!(config.endpoints.len(), 1);
    let config = toml("endpoints = 'none'");
    assert!(line(only(&config)).contains("`endpoints` must be a list of endpoints, not `none`"));
}

#[test]
fn keys_of_other_protocols_are_ignored_aloud() {
    let config = toml(&format!("{GOOD}rack=2\nslot=1\nuse_tls=false\ntopic=''"));
    assert_eq!(
        line(only(&config)),
        "5:1 Warning rack: `rack` has no meaning for modbus and is ignored; "
    );
    assert!(!config.endpoints[0].settings.contains_key("rack"));
}

#[test]
fn defaults_are_filled_in_where_they_make_sense() {
    let config = toml(
        "[[endpoints]]\nname='a'\nprotocol='modbus'\nhost='h'\n\
         [[endpoints]]\nname='b'\nprotocol='modbus'\nserial='/dev/ttyS0'\nbaud=19200\n\
         [[endpoints]]\nname='c'\nprotocol='modbus'\nhost='h'\nframing='rtu'",
    );
    assert_eq!(config.problems, []);
    assert_eq!(config.endpoints[0].settings["port"], 502);
    assert_eq!(config.endpoints[0].settings["unit_id"], 1);
    assert_eq!(config.endpoints[0].budget, Budget::default());
    assert!(!config.endpoints[1].settings.contains_key("port"));
    assert!(!config.endpoints[2].settings.contains_key("port"));
    assert_eq!(config.endpoints[1].settings["baud"], 19200);
}

#[test]
fn a_disabled_endpoint_is_checked_and_kept_apart() {
    let config = toml(&format!("{GOOD}enabled=false\npassword='env:NOT_SET'\ntags=[{{ref=1}}]"));
    assert_eq!(config.problems, []);
    assert_eq!((config.endpoints.len(), config.disabled.len()), (0, 1));
    assert_eq!(config.disabled[0].tags.len(), 1);
}

#[test]
fn a_key_given_twice_in_yaml_is_an_error_with_both_lines() {
    let config = yaml("endpoints:\n- name: a\n  protocol: modbus\n  host: h\n  host: i\n");
    let problem = line(only(&config));
    assert_eq!(problem, "5:3 Error host: `host` is set twice, first in line 4; keep one of them");
}
