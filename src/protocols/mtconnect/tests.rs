//! Documents that real agents wrote, whole, damaged and mutated.

use std::collections::BTreeMap;
use std::path::Path;

use super::follow::{Follow, Kind};
use super::items::Routes;
use super::xml::Fault;
use super::{devices, streams};
use crate::driver::{ErrorKind, Planned, Reading};
use crate::model::{Quality, Tag, TagId, Timestamp, Value};

fn corpus(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/mtconnect");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn planned(refs: &[&str]) -> Vec<Planned> {
    let tag = |(id, text): (u32, &&str)| Planned {
        id: TagId(id),
        tag: Tag::new(text, "mill", text).into(),
    };
    (0..).zip(refs).map(tag).collect()
}

/// Follows documents, each with its kind, and gives what came in.
fn follow(refs: &[&str], documents: &[(Kind, &str)]) -> (Follow, Vec<Reading>) {
    let (routes, rejected) = Routes::arrange(&planned(refs), None);
    assert!(rejected.is_empty());
    let (mut follow, mut readings) = (Follow::default(), Vec::new());
    for (kind, document) in documents {
        readings.extend(follow.take(document, *kind, &routes, |_| Ok(())).unwrap().readings);
    }
    (follow, readings)
}

fn of_one_device(observations: &str) -> String {
    format!(
        "<MTConnectStreams><Header instanceId='1' nextSequence='9'/><Streams>\
         <DeviceStream name='M'><ComponentStream component='Path'>{observations}\
         </ComponentStream></DeviceStream></Streams></MTConnectStreams>"
    )
}

/// Gives every observation of a document with where it stands.
fn all(document: &str) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    streams::read(document, |place, seen| all.push(format!("{place:?} {seen:?}")))?;
    Ok(all)
}

#[test]
fn what_is_taken_whole_is_what_its_events_would_say() {
    let mut observations = 0;
    for entry in
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/mtconnect"))
            .unwrap()
    {
        let document = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        // White space in an end tag says nothing, and is seldom enough to go the long way.
        let mut parts = document.split("</");
        let first = parts.next().unwrap().to_owned();
        let spaced = parts.fold(first, |text, part| text + "</" + &part.replacen('>', " >", 1));
        let (short, long) = (all(&document), all(&spaced));
        assert_eq!(short, long);
        observations += short.map_or(0, |all| all.len());
    }
    assert!(observations > 200, "{observations}");
}

#[test]
fn an_element_in_an_odd_form_is_read_like_any_other() {
    let read = |observations: &str| {
        let (mut found, document) = (Vec::new(), of_one_device(observations));
        streams::read(&document, |_, seen| {
            found.push((
                format!("{:?}", seen.category),
                seen.id.into_owned(),
                seen.text.into_owned(),
            ));
        })
        .map(|_| found)
    };
    let one = |text: &str| Ok(vec![("Sample".to_owned(), "a".to_owned(), text.to_owned())]);
    for (form, text) in [
        ("<P dataItemId=\"a\">1</P>", "1"),
        ("<m:P dataItemId=\"a\" > 1 </m:P>", "1"),
        ("<P dataItemId=\"a\" name=\">\">1</P>", "1"),
        ("<P name='x\">' dataItemId=\"a\">1</P>", "1"),
        ("<P name=\"\" dataItemId=\"a\">1</P>", "1"),
        ("<P dataItemId=\"a\">1&lt;2</P>", "1<2"),
        ("<P dataItemId=\"&#97;\">1</P>", "1"),
        ("<P dataItemId=\"a\"><!-- -->1<![CDATA[2]]></P>", "12"),
        ("<P dataItemId=\"a\">1<x>3</x>2</P>", "12"),
        ("<P dataItemId=\"a\"></P>", ""),
        ("<P dataItemId=\"a\"/>", ""),
    ] {
        assert_eq!(read(&format!("<Samples>{form}</Samples>")), one(text), "{form}");
    }
    // An empty list has no children, whatever comes next to it.
    let beside =
        read("<Events><E dataItemId=\"e\">1</E></Events><Samples/><P dataItemId=\"a\">1</P>");
    assert_eq!(beside.unwrap().len(), 2);
    for damaged in [
        "<P dataItemId=\"a\">1</Q>",
        "<P dataItemId=\"a\">1</P",
        "<P dataItemId=\"a\" dataItemId>1</P>",
        "<P dataItemId=\"a\"name=\"b\">1</P>",
        "<P dataItemId=\"a\" b c=\"d\">1</P>",
        "<P dataItemId=\"a\" =\"d\">1</P>",
    ] {
        let found = read(&format!("<Samples>{damaged}</Samples>"));
        assert_eq!(found, Err(Fault::Malformed), "{damaged}");
    }
}

