//! `[audit]` and `[[agents]]`: what is recorded, and what an agent's user is shown and may cost.

use std::sync::Arc;

use super::load::Loader;
use super::node::{Entry, Kind};
use super::section::Section;
use super::want::{found, shown, text};
use super::{Agent, Audit, LeftOut};

/// Less than this holds no day of an agent's work.
const AUDIT_BYTES_MIN: i64 = 4 << 20;
/// Patterns of one agent.
const PATTERNS_MAX: usize = 256;
/// Agents of one collector.
const AGENTS_MAX: usize = 256;

const AUDIT_KEYS: [&str; 4] = ["max_bytes", "file", "syslog", "journald"];
const AGENT_KEYS: [&str; 7] = [
    "user",
    "tags",
    "free_reads",
    "calls_per_min",
    "bytes_per_min",
    "tickets_per_hour",
    "tickets_open",
];

impl Loader<'_> {
    /// Reads `[audit]`. After an error the audit is kept as it was before.
    pub(super) fn audit(&mut self, top: Section<'_>) {
        let desk = &mut self.desk;
        let before = desk.errors();
        let Some(entry) = top.get("audit") else { return };
        if let Some(section) = Section::of(&entry.value, "audit", "`audit`", desk) {
            section.check_keys(&AUDIT_KEYS, "`audit`", desk);
            let max_bytes = section.whole("max_bytes", AUDIT_BYTES_MIN..=i64::MAX, desk);
            let mut path = |key| section.text(key, desk).map(|text| text.to_string());
            let (file, syslog, journald) = (path("file"), path("syslog"), path("journald"));
            let file = file.map(|file| self.dir.join(file).display().to_string());
            let max_bytes = max_bytes.unwrap_or(Audit::default().max_bytes);
            self.out.audit = Audit { max_bytes, file, syslog, journald };
        }
        if self.desk.errors() > before {
            self.out.left_out.push(LeftOut::Audit);
        }
    }

    /// Reads `[[agents]]`. An agent that is set wrongly sees nothing, and where it can't be told
    /// who it is, neither does anybody that is not named.
    pub(super) fn agents(&mut self, top: Section<'_>) {
        let Some(entry) = top.get("agents") else { return };
        let before = self.desk.errors();
        match &entry.value.kind {
            Kind::List(items) if items.len() <= AGENTS_MAX => {
                for item in items {
                    let section = Section::of(item, "", "an agent", &mut self.desk);
                    match section.and_then(|section| self.agent(section)) {
                        Some(agent) if self.is_new(&agent, entry) => self.out.agents.push(agent),
                        _ => self.out.strangers_see_nothing = true,
                    }
                }
            }
            Kind::Null => {}
            _ => {
                let got = found(&entry.value);
                let message = format!("`agents` must be a list of {AGENTS_MAX} at most, not {got}");
                self.desk.error(entry.at, "agents", message, "begin each with [[agents]]");
                self.out.strangers_see_nothing = true;
            }
        }
        if self.desk.errors() > before {
            self.out.left_out.push(LeftOut::Agents);
        }
    }

    fn is_new(&mut self, agent: &Agent, entry: &Entry) -> bool {
        let is_new = self.out.agents.iter().all(|other| other.uid != agent.uid);
        if !is_new {
            let message = format!("user {} stands in two of `agents`", shown(&agent.user));
            self.desk.error(entry.at, "agents", message, "keep one of them");
        }
        is_new
    }

    /// Reads one agent; `None` where it can't be told who it is.
    fn agent(&mut self, section: Section<'_>) -> Option<Agent> {
        let desk = &mut self.desk;
        let before = desk.errors();
        section.check_keys(&AGENT_KEYS, "an agent", desk);
        let Some(user) = section.text("user", desk) else {
            let hint = "name the user that the agent runs as";
            desk.error(section.at, "user", "an agent has no `user`".to_owned(), hint);
            return None;
        };
        let Some(uid) = uid_of(&user) else {
            let message = format!("there is no user `{}` on this machine", shown(&user));
            let hint = "make the user first, or give its number where it is not in /etc/passwd";
            desk.error(section.place("user"), "user", message, hint);
            return None;
        };
        let (tags, tags_wrong) = match section.get("tags") {
            None => (None, false),
            Some(entry) => match patterns(entry) {
                Ok(tags) => (Some(tags), false),
                Err(wanted) => {
                    let message = format!("`tags` must be {wanted}");
                    desk.error(entry.value.at, "tags", message, "such as [\"line1/**\"]");
                    (Some(Vec::new()), true)
                }
            },
        };
        let free_reads = section.flag("free_reads", desk);
        let limits = 1..=i64::from(u32::MAX);
        let mut agent = Agent {
            user: user.to_string(),
            uid,
            tags,
            free_reads: free_reads.unwrap_or(true),
            calls_per_min: section.whole("calls_per_min", limits.clone(), desk),
            bytes_per_min: section.whole("bytes_per_min", 1..=i64::MAX, desk),
            tickets_per_hour: section.whole("tickets_per_hour", 0..=1000, desk),
            tickets_open: section.whole("tickets_open", 0..=1000, desk),
        };
        if desk.errors() > before || tags_wrong {
            (agent.tags, agent.free_reads) = (Some(Vec::new()), false);
        }
        Some(agent)
    }
}

/// Reads the patterns of tag names.
fn patterns(entry: &Entry) -> Result<Vec<Arc<str>>, String> {
    let wanted = || format!("a list of at most {PATTERNS_MAX} patterns of tag names");
    match &entry.value.kind {
        Kind::List(items) if items.len() <= PATTERNS_MAX => {
            items.iter().map(|item| text(item)?.ok_or_else(wanted)).collect()
        }
        Kind::Text => Ok(text(&entry.value)?.into_iter().collect()),
        _ => Err(format!("{}, not {}", wanted(), found(&entry.value))),
    }
}

/// Finds a user by number or by name (passwd(5): name:password:UID:GID:...).
fn uid_of(user: &str) -> Option<u32> {
    if let Ok(uid) = user.parse() {
        return Some(uid);
    }
    let all = std::fs::read_to_string("/etc/passwd").ok()?;
    all.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then(|| fields.nth(1)?.parse().ok())?
    })
}
