//! What tags get right and wrong.

use super::*;

/// Loads a bad tag beside a good one, and gives its only problem.
fn beside_a_good_one(bad: &str) -> (Config, String) {
    let config = toml(&format!(
        "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\n\
         [[endpoints.tags]]\n{bad}\n[[endpoints.tags]]\nref=5\n"
    ));
    let problem = line(only(&config));
    (config, problem)
}

#[test]
fn one_bad_tag_is_reported_at_its_line_and_left_out() {
    for (keys, wanted) in [
        (
            "ref=1\nrfe=2",
            "7:1 Error rfe: unknown key `rfe` in a tag; the nearest known key is `ref`",
        ),
        (
            "ref=65536",
            "6:5 Error ref: a Modbus address is from 0 to 65535; write holding:100 or 4x00101",
        ),
        (
            "node_id='x'",
            "6:9 Error node_id: a Modbus address is from 0 to 65535; write holding:100 or 4x00101",
        ),
        (
            "ref=1\nscan_ms=86400001",
            "7:9 Error scan_ms: `scan_ms` must be a whole number from 10 to 86400000, not \
             86400001; ",
        ),
        (
            "ref=1\nscan_ms=1.5",
            "7:9 Error scan_ms: `scan_ms` must be a whole number from 10 to 86400000, not 1.5; ",
        ),
        (
            "ref=1\ntype='flaot32'",
            "7:6 Error type: `type` must be a type such as `float32`, `float32[8]` or \
             `string(16)`, not `flaot32`; ",
        ),
        (
            "ref=1\norder='ACBD'",
            "7:7 Error order: `order` must be ABCD, CDAB, BADC or DCBA, not `ACBD`; ",
        ),
        (
            "ref=1\nscale={raw=[0,1]}",
            "7:1 Error eu: `scale` has no `eu`; write { raw = [0, 27648], eu = [0.0, 100.0] }",
        ),
        (
            "ref=1\nscale={raw=[1,1], eu=[0,1]}",
            "7:7 Error scale: both ends of `raw` are the same; give the raw range its two \
             different ends",
        ),
        ("ref=1\nscale={raw=[0,1], eu=[0,'x']}", "7:25 Error eu: `eu` must be a number, not `x`; "),
        ("ref=1\ndeadband=-1", "7:10 Error deadband: `deadband` must be 0 or more, not -1; "),
        (
            "ref=1\npriority=1001",
            "7:10 Error priority: `priority` must be 1 to 1000, low, medium, high or critical, \
             not 1001; ",
        ),
        (
            "ref=1\nwarn_high=[1]",
            "7:11 Error warn_high: `warn_high` must be a number, not a list; ",
        ),
        (
            "ref=1\nwarn_high='0,5'",
            "7:11 Error warn_high: `warn_high` must be a number with a decimal point, not the \
             decimal comma of `0,5`; ",
        ),
        (
            "ref=1\nunit_id=256",
            "7:9 Error unit_id: `unit_id` must be a whole number from 0 to 255, not 256; ",
        ),
        ("ref=1\nlabel=true", "7:7 Error label: `label` must be text, not true; "),
    ] {
        let (config, problem) = beside_a_good_one(keys);
        assert_eq!(problem, wanted, "{keys}");
        let tags: Vec<&str> = config.endpoints[0].tags.iter().map(|tag| &*tag.address).collect();
        assert_eq!(tags, ["5"], "{keys}");
        assert_eq!(config.problems[0].endpoint.as_deref(), Some("p"));
        assert!(config.problems[0].tag.is_some());
    }
}

#[test]
fn a_bound_that_is_no_number_is_no_bound_as_in_the_reference_and_is_said() {
    let (config, problem) = beside_a_good_one("ref=1\nalarm_high='high'");
    assert!(problem.contains("7:12 Warning alarm_high: `alarm_high` must be a number, not `high`"));
    assert_eq!(config.endpoints[0].tags[0].limits.alarm_high, None);
    assert_eq!(config.endpoints[0].tags.len(), 2);
}

#[test]
fn a_tag_without_an_address_is_left_out_aloud() {
    let (config, problem) = beside_a_good_one("label='noref'");
    assert!(problem.contains("5:1 Warning ref: a tag has no `ref`"), "{problem}");
    assert_eq!(config.endpoints[0].tags.len(), 1);
}

#[test]
fn bounds_the_wrong_way_round_are_said() {
    let (_, problem) = beside_a_good_one("ref=1\nwarn_low=9\nwarn_high=3");
    assert!(problem.contains("`warn_low` 9 is not below `warn_high` 3"), "{problem}");
}

#[test]
fn a_bare_number_that_old_hands_read_differently_shows_both_readings() {
    let (config, problem) = beside_a_good_one("ref=40101");
    assert_eq!(
        problem,
        "6:5 Warning ref: `40101` is read as holding 40101 unit 1; the notation `4x0101` means \
         holding 100 unit 1; write the one that is meant with its table's name or its x"
    );
    assert_eq!(config.endpoints[0].tags.len(), 2);
    let quiet = toml(
        "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\n\
         tags=[{ref=10000},{ref='holding:40101'},{ref=20001},{ref='4x00101'}]",
    );
    assert_eq!(quiet.problems, []);
}

#[test]
fn two_tags_of_one_name_are_reported_with_both_lines_and_the_first_runs() {
    let config = toml(
        "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\n\
         tags=[{name='t',ref=1},\n{name='t',ref=2}]\n\
         [[endpoints]]\nname='q'\nprotocol='modbus'\nhost='i'\ntags=[{name='t',ref=3}]",
    );
    assert_eq!(config.endpoints[0].tags.len(), 1);
    assert_eq!(config.endpoints[1].tags.len(), 0);
    let lines: Vec<String> = config.problems.iter().map(line).collect();
    assert!(lines[0].starts_with("6:2 Error name: two tags are named `t`, in"), "{lines:?}");
    assert!(lines[0].contains("c.toml:5 and in line 6"), "{lines:?}");
    assert!(lines[1].contains("c.toml:5 and in line 11"), "{lines:?}");
}

#[test]
fn a_former_name_has_one_heir() {
    let config = toml(
        "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\ntags=[\n\
         {name='a',was='b',ref=1},\n{name='b',ref=2},\n\
         {name='c',was=['old', 'older'],ref=3},\n{name='d',was='old',ref=4}]",
    );
    let was: Vec<usize> = config.endpoints[0].tags.iter().map(|tag| tag.was.len()).collect();
    assert_eq!(was, [0, 0, 2, 0]);
    let lines: Vec<String> = config.problems.iter().map(line).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("6:11 Warning was: `was` names b, whose"), "{lines:?}");
    assert!(lines[1].contains("`was` names old, whose history belongs to c"), "{lines:?}");
}

#[test]
fn odd_names_are_kept_and_shown_escaped() {
    let config = yaml(
        "endpoints:\n- name: p\n  protocol: modbus\n  host: h\n  tags:\n\
         \x20 - {name: \"a\\n\\u202Eb\", ref: 1}\n  - {name: \"a\\n\\u202Eb\", ref: 2}\n",
    );
    assert_eq!(config.endpoints[0].tags[0].name.as_ref(), "a\n\u{202E}b");
    assert!(only(&config).message.starts_with("two tags are named `a\\n\\u{202e}b`"));
}
