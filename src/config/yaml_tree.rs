//! YAML into the positioned tree, aliases and merge keys resolved and counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::node::{At, DEPTH_MAX, Entry, Kind, NODES_MAX, Node, SyntaxFault};

/// Reads the one document of a file into a tree; an empty file is an empty table.
///
/// # Errors
/// The first place where it is no YAML, or is more than a configuration needs.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxFault> {
    let mut options = granit_parser::Options::default();
    // Kept comments are buffered up to a limit that a long header would pass.
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event
            .map_err(|fault| SyntaxFault { at: place(fault.marker()), message: fault.info() })?;
        let at = place(&span.start);
        builder.take(event, at).map_err(|message| SyntaxFault { at, message })?;
    }
    let start = At { line: 1, column: 1 };
    Ok(builder.root.unwrap_or_else(|| Node::new(start, Kind::Table(Vec::new()), "")))
}

fn place(marker: &Marker) -> At {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: narrow(marker.line()), column: narrow(marker.col().saturating_add(1)) }
}

/// A list or table whose end has not come yet.
struct Open {
    at: At,
    /// 0 where nothing refers to it.
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Table { entries: Vec<Entry>, key: Option<(Arc<str>, At)> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: At) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document: the configuration is one document".into());
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar(&text, style, tag.as_deref())?;
                self.count(1)?;
                self.put(Node::new(at, kind, text.as_ref()), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "seq")?;
                self.push(Open { at, anchor, inside: Inside::List(Vec::new()) })
            }
            Event::MappingStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "map")?;
                let inside = Inside::Table { entries: Vec::new(), key: None };
                self.push(Open { at, anchor, inside })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => {
                    let kind = match done.inside {
                        Inside::List(items) => Kind::List(items),
                        Inside::Table { entries, .. } => Kind::Table(self.merge(entries)?),
                    };
                    self.put(Node::new(done.at, kind, ""), done.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let mut copy = self.anchored(anchor)?;
                copy.at = at;
                self.put(copy, 0)
            }
            _ => Ok(()),
        }
    }

    /// Gives what an alias stands for; each use counts in full, so that a few lines can't
    /// unfold into gigabytes, and deepens the tree by what it brings.
    fn anchored(&mut self, anchor: usize) -> Result<Node, String> {
        let node = self.anchors.get(&anchor).ok_or("an alias inside its own anchor")?;
        let (count, depth) = node.measure();
        let copy = node.clone();
        if self.open.len() + depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        self.count(count)?;
        Ok(copy)
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(format!("more than {NODES_MAX} values in one file, aliases counted"));
        }
        Ok(())
    }

    fn push(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        self.count(1)?;
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor > 0 {
            self.count(node.measure().0)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Table { entries, key }) => match key.take() {
                Some((name, at)) => entries.push(Entry { key: name, at, value: node }),
                None if matches!(node.kind, Kind::List(_) | Kind::Table(_)) => {
                    return Err("a key must be plain text".into());
                }
                None => *key = Some((node.text, node.at)),
            },
        }
        Ok(())
    }

    /// Resolves `<<`: what it brings yields to what stands in the table itself.
    fn merge(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, String> {
        if !entries.iter().any(|entry| entry.key.as_ref() == "<<") {
            return Ok(entries);
        }
        let (merged, mut own): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.key.as_ref() == "<<");
        let mut known: HashSet<Arc<str>> = own.iter().map(|entry| entry.key.clone()).collect();
        for node in merged.into_iter().flat_map(|entry| match entry.value.kind {
            Kind::List(items) => items,
            _ => vec![entry.value],
        }) {
            let Kind::Table(brought) = node.kind else {
                return Err("`<<` takes a table or a list of tables".into());
            };
            for entry in brought {
                if known.insert(entry.key.clone()) {
                    own.push(entry);
                }
            }
        }
        Ok(own)
    }
}

fn known_tag(tag: Option<&Tag>, suffix: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(suffix) => Err("an unknown YAML tag".into()),
        _ => Ok(()),
    }
}

/// Resolves a scalar by the core schema of YAML 1.2 (10.3.2).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, String> {
    match tag.map(Tag::core_suffix) {
        Some(None) => return Err("an unknown YAML tag".into()),
        Some(Some("str")) => return Ok(Kind::Text),
        _ if style != ScalarStyle::Plain => return Ok(Kind::Text),
        _ => {}
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => number(text).unwrap_or(Kind::Text),
    })
}

fn number(text: &str) -> Option<Kind> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(Kind::Integer);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok().map(Kind::Integer);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
            return Some(Kind::Float(sign * f64::INFINITY));
        }
        ".nan" | ".NaN" | ".NAN" => return Some(Kind::Float(f64::NAN)),
        _ => {}
    }
    // Rust also reads `inf` and `infinity`, which are words in YAML.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    match text.parse() {
        Ok(whole) => Some(Kind::Integer(whole)),
        Err(_) => text.parse().ok().map(Kind::Float),
    }
}
