//! What the findings' actor shares with those that look at it, and with its own successor.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::book::{About, Book, Open};
use crate::diagnose::alarms::AlarmDesk;
use crate::diagnose::{Skew, Verdict};
use crate::model::{EndpointName, Timestamp};

/// Findings shelved at once.
const SHELVES_MAX: usize = 1000;

/// Samples that were lost somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// When the count last grew.
    pub at: Timestamp,
    /// How many since the start.
    pub samples: u64,
}

/// What the actor last found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    /// The open findings: consequences last, then the worst and the oldest first.
    pub open: Vec<Open>,
    /// Findings that had no room.
    pub left_out: u64,
    /// The clock of each endpoint that gives times.
    pub skews: HashMap<EndpointName, Skew>,
    /// Losses on the way in within the last minutes.
    pub losses: HashMap<EndpointName, Loss>,
    /// A loss before the disk within the last minutes.
    pub store_loss: Option<Loss>,
    /// Tags that were judged in the last round, and how long it took.
    pub round: Option<Round>,
}

/// One round through all tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Tags judged.
    pub tags: usize,
    /// From its beginning to its end.
    pub took_ms: u64,
    /// When it ended.
    pub ended: Timestamp,
}

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

/// The face.
#[derive(Default)]
pub struct FindingsFace {
    published: RwLock<Arc<Published>>,
    shelves: Mutex<HashMap<(Verdict, About), Shelf>>,
    /// The book itself, which outlives a panic of its keeper.
    pub(super) book: Mutex<Book>,
    /// The alarms' states and journal.
    pub desk: Mutex<AlarmDesk>,
    turned: watch::Sender<u64>,
}

impl FindingsFace {
    /// Gives what was last found.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.published.read().clone()
    }

    /// Gives what tells of openings, closings and shelvings.
    #[must_use]
    pub fn turned(&self) -> watch::Receiver<u64> {
        self.turned.subscribe()
    }

    /// Gives how long a finding is still shelved, and why.
    #[must_use]
    pub fn shelf(&self, open: &Open, now: Timestamp) -> Option<Shelf> {
        let shelves = self.shelves.lock();
        let shelf = shelves.get(&(open.verdict, open.about.clone()))?;
        (shelf.until > now).then(|| shelf.clone())
    }

    /// Shelves a finding; `false` where too many are.
    #[must_use]
    pub fn shelve(&self, open: &Open, shelf: Shelf, now: Timestamp) -> bool {
        let mut shelves = self.shelves.lock();
        shelves.retain(|_, shelf| shelf.until > now);
        if shelves.len() >= SHELVES_MAX {
            return false;
        }
        shelves.insert((open.verdict, open.about.clone()), shelf);
        drop(shelves);
        self.turned.send_modify(|turn| *turn += 1);
        true
    }

    pub(super) fn publish(&self, published: Published, has_turned: bool) {
        *self.published.write() = Arc::new(published);
        if has_turned {
            self.turned.send_modify(|turn| *turn += 1);
        }
    }
}
