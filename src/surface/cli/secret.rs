//! `ot-aiops secret`: what the secret store holds, by name; never a value.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use super::talk::{Master, Talk};
use super::wording::Wording;
use crate::config::secret::{SecretStore, edit};
use crate::model::counted;
use crate::surface::state::StateDir;
use crate::surface::text::escaped;

/// Where the store is, and what opens it.
#[derive(Debug, Args)]
pub(super) struct Where {
    /// The state directory.
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Reads the master password from this file descriptor.
    #[arg(long, value_name = "N")]
    pub(super) master_fd: Option<u32>,
}

impl Where {
    /// Writes commands for the state directory that was named.
    pub(super) fn wording(&self) -> Wording {
        Wording::new(self.state.as_deref())
    }
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(super) enum SecretWhat {
    /// Sets a secret; its value is typed, or is the first line of stdin.
    Set {
        /// Its name: the endpoint's, for one that needs no `password` in the configuration.
        name: String,
        #[command(flatten)]
        at: Where,
    },
    /// Lists the names.
    List {
        #[command(flatten)]
        at: Where,
    },
    /// Removes a secret.
    Rm {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: Where,
    },
    /// Puts all secrets under a new master password, which is typed, or the first line of stdin.
    #[command(alias = "rotate-password")]
    Rotate {
        #[command(flatten)]
        at: Where,
    },
}

impl SecretWhat {
    /// Gives where the store is.
    pub(super) fn at(&self) -> &Where {
        match self {
            Self::Set { at, .. }
            | Self::List { at }
            | Self::Rm { at, .. }
            | Self::Rotate { at } => at,
        }
    }
}

/// What makes a collector read its secrets again.
const RELOAD: &str = "otctl collector reload";

/// Does it.
pub(super) fn run(what: SecretWhat, wording: &Wording) -> Result<(), Failure> {
    let reload = wording.text(RELOAD);
    match what {
        SecretWhat::Set { name, at } => set(&at, &name, &reload),
        SecretWhat::List { at } => list(&at),
        SecretWhat::Rm { name, at } => {
            let (state, mut talk) = open(&at)?;
            existing(state.path())?;
            let master = talk.master(Master::Known)?;
            edit(state.path(), &master, |store| store.remove(&name))?;
            println!("removed {}; {reload} makes a collector notice", escaped(&name));
            Ok(())
        }
        SecretWhat::Rotate { at } => {
            let (state, mut talk) = open(&at)?;
            let store = existing(state.path())?;
            let master = talk.master(Master::Known)?;
            // Before a new one is chosen in vain.
            store.open(&master)?;
            let new = talk.new_master()?;
            edit(state.path(), &master, |store| store.rotate(&new))?;
            println!(
                "under the new master password: {}; start the collector with it",
                counted(store.names().count(), "secret")
            );
            Ok(())
        }
    }
}

fn open(at: &Where) -> Result<(StateDir, Talk), Failure> {
    let state = StateDir::find(at.state.as_deref());
    let state = state.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    Ok((state, Talk::on_stdio(at.master_fd)))
}

fn existing(state_dir: &Path) -> Result<SecretStore, Failure> {
    SecretStore::find(state_dir)?.ok_or_else(|| {
        let path = SecretStore::path(state_dir);
        Failure::new(Exit::Usage, format!("there is no secret store at {}", path.display()))
            .hint("ot-aiops secret set NAME makes one; --state DIR names another place")
    })
}

fn set(at: &Where, name: &str, reload: &str) -> Result<(), Failure> {
    let (state, mut talk) = open(at)?;
    state.prepare().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let found = SecretStore::find(state.path())?;
    let which = if found.is_some() { Master::Known } else { Master::New };
    let master = talk.master(which)?;
    if let Some(store) = &found {
        // Before a value is typed in vain.
        store.open(&master)?;
    }
    let value = talk.ask_hidden(&format!("Secret {}", escaped(name)))?;
    edit(state.path(), &master, |store| store.set(name, value))?;
    println!(
        "set {} in {}\nan endpoint of that name uses it by itself, another one with \
         password = \"secret:{}\"; {reload} makes a collector notice",
        escaped(name),
        SecretStore::path(state.path()).display(),
        escaped(name),
    );
    Ok(())
}

fn list(at: &Where) -> Result<(), Failure> {
    let (state, _) = open(at)?;
    match SecretStore::find(state.path())? {
        Some(store) if store.names().next().is_none() => {
            eprintln!("there are no secrets in {}", SecretStore::path(state.path()).display());
        }
        Some(store) => store.names().for_each(|name| println!("{}", escaped(name))),
        None => {
            let path = SecretStore::path(state.path());
            eprintln!("there is no secret store at {}", path.display());
        }
    }
    Ok(())
}
