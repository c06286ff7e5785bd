//! What can go wrong with the audit file, in words an operator can act on.

use crate::dbfile::FileError;

/// A record could not be made durable, or the ledger can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process holds the file.
    #[error("the audit file is already open: stop the collector that holds it")]
    AlreadyOpen,
    /// No space is left, or a quota is used up.
    #[error("the disk of the audit file is full: free some space; until then no write is allowed")]
    Full,
    /// `audit.max_bytes` is reached.
    #[error(
        "the audit has reached audit.max_bytes: export it (otctl audit export) and release what \
         was exported"
    )]
    AtLimit,
    /// The file or its directory may not be read or written.
    #[error("the audit file may not be read or written: check the owner of the state directory")]
    Denied,
    /// The disk failed in another way.
    #[error("the audit file can't be read or written: {0}")]
    Io(String),
    /// What stands in the file can't be what this program wrote there.
    #[error("the audit file is damaged: {0}")]
    Damaged(String),
    /// A later version of this program wrote the file.
    #[error("the audit file has format {0}, which is newer than this program: update it")]
    Newer(u32),
    /// Too many records wait to be written.
    #[error("too many audit records wait for the disk: try again in a few seconds")]
    Busy,
    /// The ledger has been closed, or its actor has given up.
    #[error("the audit is not being kept: {0}")]
    Closed(String),
    /// What was asked of an export or a release does not fit the ledger.
    #[error("{0}")]
    Unfit(String),
}

impl LedgerError {
    /// Tells whether the file itself must be set aside.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// Tells whether the database may no longer be used as it is open now.
    pub(super) fn ends_the_session(&self) -> bool {
        !matches!(self, Self::AtLimit | Self::Unfit(_) | Self::Busy)
    }
}

impl<E> From<E> for LedgerError
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
