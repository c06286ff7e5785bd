//! From a file to a [`Config`].

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node::{At, Kind, Node};
use super::problem::{Desk, UnknownKeys};
use super::secret::Keyring;
use super::section::{Section, nearest};
use super::want::{found, shown};
use super::{Config, Doors, History, LeftOut, Problem, Sources, check, file, toml_tree, yaml_tree};
use crate::model::{EndpointName, TagName};

/// The keys of the file's top level. `targets` is the reference's other name for `endpoints`.
const TOP_KEYS: [&str; 6] = ["endpoints", "targets", "history", "audit", "doors", "agents"];

/// A century: no plant's history is longer.
const KEEP_DAYS_MAX: i64 = 36_500;

/// Less than this holds no sealed page of history.
const KEEP_BYTES_MIN: i64 = 1 << 20;

/// A commit waits for the disk: more than a hundred a second wear it out and win nothing.
const COMMIT_MS_MIN: i64 = 10;

/// A crash loses what isn't committed: more than an hour is no history.
const COMMIT_MS_MAX: i64 = 3_600_000;

/// Reads a configuration; without a file it is empty, and says so.
///
/// One bad endpoint or tag is among the problems and left out.
///
/// # Errors
/// Nothing of the file can be used: it can't be read, is too big, not UTF-8, or no TOML or YAML.
pub fn load(path: Option<&Path>, sources: Sources<'_>) -> Result<Config, Vec<Problem>> {
    load_with(path, sources, UnknownKeys::Refused)
}

/// Reads a configuration to be taken over: a key that nobody knows is left out alone, with a
/// warning, unless it may change what is read.
///
/// # Errors
/// As [`load`].
pub fn load_foreign(path: &Path, sources: Sources<'_>) -> Result<Config, Vec<Problem>> {
    load_with(Some(path), sources, UnknownKeys::LeftOut)
}

fn load_with(
    path: Option<&Path>,
    sources: Sources<'_>,
    unknown_keys: UnknownKeys,
) -> Result<Config, Vec<Problem>> {
    let Some(path) = path else {
        let mut desk = Desk::new(Path::new("config.toml"), unknown_keys);
        let hint = "name one with --config, or write ~/.ot-aiops/config.toml";
        desk.warn(At::NONE, "", "there is no configuration file".into(), hint);
        return Ok(Config { problems: desk.finish(), ..Config::default() });
    };
    let mut desk = Desk::new(path, unknown_keys);
    let Some(root) = tree(path, &mut desk) else { return Err(desk.finish()) };
    let dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut loader = Loader {
        sources,
        dir,
        desk,
        keyring: Keyring::new(sources.state_dir, sources.master),
        endpoints: HashMap::new(),
        tags: HashMap::new(),
        was: Vec::new(),
        out: Config { path: Some(path.to_path_buf()), ..Config::default() },
    };
    if loader.root(&root) { Ok(loader.finish()) } else { Err(loader.desk.finish()) }
}

/// Reads a file into the tree of its format, or says at the desk why it can't.
fn tree(path: &Path, desk: &mut Desk) -> Option<Node> {
    let format = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !["toml", "yaml", "yml"].contains(&format) {
        let message = "the file's ending must be .toml, .yaml or .yml".to_owned();
        desk.error(At::NONE, "", message, "it says how the file is read");
        return None;
    }
    let text = match file::read_text(path, file::CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(fault) => {
            desk.error(fault.at, "", fault.message, fault.hint);
            return None;
        }
    };
    let tree = match format {
        "toml" => toml_tree::parse(&text),
        _ => yaml_tree::parse(&text).map_err(|fault| vec![fault]),
    };
    tree.map_err(|faults| {
        for fault in faults {
            desk.error(fault.at, "", fault.message, "");
        }
    })
    .ok()
}

/// Where a name was first used.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) file: Arc<Path>,
    pub(super) at: At,
}

/// A former name that a tag lays claim to.
pub(super) struct Claim {
    pub(super) was: TagName,
    pub(super) tag: TagName,
    pub(super) endpoint: EndpointName,
    pub(super) place: Place,
}

/// Builds a [`Config`] while it walks the tree.
pub(super) struct Loader<'a> {
    pub(super) sources: Sources<'a>,
    /// What relative paths in the file start from.
    pub(super) dir: PathBuf,
    pub(super) desk: Desk,
    pub(super) keyring: Keyring<'a>,
    pub(super) endpoints: HashMap<EndpointName, At>,
    pub(super) tags: HashMap<TagName, Place>,
    pub(super) was: Vec<Claim>,
    pub(super) out: Config,
}

