//! Finding the configuration and the state directory, and reading files within bounds.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::node::At;

/// A configuration is typed by people: 8 MiB is some 40 000 tags with every key set.
pub(super) const CONFIG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Where a machine-wide configuration lives.
const ETC_DIR: &str = "/etc/ot-aiops";

/// Where the machine-wide collector keeps its state.
const VAR_DIR: &str = "/var/lib/ot-aiops";

/// The two names of a configuration; the first one found wins.
const NAMES: [&str; 2] = ["config.toml", "config.yaml"];

/// Finds the configuration file: the one named, else `$OT_AIOPS_CONFIG`, else
/// `config.toml` or `config.yaml` in `$OT_AIOPS_HOME`, `~/.ot-aiops` or `/etc/ot-aiops`.
///
/// What is named is taken as it is, whether or not it exists.
#[must_use]
pub fn find(explicit: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(path) = explicit {
        return Some(path.to_path_buf());
    }
    if let Some(path) = set(env, "OT_AIOPS_CONFIG") {
        return Some(path.into());
    }
    let dirs = [set(env, "OT_AIOPS_HOME").map(PathBuf::from), home(env), Some(ETC_DIR.into())];
    dirs.into_iter()
        .flatten()
        .flat_map(|dir| NAMES.map(|name| dir.join(name)))
        .find(|path| path.is_file())
}

/// Finds the state directory: the one named, else `$OT_AIOPS_HOME`, `$STATE_DIRECTORY`,
/// `/var/lib/ot-aiops` where `answers` says that a collector does, else `~/.ot-aiops`.
///
/// `None` only where no home directory is known either.
#[must_use]
pub fn find_state(
    explicit: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
    answers: &dyn Fn(&Path) -> bool,
) -> Option<PathBuf> {
    if let Some(path) = explicit {
        return Some(path.to_path_buf());
    }
    if let Some(path) = set(env, "OT_AIOPS_HOME") {
        return Some(path.into());
    }
    // systemd separates several by colons (systemd.exec(5)); the first one is ours.
    let units = set(env, "STATE_DIRECTORY");
    if let Some(first) = units.as_deref().and_then(|all| all.split(':').next()) {
        return Some(first.into());
    }
    let machine = PathBuf::from(VAR_DIR);
    if answers(&machine) { Some(machine) } else { home(env) }
}

/// Gives the file to write where none is named or there yet: `config.toml` in `$OT_AIOPS_HOME`,
/// else in `~/.ot-aiops`.
#[must_use]
pub fn find_home(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let dir = set(env, "OT_AIOPS_HOME").map(PathBuf::from).or_else(|| home(env));
    dir.map(|dir| dir.join(NAMES[0]))
}

fn set(env: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.is_empty())
}

fn home(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    set(env, "HOME").map(|home| Path::new(&home).join(".ot-aiops"))
}

/// Why a file can't be used.
pub(super) struct Unreadable {
    pub(super) at: At,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl Unreadable {
    fn whole(message: String, hint: &'static str) -> Self {
        Self { at: At::NONE, message, hint }
    }
}

/// Reads a regular file of at most so many bytes.
pub(super) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Unreadable> {
    let refused = |fault: std::io::Error| {
        Unreadable::whole(format!("can't be read: {fault}"), "check the path and its permissions")
    };
    // Before it is opened: opening a pipe would wait for its writer.
    let facts = fs::metadata(path).map_err(refused)?;
    if !facts.is_file() {
        return Err(Unreadable::whole("is no regular file".into(), "name a file"));
    }
    let too_big = |bytes: u64| {
        let message = format!("has {bytes} bytes, and {bytes_max} are read at most");
        Unreadable::whole(message, "is it the right file?")
    };
    if facts.len() > bytes_max {
        return Err(too_big(facts.len()));
    }
    let mut bytes = Vec::new();
    // It may have grown since: one byte more than allowed shows that.
    let mut file = fs::File::open(path).map_err(refused)?.take(bytes_max.saturating_add(1));
    let length = file.read_to_end(&mut bytes).map_err(refused)?;
    match u64::try_from(length) {
        Ok(length) if length <= bytes_max => Ok(bytes),
        _ => Err(too_big(bytes_max.saturating_add(1))),
    }
}

/// Reads a text file of at most so many bytes, without its byte order mark.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Unreadable> {
    let text = match String::from_utf8(read_bytes(path, bytes_max)?) {
        Ok(text) => text,
        Err(fault) => {
            let offset = fault.utf8_error().valid_up_to();
            let at = place(fault.as_bytes().get(..offset).unwrap_or_default());
            let message = format!("is not UTF-8: the first wrong byte is at offset {offset}");
            return Err(Unreadable { at, message, hint: "save it as UTF-8" });
        }
    };
    Ok(match text.strip_prefix('\u{FEFF}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Gives the place right after some valid UTF-8.
fn place(before: &[u8]) -> At {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let line = before.split(|byte| *byte == b'\n').count();
    let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    // Every byte but the continuation bytes begins a character (RFC 3629, 3).
    let column = last.iter().filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
    At { line: narrow(line), column: narrow(column) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_configuration_is_looked_for_in_the_order_of_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, home) = (dir.path().join("ours"), dir.path().join("home"));
        let dotted = home.join(".ot-aiops");
        fs::create_dir_all(&ours).unwrap();
        fs::create_dir_all(&dotted).unwrap();
        let vars = [("OT_AIOPS_HOME", ours.to_str().unwrap()), ("HOME", home.to_str().unwrap())];
        assert_eq!(find(None, &env(&vars)), None);
        fs::write(dotted.join("config.yaml"), "").unwrap();
        assert_eq!(find(None, &env(&vars)), Some(dotted.join("config.yaml")));
        fs::write(ours.join("config.yaml"), "").unwrap();
        assert_eq!(find(None, &env(&vars)), Some(ours.join("config.yaml")));
        fs::write(ours.join("config.toml"), "").unwrap();
        assert_eq!(find(None, &env(&vars)), Some(ours.join("config.toml")));
        let named = [vars[0], ("OT_AIOPS_CONFIG", "/nowhere/c.toml")];
        assert_eq!(find(None, &env(&named)), Some("/nowhere/c.toml".into()));
        let explicit = Path::new("x.toml");
        assert_eq!(find(Some(explicit), &env(&named)), Some(explicit.into()));
    }

    #[test]
    fn the_state_directory_is_looked_for_in_the_order_of_the_contract() {
        let (yes, no) = (|_: &Path| true, |_: &Path| false);
        let home = [("HOME", "/home/op"), ("OT_AIOPS_HOME", "")];
        assert_eq!(find_state(None, &env(&home), &no), Some("/home/op/.ot-aiops".into()));
        assert_eq!(find_state(None, &env(&home), &yes), Some(VAR_DIR.into()));
        let unit = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")];
        assert_eq!(find_state(None, &env(&unit), &no), Some("/var/lib/a".into()));
        let ours = [unit[0], ("OT_AIOPS_HOME", "/srv/ot")];
        assert_eq!(find_state(None, &env(&ours), &no), Some("/srv/ot".into()));
        assert_eq!(find_state(Some(Path::new("/s")), &env(&ours), &no), Some("/s".into()));
        assert_eq!(find_state(None, &env(&[]), &no), None);
    }
}
