//! TOML into the positioned tree.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::{At, DEPTH_MAX, Entry, Kind, NODES_MAX, Node, SyntaxFault};

/// Syntax errors shown of one file: the later ones mostly follow from the first.
const FAULTS_MAX: usize = 20;

/// Reads a document into a tree.
///
/// # Errors
/// Each place where it is no TOML, the first ones only.
pub(super) fn parse(text: &str) -> Result<Node, Vec<SyntaxFault>> {
    let lines = Lines::of(text);
    let (root, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        let fault = |fault: toml::de::Error| SyntaxFault {
            at: fault.span().map_or(At::NONE, |span| lines.at(span.start)),
            message: fault.message().to_owned(),
        };
        return Err(faults.into_iter().take(FAULTS_MAX).map(fault).collect());
    }
    let mut walk = Walk { lines, nodes: 0 };
    walk.table(At { line: 1, column: 1 }, root.get_ref(), 0).map_err(|fault| vec![fault])
}

/// Where each line of a text begins, in bytes.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let after_break = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(after_break.map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn at(&self, offset: usize) -> At {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        At { line: narrow(line), column: narrow(column) }
    }
}

struct Walk<'t> {
    lines: Lines<'t>,
    nodes: usize,
}

impl Walk<'_> {
    fn table(&mut self, at: At, table: &DeTable<'_>, depth: usize) -> Result<Node, SyntaxFault> {
        // The parser sorts by key; people read and expect reports in the order of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut out = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let at = self.lines.at(key.span().start);
            let value = self.value(value, depth + 1)?;
            out.push(Entry { key: Arc::from(key.get_ref().as_ref()), at, value });
        }
        Ok(Node::new(at, Kind::Table(out), ""))
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, SyntaxFault> {
        let at = self.lines.at(value.span().start);
        self.nodes += 1;
        let too_big = |what: String| Err(SyntaxFault { at, message: what });
        if self.nodes > NODES_MAX {
            return too_big(format!("more than {NODES_MAX} values in one file"));
        }
        if depth > DEPTH_MAX {
            return too_big(format!("nested deeper than {DEPTH_MAX}"));
        }
        Ok(match value.get_ref() {
            DeValue::String(text) => Node::new(at, Kind::Text, text.as_ref()),
            DeValue::Boolean(flag) => Node::new(at, Kind::Bool(*flag), flag.to_string()),
            DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                Ok(whole) => Node::new(at, Kind::Integer(whole), whole.to_string()),
                // Wider than any setting: the reader of the key says what it wants instead.
                Err(_) => Node::new(at, Kind::Text, n.to_string()),
            },
            DeValue::Float(x) => match x.as_str().parse() {
                Ok(number) => Node::new(at, Kind::Float(number), x.as_str()),
                Err(_) => Node::new(at, Kind::Text, x.as_str()),
            },
            DeValue::Datetime(when) => Node::new(at, Kind::Text, when.to_string()),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.value(item, depth + 1));
                Node::new(at, Kind::List(items.collect::<Result<_, _>>()?), "")
            }
            DeValue::Table(table) => self.table(at, table, depth)?,
        })
    }
}
