//! Fetching an endpoint's password from where the configuration points.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::file;
use super::node::{At, Kind};
use super::problem::Desk;
use super::secret::{Keyring, SecretError};
use super::section::Section;
use super::want::shown;
use crate::model::Secret;

/// A password is one line; more is a file named by mistake.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// The bit of a file's mode that lets everybody read it.
const OTHERS_READ: u32 = 0o004;

/// Names the variable that holds an endpoint's password where the configuration names none.
///
/// Letters of any script stay: `line.1` gives `OT_LINE_1_PASSWORD`.
#[must_use]
pub fn password_env_var(endpoint: &str) -> String {
    let upper = endpoint.to_uppercase();
    let name: String = upper.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    format!("OT_{name}_PASSWORD")
}

/// Where a password may come from.
pub(super) struct Vault<'v, 'a> {
    pub(super) env: &'v dyn Fn(&str) -> Option<String>,
    /// What a relative path starts from.
    pub(super) dir: &'v Path,
    /// The secret store.
    pub(super) keyring: &'v mut Keyring<'a>,
}

impl Vault<'_, '_> {
    /// Fetches the password of an endpoint; what can't be fetched is reported, never guessed.
    ///
    /// No message of this function holds any of the setting's text but a name or a path.
    pub(super) fn fetch(
        &mut self,
        endpoint: &str,
        section: Section<'_>,
        desk: &mut Desk,
    ) -> Option<Secret> {
        let Some(entry) = section.get("password") else {
            return self.own(endpoint, section.at, desk);
        };
        let at = entry.value.at;
        let source = match entry.value.kind {
            Kind::Null => return self.own(endpoint, at, desk),
            Kind::Text if entry.value.text.is_empty() => return self.own(endpoint, at, desk),
            Kind::Text => entry.value.text.as_ref(),
            _ => "",
        };
        match source.split_once(':') {
            Some(("env", name)) => {
                let text = (self.env)(name).filter(|text| !text.is_empty());
                if text.is_none() {
                    let message = format!(
                        "`password` names the variable `{}`, which is not set",
                        shown(name)
                    );
                    desk.error(at, "password", message, "set it where the collector starts");
                }
                text.map(Secret::new)
            }
            Some(("file", path)) => self.read(path, at, desk),
            Some(("secret", name)) => {
                let found = self.keyring.find(name);
                let found = found
                    .and_then(|secret| secret.ok_or_else(|| SecretError::Unknown(shown(name))));
                found.map_err(|error| refuse_store(at, &error, desk)).ok()
            }
            _ => {
                let message = "`password` must say where the password is, never what it is";
                let hint = "write `secret:NAME`, `env:NAME` or `file:PATH`, and change a password \
                            that stood here";
                desk.error(at, "password", message.into(), hint);
                None
            }
        }
    }

    /// Fetches the secret of the endpoint's name, else the variable of its name. A store that
    /// can't be opened is never taken for one without a password.
    fn own(&mut self, endpoint: &str, at: At, desk: &mut Desk) -> Option<Secret> {
        match self.keyring.find(endpoint) {
            Ok(Some(secret)) => Some(secret),
            Ok(None) => {
                let text = (self.env)(&password_env_var(endpoint)).filter(|text| !text.is_empty());
                text.map(Secret::new)
            }
            Err(error) => {
                refuse_store(at, &error, desk);
                None
            }
        }
    }

    fn read(&self, path: &str, at: At, desk: &mut Desk) -> Option<Secret> {
        let path: PathBuf = self.dir.join(path);
        let refuse = |desk: &mut Desk, what: &str, hint: &str| {
            let message = format!("`password` file {} {what}", path.display());
            desk.error(at, "password", message, hint);
        };
        let bytes = match file::read_bytes(&path, PASSWORD_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(fault) => {
                refuse(desk, &fault.message, fault.hint);
                return None;
            }
        };
        let mode = fs::metadata(&path).map_or(0, |facts| facts.permissions().mode());
        if mode & OTHERS_READ != 0 {
            let message = format!("`password` file {} can be read by everybody", path.display());
            desk.warn(at, "password", message, format!("chmod 600 {}", path.display()));
        }
        let Ok(mut text) = String::from_utf8(bytes) else {
            refuse(desk, "is not UTF-8", "save it as UTF-8");
            return None;
        };
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        if text.is_empty() {
            refuse(desk, "is empty", "write the password on its first line");
            return None;
        }
        Some(Secret::new(text))
    }
}

fn refuse_store(at: At, error: &SecretError, desk: &mut Desk) {
    let hint = match error {
        SecretError::NoMaster | SecretError::WrongPassword => {
            "start it with the right master password; ot-aiops secret list names what is there"
        }
        SecretError::Unknown(_) => "",
        _ => "the endpoint waits until the store can be read",
    };
    desk.error(at, "password", error.to_string(), hint);
}
