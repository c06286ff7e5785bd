//! The trust store: our own certificate, and the servers' that a person has trusted or not yet.
//!
//! Pure file operations below `<state_dir>/pki`; no running collector is needed. The collector
//! reads the store afresh at each connect, so a decision counts from the next attempt on.
//!
//! A certificate beside it has a note: where it was met, and for which hosts it was trusted.
//! Trusting one is trusting it for the host it was met at, even where it does not name that
//! host: the operator has seen both, and compared the fingerprint.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use opcua::crypto::{CertificateStore, X509, X509Data};
use opcua::types::ByteString;
use serde::{Deserialize, Serialize};

use super::facts;
pub use super::facts::{CertificateFacts, CertificateState};

/// A server that makes a new certificate at each start must not fill the disk.
const REJECTED_MAX: usize = 100;
/// A certificate is at most this long (Part 6, 7.1.2.3 bounds what a channel can carry).
const DER_BYTES_MAX: u64 = 64 * 1024;
/// Hosts that one certificate may be trusted for.
const HOSTS_MAX: usize = 64;
/// Fewer digits of a fingerprint are too easily somebody else's.
const PREFIX_MIN: usize = 8;
/// What every policy in use accepts (Part 7: 2048 to 4096).
const KEY_BITS: u32 = 2048;
/// Five years: long enough for a plant, short enough to be renewed by the same people.
const OWN_DAYS: u32 = 5 * 365;
/// What file systems allow for a name.
const FILE_NAME_MAX: usize = 200;

/// Where our certificate lies, below the pki directory.
pub(super) const OWN_CERTIFICATE: &str = "own/cert.der";
/// Where its key lies.
pub(super) const OWN_KEY: &str = "own/key.pem";

/// Why the trust store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A file could not be read or written.
    #[error("{path}: {what}")]
    File {
        /// The file, as it is known to us.
        path: String,
        /// What the system said.
        what: String,
    },
    /// No certificate has that fingerprint.
    #[error("no certificate has that fingerprint; `otctl cert list` shows those there are")]
    Unknown,
    /// More than one begins with it, or too little of it was given.
    #[error("give more of the fingerprint: {PREFIX_MIN} digits at least, and one match only")]
    Ambiguous,
    /// The digits to confirm are not the fingerprint's last.
    #[error("the last 8 characters do not match: compare the fingerprint with the server's own")]
    NotConfirmed,
    /// It is no certificate, or one that can't be kept.
    #[error("no usable certificate: {0}")]
    Unusable(&'static str),
}

/// What is known of a certificate besides its contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    /// Where it was met last, `host:port`.
    pub(super) endpoint: Option<String>,
    /// That host alone.
    pub(super) host: Option<String>,
    /// The hosts it is trusted for, whatever names it holds.
    pub(super) hosts: Vec<String>,
}

/// One certificate in the store.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) der: Vec<u8>,
    pub(super) facts: CertificateFacts,
    pub(super) note: Note,
}

/// Gives the directory of the store.
pub(super) fn pki_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("pki")
}

fn folder(state_dir: &Path, state: CertificateState) -> PathBuf {
    pki_dir(state_dir).join(match state {
        CertificateState::Own => "own",
        CertificateState::Trusted => "trusted",
        CertificateState::Rejected => "rejected",
    })
}

fn file_error(path: &Path, error: &std::io::Error) -> CertificateError {
    CertificateError::File { path: path.display().to_string(), what: error.kind().to_string() }
}

/// Makes the folders, for our eyes only.
pub(super) fn ensure_folders(state_dir: &Path) -> Result<(), CertificateError> {
    for state in [CertificateState::Own, CertificateState::Trusted, CertificateState::Rejected] {
        let path = folder(state_dir, state);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|e| file_error(&path, &e))?;
    }
    Ok(())
}

/// Writes a file whole or not at all, for our eyes only.
fn write(path: &Path, contents: &[u8]) -> Result<(), CertificateError> {
    let fresh = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    written().map_err(|e| file_error(path, &e))
}

