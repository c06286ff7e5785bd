//! The secret store: passwords of endpoints, sealed under one master password.

mod file;
mod master;
mod reference;
mod seal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seal::{COST, Cost, Key, Sealed};

pub use master::{CREDENTIAL, MASTER_VARIABLE, MasterError, read_master};

use crate::model::Secret;

/// The store's name in the state directory.
pub const STORE_FILE: &str = "secrets.enc";
/// A shorter master password is found by trying; whoever types one is asked for another.
pub const MASTER_CHARS_MIN: usize = 10;
/// Names are those of endpoints.
const NAME_BYTES_MAX: usize = 128;
/// A secret is a line.
const SECRET_BYTES_MAX: usize = 4096;
/// More endpoints with passwords than one collector serves.
const SECRETS_MAX: usize = 1000;

/// Why the store can't be used. No text of a secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A file could not be read or written.
    #[error("{doing} {}: {what}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        what: String,
    },
    /// The file is not ours alone.
    #[error(
        "the secret store {} {what}, so it is not used; make it a file of the collector's own \
         user with mode 600",
        path.display()
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file was changed since it was written.
    #[error("the secret store is damaged; restore it from a copy, or remove it and set again")]
    Damaged,
    /// A newer program wrote it.
    #[error("the secret store has version {0}, and this program knows version 1; upgrade it")]
    Version(u32),
    /// The password does not open it.
    #[error("the master password does not open the secret store")]
    WrongPassword,
    /// Nobody gave a master password.
    #[error("the secret store needs its master password: {}", master::HOW)]
    NoMaster,
    /// The new master password protects nothing.
    #[error("a master password is not empty")]
    EmptyMaster,
    /// The reference wrote it.
    #[error(
        "{} is a secret store of ot-aiops 0.1; ot-aiops config import takes it over with its \
         config.yaml",
        .0.display()
    )]
    OfReference(PathBuf),
    /// There is no such secret.
    #[error("the secret store has no secret {0:?}; set it with ot-aiops secret set {0}")]
    Unknown(String),
    /// The name can't be one.
    #[error("a secret's name has 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    BadName,
    /// The secret can't be one.
    #[error("a secret is one line of 1 to {SECRET_BYTES_MAX} bytes")]
    BadSecret,
    /// There are too many.
    #[error("the secret store holds {SECRETS_MAX} secrets at most")]
    Full,
}

/// A store as its file has it: its names are known, its secrets are not.
pub struct SecretStore {
    sealed: Sealed,
}

impl SecretStore {
    /// Gives the file of the store.
    #[must_use]
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(STORE_FILE)
    }

    /// Reads the store; `None` where there is none.
    ///
    /// # Errors
    /// It can't be read, is not ours alone, or was changed.
    pub fn find(state_dir: &Path) -> Result<Option<Self>, SecretError> {
        let path = Self::path(state_dir);
        let Some(text) = file::read(&path)? else { return Ok(None) };
        if reference::is_one(&text) {
            return Err(SecretError::OfReference(path));
        }
        Ok(Some(Self { sealed: Sealed::parse(&text)? }))
    }

    /// Gives the names of its secrets, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sealed.names()
    }

    /// Tells whether it has a secret of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.sealed.has(name)
    }

    /// Opens it.
    ///
    /// # Errors
    /// The master password is wrong, or the store was changed.
    pub fn open(&self, master: &Secret) -> Result<OpenStore, SecretError> {
        let (key, secrets) = self.sealed.open(master)?;
        Ok(OpenStore { key, secrets })
    }
}

/// A store that is open.
pub struct OpenStore {
    key: Key,
    secrets: BTreeMap<String, Secret>,
}

