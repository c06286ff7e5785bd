//! F2: the configuration, from a file in TOML or YAML to what the collector runs.
//!
//! Both formats become one positioned tree, which one reader turns into endpoints and tags. One
//! bad endpoint or tag is reported with its line and left out; the rest runs.

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

pub use check::{EndpointCheck, ScanClassCheck, check};
pub use diff::{Change, LeftOut, diff, keep_last_good};
pub use file::{find, find_home, find_state};
pub use load::load;
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
    /// Who may use the sockets.
    pub doors: Doors,
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

/// The groups that may open the sockets; without one, only the owner may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doors {
    /// The group of the agents' socket.
    pub agent_group: Option<String>,
    /// The group of the operators' socket.
    pub operator_group: Option<String>,
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