fn note_path(folder: &Path, fingerprint: &str) -> PathBuf {
    folder.join(format!("{fingerprint}.json"))
}

fn remove(path: &Path) -> Result<(), CertificateError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(file_error(path, &e)),
        _ => Ok(()),
    }
}

/// Reads every certificate of a folder; what is none is passed over.
fn read_folder(state_dir: &Path, state: CertificateState) -> Result<Vec<Kept>, CertificateError> {
    let folder = folder(state_dir, state);
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| file_error(&folder, &e))?,
    };
    let mut kept = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_der = path.extension().is_some_and(|ending| ending == "der");
        if !is_der || entry.metadata().map_or(true, |data| data.len() > DER_BYTES_MAX) {
            continue;
        }
        let der = fs::read(&path).map_err(|e| file_error(&path, &e))?;
        let Some(mut facts) = facts::read(&der, state) else { continue };
        let note: Note = fs::read(note_path(&folder, &facts.fingerprint))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        facts.endpoint.clone_from(&note.endpoint);
        facts.trusted_for.clone_from(&note.hosts);
        kept.push(Kept { path, der, facts, note });
    }
    kept.sort_by(|a, b| a.facts.fingerprint.cmp(&b.facts.fingerprint));
    Ok(kept)
}

/// Finds a certificate in the trusted folder by its contents.
pub(super) fn find_trusted(state_dir: &Path, der: &[u8]) -> Result<Option<Kept>, CertificateError> {
    let trusted = read_folder(state_dir, CertificateState::Trusted)?;
    Ok(trusted.into_iter().find(|kept| kept.der == der))
}

/// Gives the name under which async-opcua looks for a certificate.
pub(super) fn file_name(der: &[u8]) -> Result<String, CertificateError> {
    let x509 = X509::from_der(der).map_err(|_| CertificateError::Unusable("it can't be read"))?;
    let name = CertificateStore::cert_file_name(&x509);
    match name.len() > FILE_NAME_MAX || name.chars().any(char::is_control) {
        true => Err(CertificateError::Unusable("its common name can't be a file name")),
        false => Ok(name),
    }
}

/// Puts a certificate into a folder, under the name by which async-opcua looks for it.
pub(super) fn keep(
    state_dir: &Path,
    state: CertificateState,
    der: &[u8],
    note: &Note,
) -> Result<PathBuf, CertificateError> {
    ensure_folders(state_dir)?;
    let facts = facts::read(der, state).ok_or(CertificateError::Unusable("it can't be read"))?;
    let name = file_name(der)?;
    let folder = folder(state_dir, state);
    if state == CertificateState::Rejected {
        make_room(&folder)?;
    }
    let json = serde_json::to_vec(note).unwrap_or_default();
    write(&note_path(&folder, &facts.fingerprint), &json)?;
    let path = folder.join(name);
    write(&path, der)?;
    Ok(path)
}

/// Removes the oldest of a full folder.
fn make_room(folder: &Path) -> Result<(), CertificateError> {
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
        .map_err(|e| file_error(folder, &e))?
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "der"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let spare = (files.len() + 1).saturating_sub(REJECTED_MAX);
    for (_, path) in files.into_iter().take(spare) {
        let fingerprint = fs::read(&path).ok().map(|der| facts::fingerprint(&der));
        remove(&path)?;
        if let Some(fingerprint) = fingerprint {
            remove(&note_path(folder, &fingerprint))?;
        }
    }
    Ok(())
}

fn find(kept: Vec<Kept>, fingerprint: &str) -> Result<Kept, CertificateError> {
    let wanted: String =
        fingerprint.chars().filter(|c| !": ".contains(*c)).collect::<String>().to_lowercase();
    if wanted.len() < PREFIX_MIN {
        return Err(CertificateError::Ambiguous);
    }
    let mut found = kept.into_iter().filter(|kept| kept.facts.fingerprint.starts_with(&wanted));
    let first = found.next().ok_or(CertificateError::Unknown)?;
    // The same one may lie in two folders; another one may not.
    match found.all(|other| other.facts.fingerprint == first.facts.fingerprint) {
        true => Ok(first),
        false => Err(CertificateError::Ambiguous),
    }
}

