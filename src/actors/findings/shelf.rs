//! Findings that operators have laid aside for a while. The shelves stand beside the audit that
//! records who laid them aside: a restart forgets none.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::book::{About, Open};
use crate::actors::deps::Deps;
use crate::ledger::{Document, Event, Ledger, LedgerError, What};
use crate::model::{Principal, Timestamp};

/// Findings shelved at once.
const SHELVES_MAX: usize = 1000;
/// The kind of their documents.
const SHELF: &str = "shelf";

/// A finding that operators have laid aside for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// The user who did it.
    pub uid: u32,
}

/// Why a finding was not laid aside.
#[derive(Debug, thiserror::Error)]
pub enum ShelveError {
    /// There is no room.
    #[error("too many findings are shelved")]
    Full,
    /// It can't be recorded.
    #[error(transparent)]
    Audit(#[from] LedgerError),
}

/// A shelf as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    until_ns: i64,
    reason: String,
    uid: u32,
}

/// The shelves, by what is wrong with what.
#[derive(Debug, Default)]
pub(super) struct Shelves(Mutex<HashMap<String, Shelf>>);

impl Shelves {
    pub(super) fn of(&self, open: &Open, now: Timestamp) -> Option<Shelf> {
        let shelves = self.0.lock();
        if shelves.is_empty() {
            return None;
        }
        shelves.get(&key(open)).filter(|shelf| shelf.until > now).cloned()
    }

    /// Takes in what the ledger keeps.
    pub(super) fn restore(&self, ledger: &Ledger, now: Timestamp) -> Result<(), LedgerError> {
        let mut shelves = self.0.lock();
        for (id, bytes) in ledger.documents(SHELF)? {
            match serde_json::from_slice::<Kept>(&bytes) {
                Ok(Kept { until_ns, reason, uid }) => {
                    let until = Timestamp::from_nanos(until_ns);
                    if until > now && shelves.len() < SHELVES_MAX {
                        shelves.insert(id, Shelf { until, reason, uid });
                    }
                }
                Err(error) => tracing::error!(id, "a shelf can't be read: {error}"),
            }
        }
        Ok(())
    }
}

/// Names what is wrong with what; numbers of tags mean nothing to another run.
fn key(open: &Open) -> String {
    let verdict = open.verdict.word();
    match &open.about {
        About::Collector => format!("{verdict} collector"),
        About::Asset(name) => format!("{verdict} asset {name}"),
        About::Endpoint(name) => format!("{verdict} endpoint {name}"),
        About::Unit(name, unit) => format!("{verdict} unit {} of {name}", unit.0),
        About::Tag(id) => match &open.seen.tag {
            Some(name) => format!("{verdict} tag {name}"),
            None => format!("{verdict} number {}", id.0),
        },
    }
}

impl Deps {
    /// Lays a finding aside once that is recorded. Shelves whose time is over leave the ledger
    /// with it.
    ///
    /// # Errors
    /// Too many are, or it can't be recorded.
    pub(crate) async fn shelve(
        &self,
        open: &Open,
        shelf: Shelf,
        by: &Principal,
        now: Timestamp,
    ) -> Result<(), ShelveError> {
        let id = key(open);
        let kept =
            Kept { until_ns: shelf.until.nanos(), reason: shelf.reason.clone(), uid: shelf.uid };
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        let mut documents =
            vec![Document { kind: SHELF.to_owned(), id: id.clone(), bytes: Some(bytes) }];
        let shelves = &self.findings.shelves;
        {
            let mut held = shelves.0.lock();
            let over = held.extract_if(|other, shelf| shelf.until <= now && *other != id);
            documents.extend(over.map(|(id, _)| Document {
                kind: SHELF.to_owned(),
                id,
                bytes: None,
            }));
            if held.len() >= SHELVES_MAX {
                return Err(ShelveError::Full);
            }
        }
        let event = Event::new(What::FindingShelved)
            .by(by)
            .at(open.seen.endpoint.as_deref().unwrap_or(""), open.seen.tag.as_deref().unwrap_or(""))
            .with("finding", open.id.clone())
            .with("code", open.verdict.word())
            .with("until", shelf.until.to_rfc3339_millis())
            .with("reason", shelf.reason.clone());
        let deps = self.clone();
        let lay_aside = move || {
            deps.findings.shelves.0.lock().insert(id, shelf);
            deps.findings.tell();
        };
        Ok(self.ledger.put_then(event, documents, lay_aside).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::findings::Seen;
    use crate::diagnose::{Severity, Verdict};
    use crate::model::{Door, TagId};

    fn open(tag: &str, number: u32) -> Open {
        let since = Timestamp::default();
        let seen = Seen {
            tag: Some(tag.into()),
            endpoint: Some("plc".into()),
            ..Seen::new(Severity::Low, since, String::new(), String::new())
        };
        Open::testing(Verdict::Flatline, About::Tag(TagId(number)), seen)
    }

    #[tokio::test]
    async fn a_shelf_outlives_its_run_and_not_its_time() {
        let deps = Deps::alone();
        let at = |s: i64| Timestamp::from_millis(s * 1000);
        let by = Principal { door: Door::Operator, uid: 7, gid: 7, pid: None, session: 1 };
        let shelf = |s| Shelf { until: at(s), reason: "known".to_owned(), uid: 7 };
        deps.shelve(&open("a", 1), shelf(100), &by, at(0)).await.unwrap();
        deps.shelve(&open("b", 2), shelf(200), &by, at(0)).await.unwrap();
        let restored = Shelves::default();
        restored.restore(&deps.ledger, at(50)).unwrap();
        // The numbers are others, the names the same.
        assert_eq!(restored.of(&open("a", 9), at(50)), Some(shelf(100)));
        assert_eq!(restored.of(&open("a", 9), at(100)), None);
        assert_eq!(restored.of(&open("c", 1), at(50)), None);
        deps.shelve(&open("c", 3), shelf(300), &by, at(150)).await.unwrap();
        let names = |kept: Vec<(String, Vec<u8>)>| -> Vec<String> {
            kept.into_iter().map(|(id, _)| id).collect()
        };
        let kept = names(deps.ledger.documents(SHELF).unwrap());
        assert_eq!(kept, ["flatline tag b", "flatline tag c"]);
    }
}
