//! Tag names and their numbers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable};

use super::OpenReport;
use super::error::StoreError;
use super::index::{META, NAMES, seal, seed_of, unseal};
use super::write::{Writer, next, too_many};
use crate::model::{TagId, TagName};

/// Names the store remembers, those of tags that went included.
const TAGS_MAX: usize = 1_000_000;

fn put_number(text: &str, number: u32) -> Vec<u8> {
    seal(seed_of(text), &number.to_le_bytes())
}

fn take_number(text: &str, row: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(unseal(seed_of(text), row).ok()?.try_into().ok()?))
}

impl Writer {
    pub(super) fn load_names(
        &mut self,
        snapshot: &ReadTransaction,
        report: &mut OpenReport,
    ) -> Result<(), StoreError> {
        for row in snapshot.open_table(NAMES)?.iter()? {
            let (name, number) = row?;
            let name = name.value();
            match take_number(name, number.value()) {
                Some(number) => {
                    self.names.insert(Arc::from(name), TagId(number));
                }
                None => report.bad_records += 1,
            }
        }
        // A number that was ever given is never given again, even where its name is damaged:
        // the history under it belongs to another tag.
        let meta = snapshot.open_table(META)?;
        let counted = meta.get("next_tag")?;
        let counted = counted.and_then(|row| take_number("next_tag", row.value()));
        let named = self.names.values().map(|id| id.0);
        let scanned = self.index.groups.tags.values().flat_map(|tags| tags.iter().map(|id| id.0));
        let last = named.chain(scanned).max();
        let after = last.map_or(Ok(0), |last| next(last, "tags"))?;
        self.next_tag = after.max(counted.unwrap_or_default());
        Ok(())
    }

    pub(super) fn intern(
        &mut self,
        tags: &[(TagName, Vec<TagName>)],
    ) -> Result<Vec<TagId>, StoreError> {
        // A name still in use keeps its own history, whoever claims to have had it before.
        let in_use: HashSet<&TagName> = tags.iter().map(|(name, _)| name).collect();
        let mut names = self.names.clone();
        let mut next_tag = self.next_tag;
        let mut gone = Vec::new();
        let mut fresh = HashMap::new();
        let mut ids = Vec::with_capacity(tags.len());
        for (name, was) in tags {
            let id = match names.get(name) {
                Some(id) => *id,
                None => {
                    let mut free = was.iter().filter(|old| !in_use.contains(old));
                    let old = free.find_map(|old| names.remove_entry(old));
                    let id = if let Some((old, id)) = old {
                        fresh.remove(&old);
                        gone.push(old);
                        id
                    } else {
                        let id = TagId(next_tag);
                        next_tag = next(next_tag, "tags")?;
                        id
                    };
                    names.insert(Arc::clone(name), id);
                    fresh.insert(Arc::clone(name), id);
                    id
                }
            };
            ids.push(id);
        }
        if names.len() > TAGS_MAX {
            return Err(too_many("tag names", TAGS_MAX));
        }
        if !fresh.is_empty() {
            let change = self.transaction()?;
            {
                let mut table = change.open_table(NAMES)?;
                for old in &gone {
                    table.remove(old.as_ref())?;
                }
                for (name, id) in &fresh {
                    table.insert(name.as_ref(), put_number(name, id.0).as_slice())?;
                }
                let mut meta = change.open_table(META)?;
                meta.insert("next_tag", put_number("next_tag", next_tag).as_slice())?;
            }
            change.commit()?;
            self.names = names;
            self.next_tag = next_tag;
        }
        Ok(ids)
    }

    /// Writes every name into a fresh file, so that running readers' numbers stay true.
    pub(super) fn put_all_names(&mut self) -> Result<(), StoreError> {
        let change = self.transaction()?;
        {
            let mut table = change.open_table(NAMES)?;
            for (name, id) in &self.names {
                table.insert(name.as_ref(), put_number(name, id.0).as_slice())?;
            }
            let mut meta = change.open_table(META)?;
            meta.insert("next_tag", put_number("next_tag", self.next_tag).as_slice())?;
        }
        Ok(change.commit()?)
    }
}
