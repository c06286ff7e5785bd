//! Differences, and what a reload keeps.

use super::*;

fn plc(name: &str, more: &str) -> String {
    format!("[[endpoints]]\nname='{name}'\nprotocol='modbus'\nhost='h'\n{more}\n")
}

#[test]
fn endpoints_are_compared_by_content() {
    let old = toml(&[plc("a", ""), plc("b", "tags=[{ref=1},{ref=2}]"), plc("c", "")].concat());
    // Other spacing and another order of tags are no change; a limit is.
    let new = toml(
        &[plc("d", ""), plc("b", "# moved\n\ntags=[{ref=2},{ref='1'}]"), plc("c", "port=503")]
            .concat(),
    );
    let expected = [
        Change::Added("d".into()),
        Change::Unchanged("b".into()),
        Change::Changed("c".into()),
        Change::Removed("a".into()),
    ];
    assert_eq!(diff(&old, &new), expected);
    let limit = toml(&plc("b", "tags=[{ref=1, warn_high=3},{ref=2}]"));
    let b = toml(&plc("b", "tags=[{ref=1},{ref=2}]"));
    assert_eq!(diff(&b, &limit), [Change::Changed("b".into())]);
    let off = toml(&plc("b", "enabled=false"));
    assert_eq!(diff(&b, &off), [Change::Removed("b".into())]);
}

#[test]
fn a_new_password_is_a_change() {
    let plant = Plant::new();
    let path = plant.write("c.toml", plc("a", "password='env:P'"));
    let with =
        |text: &'static str| load_with(&path, &PROTOCOLS, &move |_| Some(text.to_owned())).unwrap();
    assert_eq!(diff(&with("1"), &with("1")), [Change::Unchanged("a".into())]);
    assert_eq!(diff(&with("1"), &with("2")), [Change::Changed("a".into())]);
}

#[test]
fn what_is_now_wrong_keeps_its_last_good_form() {
    let old = toml(&[plc("a", "tags=[{ref=1}]"), plc("b", "tags=[{ref=1},{ref=2}]")].concat());
    let new = toml(&[plc("a", "prot=1"), plc("b", "tags=[{ref=1,typ=1},{ref=2}]")].concat());
    assert_eq!(new.left_out.len(), 2);
    let kept = keep_last_good(new, &old);
    let changes = diff(&old, &kept);
    assert!(changes.contains(&Change::Unchanged("a".into())), "{changes:?}");
    assert!(changes.contains(&Change::Unchanged("b".into())), "{changes:?}");
    assert_eq!(kept.problems.len(), 2);
}

#[test]
fn a_tag_whose_name_went_elsewhere_is_not_kept() {
    let old = toml(&plc("a", "tags=[{name='t',ref=1},{name='u',ref=2}]"));
    let new = toml(&[plc("b", "tags=[{name='t',ref=1}]"), plc("a", "prot=1")].concat());
    let kept = keep_last_good(new, &old);
    let a = kept.endpoints.iter().find(|spec| spec.name.as_ref() == "a").unwrap();
    assert_eq!(a.tags.len(), 1);
    assert_eq!(a.tags[0].name.as_ref(), "u");
}

#[test]
fn an_endpoint_taken_out_is_not_kept() {
    let old = toml(&plc("a", ""));
    let kept = keep_last_good(toml(&plc("b", "")), &old);
    assert_eq!(kept.endpoints.len(), 1);
}
