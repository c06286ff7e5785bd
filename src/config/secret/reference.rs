//! The secret store of the reference: Fernet (AES-128-CBC and HMAC-SHA-256) under scrypt. It is
//! read once, on import, and never written.

use std::collections::BTreeMap;

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::SecretError;
use crate::model::Secret;

/// The reference's cost: N = 2^15, r = 8, p = 1.
const COST: (u8, u32, u32) = (15, 8, 1);
/// The version byte of a Fernet token.
const TOKEN_VERSION: u8 = 0x80;
/// Version, time, initialisation vector.
const HEAD_BYTES: usize = 1 + 8 + IV_BYTES;
const IV_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// The reference's file.
#[derive(Deserialize)]
struct File {
    version: u32,
    salt: String,
    ciphertext: String,
}

/// Tells whether a text is the reference's store rather than one of ours.
pub(super) fn is_one(text: &str) -> bool {
    serde_json::from_str::<File>(text).is_ok()
}

/// Opens it: every secret by the name of its endpoint.
pub(super) fn open(text: &str, master: &Secret) -> Result<BTreeMap<String, Secret>, SecretError> {
    let file: File = serde_json::from_str(text).map_err(|_| SecretError::Damaged)?;
    if file.version != 1 {
        return Err(SecretError::Version(file.version));
    }
    let salt = STANDARD.decode(&file.salt).map_err(|_| SecretError::Damaged)?;
    let (log_n, r, p) = COST;
    let params = scrypt::Params::new(log_n, r, p, 32).map_err(|_| SecretError::Damaged)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(master.reveal().as_bytes(), &salt, &params, key.as_mut())
        .map_err(|_| SecretError::Damaged)?;
    let token = URL_SAFE.decode(&file.ciphertext).map_err(|_| SecretError::Damaged)?;
    let plain = decrypt(&key, &token)?;
    let secrets: BTreeMap<String, String> =
        serde_json::from_slice(&plain).map_err(|_| SecretError::Damaged)?;
    Ok(secrets.into_iter().map(|(name, text)| (name, Secret::new(text))).collect())
}

/// Opens a Fernet token: the first half of the key signs, the second encrypts.
fn decrypt(key: &[u8; 32], token: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (signing, encrypting) = key.split_at(16);
    let signed = token.len().checked_sub(TAG_BYTES).and_then(|at| token.split_at_checked(at));
    let (signed, tag) = signed.ok_or(SecretError::Damaged)?;
    let (head, sealed) = signed.split_at_checked(HEAD_BYTES).ok_or(SecretError::Damaged)?;
    if head.first() != Some(&TOKEN_VERSION) {
        return Err(SecretError::Damaged);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(signing).map_err(|_| SecretError::Damaged)?;
    mac.update(signed);
    // A wrong password gives a wrong key, and that a wrong tag.
    mac.verify_slice(tag).map_err(|_| SecretError::WrongPassword)?;
    let iv = head.get(head.len() - IV_BYTES..).unwrap_or_default();
    let cipher = cbc::Decryptor::<Aes128>::new_from_slices(encrypting, iv);
    let cipher = cipher.map_err(|_| SecretError::Damaged)?;
    let plain = cipher.decrypt_padded_vec_mut::<Pkcs7>(sealed);
    plain.map(Zeroizing::new).map_err(|_| SecretError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../tests/golden/secrets.enc.sample");

    fn open_with(text: &str, master: &str) -> Result<BTreeMap<String, Secret>, SecretError> {
        open(text, &Secret::new(master.to_owned()))
    }

    #[test]
    fn the_references_own_store_opens_with_its_password_alone() {
        assert!(is_one(SAMPLE));
        let secrets = open_with(SAMPLE, "right").unwrap();
        let names: Vec<_> = secrets.iter().map(|(name, s)| (name.as_str(), s.reveal())).collect();
        assert_eq!(names, [("qa", "p")]);
        assert_eq!(open_with(SAMPLE, "wrong"), Err(SecretError::WrongPassword));
    }

    #[test]
    fn a_changed_token_is_an_error() {
        let file: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
        let token = URL_SAFE.decode(file["ciphertext"].as_str().unwrap()).unwrap();
        for at in 0..token.len() {
            let mut bad = token.clone();
            bad[at] ^= 1;
            assert!(decrypt(&[0; 32], &bad).is_err());
        }
        for length in 0..token.len() {
            assert!(decrypt(&[0; 32], &token[..length]).is_err());
        }
        let mut changed = file.clone();
        changed["ciphertext"] = "gAAA".into();
        assert_eq!(open_with(&changed.to_string(), "right"), Err(SecretError::Damaged));
        changed["version"] = 2.into();
        assert_eq!(open_with(&changed.to_string(), "right"), Err(SecretError::Version(2)));
    }
}
