//! What the findings' actor shares with those that look at it, and with its own successor.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::assets::Assets;
use super::book::{Book, Open};
use super::shelf::{Shelf, Shelves};
use super::together::AssetState;
use crate::diagnose::Skew;
use crate::diagnose::alarms::AlarmDesk;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{EndpointName, Timestamp};

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
    /// How each learnt asset stands, by name.
    pub assets: BTreeMap<Arc<str>, AssetState>,
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

/// The face.
#[derive(Default)]
pub struct FindingsFace {
    published: RwLock<Arc<Published>>,
    pub(super) shelves: Shelves,
    /// What was learnt of assets.
    pub assets: Assets,
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
        self.shelves.of(open, now)
    }

    /// Takes in the shelves and the learnt assets of the run before.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub(crate) fn restore(&self, ledger: &Ledger, now: Timestamp) -> Result<(), LedgerError> {
        self.assets.restore(ledger)?;
        self.shelves.restore(ledger, now)
    }

    /// Tells whoever listens that something has changed.
    pub(super) fn tell(&self) {
        self.turned.send_modify(|turn| *turn += 1);
    }

    pub(super) fn publish(&self, published: Published, has_turned: bool) {
        *self.published.write() = Arc::new(published);
        if has_turned {
            self.tell();
        }
    }
}