impl OpenStore {
    /// Gives a secret.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// Sets a secret.
    ///
    /// # Errors
    /// Its name or text can't be one, or there are too many.
    pub fn set(&mut self, name: &str, secret: Secret) -> Result<(), SecretError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(SecretError::BadName);
        }
        let text = secret.reveal();
        if text.is_empty() || text.len() > SECRET_BYTES_MAX || text.contains(['\n', '\r', '\0']) {
            return Err(SecretError::BadSecret);
        }
        if self.secrets.len() >= SECRETS_MAX && !self.secrets.contains_key(name) {
            return Err(SecretError::Full);
        }
        self.secrets.insert(name.to_owned(), secret);
        Ok(())
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove(&mut self, name: &str) -> Result<(), SecretError> {
        let gone = self.secrets.remove(name);
        gone.map(drop).ok_or_else(|| SecretError::Unknown(name.to_owned()))
    }

    /// Puts everything under another master password.
    ///
    /// # Errors
    /// It is empty.
    pub fn rotate(&mut self, master: &Secret) -> Result<(), SecretError> {
        self.key = new_key(self.cost(), master)?;
        Ok(())
    }

    fn cost(&self) -> Cost {
        self.key.cost()
    }
}

fn new_key(cost: Cost, master: &Secret) -> Result<Key, SecretError> {
    if master.reveal().is_empty() {
        return Err(SecretError::EmptyMaster);
    }
    Key::new(cost, master)
}

/// Changes the store, or makes it; nobody else changes it meanwhile.
///
/// # Errors
/// It can't be opened or written, or the change itself failed; then nothing has changed.
pub fn edit<T>(
    state_dir: &Path,
    master: &Secret,
    change: impl FnOnce(&mut OpenStore) -> Result<T, SecretError>,
) -> Result<T, SecretError> {
    edit_at(COST, state_dir, master, change)
}

fn edit_at<T>(
    cost: Cost,
    state_dir: &Path,
    master: &Secret,
    change: impl FnOnce(&mut OpenStore) -> Result<T, SecretError>,
) -> Result<T, SecretError> {
    let path = SecretStore::path(state_dir);
    let _lock = file::lock(&path)?;
    let mut store = match SecretStore::find(state_dir)? {
        Some(store) => store.open(master)?,
        None => OpenStore { key: new_key(cost, master)?, secrets: BTreeMap::new() },
    };
    let out = change(&mut store)?;
    file::replace(&path, &Sealed::make(&store.key, &store.secrets)?.text())?;
    Ok(out)
}

/// Opens a secret store of the reference; `None` where that file isn't there.
///
/// # Errors
/// It can't be read, or its master password is another one.
pub fn open_reference(
    path: &Path,
    master: impl FnOnce() -> Result<Secret, SecretError>,
) -> Result<Option<BTreeMap<String, Secret>>, SecretError> {
    let Some(text) = file::read(path)? else { return Ok(None) };
    if !reference::is_one(&text) {
        return Err(SecretError::Damaged);
    }
    reference::open(&text, &master()?).map(Some)
}

/// What the configuration sees of the store: opened once, and only where a secret is needed.
pub(super) struct Keyring<'a> {
    state_dir: &'a Path,
    master: Option<&'a Secret>,
    found: Option<Result<Option<SecretStore>, SecretError>>,
    open: Option<Result<OpenStore, SecretError>>,
}

impl<'a> Keyring<'a> {
    pub(super) fn new(state_dir: &'a Path, master: Option<&'a Secret>) -> Self {
        Self { state_dir, master, found: None, open: None }
    }

    /// Looks for a secret; `None` only where a sound store, or no store, has none of that name.
    pub(super) fn find(&mut self, name: &str) -> Result<Option<Secret>, SecretError> {
        let found = self.found.get_or_insert_with(|| SecretStore::find(self.state_dir));
        let store = match found {
            Err(error) => return Err(error.clone()),
            Ok(None) => return Ok(None),
            Ok(Some(store)) if !store.has(name) => return Ok(None),
            Ok(Some(store)) => store,
        };
        let open =
            self.open.get_or_insert_with(|| store.open(self.master.ok_or(SecretError::NoMaster)?));
        match open {
            Ok(open) => Ok(open.get(name).cloned()),
            Err(error) => Err(error.clone()),
        }
    }
}