#[test]
fn models_of_real_machines_are_read_whole() {
    for (name, machines) in [
        ("p5012_probe.xml", 1),
        ("p5014_probe.xml", 2),
        ("device-two_devices.xml", 2),
        ("device-haas.xml", 1),
        ("device-NoNamespace.xml", 1),
        ("device-data_set.xml", 1),
        ("device-configuration.xml", 1),
        ("device-extension.xml", 1),
        ("device-kinematics_2.5_data_set.xml", 1),
    ] {
        let document = corpus(name);
        let (_, devices) = devices::read(&document).unwrap_or_else(|f| panic!("{name}: {f}"));
        assert_eq!(devices.len(), machines, "{name}");
        let all = devices.iter().flat_map(|device| &device.components);
        let found: usize = all.map(|component| component.items.len()).sum();
        // Each data item of the document is one of the model.
        assert_eq!(found, document.matches("<DataItem ").count(), "{name}");
    }
    let (_, devices) = devices::read(&corpus("p5014_probe.xml")).unwrap();
    let x = devices[1].components.iter().find(|component| &*component.id == "x1").unwrap();
    assert_eq!(&*x.path, "Axes[Axes]/Linear[X]");
}

#[test]
fn the_present_state_of_real_machines_is_read_whole() {
    for (name, version) in [("p5012_current.xml", "1.4.0.12"), ("p5014_current.xml", "2.2.0.17")] {
        let document = corpus(name);
        let mut count = 0;
        let header = streams::read(&document, |_, seen| {
            count += 1;
            let at = Timestamp::parse(&seen.timestamp);
            assert!(seen.sequence.is_some() && at.is_ok(), "{name} {}", seen.id);
        });
        let header = header.unwrap();
        assert_eq!(count, document.matches(" dataItemId=").count(), "{name}");
        assert_eq!(header.version, version);
        assert!(header.instance.is_some() && header.next.is_some());
    }
    let (follow, readings) =
        follow(&["c2", "cm", "system"], &[(Kind::Snapshot, &corpus("p5014_current.xml"))]);
    let by_tag: BTreeMap<u32, &Reading> = readings.iter().map(|r| (r.tag.0, r)).collect();
    assert_eq!(by_tag[&0].quality, Quality::BAD_NO_COMMUNICATION);
    assert_eq!(by_tag[&1].value, Value::text("SPINDLE"));
    assert_eq!(by_tag[&1].source_ts.unwrap().to_rfc3339(), "2026-11-22T13:10:37.308248Z");
    assert_eq!(by_tag[&2].value, Value::Null, "a condition nobody knows is no NORMAL");
    assert!(follow.active().is_empty());
}

#[test]
fn conditions_are_told_apart_by_their_codes_and_end_one_by_one() {
    let condition = |level: &str, code: &str| {
        of_one_device(&format!(
            "<Condition><{level} dataItemId='sys' type='SYSTEM' nativeCode='{code}' \
             sequence='1' timestamp='2026-06-30T10:00:00Z'>x</{level}></Condition>"
        ))
    };
    let steps = [
        (condition("Fault", "401"), "FAULT", 1),
        (condition("Warning", "17"), "FAULT", 2),
        (condition("Normal", "401"), "WARNING", 1),
        (condition("Normal", ""), "NORMAL", 0),
    ];
    let mut so_far: Vec<(Kind, &str)> = Vec::new();
    for (document, level, active) in &steps {
        so_far.push((Kind::Changes, document));
        let (follow, readings) = follow(&["sys"], &so_far);
        assert_eq!(readings.last().unwrap().value, Value::text(level));
        assert_eq!(follow.active().len(), *active, "{level}");
    }
    let unknown = condition("Unavailable", "");
    so_far.push((Kind::Changes, &unknown));
    assert_eq!(follow(&["sys"], &so_far).1.last().unwrap().quality.name(), "BadNoCommunication");
}

