//! What a browse found, as tags that a configuration takes.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::driver::BrowseNode;
use crate::model::{Value, sanitize};

/// A name, as the configuration takes it.
const NAME_BYTES_MAX: usize = 512;
/// One level of a name.
const PART_CHARS_MAX: usize = 80;
/// As much of a value as is shown.
const VALUE_CHARS_MAX: usize = 120;
/// The beginning of ids in the namespace of the OPC UA standard itself (Part 6, 5.3.1.10).
const STANDARD: &str = "i=";

/// Whether nodes that the standard defines are of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// They are no plant data.
    Without,
    /// They are listed like the rest.
    With,
}

/// A variable that could be a tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundTag {
    /// A name for it, made of the names on the way to it. Untrusted text.
    pub name: String,
    /// Its address.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its value now; text and structures are cut.
    pub value: serde_json::Value,
}

/// Everything that could be a tag.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// In the order of the device.
    pub tags: Vec<FoundTag>,
    /// Variables of the standard itself, left out.
    pub standard: usize,
    /// Variables whose address no configuration could carry.
    pub unusable: usize,
}

/// Makes tags of the variables among some nodes.
#[must_use]
pub fn found_tags(endpoint: &str, nodes: &[BrowseNode], standard: Standard) -> Found {
    let by_id: HashMap<&str, &BrowseNode> =
        nodes.iter().map(|node| (node.node_id.as_ref(), node)).collect();
    let (mut out, mut taken) = (Found::default(), HashSet::new());
    for node in nodes {
        let Some(value) = &node.value else { continue };
        if standard == Standard::Without && node.node_id.starts_with(STANDARD) {
            out.standard += 1;
            continue;
        }
        // A table's cells are trimmed, and controls in an address would hide what it is.
        let reference = node.address.as_deref().unwrap_or(&node.node_id);
        if reference.trim() != reference
            || reference.is_empty()
            || reference.contains(char::is_control)
        {
            out.unusable += 1;
            continue;
        }
        out.tags.push(FoundTag {
            name: unique(name(endpoint, node, &by_id), &mut taken),
            reference: reference.to_owned(),
            value: shown(value),
        });
    }
    out
}

/// Names a node by the way to it from the root, which itself says nothing.
fn name(endpoint: &str, node: &BrowseNode, by_id: &HashMap<&str, &BrowseNode>) -> String {
    let (mut parts, mut at) = (vec![part(&node.browse_name)], node);
    for _ in 0..node.depth {
        match by_id.get(at.parent.as_ref()) {
            Some(parent) if parent.depth > 0 && parent.depth < at.depth => {
                parts.push(part(&parent.browse_name));
                at = parent;
            }
            _ => break,
        }
    }
    parts.push(endpoint.to_owned());
    parts.reverse();
    parts.join("/")
}

/// Makes one level of a name: what would split it or stand for many names becomes `_`.
fn part(name: &str) -> String {
    let clean = sanitize(name, PART_CHARS_MAX);
    let special = |c: char| if "/*+#?[]".contains(c) || c.is_control() { '_' } else { c };
    let clean: String = clean.trim().chars().map(special).collect();
    if clean.is_empty() { "_".to_owned() } else { clean }
}

fn unique(name: String, taken: &mut HashSet<String>) -> String {
    let mut ends = (0..=NAME_BYTES_MAX - 8).rev();
    let end = ends.find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    let name = name.get(..end).unwrap_or_default().to_owned();
    let mut out = name.clone();
    for nth in 2.. {
        if taken.insert(out.clone()) {
            break;
        }
        out = format!("{name}~{nth}");
    }
    out
}

fn shown(value: &Value) -> serde_json::Value {
    let text = serde_json::to_value(value).unwrap_or_default();
    match text {
        serde_json::Value::String(text) => sanitize(&text, VALUE_CHARS_MAX).into(),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            sanitize(&text.to_string(), VALUE_CHARS_MAX).into()
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, name: &str, parent: &str, depth: u8, value: Option<Value>) -> BrowseNode {
        BrowseNode {
            node_id: id.into(),
            address: None,
            browse_name: name.into(),
            node_class: "x".into(),
            parent: parent.into(),
            depth,
            value,
        }
    }

    #[test]
    fn a_name_is_the_way_to_a_variable_and_stands_once() {
        let five = Some(Value::I64(5));
        let nodes = [
            node("i=85", "Objects", "", 0, None),
            node("i=2253", "Server", "i=85", 1, None),
            node("i=2258", "CurrentTime", "i=2253", 2, five.clone()),
            node("ns=2;s=L", "Line/1", "i=85", 1, None),
            BrowseNode {
                address: Some("nsu=urn:l;s=T".into()),
                ..node("ns=2;s=T", "Temp", "ns=2;s=L", 2, five.clone())
            },
            node("ns=2;s=U", "Temp", "ns=2;s=L", 2, five.clone()),
            node(" ns=2;s=V", "Odd", "i=85", 1, five.clone()),
            node("ns=2;s=W", "\u{1b}[2J", "i=85", 1, Some(Value::text(&"x".repeat(500)))),
        ];
        let found = found_tags("srv", &nodes, Standard::Without);
        let names: Vec<&str> = found.tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["srv/Line_1/Temp", "srv/Line_1/Temp~2", "srv/_2J"]);
        assert_eq!((found.standard, found.unusable), (1, 1));
        assert_eq!(found.tags[0].value, 5);
        assert_eq!(found.tags[0].reference, "nsu=urn:l;s=T", "what lasts, where there is such");
        assert_eq!(found.tags[1].reference, "ns=2;s=U");
        assert_eq!(found.tags[2].value.as_str().unwrap().len(), VALUE_CHARS_MAX);
        let all = found_tags("srv", &nodes, Standard::With);
        assert_eq!(all.tags[0].name, "srv/Server/CurrentTime");
    }
}
