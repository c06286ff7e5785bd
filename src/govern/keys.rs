//! Approvers' keys: ed25519, sealed under a passphrase with argon2id and XChaCha20-Poly1305.
//! This code runs where the approver sits; a collector sees public keys alone.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::rand_core::RngCore;
use chacha20poly1305::aead::{Aead, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{Approver, Secret, hex, unhex};

/// 64 MiB and 3 passes: half a second on a plant PC, and a guess costs an attacker the same.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3 };
/// A file that asks for more than this is no file of ours.
const COST_MAX: Cost = Cost { memory_kib: 1024 * 1024, passes: 16 };
/// A shorter passphrase is found by trying.
const PASSPHRASE_CHARS_MIN: usize = 10;
/// The first bytes of what a key signs besides tickets, so that one can't stand for the other.
const STATEMENT: &[u8] = b"ot-aiops statement of an approver, form 1\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
}

/// A key as it stands in the approver's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedKey {
    version: u32,
    /// Whose it is.
    pub id: String,
    /// The public part, in hexadecimal.
    pub public: String,
    cost: Cost,
    salt: String,
    nonce: String,
    sealed: String,
}

/// What is wrong with a key or a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Too short to protect anything.
    #[error("a passphrase has {PASSPHRASE_CHARS_MIN} characters or more")]
    Short,
    /// It opens nothing.
    #[error("the passphrase does not open this key")]
    WrongPassphrase,
    /// The file is damaged, or of another version.
    #[error("the key file can't be read; restore it from a copy, or make and enrol a new key")]
    Unreadable,
}

/// A key that is open, for one signature or a few.
pub struct OpenKey(SigningKey);

impl SealedKey {
    /// Makes a new key and seals it.
    ///
    /// # Errors
    /// The passphrase is too short.
    pub fn generate(id: &str, passphrase: &Secret) -> Result<Self, KeyFault> {
        Self::generate_at(COST, id, passphrase)
    }

    fn generate_at(cost: Cost, id: &str, passphrase: &Secret) -> Result<Self, KeyFault> {
        if passphrase.reveal().chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(KeyFault::Short);
        }
        let mut seed = Zeroizing::new([0; 32]);
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        OsRng.fill_bytes(seed.as_mut());
        OsRng.fill_bytes(&mut salt);
        OsRng.fill_bytes(&mut nonce);
        let public = hex(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
        let cipher = cipher(cost, &salt, passphrase)?;
        let bound = format!("{id}\n{public}");
        let payload = Payload { msg: seed.as_ref(), aad: bound.as_bytes() };
        let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload);
        Ok(Self {
            version: 1,
            id: id.to_owned(),
            public,
            cost,
            salt: hex(&salt),
            nonce: hex(&nonce),
            sealed: hex(&sealed.map_err(|_| KeyFault::Unreadable)?),
        })
    }

    /// Opens it.
    ///
    /// # Errors
    /// The passphrase is wrong, or the file is none of ours.
    pub fn open(&self, passphrase: &Secret) -> Result<OpenKey, KeyFault> {
        let Cost { memory_kib, passes } = self.cost;
        if self.version != 1 || memory_kib > COST_MAX.memory_kib || passes > COST_MAX.passes {
            return Err(KeyFault::Unreadable);
        }
        let bytes = |text: &str| unhex(text).ok_or(KeyFault::Unreadable);
        let (salt, nonce, sealed) = (bytes(&self.salt)?, bytes(&self.nonce)?, bytes(&self.sealed)?);
        if nonce.len() != 24 {
            return Err(KeyFault::Unreadable);
        }
        let cipher = cipher(self.cost, &salt, passphrase)?;
        let bound = format!("{}\n{}", self.id, self.public);
        let payload = Payload { msg: sealed.as_ref(), aad: bound.as_bytes() };
        let seed = cipher.decrypt(XNonce::from_slice(&nonce), payload);
        let seed = Zeroizing::new(seed.map_err(|_| KeyFault::WrongPassphrase)?);
        let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| KeyFault::Unreadable)?;
        let key = SigningKey::from_bytes(seed);
        if hex(key.verifying_key().as_bytes()) != self.public {
            return Err(KeyFault::Unreadable);
        }
        Ok(OpenKey(key))
    }
}

