//! Files that are no configuration at all.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn refused(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let plant = Plant::new();
    plant.write(name, bytes);
    let problems = plant.load(name).unwrap_err();
    line(&problems[0])
}

#[test]
fn a_file_that_can_not_be_read_says_why() {
    let plant = Plant::new();
    let missing = plant.load("nowhere.toml").unwrap_err();
    assert!(missing[0].message.starts_with("can't be read"), "{}", missing[0]);
    std::fs::create_dir(plant.path("dir.toml")).unwrap();
    assert!(plant.load("dir.toml").unwrap_err()[0].message.contains("no regular file"));
    assert!(refused("c.ini", "").contains("ending must be .toml, .yaml or .yml"));
}

#[test]
fn a_huge_file_is_refused_by_its_size() {
    let plant = Plant::new();
    // Sparse: nothing of it is on the disk, and nothing of it may be read.
    let file = std::fs::File::create(plant.path("c.toml")).unwrap();
    file.set_len(100 << 20).unwrap();
    let problems = plant.load("c.toml").unwrap_err();
    assert!(problems[0].message.contains("104857600 bytes, and 8388608 are read at most"));
}

#[test]
fn invalid_utf_8_is_named_by_its_offset() {
    for name in ["c.toml", "c.yaml"] {
        let problem = refused(name, b"# \xC3\xBC\n# \xFF\n");
        assert!(problem.starts_with("2:3 Error"), "{problem}");
        assert!(problem.contains("first wrong byte is at offset 7"), "{problem}");
    }
}

#[test]
fn a_syntax_error_is_named_by_its_place_and_shows_no_text_of_the_file() {
    let problem = refused("c.toml", "[[endpoints]]\nname = 'a'\npassword = 'hunter2\n");
    assert!(problem.starts_with("3:"), "{problem}");
    assert!(!problem.contains("hunter2"), "{problem}");
    let problem = refused("c.yaml", "endpoints:\n- name: a\n  password: \"hunter2\n");
    assert!(!problem.contains("hunter2"), "{problem}");
    let problem = refused("c.yaml", "endpoints:\n- name: a\n b: 2\n");
    assert!(problem.starts_with("3:"), "{problem}");
    let problem = refused("c.yaml", "- a\n- b\n");
    assert!(problem.contains("the configuration must be a table of keys, not a list"), "{problem}");
    let problem = refused("c.yaml", "a: 1\n---\nb: 2\n");
    assert!(problem.contains("a second document"), "{problem}");
}

#[test]
fn columns_count_characters_within_one_line_too() {
    let config =
        toml("endpoints=[{name='\u{fc}\u{6f22}', prot=1, protocol='modbus', host=5, port='x'}]");
    let places: Vec<u32> = config.problems.iter().map(|problem| problem.column).collect();
    assert_eq!(places, [24, 64]);
}

#[test]
fn deep_nesting_is_refused() {
    for depth in [40, 100_000] {
        let nested = format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(refused("c.yaml", &nested).contains("Error"));
        let nested = nested.replacen(':', " =", 1);
        assert!(refused("c.toml", &nested).contains("Error"));
        let dotted = format!("{}z = 1", "a.".repeat(depth));
        assert!(refused("c.toml", &dotted).contains("Error"));
    }
    let blocks: String = (0..50).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(refused("c.yaml", &blocks).contains("nested deeper than 32"));
}

#[test]
fn aliases_that_unfold_into_gigabytes_or_into_a_tower_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let all = vec![format!("*a{}", i - 1); 10].join(", ");
        writeln!(bomb, "a{i}: &a{i} [{all}]").unwrap();
    }
    assert!(refused("c.yaml", &bomb).contains("aliases counted"));
    let mut tower = "a0: &a0 [x]\n".to_owned();
    for i in 1..10_000 {
        writeln!(tower, "a{i}: &a{i} [*a{}]", i - 1).unwrap();
    }
    assert!(refused("c.yaml", &tower).contains("nested deeper than 32"));
    assert!(refused("c.yaml", "a: &a [*a]").contains("Error"));
}

#[test]
fn thousands_of_problems_are_counted_and_the_first_ones_kept() {
    let mut text = "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\n".to_owned();
    for i in 0..3000 {
        writeln!(text, "[[endpoints.tags]]\nref={i}\nrfe=1").unwrap();
    }
    let config = toml(&text);
    assert_eq!(config.problems.len(), 1001);
    assert_eq!(config.problems[1000].message, "2000 more errors are not shown");
    assert_eq!(config.left_out.len(), 3000);
}

#[test]
fn a_hundred_comment_lines_are_no_syntax_error() {
    let text = "# why\n".repeat(500) + "endpoints:\n" + &"# which\n".repeat(500) + "- name: a\n";
    assert_eq!(line(only(&yaml(&text))), "1002:3 Error endpoint_url: `endpoint_url`: is missing; ");
}

/// Pieces that make configurations, right and wrong, likelier than random bytes do.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "endpoints",
        "name",
        "tags",
        "ref",
        "protocol",
        "modbus",
        "scale",
        "raw",
        "budget",
        "password",
        "host",
        "[[",
        "]]",
        "[",
        "]",
        "{",
        "}",
        ":",
        "=",
        "-",
        ",",
        "\n",
        "\n  ",
        "\n- ",
        " ",
        "'",
        "\"",
        "&a ",
        "*a",
        "<<",
        "!!str ",
        "|",
        "#",
        "1",
        "-0x1",
        "1e999",
        "nan",
        ".inf",
        "\u{FEFF}",
        "\u{202E}",
        "\0",
        "\r",
        "\t",
        "---",
        "?",
        "%",
        "\u{1F4A5}",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|all| all.concat())
}

fn survives(bytes: &[u8]) {
    let plant = Plant::new();
    for name in ["c.toml", "c.yaml"] {
        plant.write(name, bytes);
        match plant.load(name) {
            Ok(config) => assert!(config.problems.iter().all(|p| !p.message.is_empty())),
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
    plant.write("tags.csv", bytes);
    plant.write(
        "c.toml",
        "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\ntags_csv='tags.csv'",
    );
    plant.load("c.toml").unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    #[test]
    fn any_pieces_of_a_configuration_are_answered_without_a_panic(text in pieces()) {
        survives(text.as_bytes());
    }

    #[test]
    fn any_value_of_any_key_is_answered_without_a_panic(
        key in prop::sample::select(super::super::tag::KEYS.to_vec()),
        value in prop::sample::select(vec![
            "1", "-1", "1.5", "nan", "'x'", "''", "true", "[]", "[1,2]", "{}", "{raw=1}",
            "{raw=[1,2],eu=[3,inf]}", "9223372036854775807", "1979-05-27",
        ]),
    ) {
        let given = if key == "ref" { String::new() } else { "ref=1\n".to_owned() };
        toml(&format!(
            "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\n\
             [[endpoints.tags]]\n{given}{key}={value}"
        ));
    }
}
