//! The form of the secret store: each secret sealed alone, all of them sealed together.
//!
//! Names stand in the clear, so that an endpoint without a secret needs no master password. The
//! seal over all of it makes a name that was taken out or put in as wrong as a changed secret.

use std::collections::BTreeMap;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::rand_core::RngCore;
use chacha20poly1305::aead::{Aead, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::SecretError;
use crate::model::{Secret, hex, unhex};

/// What the file says of itself.
const FORMAT: &str = "ot-aiops secrets";
/// The only version so far.
const VERSION: u32 = 1;
/// 64 MiB and 3 passes: half a second on a plant PC, and a guess costs an attacker the same.
pub(super) const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3 };
/// A file that asks for more than this would take the machine's memory before it is refused.
const COST_MAX: Cost = Cost { memory_kib: 1024 * 1024, passes: 16 };
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;

/// What deriving the key costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
}

/// Bytes under the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parcel {
    nonce: String,
    sealed: String,
}

/// The file, as its text has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    format: String,
    version: u32,
    argon2id: Cost,
    salt: String,
    secrets: BTreeMap<String, Parcel>,
    all: Parcel,
    /// SHA-256 of the rest: damage shows before any password is asked for.
    check: String,
}

/// The key of a store, with what it was derived by.
pub(super) struct Key {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    /// Derives a key for a new store.
    pub(super) fn new(cost: Cost, master: &Secret) -> Result<Self, SecretError> {
        let mut salt = [0; SALT_BYTES];
        OsRng.fill_bytes(&mut salt);
        Self::derive(cost, salt, master)
    }

    fn derive(cost: Cost, salt: [u8; SALT_BYTES], master: &Secret) -> Result<Self, SecretError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32));
        let params = params.map_err(|_| SecretError::Damaged)?;
        let mut bytes = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(master.reveal().as_bytes(), &salt, bytes.as_mut())
            .map_err(|_| SecretError::Damaged)?;
        Ok(Self { cost, salt, bytes })
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    fn header(&self) -> Vec<u8> {
        let Cost { memory_kib, passes } = self.cost;
        format!("{FORMAT}\n{VERSION}\n{memory_kib}\n{passes}\n{}\n", hex(&self.salt)).into_bytes()
    }

    fn seal(&self, text: &[u8], bound: &[u8]) -> Result<Parcel, SecretError> {
        let mut nonce = [0; NONCE_BYTES];
        OsRng.fill_bytes(&mut nonce);
        let cipher = XChaCha20Poly1305::new(self.bytes.as_ref().into());
        let sealed = cipher.encrypt(XNonce::from_slice(&nonce), Payload { msg: text, aad: bound });
        let sealed = sealed.map_err(|_| SecretError::Damaged)?;
        Ok(Parcel { nonce: hex(&nonce), sealed: hex(&sealed) })
    }

    fn open(&self, sealed: &Parcel, bound: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = unhex(&sealed.nonce).filter(|nonce| nonce.len() == NONCE_BYTES)?;
        let bytes = unhex(&sealed.sealed)?;
        let cipher = XChaCha20Poly1305::new(self.bytes.as_ref().into());
        let payload = Payload { msg: &bytes, aad: bound };
        cipher.decrypt(XNonce::from_slice(&nonce), payload).ok().map(Zeroizing::new)
    }

    /// Binds a secret to its name: sealed under one, it opens under no other.
    fn bound_to(&self, name: &str) -> Vec<u8> {
        let mut out = self.header();
        out.extend(b"secret\n");
        out.extend(name.as_bytes());
        out
    }

    fn bound_to_all(&self, secrets: &BTreeMap<String, Parcel>) -> Vec<u8> {
        let mut out = self.header();
        out.extend(b"all\n");
        for (name, sealed) in secrets {
            for part in [name, &sealed.nonce, &sealed.sealed] {
                out.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                out.extend(part.as_bytes());
            }
        }
        out
    }
}

impl Sealed {
    /// Seals secrets under a key.
    pub(super) fn make(key: &Key, secrets: &BTreeMap<String, Secret>) -> Result<Self, SecretError> {
        let seal = |(name, secret): (&String, &Secret)| {
            let sealed = key.seal(secret.reveal().as_bytes(), &key.bound_to(name))?;
            Ok((name.clone(), sealed))
        };
        let secrets: BTreeMap<_, _> =
            secrets.iter().map(seal).collect::<Result<_, SecretError>>()?;
        let all = key.seal(b"", &key.bound_to_all(&secrets))?;
        let mut out = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            argon2id: key.cost,
            salt: hex(&key.salt),
            secrets,
            all,
            check: String::new(),
        };
        out.check = out.sum();
        Ok(out)
    }

    /// Reads the text of a file: exactly as it was written, or it is damaged.
    pub(super) fn parse(text: &str) -> Result<Self, SecretError> {
        let out: Self = serde_json::from_str(text).map_err(|_| SecretError::Damaged)?;
        if out.format == FORMAT && out.version != VERSION {
            return Err(SecretError::Version(out.version));
        }
        if out.format != FORMAT || out.sum() != out.check || out.text() != text {
            return Err(SecretError::Damaged);
        }
        Ok(out)
    }

    /// Gives the text of the file.
    pub(super) fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        text + "\n"
    }

    fn sum(&self) -> String {
        let blank = Self { check: String::new(), ..self.clone() };
        hex(&Sha256::digest(blank.text().as_bytes()))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.secrets.contains_key(name)
    }

    /// Opens all of it, or nothing.
    pub(super) fn open(
        &self,
        master: &Secret,
    ) -> Result<(Key, BTreeMap<String, Secret>), SecretError> {
        let Cost { memory_kib, passes } = self.argon2id;
        if memory_kib > COST_MAX.memory_kib || passes > COST_MAX.passes {
            return Err(SecretError::Damaged);
        }
        let salt = unhex(&self.salt).and_then(|salt| salt.try_into().ok());
        let key = Key::derive(self.argon2id, salt.ok_or(SecretError::Damaged)?, master)?;
        key.open(&self.all, &key.bound_to_all(&self.secrets)).ok_or(SecretError::WrongPassword)?;
        let mut out = BTreeMap::new();
        for (name, sealed) in &self.secrets {
            let bytes = key.open(sealed, &key.bound_to(name)).ok_or(SecretError::Damaged)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::Damaged)?;
            out.insert(name.clone(), Secret::new(text.to_owned()));
        }
        Ok((key, out))
    }
}

/// Writes a changed file with its sum made right again, as a forger would.
#[cfg(test)]
pub(super) fn forged(file: &serde_json::Value) -> String {
    let mut file: Sealed = serde_json::from_value(file.clone()).expect("a sealed file");
    file.check = file.sum();
    file.text()
}
