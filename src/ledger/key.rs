//! The collector's own key: made at first start, never shown, and read by its owner alone.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use chacha20poly1305::aead::OsRng;
use chacha20poly1305::aead::rand_core::RngCore;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use super::error::LedgerError;
use crate::dbfile::{NO_FOLLOW, sync_directory};
use crate::model::{hex, unhex};

/// The key that signs checkpoints, seals and exports.
pub(super) struct CollectorKey(SigningKey);

impl CollectorKey {
    /// Reads the key, or makes one. Says whether it was made.
    pub(super) fn load(path: &Path) -> Result<(Self, bool), LedgerError> {
        let mut seed = Zeroizing::new([0; 32]);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).custom_flags(NO_FOLLOW);
        match options.open(path) {
            Ok(mut file) => {
                OsRng.fill_bytes(seed.as_mut());
                let text = Zeroizing::new(format!("{}\n", hex(seed.as_ref())));
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                sync_directory(path)?;
                Ok((Self(SigningKey::from_bytes(&seed)), true))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut options = OpenOptions::new();
                let file = options.read(true).custom_flags(NO_FOLLOW).open(path)?;
                let about = file.metadata()?;
                let own = rustix::process::getuid().as_raw();
                if about.mode() & 0o077 != 0 || about.uid() != own || !about.is_file() {
                    return Err(unusable(path, "others could have read or replaced it"));
                }
                let mut text = Zeroizing::new(String::new());
                file.take(128).read_to_string(&mut text)?;
                let bytes = unhex(text.trim()).map(Zeroizing::new);
                let bytes = bytes.filter(|bytes| bytes.len() == seed.len());
                let bytes = bytes.ok_or_else(|| unusable(path, "it holds no key"))?;
                seed.copy_from_slice(&bytes);
                Ok((Self(SigningKey::from_bytes(&seed)), false))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Signs bytes, and gives the signature in hexadecimal.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        hex(&self.0.sign(message).to_bytes())
    }

    /// Gives the public part in hexadecimal.
    pub(super) fn public(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }
}

fn unusable(path: &Path, why: &str) -> LedgerError {
    LedgerError::Unfit(format!(
        "{}: {why}; restore it with mode 0600, or remove it and let the collector make another",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        let (first, made) = CollectorKey::load(&path).unwrap();
        assert!(made);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let (second, made) = CollectorKey::load(&path).unwrap();
        assert!(!made);
        assert_eq!(first.public(), second.public());
        assert!(crate::gate::verify(&first.public(), b"head", &second.sign(b"head")));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(CollectorKey::load(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(CollectorKey::load(&path).is_err(), "a link is not followed");
        assert!(!dir.path().join("elsewhere").exists());
    }
}