fn cipher(cost: Cost, salt: &[u8], passphrase: &Secret) -> Result<XChaCha20Poly1305, KeyFault> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32));
    let params = params.map_err(|_| KeyFault::Unreadable)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    argon
        .hash_password_into(passphrase.reveal().as_bytes(), salt, key.as_mut())
        .map_err(|_| KeyFault::Unreadable)?;
    Ok(XChaCha20Poly1305::new(key.as_ref().into()))
}

impl OpenKey {
    /// Signs bytes, and gives the signature in hexadecimal.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        hex(&self.0.sign(message).to_bytes())
    }

    /// Gives the public part in hexadecimal.
    #[must_use]
    pub fn public(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }
}

/// Gives the bytes of a statement that is no ticket: what is done, to what, and the number of the
/// audit record it follows, so that it can't be handed in twice.
#[must_use]
pub fn statement(action: &str, subject: &str, after: u64) -> Vec<u8> {
    let mut out = STATEMENT.to_vec();
    for part in [action.as_bytes(), subject.as_bytes(), &after.to_be_bytes()] {
        out.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend(part);
    }
    out
}

/// Gives the subject of the statement that enrols an approver: all that decides what the key can
/// do.
#[must_use]
pub fn enrolment(approver: &Approver) -> String {
    let uid = approver.uid.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
    let place = if approver.offline { "offline" } else { "here" };
    format!("{} {} {uid} {place}", hex(approver.id.as_bytes()), approver.key)
}

/// Gives random bytes in hexadecimal.
#[must_use]
pub fn nonce() -> String {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn key() -> SealedKey {
        SealedKey::generate_at(CHEAP, "m.kovacs", &secret("correct horse")).unwrap()
    }

    #[test]
    fn a_key_opens_with_its_passphrase_alone_and_signs() {
        let sealed = key();
        let text = serde_json::to_string(&sealed).unwrap();
        assert!(!text.contains("correct horse"));
        let back: SealedKey = serde_json::from_str(&text).unwrap();
        let open = back.open(&secret("correct horse")).unwrap();
        let signature = open.sign(b"ticket");
        assert!(crate::gate::verify(&sealed.public, b"ticket", &signature));
        assert!(!crate::gate::verify(&sealed.public, b"tickeu", &signature));
        for _ in 0..10 {
            let refused = back.open(&secret("correct horsf")).err();
            assert_eq!(refused, Some(KeyFault::WrongPassphrase));
        }
    }

    #[test]
    fn a_changed_file_opens_nothing() {
        let good = key();
        let open = |key: &SealedKey| key.open(&secret("correct horse")).err().unwrap();
        let other = SealedKey { id: "somebody".into(), ..good.clone() };
        assert_eq!(open(&other), KeyFault::WrongPassphrase);
        let public = SealedKey { public: "00".repeat(32), ..good.clone() };
        assert_eq!(open(&public), KeyFault::WrongPassphrase);
        let dear = Cost { memory_kib: u32::MAX, passes: 1 };
        assert_eq!(open(&SealedKey { cost: dear, ..good.clone() }), KeyFault::Unreadable);
        for broken in ["", "zz", "00"] {
            let nonce = SealedKey { nonce: broken.into(), ..good.clone() };
            assert_eq!(open(&nonce), KeyFault::Unreadable);
        }
        assert_eq!(SealedKey::generate("a", &secret("short")).err(), Some(KeyFault::Short));
    }

    #[test]
    fn statements_that_differ_have_different_bytes() {
        let all = [
            statement("thaw", "writes", 1),
            statement("thaw", "writes", 2),
            statement("thawwrites", "", 1),
            statement("", "thawwrites", 1),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b));
        }
    }
}
