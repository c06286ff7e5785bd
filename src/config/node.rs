//! One positioned tree for both formats, so that the schema is read once.

use std::sync::Arc;

/// A place in a file; both count from 1, and 0 means the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl At {
    /// The file as a whole.
    pub(super) const NONE: Self = Self { line: 0, column: 0 };
}

/// Nesting below the root. The schema needs 6; the rest is room for a protocol's own settings.
/// It bounds the recursion of everything that walks the tree.
pub(super) const DEPTH_MAX: usize = 32;

/// Values in one file, those that aliases repeat included: 40 000 tags with every key set, and
/// about 100 MB at worst.
pub(super) const NODES_MAX: usize = 1_000_000;

/// A value as it stands in the file. It may hold a password typed by mistake: it has no `Debug`.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
    /// A scalar as it was written, quotes and escapes resolved; else empty. `007` stays `007`.
    pub(super) text: Arc<str>,
}

/// What a value is.
#[derive(Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text,
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key and its value, in the order of the file. A YAML key may come twice.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: Arc<str>,
    pub(super) at: At,
    pub(super) value: Node,
}

/// Why a file is no tree.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    pub(super) at: At,
    pub(super) message: String,
}

impl Node {
    pub(super) fn new(at: At, kind: Kind, text: impl Into<Arc<str>>) -> Self {
        Self { at, kind, text: text.into() }
    }

    /// Makes text out of a cell of a table.
    pub(super) fn of_text(at: At, text: &str) -> Self {
        Self::new(at, Kind::Text, text)
    }

    /// Counts this value and all below it, and how deep they nest.
    pub(super) fn measure(&self) -> (usize, usize) {
        let sum =
            |(count, depth): (usize, usize), (c, d): (usize, usize)| (count + c, depth.max(d));
        let (count, depth) = match &self.kind {
            Kind::List(items) => items.iter().map(Self::measure).fold((0, 0), sum),
            Kind::Table(entries) => entries.iter().map(|e| e.value.measure()).fold((0, 0), sum),
            _ => (0, 0),
        };
        (count + 1, depth + 1)
    }
}
