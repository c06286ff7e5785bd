//! Assets that were learnt. They stand beside the audit that records who had them learnt: a
//! restart forgets none.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::actors::deps::Deps;
use crate::diagnose::asset::LearntAsset;
use crate::ledger::{Document, Event, Ledger, LedgerError, What};
use crate::model::Principal;

/// Assets at once: more than a plant of one collector has machines.
const ASSETS_MAX: usize = 64;
/// Signals of all of them: each takes some 15 us whenever its asset shows something.
const SIGNALS_MAX: usize = 1000;
/// The kind of their documents.
const ASSET: &str = "asset";

/// Why an asset was not taken up.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// There is no room.
    #[error(
        "there are {ASSETS_MAX} assets, or {SIGNALS_MAX} signals of all, and no more are judged"
    )]
    Full,
    /// It can't be recorded.
    #[error(transparent)]
    Audit(#[from] LedgerError),
}

/// Assets, by name.
pub(super) type ByName = BTreeMap<Arc<str>, Arc<LearntAsset>>;

/// All that were learnt.
#[derive(Debug, Default)]
pub struct Assets {
    by_name: Mutex<ByName>,
    /// One change at a time: what is judged is what was recorded last.
    change: Arc<tokio::sync::Mutex<()>>,
}

impl Assets {
    /// Gives them all, by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Arc<str>, Arc<LearntAsset>> {
        self.by_name.lock().clone()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.lock().contains_key(name)
    }

    /// Takes in what the ledger keeps.
    pub(super) fn restore(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let mut assets = self.by_name.lock();
        for (name, bytes) in ledger.documents(ASSET)? {
            match serde_json::from_slice::<LearntAsset>(&bytes) {
                Ok(learnt) => {
                    assets.insert(name.into(), Arc::new(learnt));
                }
                Err(error) => {
                    tracing::error!(
                        name,
                        "a learnt asset can't be read, and is not judged: {error}"
                    );
                }
            }
        }
        Ok(())
    }

    /// Waits until no other change is under way; the next one waits for what this gives.
    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.change).lock_owned().await
    }

    fn has_room_for(&self, name: &str, learnt: &LearntAsset) -> bool {
        let assets = self.by_name.lock();
        let others = || assets.iter().filter(|(other, _)| other.as_ref() != name);
        let signals: usize = others().map(|(_, other)| other.tags.len()).sum();
        others().count() < ASSETS_MAX && signals + learnt.tags.len() <= SIGNALS_MAX
    }
}

impl Deps {
    /// Takes up an asset, in place of the one of its name, once that is recorded.
    ///
    /// # Errors
    /// There are too many, or it can't be recorded.
    pub(crate) async fn put_asset(
        &self,
        name: &str,
        learnt: LearntAsset,
        by: &Principal,
    ) -> Result<(), AssetError> {
        let turn = self.findings.assets.turn().await;
        if !self.findings.assets.has_room_for(name, &learnt) {
            return Err(AssetError::Full);
        }
        let bytes =
            serde_json::to_vec(&learnt).map_err(|error| LedgerError::Unfit(error.to_string()))?;
        let (since, until) = learnt.stretch();
        let event = Event::new(What::AssetLearnt)
            .by(by)
            .with("asset", name)
            .with("tags", learnt.tags.len())
            .with("rows", learnt.rows)
            .with("since", since.to_rfc3339_millis())
            .with("until", until.to_rfc3339_millis())
            .with("limit", learnt.limit);
        let (deps, key) = (self.clone(), Arc::from(name));
        let take_up = move || {
            let _turn = turn;
            deps.findings.assets.by_name.lock().insert(key, Arc::new(learnt));
        };
        self.ledger.put_then(event, vec![document(name, Some(bytes))], take_up).await?;
        Ok(())
    }

    /// Forgets an asset once that is recorded; `false` where there is none of the name.
    ///
    /// # Errors
    /// It can't be recorded.
    pub(crate) async fn forget_asset(
        &self,
        name: &str,
        by: &Principal,
    ) -> Result<bool, LedgerError> {
        let turn = self.findings.assets.turn().await;
        if !self.findings.assets.has(name) {
            return Ok(false);
        }
        let event = Event::new(What::AssetForgotten).by(by).with("asset", name);
        let (deps, key) = (self.clone(), name.to_owned());
        let forget = move || {
            let _turn = turn;
            deps.findings.assets.by_name.lock().remove(key.as_str()).is_some()
        };
        self.ledger.put_then(event, vec![document(name, None)], forget).await
    }
}

fn document(name: &str, bytes: Option<Vec<u8>>) -> Document {
    Document { kind: ASSET.to_owned(), id: name.to_owned(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::asset::Member;
    use crate::model::{Door, Quality, Sample, Tag, Timestamp, Value, Window};

    fn learnt(signals: usize) -> LearntAsset {
        let window = |nth: usize| {
            let mut window = Window::default();
            for ms in 0..400_i64 {
                let turned = i64::try_from(nth + 3).unwrap() * ms * ms % 101;
                let (value, quality) = (Value::I64(turned), Quality::GOOD);
                let received_ts = Timestamp::from_millis(ms);
                window.push(Sample { value, quality, source_ts: None, received_ts });
            }
            window
        };
        let histories: Vec<Window> = (0..signals).map(window).collect();
        let members = (0..signals).map(|n| Member::of(&Tag::new(&format!("t{n}"), "plc", "HR0")));
        LearntAsset::learn(members.collect(), &histories, 3.0).unwrap()
    }

    #[tokio::test]
    async fn an_asset_outlives_its_run_until_it_is_forgotten() {
        let deps = Deps::alone();
        let by = Principal { door: Door::Operator, uid: 7, gid: 7, pid: None, session: 1 };
        deps.put_asset("loop1", learnt(3), &by).await.unwrap();
        deps.put_asset("loop2", learnt(2), &by).await.unwrap();
        deps.put_asset("loop1", learnt(2), &by).await.unwrap();
        assert!(deps.forget_asset("loop2", &by).await.unwrap());
        assert!(!deps.forget_asset("loop2", &by).await.unwrap());
        let restored = Assets::default();
        restored.restore(&deps.ledger).unwrap();
        let all = restored.all();
        assert_eq!(all.keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["loop1"]);
        let names: Vec<&str> = all["loop1"].tags.iter().map(|tag| &*tag.name).collect();
        assert_eq!(names, ["t0", "t1"]);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_does_not_part_what_is_recorded_from_what_is_judged() {
        let deps = Deps::alone();
        let by = Principal { door: Door::Operator, uid: 7, gid: 7, pid: None, session: 1 };
        let mut put = Box::pin(deps.put_asset("loop1", learnt(2), &by));
        // Asked once, and then dropped.
        assert!(futures::poll!(&mut put).is_pending());
        drop(put);
        // Changes wait for each other: the next one finds it.
        assert!(deps.forget_asset("loop1", &by).await.unwrap());
        assert!(deps.ledger.documents(ASSET).unwrap().is_empty());
    }

    #[tokio::test]
    async fn more_than_fit_are_refused_and_one_can_be_replaced() {
        let deps = Deps::alone();
        let by = Principal { door: Door::Operator, uid: 7, gid: 7, pid: None, session: 1 };
        for n in 0..ASSETS_MAX {
            deps.put_asset(&format!("a{n}"), learnt(2), &by).await.unwrap();
        }
        let full = deps.put_asset("one more", learnt(2), &by).await;
        assert!(matches!(full, Err(AssetError::Full)));
        deps.put_asset("a0", learnt(2), &by).await.unwrap();
    }
}
