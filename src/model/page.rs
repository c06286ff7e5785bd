//! History on its way from the cache to the store.

use std::sync::Arc;

use super::{Quality, TagId, Timestamp, Value, Window};

/// One tag's part of a [`ScanPage`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// A value per row.
    pub values: Vec<Value>,
    /// A quality per row.
    pub qualities: Vec<Quality>,
}

/// Rows of tags that are scanned together and share their times.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanPage {
    /// The tags, a column each.
    pub tags: Arc<[TagId]>,
    /// When each row was received, oldest first.
    pub received: Vec<Timestamp>,
    /// As many as tags, each as long as `received`.
    pub columns: Vec<Column>,
}

/// Samples of one tag that come in on their own.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPage {
    /// The tag.
    pub tag: TagId,
    /// Its samples.
    pub window: Window,
}

/// Everything the cache has gained since it was last asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pages {
    /// Scanned rows.
    pub scans: Vec<ScanPage>,
    /// Streamed samples.
    pub streams: Vec<StreamPage>,
    /// Samples that the rings overwrote before they could be taken.
    pub lost: u64,
}
