//! Reading the policy from where nobody else can write.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use super::policy::{Policy, PolicyFault};

/// A policy is some kilobytes.
const POLICY_BYTES_MAX: u64 = 1 << 20;
/// The first bytes of what an approver signs of a policy.
const DOMAIN: &[u8] = b"ot-aiops policy, form 1\n";

/// A policy as it lies on the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it says.
    pub policy: Policy,
    /// The signature beside it.
    pub signature: Option<PolicySignature>,
    /// What was signed.
    pub signed: Vec<u8>,
}

/// The signature beside a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySignature {
    /// The public key, in hexadecimal.
    pub key: String,
    /// The signature, in hexadecimal.
    pub signature: String,
}

/// Reads `policy.toml` and the signature beside it; nothing where there is no policy.
///
/// # Errors
/// Others could have written it, or it is none.
pub fn load(path: &Path, own_uid: u32) -> Result<Option<Found>, PolicyFault> {
    let Some(text) = read(path, own_uid)? else { return Ok(None) };
    let policy = Policy::parse(&text)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sig");
    let signature = match read(Path::new(&beside), own_uid)? {
        None => None,
        Some(text) => Some(serde_json::from_str(&text).map_err(|e| {
            PolicyFault(format!("{}: {e}; sign it anew: otctl policy sign", beside.display()))
        })?),
    };
    Ok(Some(Found { policy, signature, signed: signed_bytes(&text) }))
}

/// Gives the bytes that an approver signs of a policy.
#[must_use]
pub fn signed_bytes(text: &str) -> Vec<u8> {
    [DOMAIN, text.as_bytes()].concat()
}

/// Reads a file that only its owner, who is us or root, can write; never through a link.
fn read(path: &Path, own_uid: u32) -> Result<Option<String>, PolicyFault> {
    let fault = |what: &str| PolicyFault(format!("{}: {what}", path.display()));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = match openat(CWD, path, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(fault("it is a link, which is not followed")),
        Err(error) => return Err(fault(&error.to_string())),
    };
    let file = std::fs::File::from(opened);
    let about = file.metadata().map_err(|e| fault(&e.kind().to_string()))?;
    if !about.is_file() {
        return Err(fault("it is no file"));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::fs::metadata(parent).map_err(|e| fault(&e.kind().to_string()))?;
    let sticky = folder.mode() & 0o1000 != 0;
    for (what, owner, mode) in [
        ("the file", about.uid(), about.mode()),
        ("its folder", folder.uid(), if sticky { 0 } else { folder.mode() }),
    ] {
        if owner != own_uid && owner != 0 {
            return Err(fault(&format!("{what} belongs to user {owner}: chown it to root")));
        }
        if mode & 0o022 != 0 {
            return Err(fault(&format!("{what} can be written by others: chmod go-w")));
        }
    }
    let mut text = String::new();
    let read = file.take(POLICY_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|e| fault(&e.kind().to_string()))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > POLICY_BYTES_MAX {
        return Err(fault("it is longer than 1 MiB"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const TEXT: &str = "version = 1\nepoch = 3\n";

    #[test]
    fn a_policy_that_others_could_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let uid = std::fs::metadata(folder.path()).unwrap().uid();
        assert_eq!(load(&path, uid), Ok(None));
        std::fs::write(&path, TEXT).unwrap();
        let mode = |mode: u32| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).unwrap();
        };
        mode(0o644);
        assert_eq!(load(&path, uid).unwrap().unwrap().policy.epoch, 3);
        for open in [0o664, 0o646] {
            mode(open);
            assert!(load(&path, uid).unwrap_err().0.contains("written by others"));
        }
        mode(0o600);
        if uid != 0 {
            assert!(load(&path, uid + 1).unwrap_err().0.contains("belongs to user"));
        }
        let link = folder.path().join("link.toml");
        symlink(&path, &link).unwrap();
        assert!(load(&link, uid).unwrap_err().0.contains("link"));
        std::fs::write(folder.path().join("policy.toml.sig"), "{}").unwrap();
        assert!(load(&path, uid).unwrap_err().0.contains("sign it anew"));
    }
}
