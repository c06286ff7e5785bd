//! An approver's key on the disk of whoever approves, and the passphrase that opens it: typed at a
//! terminal, never given by argument, variable or pipe, and never sent anywhere.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use super::exit::{Exit, Failure};
use crate::govern::keys::{KeyFault, OpenKey, SealedKey};
use crate::model::Secret;

/// A key file has some hundred bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;
/// Wrong passphrases that cost nothing but their own time.
const FREE_TRIES: u32 = 3;
/// The longest pause before the next try.
const PAUSE_S_MAX: u64 = 60;

/// Gives the place of a key where none is named.
pub(super) fn place(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.clone());
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home =
        home.ok_or_else(|| usage("HOME is not set").hint("name the key: --approver FILE"))?;
    Ok(PathBuf::from(home).join(".ot-aiops-approver.key"))
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// Writes a new file that only its owner reads; never over one that is there, or through a link.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| usage(format!("{}: {error}", path.display()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Reads a bounded file.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let failed = |error: std::io::Error| usage(format!("{}: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(bytes_max).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn load(path: &Path) -> Result<SealedKey, Failure> {
    let text = read(path, KEY_BYTES_MAX)
        .map_err(|failure| failure.hint("make a key first: otctl approver new NAME"))?;
    let mode = std::fs::metadata(path).map(|about| about.mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        let text = format!("{} can be read by others", path.display());
        return Err(usage(text).hint("chmod 600 it; if anybody may have copied it, make a new one"));
    }
    let unreadable = |_| usage(format!("{}: {}", path.display(), KeyFault::Unreadable));
    serde_json::from_str(&text).map_err(unreadable)
}

/// Asks for a passphrase at the terminal of this session.
fn ask(prompt: &str) -> Result<Secret, Failure> {
    rpassword::prompt_password(prompt).map(Secret::new).map_err(|error| {
        usage(format!("no terminal to type the passphrase at: {error}"))
            .hint("run it at a terminal; a passphrase is taken from nowhere else")
    })
}

/// Makes a key under a passphrase that is typed twice.
pub(super) fn make(path: &Path, id: &str) -> Result<SealedKey, Failure> {
    if path.exists() {
        let text = format!("{} is there already", path.display());
        return Err(usage(text).hint("name another file: --approver FILE"));
    }
    let passphrase = ask("A passphrase of 10 characters or more: ")?;
    if ask("Once more: ")? != passphrase {
        return Err(usage("the two are not the same; nothing was made"));
    }
    let sealed = SealedKey::generate(id, &passphrase).map_err(|e| usage(e.to_string()))?;
    let text = serde_json::to_string_pretty(&sealed).map_err(|e| usage(e.to_string()))?;
    write_new(path, text.as_bytes())?;
    Ok(sealed)
}

fn tries_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tries");
    name.into()
}

fn failed_tries(path: &Path) -> u32 {
    let text = read(&tries_of(path), 64).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn note_tries(path: &Path, tries: u32) {
    let file = tries_of(path);
    let noted = match tries {
        0 if !file.exists() => Ok(()),
        0 => std::fs::remove_file(&file),
        tries => std::fs::write(&file, tries.to_string()),
    };
    if let Err(error) = noted {
        eprintln!("note: {}: {error}", file.display());
    }
}

/// Gives how long to wait before the next try: nothing for slips of the finger, then doubling.
fn pause_s(failed: u32) -> u64 {
    match failed.checked_sub(FREE_TRIES) {
        None => 0,
        Some(more) => 1_u64.checked_shl(more).unwrap_or(PAUSE_S_MAX).min(PAUSE_S_MAX),
    }
}

/// Opens a key: the passphrase is asked for here and forgotten here.
pub(super) async fn open(path: &Path) -> Result<OpenKey, Failure> {
    let sealed = load(path)?;
    let failed = failed_tries(path);
    let pause = pause_s(failed);
    if pause > 0 {
        eprintln!("{failed} wrong passphrases in a row: waiting {pause} s");
        sleep(Duration::from_secs(pause)).await;
    }
    let prompt = format!("Passphrase of {}: ", crate::surface::text::bounded(&sealed.id, 64));
    // Counted before it is tried: who breaks off has tried as well.
    note_tries(path, failed + 1);
    let opened = tokio::task::spawn_blocking(move || {
        let passphrase = ask(&prompt)?;
        sealed.open(&passphrase).map_err(|fault| Failure::new(Exit::Denied, fault.to_string()))
    });
    let key = opened.await.map_err(|error| usage(error.to_string()))??;
    note_tries(path, 0);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn wrong_passphrases_make_the_next_try_wait_longer() {
        let pauses: Vec<u64> = (0..=12).map(pause_s).collect();
        assert_eq!(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(pause_s(u32::MAX), PAUSE_S_MAX);
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        for tries in 1..=10 {
            note_tries(&key, tries);
            assert_eq!(failed_tries(&key), tries);
        }
        note_tries(&key, 0);
        assert_eq!(failed_tries(&key), 0);
    }

    #[test]
    fn a_key_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let sealed = SealedKey::generate("a", &Secret::new("correct horse".into())).unwrap();
        write_new(&path, serde_json::to_string(&sealed).unwrap().as_bytes()).unwrap();
        assert!(load(&path).is_ok());
        assert!(write_new(&path, b"other").is_err(), "nothing is written over");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load(&path).unwrap_err().message.contains("read by others"));
    }
}
