//! What can go wrong with the history file, in words an operator can act on.

use super::bytes::Malformed;
use crate::dbfile::FileError;

/// The history could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another part of this one, holds the file.
    #[error(
        "the history file is already open: stop the collector that holds it, or use another \
         state directory"
    )]
    AlreadyOpen,
    /// No space is left, or a quota is used up.
    #[error("the disk of the history file is full: free some space or lower history.keep_bytes")]
    Full,
    /// The file or its directory may not be read or written.
    #[error("the history file may not be read or written: check the owner of the state directory")]
    Denied,
    /// The disk failed in another way.
    #[error("the history file can't be read or written: {0}")]
    Io(String),
    /// What stands in the file can't be what this store wrote there.
    #[error("the history file is damaged: {0}")]
    Damaged(String),
    /// A later version of this program wrote the file.
    #[error("the history file has format {0}, which is newer than this program: update it")]
    Newer(u32),
    /// A page's columns, values, qualities and times differ in length; nothing was written.
    #[error("a page of history has columns of unequal length")]
    Uneven,
    /// The store would hold more than its number of tags, groups or segments.
    #[error("the history has reached its limit of {limit} {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
}

impl StoreError {
    /// Tells whether the file itself must be set aside.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// Tells whether the database may no longer be used as it is open now.
    pub(super) fn ends_the_session(&self) -> bool {
        !matches!(self, Self::Uneven)
    }
}

impl<E> From<E> for StoreError
where
    FileError: From<E>,
{
    fn from(error: E) -> Self {
        match FileError::from(error) {
            FileError::AlreadyOpen => Self::AlreadyOpen,
            FileError::Full => Self::Full,
            FileError::Denied => Self::Denied,
            FileError::Io(what) => Self::Io(what),
            FileError::Damaged(what) => Self::Damaged(what),
            FileError::Newer(format) => Self::Newer(format),
        }
    }
}

impl From<Malformed> for StoreError {
    fn from(error: Malformed) -> Self {
        Self::Damaged(error.to_string())
    }
}
