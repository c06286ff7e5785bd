//! What is kept per endpoint beside the samples: raw blocks, answers to demands, conditions.

mod blocks;
mod conditions;
mod replies;

use std::sync::Arc;

use parking_lot::Mutex;

pub use blocks::FoundBlock;
pub use replies::FoundReply;

use super::TagCache;
use crate::clock;
use crate::driver::{Ask, BlockRef, Observations, RawBlock, Reply};
use crate::model::{ConditionEvent, EndpointName};

/// One endpoint's.
#[derive(Default)]
pub(super) struct Shelf {
    blocks: Mutex<blocks::Blocks>,
    replies: Mutex<replies::Replies>,
    conditions: Mutex<conditions::Conditions>,
    current: Mutex<Option<FoundReply>>,
}

impl TagCache {
    fn shelf(&self, endpoint: &EndpointName) -> Arc<Shelf> {
        if let Some(shelf) = self.known_shelf(endpoint) {
            return shelf;
        }
        Arc::clone(&self.shelves.entry(Arc::clone(endpoint)).or_default())
    }

    fn known_shelf(&self, endpoint: &EndpointName) -> Option<Arc<Shelf>> {
        self.shelves.get(endpoint).map(|shelf| Arc::clone(&shelf))
    }

    /// Keeps a block as the newest image of what it covers.
    pub fn put_block(&self, endpoint: &EndpointName, block: RawBlock) {
        self.shelf(endpoint).blocks.lock().put(block);
    }

    /// Finds exactly the asked range, put together from the newest pieces; `None` where any of
    /// it was never read.
    #[must_use]
    pub fn find_block(&self, endpoint: &EndpointName, at: &BlockRef) -> Option<FoundBlock> {
        self.known_shelf(endpoint)?.blocks.lock().find(at)
    }

    /// Gives the newest image of every block, for the store.
    #[must_use]
    pub fn blocks(&self) -> Vec<(EndpointName, RawBlock)> {
        let shelves: Vec<_> = self
            .shelves
            .iter()
            .map(|shelf| (Arc::clone(shelf.key()), Arc::clone(shelf.value())))
            .collect();
        let images = |(name, shelf): (EndpointName, Arc<Shelf>)| {
            let blocks = shelf.blocks.lock().images();
            blocks.into_iter().map(move |block| (Arc::clone(&name), block))
        };
        shelves.into_iter().flat_map(images).collect()
    }

    /// Puts back a block that the store had; never over one of this run.
    pub fn restore_block(&self, endpoint: &EndpointName, block: RawBlock) {
        self.shelf(endpoint).blocks.lock().restore(block);
    }

    /// Keeps the answer to a demand, the newest of its question.
    pub fn put_reply(&self, endpoint: &EndpointName, ask: Ask, reply: Reply) {
        self.shelf(endpoint).replies.lock().put(ask, reply);
    }

    /// Finds the newest answer to a demand.
    #[must_use]
    pub fn find_reply(&self, endpoint: &EndpointName, ask: &Ask) -> Option<FoundReply> {
        self.known_shelf(endpoint)?.replies.lock().find(ask)
    }

    /// Keeps the newest observation of everything, which a session tells on its own.
    pub fn put_current(&self, endpoint: &EndpointName, current: Observations) {
        let found = FoundReply {
            reply: Arc::new(Reply::Observations(current)),
            received_ts: clock::now(),
            seen_uptime_ms: Some(clock::uptime_ms()),
        };
        *self.shelf(endpoint).current.lock() = Some(found);
    }

    /// Gives the newest observation of everything, where a session tells it on its own.
    #[must_use]
    pub fn current(&self, endpoint: &EndpointName) -> Option<FoundReply> {
        self.known_shelf(endpoint)?.current.lock().clone()
    }

    /// Keeps a condition's state; one that is over and wants no attention is dropped.
    pub fn put_condition(&self, endpoint: &EndpointName, event: ConditionEvent) {
        self.shelf(endpoint).conditions.lock().put(event);
    }

    /// Takes these for all the conditions of an endpoint: others are over.
    pub fn replace_conditions(&self, endpoint: &EndpointName, all: Vec<ConditionEvent>) {
        self.shelf(endpoint).conditions.lock().replace(all);
    }

    /// Gives an endpoint's conditions that are active or want attention, by source and name.
    #[must_use]
    pub fn conditions(&self, endpoint: &EndpointName) -> Vec<ConditionEvent> {
        self.known_shelf(endpoint).map_or_else(Vec::new, |shelf| shelf.conditions.lock().all())
    }

    /// Forgets an endpoint's blocks, answers and conditions.
    pub fn forget_endpoint(&self, endpoint: &EndpointName) {
        self.shelves.remove(endpoint);
    }
}
