//! `ot-aiops config import`: a configuration of ot-aiops 0.1 becomes one of ours.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, Failure};
use super::new_file::Draft;
use super::secret::Where;
use super::talk::{Master, Talk};
use crate::config::secret::{STORE_FILE, SecretError, SecretStore, edit, open_reference};
use crate::config::{self, Config, Problem, Sources};
use crate::driver::Protocol;
use crate::model::{Secret, counted};
use crate::surface::state::StateDir;
use crate::surface::text::escaped;

/// Files of the reference that mean nothing here, and what takes their place.
const LEFT_BEHIND: [(&str, &str); 4] = [
    ("rules.yaml", "its rules widen nothing here: writes are allowed by policy.toml alone"),
    ("audit.db", "it stays readable with sqlite3; this collector's own audit begins anew"),
    ("undo.db", "it holds nothing that could be undone from here"),
    (".env", "it is not read: set such variables where the collector starts"),
];

/// What to import, and where to.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The configuration to take over, such as ~/.ot-aiops/config.yaml.
    file: PathBuf,
    /// The configuration to write; config.toml in $OT_AIOPS_HOME or ~/.ot-aiops otherwise.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The old secret store, where it is not beside the configuration.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Overwrites what is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(super) at: Where,
}

/// Imports.
pub(super) fn run(protocols: &'static [Protocol], what: &Import) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let state = StateDir::find(what.at.state.as_deref()).map_err(|e| usage(e.to_string()))?;
    let env = |name: &str| std::env::var(name).ok();
    let target = what.config.clone().or_else(|| config::find_home(&env));
    let target = target.ok_or_else(|| usage("no home directory; give --config FILE".into()))?;
    let mut talk = Talk::on_stdio(what.at.master_fd);
    let old = config::load_foreign(&what.file, sources(protocols)).map_err(unreadable)?;
    may_write(&target, what.force, &mut talk)?;
    let store = what.secrets.clone().unwrap_or_else(|| what.file.with_file_name(STORE_FILE));
    let secrets =
        open_reference(&store, || talk.master(Master::Known).map_err(|_| SecretError::NoMaster))?;
    if secrets.is_none() && what.secrets.is_some() {
        return Err(usage(format!("there is no secret store at {}", store.display())));
    }
    let draft = Draft::write(&target, &head(&what.file, &old))?;
    same_plant(protocols, &old, draft.path())?;
    let kept = match secrets {
        Some(secrets) => take_secrets(&state, &store, secrets, what.force, &mut talk)?,
        None => Vec::new(),
    };
    draft.settle()?;
    report(&target, &state, &old, &kept);
    left_out(&what.file, &old);
    Ok(())
}

/// Gives what a configuration is read with: without any password, those come from the store
/// beside it.
fn sources(protocols: &'static [Protocol]) -> Sources<'static> {
    // No store stands in a directory that can't be.
    let nowhere = Path::new("/dev/null");
    Sources { protocols, env: &|_| None, state_dir: nowhere, master: None }
}

fn unreadable(problems: Vec<Problem>) -> Failure {
    let text: Vec<String> = problems.iter().map(Problem::to_string).collect();
    Failure::new(Exit::Usage, text.join("\n")).hint("nothing was written")
}

fn may_write(target: &Path, force: bool, talk: &mut Talk) -> Result<(), Failure> {
    if force || !target.exists() {
        return Ok(());
    }
    let there = format!("{} is there already", target.display());
    if talk.has_terminal() && talk.agree(&format!("{there}. Overwrite it"), false)? {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, there)
        .hint("nothing was written; --force overwrites it, --config FILE writes elsewhere"))
}

fn head(file: &Path, old: &Config) -> String {
    let from = escaped(&file.display().to_string());
    format!("# Taken over from {from} by ot-aiops config import.\n\n{}", config::to_toml(old))
}

/// Holds what was written against what was read: an endpoint or tag that differs stops it all.
fn same_plant(protocols: &'static [Protocol], old: &Config, written: &Path) -> Result<(), Failure> {
    let new = config::load(Some(written), sources(protocols)).map_err(unreadable)?;
    if new.endpoints == old.endpoints && new.disabled == old.disabled {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "the new configuration would not mean the same; nothing changed")
        .hint("report this with the file; it still runs as it is, with --config FILE"))
}

/// Puts secrets into our store, and gives the names of those that were there already.
fn take_secrets(
    state: &StateDir,
    old: &Path,
    secrets: std::collections::BTreeMap<String, Secret>,
    force: bool,
    talk: &mut Talk,
) -> Result<Vec<(String, bool)>, Failure> {
    state.prepare().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let ours = SecretStore::path(state.path());
    let aside = old.with_file_name(format!("{STORE_FILE}.reference"));
    let is_same = old.canonicalize().ok() == ours.canonicalize().ok() && ours.exists();
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Usage, format!("setting {} aside: {error}", old.display()))
    };
    if is_same {
        if aside.exists() && !force {
            let there = format!("{} is there already", aside.display());
            return Err(Failure::new(Exit::Usage, there).hint("--force overwrites it"));
        }
        std::fs::rename(old, &aside).map_err(failed)?;
    }
    let master = talk.master(Master::Known)?;
    let kept = edit(state.path(), &master, |store| {
        let mut kept = Vec::new();
        for (name, secret) in secrets {
            let is_new = force || store.get(&name).is_none_or(|there| *there == secret);
            if is_new {
                store.set(&name, secret)?;
            }
            kept.push((name, is_new));
        }
        Ok(kept)
    });
    match kept {
        Ok(kept) => Ok(kept),
        Err(error) if is_same => {
            std::fs::rename(&aside, old).map_err(failed)?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn report(target: &Path, state: &StateDir, old: &Config, secrets: &[(String, bool)]) {
    let specs = || old.endpoints.iter().chain(&old.disabled);
    let tags: usize = specs().map(|spec| spec.tags.len()).sum();
    let endpoints = counted(specs().count(), "endpoint");
    println!("wrote {}: {endpoints}, {}", target.display(), counted(tags, "tag"));
    let taken = secrets.iter().filter(|(_, taken)| *taken).count();
    if taken > 0 {
        let path = SecretStore::path(state.path());
        let taken = counted(taken, "secret");
        println!("wrote {}: {taken}, under the same master password", path.display());
    }
    for (name, _) in secrets.iter().filter(|(_, taken)| !taken) {
        println!("left the secret {} as it was; --force overwrites it", escaped(name));
    }
    for (name, _) in secrets {
        if !specs().any(|spec| spec.name.as_ref() == name) {
            println!("the secret {} belongs to no endpoint of this file", escaped(name));
        }
    }
}

/// Says what was not carried over.
fn left_out(file: &Path, old: &Config) {
    for problem in &old.problems {
        println!("not carried over: {problem}");
    }
    let secured = |spec: &&crate::driver::EndpointSpec| {
        let mode = spec.settings.get("security_mode").and_then(serde_json::Value::as_str);
        mode.is_some_and(|mode| !mode.is_empty() && !mode.eq_ignore_ascii_case("none"))
    };
    for spec in old.endpoints.iter().filter(secured) {
        println!(
            "note: {} asks for security, which 0.1 ignored and this collector insists on; \
             otctl cert list shows what is to be trusted",
            escaped(&spec.name)
        );
    }
    for (name, why) in LEFT_BEHIND {
        if file.with_file_name(name).exists() {
            println!("not carried over: {name}; {why}");
        }
    }
    println!("next: ot-aiops doctor");
}