#[test]
fn tables_sets_and_series_become_maps_and_lists() {
    let document = of_one_device(
        "<Events><WorkOffsetTable dataItemId='t' count='1'><Entry key='G54'><Cell key='X'>1.5\
         </Cell><Cell key='Y'>2</Cell></Entry></WorkOffsetTable></Events><Samples>\
         <PositionTimeSeries dataItemId='s' sampleCount='3'>1 2 3.5</PositionTimeSeries>\
         <PathPosition dataItemId='p'>1 2 3</PathPosition></Samples>",
    );
    let (_, readings) = follow(&["t", "s", "p"], &[(Kind::Snapshot, &document)]);
    let by_tag: BTreeMap<u32, &Value> = readings.iter().map(|r| (r.tag.0, &r.value)).collect();
    assert_eq!(by_tag[&0].pick("G54.X"), Some(&Value::F64(1.5)));
    assert_eq!(by_tag[&1], &Value::list([1.0, 2.0, 3.5].map(Value::F64)));
    assert_eq!(by_tag[&2].pick("[2]"), Some(&Value::F64(3.0)));
}

#[test]
fn a_damaged_document_changes_nothing_that_was_known() {
    let good = of_one_device("<Samples><Load dataItemId='l' sequence='1'>5</Load></Samples>");
    let bad = good.replace(">5<", ">9<").replace("</Streams>", "");
    let (routes, _) = Routes::arrange(&planned(&["l"]), None);
    let mut follow = Follow::default();
    follow.take(&good, Kind::Snapshot, &routes, |_| Ok(())).unwrap();
    let before = follow.current();
    assert_eq!(
        follow.take(&bad, Kind::Changes, &routes, |_| Ok(())).unwrap_err(),
        Fault::Malformed
    );
    assert_eq!(follow.current(), before);
}

/// A small generator of numbers: any will do, as long as a failure can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// What a document says of each data item.
fn said(document: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut said = Vec::new();
    streams::read(document, |_, seen| said.push((seen.id.to_string(), seen.text.to_string())))?;
    Ok(said)
}

#[test]
fn every_truncated_answer_is_refused() {
    for (name, step) in [("p5012_current.xml", 3), ("p5014_sample.xml", 7)] {
        let document = corpus(name);
        let whole = document.trim_end();
        let ends = (0..whole.len()).step_by(step).chain([whole.len() - 1]);
        for end in ends.filter(|end| whole.is_char_boundary(*end)) {
            assert!(said(&whole[..end]).is_err(), "{name} cut at {end}");
        }
    }
}

#[test]
fn ten_thousand_mutated_answers_give_an_error_or_no_more_than_was_there() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let documents = ["p5012_current.xml", "p5014_sample.xml", "p5014_current.xml"].map(corpus);
    let mut refused = 0;
    for round in 0..10_000 {
        let document = &documents[round % documents.len()];
        let mut bytes = document.clone().into_bytes();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes[at] ^= 1 << dice.below(7),
                1 => bytes[at] = b"<>&\"'/= \0"[dice.below(9)],
                2 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + dice.below(200)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        match said(&text) {
            Err(_) => refused += 1,
            Ok(said) => {
                let most = text.matches("dataItemId").count();
                assert!(said.len() <= most, "round {round}: {} of {most}", said.len());
            }
        }
    }
    assert!(refused > 3000, "only {refused} of 10000 were refused: mutations do nothing?");
}

#[test]
fn a_name_that_several_items_have_needs_its_device() {
    let (_, model) = devices::read(
        "<MTConnectDevices><Header/><Devices><Device name='A' id='a'><DataItems>\
         <DataItem id='a1' name='load' category='SAMPLE'/></DataItems></Device>\
         <Device name='B' id='b'><DataItems><DataItem id='b1' name='load' category='SAMPLE'/>\
         </DataItems></Device></Devices></MTConnectDevices>",
    )
    .unwrap();
    let (_, rejected) =
        Routes::arrange(&planned(&["load", "A:load", "b1", "C:load"]), Some(&model));
    let refused: Vec<u32> = rejected.iter().map(|(id, _)| id.0).collect();
    assert_eq!(refused, [0, 3]);
    assert_eq!(rejected[0].1.kind, ErrorKind::BadAddress);
}
