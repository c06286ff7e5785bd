//! The names of tools as commands.

use crate::tools::{TOOLS, ToolDef};

/// Whether help shows a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}

/// One name of a tool as a command.
pub(super) struct Name {
    pub(super) noun: &'static str,
    pub(super) verb: String,
    pub(super) shown: Shown,
    pub(super) tool: &'static ToolDef,
}

/// Gives the commands of a tool: the reference's where it has one, and its own name.
pub(super) fn names_of(tool: &'static ToolDef) -> Vec<Name> {
    let (noun, verb) = tool.name.split_once('_').unwrap_or((tool.name, "run"));
    let own = (noun, verb.replace('_', "-"));
    match tool.command {
        Some([noun, verb]) if (noun, verb) != (own.0, own.1.as_str()) => vec![
            Name { noun, verb: verb.to_owned(), shown: Shown::Yes, tool },
            Name { noun: own.0, verb: own.1, shown: Shown::No, tool },
        ],
        _ => vec![Name { noun: own.0, verb: own.1, shown: Shown::Yes, tool }],
    }
}

/// Short forms that help shows first, by the tools they call.
const SHORT: [(&str, &str); 3] =
    [("plant_overview", "status"), ("tag_watch", "tail"), ("tag_why", "why")];

/// Gives what is typed behind `otctl` for a tool.
pub(super) fn command_of(tool: &str) -> Option<String> {
    if let Some((_, short)) = SHORT.iter().find(|(name, _)| *name == tool) {
        return Some((*short).to_owned());
    }
    let tool = TOOLS.iter().find(|known| known.name == tool)?;
    names_of(tool).first().map(|name| format!("{} {}", name.noun, name.verb))
}

/// Tells whether a word can be the first of a command of `otctl`.
pub(super) fn begins_command(word: &str) -> bool {
    ["call", "discover", "plot"].contains(&word)
        || SHORT.iter().any(|(_, short)| *short == word)
        || TOOLS.iter().flat_map(names_of).any(|name| name.noun == word)
}