/// Gives our own application certificate and its DER, and makes it at the first need.
///
/// Takes seconds the first time: it makes an RSA key.
///
/// # Errors
/// A file can't be read or written.
pub fn own(state_dir: &Path) -> Result<(CertificateFacts, Vec<u8>), CertificateError> {
    static MAKING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _one_at_a_time = MAKING.lock();
    ensure_folders(state_dir)?;
    let path = pki_dir(state_dir).join(OWN_CERTIFICATE);
    let key_path = pki_dir(state_dir).join(OWN_KEY);
    if !path.exists() || !key_path.exists() {
        make_own(&path, &key_path)?;
    }
    let der = fs::read(&path).map_err(|e| file_error(&path, &e))?;
    let facts = facts::read(&der, CertificateState::Own)
        .ok_or(CertificateError::Unusable("own/cert.der can't be read"))?;
    Ok((facts, der))
}

fn make_own(path: &Path, key_path: &Path) -> Result<(), CertificateError> {
    let host = opcua::crypto::hostname().unwrap_or_else(|_| "localhost".to_owned());
    // The application URI comes first: some servers look no further (Part 6, 6.2.2).
    let uri = format!("urn:{host}:ot-aiops");
    let names = X509Data::alt_host_names(&uri, Some(vec![host]), false, false, false);
    let (certificate, key) = X509::cert_and_pkey(&X509Data {
        key_size: KEY_BITS,
        common_name: "ot-aiops".to_owned(),
        organization: "ot-aiops".to_owned(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: names,
        certificate_duration_days: OWN_DAYS,
    })
    .map_err(|_| CertificateError::Unusable("our own could not be made"))?;
    let unusable = CertificateError::Unusable("our own could not be written");
    let key_der = key.to_der().map_err(|_| unusable.clone())?;
    let der = certificate.to_der().map_err(|_| unusable)?;
    write(key_path, pem(key_der.as_bytes()).as_bytes())?;
    write(path, &der)
}

/// Writes PKCS #8 as PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    let base64 = ByteString::from(der).as_base64();
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

/// Lists our own certificate, if made, then the rejected and the trusted ones.
///
/// # Errors
/// A folder can't be read.
pub fn list(state_dir: &Path) -> Result<Vec<CertificateFacts>, CertificateError> {
    let mut all = Vec::new();
    for state in [CertificateState::Own, CertificateState::Rejected, CertificateState::Trusted] {
        all.extend(read_folder(state_dir, state)?.into_iter().map(|kept| kept.facts));
    }
    Ok(all)
}

/// Trusts a certificate that a server has shown, for the host it was shown at.
///
/// `fingerprint` may be shortened; `confirm_last8` is what the operator read on the server.
///
/// # Errors
/// No such certificate, more than one, the confirmation does not match, or a file fails.
pub fn trust(
    state_dir: &Path,
    fingerprint: &str,
    confirm_last8: &str,
) -> Result<CertificateFacts, CertificateError> {
    let mut known = read_folder(state_dir, CertificateState::Rejected)?;
    known.extend(read_folder(state_dir, CertificateState::Trusted)?);
    let found = find(known, fingerprint)?;
    let confirm = confirm_last8.trim().to_lowercase();
    if confirm.len() != 8 || !found.facts.fingerprint.ends_with(&confirm) {
        return Err(CertificateError::NotConfirmed);
    }
    let mut note = found.note;
    if let Some(host) = note.host.clone().filter(|host| !note.hosts.contains(host)) {
        note.hosts.push(host);
        let spare = note.hosts.len().saturating_sub(HOSTS_MAX);
        note.hosts.drain(..spare);
    }
    keep(state_dir, CertificateState::Trusted, &found.der, &note)?;
    forget(state_dir, CertificateState::Rejected, &found.facts.fingerprint)?;
    let trusted = find_trusted(state_dir, &found.der)?;
    trusted.map(|kept| kept.facts).ok_or(CertificateError::Unknown)
}

/// Withdraws trust; the certificate stays among the rejected.
///
/// # Errors
/// No trusted certificate has that fingerprint, more than one has, or a file fails.
pub fn reject(state_dir: &Path, fingerprint: &str) -> Result<CertificateFacts, CertificateError> {
    let found = find(read_folder(state_dir, CertificateState::Trusted)?, fingerprint)?;
    let note = Note { hosts: Vec::new(), ..found.note };
    keep(state_dir, CertificateState::Rejected, &found.der, &note)?;
    forget(state_dir, CertificateState::Trusted, &found.facts.fingerprint)?;
    let mut facts = found.facts;
    (facts.state, facts.trusted_for) = (CertificateState::Rejected, Vec::new());
    Ok(facts)
}

/// Removes a certificate and its note from a folder.
pub(super) fn forget(
    state_dir: &Path,
    state: CertificateState,
    fingerprint: &str,
) -> Result<(), CertificateError> {
    for kept in read_folder(state_dir, state)? {
        if kept.facts.fingerprint == fingerprint {
            remove(&kept.path)?;
        }
    }
    remove(&note_path(&folder(state_dir, state), fingerprint))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn note(host: &str) -> Note {
        let endpoint = Some(format!("{host}:4840"));
        Note { endpoint, host: Some(host.to_owned()), hosts: Vec::new() }
    }

    #[test]
    fn our_own_is_made_once_and_its_key_is_ours_alone() {
        let home = tempfile::tempdir().unwrap();
        let (facts, der) = own(home.path()).unwrap();
        assert!(facts.application_uri.as_deref().unwrap().ends_with(":ot-aiops"));
        assert_eq!(own(home.path()).unwrap().1, der);
        let key = pki_dir(home.path()).join(OWN_KEY);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(CertificateStore::read_pkey(&key).is_ok());
        assert_eq!(list(home.path()).unwrap(), vec![facts]);
    }

    #[test]
    fn a_rejected_one_is_trusted_for_the_host_it_was_met_at_and_back() {
        let (home, server) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (facts, der) = own(server.path()).unwrap();
        let print = facts.fingerprint;
        keep(home.path(), CertificateState::Rejected, &der, &note("10.0.0.5")).unwrap();
        let listed = list(home.path()).unwrap();
        assert_eq!(listed[0].state, CertificateState::Rejected);
        assert_eq!(listed[0].endpoint.as_deref(), Some("10.0.0.5:4840"));

        let last8 = &print[56..];
        assert_eq!(trust(home.path(), &print, "00000000"), Err(CertificateError::NotConfirmed));
        assert_eq!(trust(home.path(), &print[..4], last8), Err(CertificateError::Ambiguous));
        assert_eq!(trust(home.path(), "0123456789", last8), Err(CertificateError::Unknown));
        let trusted = trust(home.path(), &print[..12].to_uppercase(), last8).unwrap();
        assert_eq!(trusted.state, CertificateState::Trusted);
        assert_eq!(trusted.trusted_for, vec!["10.0.0.5".to_owned()]);
        assert_eq!(list(home.path()).unwrap(), vec![trusted]);

        assert_eq!(reject(home.path(), &print).unwrap().state, CertificateState::Rejected);
        assert!(find_trusted(home.path(), &der).unwrap().is_none());
    }

    #[test]
    fn the_rejected_ones_are_bounded() {
        let (home, server) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let der = own(server.path()).unwrap().1;
        ensure_folders(home.path()).unwrap();
        let rejected = folder(home.path(), CertificateState::Rejected);
        for number in 0..REJECTED_MAX {
            fs::write(rejected.join(format!("{number}.der")), [0u8]).unwrap();
        }
        keep(home.path(), CertificateState::Rejected, &der, &note("h")).unwrap();
        let files = fs::read_dir(&rejected).unwrap().flatten();
        let ders = files.filter(|f| f.path().extension().is_some_and(|e| e == "der")).count();
        assert_eq!(ders, REJECTED_MAX);
        assert_eq!(list(home.path()).unwrap().len(), 1);
    }
}
