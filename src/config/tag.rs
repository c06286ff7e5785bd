//! One tag of the configuration, from a table or from a row of a CSV file.

use std::sync::Arc;

use super::endpoint::{Defaults, SCAN_MS};
use super::load::{Claim, Loader, Place};
use super::node::{At, Kind, Node};
use super::notation::two_readings;
use super::problem::Desk;
use super::section::{Section, nearest};
use super::want::{self, found, shown};
use crate::model::{
    AlarmSettings, DataType, Limits, Scalar, Scale, ScanClass, Tag, TagName, UnitId, WordOrder,
};

/// The keys of a tag. `node_id` and `address` are the reference's other names for `ref`.
pub(super) const KEYS: [&str; 23] = [
    "name",
    "was",
    "ref",
    "node_id",
    "address",
    "unit_id",
    "type",
    "order",
    "path",
    "scan_ms",
    "scale",
    "unit",
    "description",
    "area",
    "label",
    "deadband",
    "warn_low",
    "warn_high",
    "alarm_low",
    "alarm_high",
    "alarm_delay_s",
    "alarm_hysteresis",
    "priority",
];

/// The names of a tag's address; the first one given counts.
const REFS: [&str; 3] = ["ref", "node_id", "address"];

/// Names, former names too, are keys of the history and of resources.
const NAME_BYTES_MAX: usize = 512;

/// A tag was renamed a few times, not daily.
const WAS_MAX: usize = 16;

/// Words for an alarm's priority, as operators use them (ISA-18.2, 3.1).
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "critical"];

impl Loader<'_> {
    /// Reads a tag; what is wrong with it is at the desk and among what is left out.
    pub(super) fn tag(&mut self, section: Section<'_>, defaults: &Defaults<'_>) -> Option<Tag> {
        let before = self.desk.errors();
        let given = section.text("name", &mut self.desk);
        self.desk.on_tag(given.clone());
        let address = self.address(section);
        let name = match (given, &address) {
            (Some(name), _) => Some(name),
            (None, Some(address)) => Some(format!("{}/{address}", defaults.endpoint).into()),
            (None, None) => None,
        };
        self.desk.on_tag(name.clone());
        section.check_keys(&KEYS, "a tag", &mut self.desk);
        let tag = match (name.clone(), address) {
            (Some(name), Some(address)) => self.fields(section, defaults, name, address),
            _ => {
                if self.desk.errors() == before {
                    // As the reference has it: no address, no tag, and no fault of the file.
                    let message = "a tag has no `ref` and is left out".to_owned();
                    self.desk.warn(section.at, "ref", message, "add the address it is read at");
                }
                None
            }
        };
        let tag = tag.filter(|_| self.desk.errors() == before);
        let tag = tag.filter(|tag| self.settle(tag, section, defaults));
        if self.desk.errors() > before {
            self.leave_out_tag(defaults.endpoint.clone(), name);
        }
        self.desk.on_tag(None);
        tag
    }

    /// Finds the address under one of its names.
    fn address(&mut self, section: Section<'_>) -> Option<Arc<str>> {
        let mut out = None;
        for key in REFS {
            let Some(text) = section.text(key, &mut self.desk) else { continue };
            if out.is_none() {
                out = Some(text);
            } else {
                let message = format!("`{key}` is a second address and is ignored");
                self.desk.warn(section.place(key), key, message, "keep `ref` alone");
            }
        }
        out
    }

    fn fields(
        &mut self,
        section: Section<'_>,
        defaults: &Defaults<'_>,
        name: TagName,
        address: Arc<str>,
    ) -> Option<Tag> {
        let desk = &mut self.desk;
        if name.len() > NAME_BYTES_MAX {
            let message = format!("`name` must be text of at most {NAME_BYTES_MAX} bytes");
            desk.error(section.place("name"), "name", message, "");
            return None;
        }
        let text =
            |key: &str, desk: &mut Desk| section.text(key, desk).unwrap_or_else(|| "".into());
        let scan_ms = section.whole("scan_ms", SCAN_MS, desk).unwrap_or(defaults.scan_ms);
        Some(Tag {
            was: former_names(section, &name, desk),
            endpoint: defaults.endpoint.clone(),
            unit: unit(section, defaults, desk),
            data_type: data_type(section, desk),
            order: order(section, desk),
            path: section.text("path", desk),
            scan: ScanClass { scan_ms },
            scale: scale(section, desk),
            deadband: not_negative(section, "deadband", desk),
            limits: limits(section, desk),
            alarm: AlarmSettings {
                delay_s: not_negative(section, "alarm_delay_s", desk),
                hysteresis: not_negative(section, "alarm_hysteresis", desk),
                priority: section.read("priority", desk, priority),
            },
            unit_text: text("unit", desk),
            label: text("label", desk),
            description: text("description", desk),
            area: text("area", desk),
            name,
            address,
        })
    }

    /// Lets the protocol judge the address, and claims the name.
    fn settle(&mut self, tag: &Tag, section: Section<'_>, defaults: &Defaults<'_>) -> bool {
        let given = REFS.iter().find_map(|key| section.get(key));
        let (key, at) = given.map_or(("ref", section.at), |e| (e.key.as_ref(), e.value.at));
        match (defaults.protocol.address)(tag) {
            Err(fault) => {
                self.desk.error(at, key, fault.message, fault.hint);
                return false;
            }
            Ok(wire) => {
                if let Some(both) = two_readings(defaults.protocol, tag, &wire) {
                    let hint = "write the one that is meant with its table's name or its x";
                    self.desk.warn(at, key, both, hint);
                }
            }
        }
        let at = section.place("name");
        if let Some(first) = self.tags.get(&tag.name) {
            let message = format!(
                "two tags are named `{}`, in {}:{} and in line {}",
                shown(&tag.name),
                first.file.display(),
                first.at.line,
                at.line
            );
            self.desk.error(at, "name", message, "rename one; the first one runs");
            return false;
        }
        let place = Place { file: self.desk.file().clone(), at };
        self.tags.insert(tag.name.clone(), place);
        for was in &tag.was {
            let place = Place { file: self.desk.file().clone(), at: section.place("was") };
            let (tag, endpoint) = (tag.name.clone(), tag.endpoint.clone());
            self.was.push(Claim { was: was.clone(), tag, endpoint, place });
        }
        true
    }
}