impl Loader<'_> {
    /// Tells whether the file is a table at all.
    fn root(&mut self, root: &Node) -> bool {
        let Some(top) = Section::of(root, "", "the configuration", &mut self.desk) else {
            return false;
        };
        top.check_keys(&TOP_KEYS, "the configuration", &mut self.desk);
        if self.desk.errors() > 0 {
            // A misspelt section may have been any of them.
            self.out.left_out.extend([
                LeftOut::Endpoint(None),
                LeftOut::Doors,
                LeftOut::Audit,
                LeftOut::Agents,
            ]);
            // `[[agent]]` was to narrow what somebody sees: better nobody unnamed sees anything.
            let strange = top.entries().iter().filter(|e| !TOP_KEYS.contains(&e.key.as_ref()));
            self.out.strangers_see_nothing =
                strange.into_iter().any(|e| nearest(&e.key, &TOP_KEYS) == Some("agents"));
        }
        self.history(top);
        self.audit(top);
        self.doors(top);
        self.agents(top);
        for entry in ["endpoints", "targets"].iter().filter_map(|key| top.get(key)) {
            match &entry.value.kind {
                Kind::List(items) => items.iter().for_each(|item| self.endpoint(item)),
                Kind::Null => {}
                _ => {
                    let got = found(&entry.value);
                    let message = format!("`{}` must be a list of endpoints, not {got}", entry.key);
                    self.desk.error(entry.at, &entry.key, message, "begin each with [[endpoints]]");
                    self.out.left_out.push(LeftOut::Endpoint(None));
                }
            }
        }
        if self.endpoints.is_empty() && self.desk.errors() == 0 {
            let message = "no endpoints are configured".to_owned();
            self.desk.warn(At::NONE, "endpoints", message, "add one with [[endpoints]]");
        }
        true
    }

    /// Reads `[history]`. After an error, what is not set for certain is kept without limit: a
    /// misspelt key must not cost the history it was to keep.
    fn history(&mut self, top: Section<'_>) {
        let desk = &mut self.desk;
        let mut out = History::default();
        let entry = top.get("history");
        let section = entry.and_then(|e| Section::of(&e.value, "history", "`history`", desk));
        let (mut days, mut bytes, mut commit) = (None, None, None);
        if let Some(section) = section {
            section.check_keys(&["keep_days", "keep_bytes", "commit_ms"], "`history`", desk);
            days = section.whole("keep_days", 1..=KEEP_DAYS_MAX, desk);
            bytes = section.whole("keep_bytes", KEEP_BYTES_MIN..=i64::MAX, desk);
            commit = section.whole("commit_ms", COMMIT_MS_MIN..=COMMIT_MS_MAX, desk);
        }
        if desk.errors() > 0 {
            out.keep_days = u32::MAX;
            out.keep_bytes = u64::MAX;
            self.out.left_out.push(LeftOut::History);
        }
        self.out.history = History {
            keep_days: days.unwrap_or(out.keep_days),
            keep_bytes: bytes.unwrap_or(out.keep_bytes),
            commit_ms: commit.unwrap_or(out.commit_ms),
        };
    }

    /// Reads `[doors]`. A group that can't be told lets nobody in.
    fn doors(&mut self, top: Section<'_>) {
        let desk = &mut self.desk;
        let before = desk.errors();
        let Some(entry) = top.get("doors") else { return };
        if let Some(section) = Section::of(&entry.value, "doors", "`doors`", desk) {
            section.check_keys(&["agent_group", "operator_group"], "`doors`", desk);
            let mut group = |key| section.text(key, desk).map(|text| text.to_string());
            let (agent_group, operator_group) = (group("agent_group"), group("operator_group"));
            self.out.doors = Doors { agent_group, operator_group };
        }
        if self.desk.errors() > before {
            self.out.left_out.push(LeftOut::Doors);
        }
    }

    fn finish(mut self) -> Config {
        self.settle_former_names();
        for plan in check(&self.out, self.sources.protocols) {
            if !plan.over_budget {
                continue;
            }
            let fastest = plan.scan_classes.first();
            let times = fastest.map_or((0, 0), |class| (class.scan_ms, class.real_scan_ms));
            let message = format!(
                "its scans need {:.1} requests a second and its budget is {:.1}: \
                 scans of {} ms will take {} ms",
                plan.requests_per_s_needed, plan.budget_requests_per_s, times.0, times.1
            );
            let at = self.endpoints.get(&plan.endpoint).copied().unwrap_or_default();
            self.desk.on_endpoint(Some(plan.endpoint));
            let hint = "raise scan_ms, or budget.requests_per_s where the device can bear it";
            self.desk.warn(at, "budget", message, hint);
        }
        self.out.problems = self.desk.finish();
        self.out
    }

    /// Takes former names back that are somebody's name now, or claimed twice: a history has
    /// one heir.
    fn settle_former_names(&mut self) {
        let mut heirs: HashMap<TagName, TagName> = HashMap::new();
        let mut refused: HashSet<(TagName, TagName)> = HashSet::new();
        for claim in std::mem::take(&mut self.was) {
            let heir = if self.tags.contains_key(&claim.was) {
                claim.was.clone()
            } else {
                heirs.entry(claim.was.clone()).or_insert_with(|| claim.tag.clone()).clone()
            };
            if heir == claim.tag {
                continue;
            }
            let before = self.desk.turn_to(claim.place.file);
            self.desk.on_endpoint(Some(claim.endpoint));
            self.desk.on_tag(Some(claim.tag.clone()));
            let (was, heir) = (shown(&claim.was), shown(&heir));
            let message = format!("`was` names `{was}`, whose history belongs to `{heir}`");
            let hint = "a former name goes to one tag, and only while no tag has it";
            self.desk.warn(claim.place.at, "was", message, hint);
            self.desk.turn_to(before);
            self.desk.on_tag(None);
            refused.insert((claim.tag, claim.was));
        }
        let specs = self.out.endpoints.iter_mut().chain(&mut self.out.disabled);
        for tag in specs.flat_map(|spec| &mut spec.tags).filter(|tag| !tag.was.is_empty()) {
            let tag = Arc::make_mut(tag);
            let name = tag.name.clone();
            tag.was.retain(|was| !refused.contains(&(name.clone(), was.clone())));
        }
    }
}
