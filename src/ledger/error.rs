//! What can go wrong with the audit file, in words an operator can act on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            // The library gives the first for a file that is no database, the second where one
            // ends too early.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<redb::Error> for LedgerError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::AlreadyOpen,
            redb::Error::Io(error) => error.into(),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Self::Io(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

macro_rules! from_parts {
    ($($part:ident),+) => {$(
        impl From<redb::$part> for LedgerError {
            fn from(error: redb::$part) -> Self {
                redb::Error::from(error).into()
            }
        }
    )+};
}
from_parts!(DatabaseError, TransactionError, TableError, StorageError, CommitError);

/// Runs work on the database; where damage makes the library panic, that is an error too.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    // What a panic leaves half done is never used again: the caller drops the database.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(LedgerError::Damaged("its structure is broken".to_owned())))
}
