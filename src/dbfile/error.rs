//! What can go wrong with a database file, whichever it is.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The file could not be opened, read or written. Its keeper says which file, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileError {
    /// Another process, or another part of this one, holds it.
    AlreadyOpen,
    /// No space is left, or a quota is used up.
    Full,
    /// It or its directory may not be read or written.
    Denied,
    /// The disk failed in another way.
    Io(String),
    /// What stands in it can't be what this program wrote there.
    Damaged(String),
    /// A later version of this program wrote it.
    Newer(u32),
}

impl From<io::Error> for FileError {
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

impl From<redb::Error> for FileError {
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
        impl From<redb::$part> for FileError {
            fn from(error: redb::$part) -> Self {
                redb::Error::from(error).into()
            }
        }
    )+};
}
from_parts!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError,
    CompactionError
);

/// Runs work on a database; where damage makes the library panic, that is an error too.
///
/// # Errors
/// Those of the work.
pub(crate) fn guarded<T, E: From<FileError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    // What a panic leaves half done is never used again: the caller drops the database.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(FileError::Damaged("its structure is broken".to_owned()).into()))
}
