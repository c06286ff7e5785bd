//! F2: the configuration, from a file in TOML or YAML to what the collector runs.
//!
//! Both formats become one positioned tree, which one reader turns into endpoints and tags. One
//! bad endpoint or tag is reported with its line and left out; the rest runs.

mod agents;
mod check;
mod diff;
mod endpoint;
mod file;
mod load;
mod node;
mod notation;
mod password;
mod problem;
mod reference;
pub mod secret;
mod section;
mod tag;
mod tag_table;
#[cfg(test)]
mod tests;
mod toml_tree;
mod want;
mod write;
mod yaml_tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use check::{EndpointCheck, ScanClassCheck, check};
pub use diff::{Change, LeftOut, diff, keep_last_good};
pub use file::{find, find_home, find_state};
pub use load::{load, load_foreign};
pub use password::password_env_var;
pub use problem::{Problem, Severity};
pub use write::{endpoint_toml, to_toml};

use crate::driver::{EndpointSpec, Protocol};
use crate::model::Secret;

/// Everything a collector is told.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The file it was read from; `None` where there was none.
    pub path: Option<PathBuf>,
    /// The endpoints that run, in the order of the file.
    pub endpoints: Vec<EndpointSpec>,
    /// Those with `enabled = false`, checked like the others but without their passwords.
    pub disabled: Vec<EndpointSpec>,
    /// How long samples are kept.
    pub history: History,
    /// How the audit is kept.
    pub audit: Audit,
    /// Who may use the sockets.
    pub doors: Doors,
    /// Users whose agents are shown less, or may cost less.
    pub agents: Vec<Agent>,
    /// An agent that could not be told was set wrongly, so who is not named sees nothing.
    pub strangers_see_nothing: bool,
    /// What is wrong with the file; errors are left out above.
    pub problems: Vec<Problem>,
    /// What errors have left out, all of it.
    pub left_out: Vec<LeftOut>,
}

/// How long samples are kept on disk, and how soon they are safe there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Days after which a sample may go; the greatest number means never, as for the bytes.
    pub keep_days: u32,
    /// Bytes on disk above which the oldest samples go.
    pub keep_bytes: u64,
    /// Milliseconds after which a received sample survives a crash.
    pub commit_ms: u32,
}

impl Default for History {
    fn default() -> Self {
        Self { keep_days: 7, keep_bytes: 1 << 30, commit_ms: 1000 }
    }
}

/// How much audit is kept, and where its checkpoints go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Bytes of records; writes freeze at nine tenths of it.
    pub max_bytes: u64,
    /// A file that gets every checkpoint; on another mount it proves more.
    pub file: Option<String>,
    /// The socket of the system log, such as `/dev/log`.
    pub syslog: Option<String>,
    /// The socket of the journal, such as `/run/systemd/journal/socket`.
    pub journald: Option<String>,
}

impl Default for Audit {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, file: None, syslog: None, journald: None }
    }
}

/// The groups that may open the sockets; without one, only the owner may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doors {
    /// The group of the agents' socket.
    pub agent_group: Option<String>,
    /// The group of the operators' socket.
    pub operator_group: Option<String>,
}

/// What the agents of one user are shown and may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The user as it is written.
    pub user: String,
    /// Its number.
    pub uid: u32,
    /// Patterns of the tags it is shown; all where none are given.
    pub tags: Option<Vec<Arc<str>>>,
    /// Whether it may read addresses that are no tag of its own.
    pub free_reads: bool,
    /// Calls of tools a minute.
    pub calls_per_min: Option<u32>,
    /// Bytes of answers a minute.
    pub bytes_per_min: Option<u64>,
    /// Tickets opened an hour.
    pub tickets_per_hour: Option<u32>,
    /// Tickets open at once.
    pub tickets_open: Option<u32>,
}

/// What a configuration is read with, besides its file.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The protocols of this build.
    pub protocols: &'a [Protocol],
    /// Looks up a variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The collector's state directory, passed on to each endpoint. The secret store is in it.
    pub state_dir: &'a Path,
    /// What opens the secret store, where it was given.
    pub master: Option<&'a Secret>,
}
