//! Reading the newest records.

use redb::ReadableTable;
use serde_json::{Map, Value};

use super::error::LedgerError;
use super::event::{Seq, What};
use super::file::{OPEN, RECORDS, View};

/// Records that one question looks at: some seconds of reading.
const LOOKED_AT_MAX: u64 = 200_000;

/// Which records are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// At most so many.
    pub limit: usize,
    /// At most so many bytes of them.
    pub bytes_max: usize,
    /// Only older ones than this.
    pub before: Option<Seq>,
    /// Only of this tool.
    pub tool: Option<String>,
    /// Only of this ticket.
    pub ticket: Option<String>,
    /// Only of this user.
    pub uid: Option<u32>,
    /// Only of this kind.
    pub what: Option<What>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tail {
    /// The records, oldest first.
    pub records: Vec<Map<String, Value>>,
    /// Where older ones go on, where there are any.
    pub before: Option<Seq>,
}

impl Wanted {
    fn takes(&self, record: &Map<String, Value>) -> bool {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let uid = || record.get("who").and_then(|who| who.get("uid")).and_then(Value::as_u64);
        let what = self.what.and_then(|what| serde_json::to_value(what).ok());
        what.is_none_or(|what| record.get("what") == Some(&what))
            && self.tool.as_deref().is_none_or(|tool| text("tool") == Some(tool))
            && self.ticket.as_deref().is_none_or(|ticket| text("ticket") == Some(ticket))
            && self.uid.is_none_or(|wanted| uid() == Some(u64::from(wanted)))
    }
}

impl View {
    /// Gives the newest records that are wanted, oldest first; those that still count repeats
    /// are newer than all others.
    pub(super) fn tail(&self, wanted: &Wanted) -> Result<Tail, LedgerError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut take = |record: Map<String, Value>| {
            if wanted.takes(&record) {
                bytes += serde_json::to_string(&record).map_or(0, |text| text.len());
                found.push(record);
            }
            found.len() >= wanted.limit || bytes >= wanted.bytes_max
        };
        if wanted.before.is_none() {
            for row in self.snapshot.open_table(OPEN)?.iter()?.rev() {
                if take(Self::record(None, row?.1.value())) {
                    break;
                }
            }
        }
        let mut before = None;
        let until = wanted.before.unwrap_or(Seq::MAX);
        let table = self.snapshot.open_table(RECORDS)?;
        let mut looked_at = 0;
        for row in table.range(..until)?.rev() {
            let (seq, bytes) = row?;
            looked_at += 1;
            if take(Self::record(Some(seq.value()), bytes.value())) || looked_at >= LOOKED_AT_MAX {
                before = Some(seq.value()).filter(|seq| *seq > self.base.head.seq + 1);
                break;
            }
        }
        found.reverse();
        Ok(Tail { records: found, before })
    }
}
