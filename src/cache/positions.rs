//! Positions: how far a reader has come, in a text it carries itself.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// One cursor follows at most this many groups; the tags of further ones are left out. A plant
/// this large is watched area by area.
pub const POSITION_GROUPS_MAX: usize = 1024;

/// The longest text a position has: 1024 groups of at most 45 characters, and the head.
pub const POSITIONS_BYTES_MAX: usize = 45 * POSITION_GROUPS_MAX + 64;

/// How far a reader has come in each group of its tags.
///
/// It is made, carried and handed in again; the cache keeps nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions {
    pub(super) run: u64,
    /// Groups from this id on were made after the position.
    pub(super) next_group: u32,
    pub(super) at: BTreeMap<u32, Position>,
}

/// How far a reader has come in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Scanned: the next row. Streamed: how many samples the tags had in all by then.
    pub(super) count: u64,
    /// Scanned: the column to go on with in that row. Streamed: a hash of the tags.
    pub(super) part: u32,
    /// Everything up to this time was delivered, besides that part of a row.
    pub(super) upto: i64,
}

impl Position {
    /// Before anything.
    pub(super) const BEGIN: Self = Self { count: 0, part: 0, upto: i64::MIN };
}

/// The text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this collector; leave it out to start from now")]
pub struct PositionsError;

impl fmt::Display for Positions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}.{:x}", self.run, self.next_group)?;
        for (group, Position { count, part, upto }) in &self.at {
            write!(out, ".{group:x}-{count:x}-{part:x}-{:x}", upto.cast_unsigned())?;
        }
        Ok(())
    }
}

impl FromStr for Positions {
    type Err = PositionsError;

    fn from_str(text: &str) -> Result<Self, PositionsError> {
        if text.len() > POSITIONS_BYTES_MAX {
            return Err(PositionsError);
        }
        let mut parts = text.split('.');
        let mut head = || parts.next().ok_or(PositionsError);
        let run = number(head()?)?;
        let next_group = small(head()?)?;
        let mut at = BTreeMap::new();
        for part in parts {
            let mut fields = part.split('-');
            let mut field = || fields.next().ok_or(PositionsError);
            let group = small(field()?)?;
            let count = number(field()?)?;
            let column = small(field()?)?;
            let upto = number(field()?)?.cast_signed();
            if fields.next().is_some() || at.len() == POSITION_GROUPS_MAX {
                return Err(PositionsError);
            }
            at.insert(group, Position { count, part: column, upto });
        }
        Ok(Self { run, next_group, at })
    }
}

fn number(text: &str) -> Result<u64, PositionsError> {
    u64::from_str_radix(text, 16).map_err(|_| PositionsError)
}

fn small(text: &str) -> Result<u32, PositionsError> {
    u32::from_str_radix(text, 16).map_err(|_| PositionsError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_position_keeps_to_its_bound_and_reads_back() {
        let position = Position { count: u64::MAX >> 16, part: u32::MAX, upto: i64::MIN };
        let last = u32::try_from(POSITION_GROUPS_MAX).unwrap();
        let at = (0..last).map(|group| (group, position)).collect();
        let positions = Positions { run: u64::MAX, next_group: u32::MAX, at };
        let text = positions.to_string();
        assert!(text.len() <= POSITIONS_BYTES_MAX, "{}", text.len());
        assert_eq!(text.parse(), Ok(positions));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "1", "x.1", "1.1.2-3", "1.1.2-3-4-5-6", "1.1.", "1.100000000"] {
            assert_eq!(text.parse::<Positions>(), Err(PositionsError), "{text}");
        }
    }
}