fn former_names(section: Section<'_>, name: &TagName, desk: &mut Desk) -> Vec<TagName> {
    let Some(entry) = section.get("was") else { return Vec::new() };
    let items = match &entry.value.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.value),
    };
    let mut out = Vec::new();
    for item in items {
        match want::text(item) {
            Ok(Some(was)) if was.len() <= NAME_BYTES_MAX && was != *name => out.push(was),
            Ok(None) => {}
            Ok(Some(was)) if was == *name => {}
            Ok(Some(_)) => {
                let wanted = format!("`was` must be names of at most {NAME_BYTES_MAX} bytes");
                desk.error(item.at, "was", wanted, "");
            }
            Err(wanted) => desk.error(item.at, "was", format!("`was` must be {wanted}"), ""),
        }
    }
    if out.len() > WAS_MAX {
        let message = format!("`was` must be a list of at most {WAS_MAX} names");
        desk.error(entry.value.at, "was", message, "");
    }
    out
}

fn unit(section: Section<'_>, defaults: &Defaults<'_>, desk: &mut Desk) -> UnitId {
    let Some(unit) = section.whole("unit_id", 0..=255, desk) else { return defaults.unit };
    if defaults.protocol.keys.contains(&"unit_id") {
        return UnitId(unit);
    }
    let message = format!("`unit_id` has no meaning for {} and is ignored", defaults.protocol.name);
    desk.warn(section.place("unit_id"), "unit_id", message, "");
    defaults.unit
}

fn data_type(section: Section<'_>, desk: &mut Desk) -> DataType {
    section
        .read("type", desk, |node| {
            let Some(text) = want::text(node)? else { return Ok(None) };
            if text.as_ref() == "native" {
                return Ok(Some(DataType::Native));
            }
            DataType::parse(&text).map(Some).ok_or_else(|| {
                let words: Vec<&str> = Scalar::ALL.iter().map(|(_, word)| *word).collect();
                let near = nearest(&text, &words).unwrap_or("uint16");
                let found = found(node);
                format!("a type such as `{near}`, `{near}[8]` or `string(16)`, not {found}")
            })
        })
        .unwrap_or(DataType::Native)
}

