//! Tags from CSV files.

use super::*;

const ENDPOINT: &str =
    "[[endpoints]]\nname='p'\nprotocol='modbus'\nhost='h'\ntags_csv='tags.csv'\n";

fn table(csv: impl AsRef<[u8]>) -> Config {
    let plant = Plant::new();
    plant.write("c.toml", ENDPOINT);
    plant.write("tags.csv", csv);
    plant.load("c.toml").unwrap()
}

#[test]
fn a_table_with_a_mark_and_semicolons_is_read_like_tables_of_the_file() {
    let config = table(
        "\u{FEFF}name;ref;type;scan_ms;scale_raw_min;scale_raw_max;scale_eu_min;scale_eu_max;\
         unit;description;warn_high;was\r\n\
         a/b;holding:1;float32;500;0;27648;0.0;100.0;degC;\"oil; hot\";80;old\r\n\
         ;7;;;;;;;;;;\r\n",
    );
    assert_eq!(config.problems, []);
    let tag = &config.endpoints[0].tags[0];
    assert_eq!((tag.name.as_ref(), tag.scan.scan_ms), ("a/b", 500));
    assert_eq!(tag.scale.unwrap().raw, (0.0, 27648.0));
    assert_eq!((tag.description.as_ref(), tag.was[0].as_ref()), ("oil; hot", "old"));
    assert_eq!(tag.limits.warn_high, Some(80.0));
    assert_eq!(config.endpoints[0].tags[1].name.as_ref(), "p/7");
}

#[test]
fn a_decimal_comma_is_an_error_that_says_so() {
    let config = table("name;ref;warn_high\na;1;0,5\nb;2;1.5\n");
    let problem = only(&config);
    assert!(problem.to_string().ends_with(
        "tags.csv:2:3: `warn_high` must be a number with a decimal point, \
         not the decimal comma of `0,5`"
    ));
    assert_eq!(config.endpoints[0].tags[0].name.as_ref(), "b");
    let config = table("name,ref,warn_high\na,1,0,5\nb,2,1.5\n");
    let problem = line(only(&config));
    assert!(problem.starts_with("2:1 Error : has 4 cells, and the first line 3; a decimal comma"));
    assert_eq!(config.left_out, [LeftOut { endpoint: "p".into(), tag: Some("a".into()) }]);
    assert_eq!(config.endpoints[0].tags.len(), 1);
}

#[test]
fn a_bad_row_is_reported_with_its_line_and_cell() {
    let config = table("ref,type,scale_raw_min\n1,uint16,\n\n99999,,\n3,bit,\n4,,0\n");
    let lines: Vec<String> = config.problems.iter().map(line).collect();
    assert_eq!(config.endpoints[0].tags.len(), 1);
    assert!(lines[0].starts_with("4:1 Error ref: a Modbus address"), "{lines:?}");
    assert!(lines[1].starts_with("5:2 Error type: `type` must be"), "{lines:?}");
    assert!(
        lines[2].starts_with("6:1 Error : sets some of scale_raw_min, scale_raw_max"),
        "{lines:?}"
    );
    assert!(config.problems[0].file.ends_with("tags.csv"));
}

#[test]
fn a_table_that_can_not_be_read_leaves_its_endpoint_out() {
    for (csv, wanted) in [
        (b"name,rfe\na,1\n".as_slice(), "1:2 Error rfe: unknown key `rfe`"),
        (b"ref,ref\n1,1\n", "1:2 Error ref: the column `ref` stands twice"),
        (b"", "0:0 Error : is an empty tag table"),
        (b"ref\n\xE4\n", "5:1 Error tags_csv: `tags_csv` "),
    ] {
        let config = table(csv);
        let problem = line(&config.problems[0]);
        assert!(problem.starts_with(wanted), "{problem}");
        assert_eq!(config.endpoints.len(), 0);
    }
    let latin = table(b"ref,unit\n1,\xB0C\n");
    assert!(only(&latin).message.ends_with("the first wrong byte is at offset 11 in line 2"));
    assert_eq!(toml(ENDPOINT).endpoints.len(), 0);
}
