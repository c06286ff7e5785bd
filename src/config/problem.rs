//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::node::At;
use super::want::shown;
use crate::model::{EndpointName, TagName};

/// Problems kept of each severity: more than anybody reads, and a bound on memory.
const PROBLEMS_MAX: usize = 1000;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something configured is left out.
    Error,
    /// It runs, though perhaps not as meant.
    Warning,
}

/// One thing that is wrong, with its place and what to do about it.
///
/// It never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file it stands in.
    pub file: PathBuf,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// The column in characters, from 1; of a tag table, the cell's number.
    pub column: u32,
    /// The key at fault; empty where there is none.
    pub key: String,
    /// The endpoint it is about.
    pub endpoint: Option<EndpointName>,
    /// The tag it is about.
    pub tag: Option<TagName>,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// What to do next; empty where nothing can be said.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(out, "{}:{}:", self.line, self.column)?;
        }
        write!(out, " {}", self.message)?;
        if !self.hint.is_empty() {
            write!(out, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// What becomes of a key that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownKeys {
    /// It is an error: what it stands in is left out.
    Refused,
    /// It alone is left out, unless it may change what is read.
    LeftOut,
}

/// Collects problems while a configuration is read, and knows what is being read.
pub(super) struct Desk {
    file: Arc<Path>,
    endpoint: Option<EndpointName>,
    tag: Option<TagName>,
    problems: Vec<Problem>,
    errors: usize,
    warnings: usize,
    pub(super) unknown_keys: UnknownKeys,
}

impl Desk {
    pub(super) fn new(file: &Path, unknown_keys: UnknownKeys) -> Self {
        Self {
            file: file.into(),
            endpoint: None,
            tag: None,
            problems: Vec::new(),
            errors: 0,
            warnings: 0,
            unknown_keys,
        }
    }

    /// Says which endpoint the next problems are about.
    pub(super) fn on_endpoint(&mut self, name: Option<EndpointName>) {
        self.endpoint = name;
    }

    /// Says which tag the next problems are about.
    pub(super) fn on_tag(&mut self, name: Option<TagName>) {
        self.tag = name;
    }

    /// Turns to another file, and gives the one before.
    pub(super) fn turn_to(&mut self, file: Arc<Path>) -> Arc<Path> {
        std::mem::replace(&mut self.file, file)
    }

    pub(super) fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// Counts the errors so far: a part that added some is left out.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Tells whether further errors are only counted, so that no hint is worked out for them.
    pub(super) fn only_counts(&self) -> bool {
        self.errors >= PROBLEMS_MAX
    }

    pub(super) fn error(&mut self, at: At, key: &str, message: String, hint: impl Into<String>) {
        self.errors += 1;
        if self.errors <= PROBLEMS_MAX {
            self.push(Severity::Error, at, key, message, hint.into());
        }
    }

    pub(super) fn warn(&mut self, at: At, key: &str, message: String, hint: impl Into<String>) {
        self.warnings += 1;
        if self.warnings <= PROBLEMS_MAX {
            self.push(Severity::Warning, at, key, message, hint.into());
        }
    }

    fn push(&mut self, severity: Severity, at: At, key: &str, message: String, hint: String) {
        self.problems.push(Problem {
            severity,
            file: self.file.to_path_buf(),
            line: at.line,
            column: at.column,
            key: shown(key),
            endpoint: self.endpoint.clone(),
            tag: self.tag.clone(),
            message,
            hint,
        });
    }

    /// Gives the problems in the order of the file, those of a tag table behind it, and says how
    /// many were not kept.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let file = self.file.to_path_buf();
        self.problems.sort_by(|a, b| {
            let is_table = |p: &Problem| p.file != file;
            let files = is_table(a).cmp(&is_table(b)).then_with(|| a.file.cmp(&b.file));
            files.then_with(|| (a.line, a.column).cmp(&(b.line, b.column)))
        });
        let (errors, warnings) = (self.errors, self.warnings);
        self.on_endpoint(None);
        self.on_tag(None);
        for (severity, count, word) in
            [(Severity::Error, errors, "errors"), (Severity::Warning, warnings, "warnings")]
        {
            let more = count.saturating_sub(PROBLEMS_MAX);
            if more > 0 {
                let message = format!("{more} more {word} are not shown");
                self.push(severity, At::NONE, "", message, "mend the ones above first".into());
            }
        }
        self.problems
    }
}