fn order(section: Section<'_>, desk: &mut Desk) -> WordOrder {
    section
        .read("order", desk, |node| {
            let Some(text) = want::text(node)? else { return Ok(None) };
            let order = WordOrder::parse(&text).map(Some);
            order.ok_or_else(|| format!("ABCD, CDAB, BADC or DCBA, not {}", found(node)))
        })
        .unwrap_or_default()
}

fn priority(node: &Node) -> want::Wanted<Arc<str>> {
    let Some(text) = want::text(node)? else { return Ok(None) };
    let word = text.trim().to_ascii_lowercase();
    let severity = word.parse::<u16>().is_ok_and(|n| (1..=1000).contains(&n));
    if severity || PRIORITIES.contains(&word.as_str()) {
        return Ok(Some(word.into()));
    }
    Err(format!("1 to 1000, low, medium, high or critical, not {}", found(node)))
}

fn not_negative(section: Section<'_>, key: &str, desk: &mut Desk) -> Option<f64> {
    section.read(key, desk, |node| match want::number(node)? {
        Some(x) if x < 0.0 => Err(format!("0 or more, not {}", found(node))),
        other => Ok(other),
    })
}

fn scale(section: Section<'_>, desk: &mut Desk) -> Option<Scale> {
    let entry = section.get("scale")?;
    let table = Section::of(&entry.value, "scale", desk)?;
    if table.entries().is_empty() {
        return None;
    }
    table.check_keys(&["raw", "eu"], "scale", desk);
    let mut pair = |key: &str| {
        let Some(side) = table.get(key) else {
            let message = format!("`scale` has no `{key}`");
            desk.error(entry.at, key, message, "write { raw = [0, 27648], eu = [0.0, 100.0] }");
            return None;
        };
        let ends = match &side.value.kind {
            Kind::List(items) => items.as_slice(),
            _ => &[],
        };
        let [low, high] = ends else {
            let message = format!("`{key}` must be a list of two numbers");
            desk.error(side.value.at, key, message, "the raw or engineering value at both ends");
            return None;
        };
        let mut end = |node: &Node| match want::number(node) {
            Ok(Some(x)) => Some(x),
            Ok(None) => {
                desk.error(node.at, key, format!("`{key}` must be two numbers"), "");
                None
            }
            Err(wanted) => {
                desk.error(node.at, key, format!("`{key}` must be {wanted}"), "");
                None
            }
        };
        let (low, high) = (end(low), end(high));
        Some((low?, high?))
    };
    let (raw, eu) = (pair("raw"), pair("eu"));
    let (raw, eu) = (raw?, eu?);
    let scale = Scale::new(raw, eu);
    if scale.is_none() {
        let message = "both ends of `raw` are the same".to_owned();
        desk.error(entry.value.at, "scale", message, "give the raw range its two different ends");
    }
    scale
}

fn limits(section: Section<'_>, desk: &mut Desk) -> Limits {
    let limits = Limits {
        warn_low: bound(section, "warn_low", desk),
        warn_high: bound(section, "warn_high", desk),
        alarm_low: bound(section, "alarm_low", desk),
        alarm_high: bound(section, "alarm_high", desk),
    };
    for (low, high, key, at) in [
        (limits.warn_low, limits.warn_high, "warn_low", "warn_high"),
        (limits.alarm_low, limits.alarm_high, "alarm_low", "alarm_high"),
    ] {
        if let (Some(low), Some(high)) = (low, high)
            && low >= high
        {
            let message = format!("`{key}` {low} is not below `{at}` {high}: no value is ok");
            desk.warn(value_place(section, key), key, message, "swap them, or take one out");
        }
    }
    limits
}

/// Reads a bound. Text that is no number counts as none, as in the reference, and is said.
fn bound(section: Section<'_>, key: &str, desk: &mut Desk) -> Option<f64> {
    let entry = section.get(key)?;
    match want::number(&entry.value) {
        Ok(bound) => bound,
        Err(wanted) => {
            let message = format!("`{key}` must be {wanted}");
            let scalar = matches!(entry.value.kind, Kind::Text | Kind::Float(_));
            if scalar && !want::has_decimal_comma(&entry.value.text) {
                let hint = "the tag runs without this bound";
                desk.warn(entry.value.at, key, message, hint);
            } else {
                desk.error(entry.value.at, key, message, "");
            }
            None
        }
    }
}

fn value_place(section: Section<'_>, key: &str) -> At {
    section.get(key).map_or(section.at, |entry| entry.value.at)
}
