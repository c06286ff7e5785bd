//! One table of the configuration, read key by key.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::node::{At, Entry, Kind, Node};
use super::problem::{Desk, UnknownKeys};
use super::want::{self, Wanted, found, shown};

/// A table with its place. What its keys get wrong goes to the desk.
#[derive(Clone, Copy)]
pub(super) struct Section<'n> {
    pub(super) at: At,
    entries: &'n [Entry],
}

impl<'n> Section<'n> {
    /// Takes a node that should be a table; says at the desk where it is none. `key` is what it
    /// is set by, empty in a list.
    pub(super) fn of(node: &'n Node, key: &str, what: &str, desk: &mut Desk) -> Option<Self> {
        match &node.kind {
            Kind::Table(entries) => Some(Self { at: node.at, entries }),
            Kind::Null => Some(Self { at: node.at, entries: &[] }),
            _ => {
                let message = format!("{what} must be a table of keys, not {}", found(node));
                desk.error(node.at, key, message, "");
                None
            }
        }
    }

    /// Takes the cells of a row.
    pub(super) fn of_row(at: At, entries: &'n [Entry]) -> Self {
        Self { at, entries }
    }

    pub(super) fn entries(&self) -> &'n [Entry] {
        self.entries
    }

    pub(super) fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key.as_ref() == key)
    }

    /// Gives a key's place, or the table's where it isn't set.
    pub(super) fn place(&self, key: &str) -> At {
        self.get(key).map_or(self.at, |entry| entry.at)
    }

    /// Reports keys that nobody knows and keys that stand twice.
    pub(super) fn check_keys(&self, known: &[&str], what: &str, desk: &mut Desk) {
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_ref())) {
            unknown_key(entry.at, &entry.key, known, what, desk);
        }
        self.check_keys_once(desk);
    }

    /// Reports keys that stand twice, which only YAML lets through.
    pub(super) fn check_keys_once(&self, desk: &mut Desk) {
        let mut lines = HashMap::new();
        for entry in self.entries {
            if let Some(first) = lines.insert(entry.key.as_ref(), entry.at.line) {
                let message =
                    format!("`{}` is set twice, first in line {first}", shown(&entry.key));
                desk.error(entry.at, &entry.key, message, "keep one of them");
            }
        }
    }

    /// Reads a key; a wrong one is reported and counts as not given.
    pub(super) fn read<T>(
        &self,
        key: &str,
        desk: &mut Desk,
        want: impl FnOnce(&Node) -> Wanted<T>,
    ) -> Option<T> {
        let entry = self.get(key)?;
        want(&entry.value).unwrap_or_else(|wanted| {
            desk.error(entry.value.at, key, format!("`{key}` must be {wanted}"), "");
            None
        })
    }

    pub(super) fn text(&self, key: &str, desk: &mut Desk) -> Option<Arc<str>> {
        self.read(key, desk, want::text)
    }

    pub(super) fn number(&self, key: &str, desk: &mut Desk) -> Option<f64> {
        self.read(key, desk, want::number)
    }

    pub(super) fn flag(&self, key: &str, desk: &mut Desk) -> Option<bool> {
        self.read(key, desk, want::flag)
    }

    /// Reads a whole number; the range must fit the type.
    pub(super) fn whole<T: TryFrom<i64>>(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        desk: &mut Desk,
    ) -> Option<T> {
        let n = self.read(key, desk, |node| want::whole(node, range))?;
        T::try_from(n).ok()
    }
}

/// Reports a key that nobody knows, with the nearest known one.
pub(super) fn unknown_key(at: At, key: &str, known: &[&str], what: &str, desk: &mut Desk) {
    let message = format!("unknown key `{}` in {what}", shown(key));
    let near = if desk.only_counts() { None } else { nearest(key, known) };
    let hint = near.map(|near| format!("the nearest known key is `{near}`")).unwrap_or_default();
    if desk.unknown_keys == UnknownKeys::Refused {
        return desk.error(at, key, message, hint);
    }
    if may_change_reading(key, near) {
        let message = format!("{message}, which may change what is read");
        return desk.error(at, key, message, hint);
    }
    desk.warn(at, key, message, "the key alone is left out");
}

/// Known keys that describe, and change no value.
const DESCRIBES: [&str; 6] = ["unit", "description", "area", "label", "priority", "was"];

/// What keys are called that say where a value stands, or how its bytes are read.
const READS: [&str; 16] = [
    "order", "endian", "swap", "offset", "base", "slave", "station", "address", "register",
    "function", "type", "scale", "factor", "host", "port", "url",
];

/// Edits between a key and what was probably meant.
const SLIP_EDITS: usize = 2;

/// Tells whether a key that nobody knows may be meant to change what is read, or how: it is
/// called so, or it is a slip of such a key.
fn may_change_reading(key: &str, near: Option<&str>) -> bool {
    let key = key.to_lowercase();
    let is_slip = near.is_some_and(|near| {
        !DESCRIBES.contains(&near)
            && near.len() > SLIP_EDITS + 1
            && strsim::damerau_levenshtein(&key, near) <= SLIP_EDITS
    });
    is_slip || READS.iter().any(|word| key.contains(word))
}

/// Finds the known word that takes the fewest edits, a swap of neighbours counting as one.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // A key of a megabyte would cost a square of it.
    let start: String = word.chars().take(64).flat_map(char::to_lowercase).collect();
    known.iter().copied().min_by_key(|near| strsim::damerau_levenshtein(&start, near))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tag::KEYS;

    #[test]
    fn a_foreign_key_that_only_describes_goes_alone() {
        for (key, want) in [
            ("vendor", false),
            ("comment", false),
            ("labell", false),
            ("unit_idd", true),
            ("scan_msec", true),
            ("byte_order", true),
            ("Word_Swap", true),
        ] {
            assert_eq!(may_change_reading(key, nearest(key, &KEYS)), want, "{key}");
        }
    }
}
