//! The policy in force, and what it takes to replace it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::gate::verify;
use crate::govern::{Policy, PolicyFault, file};
use crate::model::Approver;

/// The policy that was accepted last, as the ledger keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Accepted {
    pub(super) epoch: u64,
    pub(super) sha256: String,
    /// Whether it lets anything be written: then its successor needs a signature.
    pub(super) opens: bool,
    /// Whom it names.
    pub(super) approvers: Vec<Approver>,
}

impl Accepted {
    fn of(policy: &Policy) -> Self {
        Self {
            epoch: policy.epoch,
            sha256: policy.sha256.clone(),
            opens: policy.opens_anything(),
            approvers: policy.approvers.clone(),
        }
    }
}

/// What reading the policy came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    /// The policy in force goes on.
    Unchanged(Policy),
    /// Another one comes into force.
    New(Box<Policy>, Accepted),
    /// There is none: nothing is written.
    None,
}

/// The policy in force.
#[derive(Debug)]
pub(crate) struct Rulebook {
    in_force: RwLock<Arc<Policy>>,
}

impl Rulebook {
    pub(super) fn new() -> Self {
        Self { in_force: RwLock::new(Arc::new(Policy::default())) }
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.in_force.read().clone()
    }

    pub(super) fn put(&self, policy: Policy) {
        *self.in_force.write() = Arc::new(policy);
    }
}

/// Gives the policy's place: beside the configuration.
pub(crate) fn place(config: Option<&Path>) -> Option<PathBuf> {
    config.map(|config| config.with_file_name("policy.toml"))
}

/// Reads the policy and holds it against the one that was accepted before.
pub(super) fn turn(
    path: Option<&Path>,
    own_uid: u32,
    before: Option<&Accepted>,
    enrolled: &[Approver],
) -> Result<Turn, PolicyFault> {
    let Some(path) = path else { return Ok(Turn::None) };
    let Some(found) = file::load(path, own_uid)? else { return Ok(Turn::None) };
    let policy = found.policy;
    let Some(before) = before else {
        let accepted = Accepted::of(&policy);
        return Ok(Turn::New(Box::new(policy), accepted));
    };
    if before.sha256 == policy.sha256 {
        return Ok(Turn::Unchanged(policy));
    }
    let fault = |what: String| PolicyFault(format!("{}: {what}", path.display()));
    if policy.epoch <= before.epoch {
        return Err(fault(format!(
            "the policy has changed, and its epoch {} is not above {}; raise epoch",
            policy.epoch, before.epoch
        )));
    }
    if before.opens {
        let signed = found.signature.as_ref().is_some_and(|by| {
            let mut known = before.approvers.iter().chain(enrolled);
            let is_known = known.any(|a| a.key.eq_ignore_ascii_case(&by.key));
            is_known && verify(&by.key, &found.signed, &by.signature)
        });
        if !signed {
            return Err(fault(format!(
                "a new policy needs the signature of an approver of the one in force: \
                 otctl policy sign {}, then otctl collector reload",
                path.display()
            )));
        }
    }
    let accepted = Accepted::of(&policy);
    Ok(Turn::New(Box::new(policy), accepted))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;
    use crate::model::hex;

    struct Place(tempfile::TempDir);

    impl Place {
        fn put(&self, text: &str, by: Option<u8>) -> PathBuf {
            let path = self.0.path().join("policy.toml");
            std::fs::write(&path, text).unwrap();
            let beside = self.0.path().join("policy.toml.sig");
            match by {
                None => drop(std::fs::remove_file(beside)),
                Some(seed) => {
                    let key = SigningKey::from_bytes(&[seed; 32]);
                    let signature = hex(&key.sign(&file::signed_bytes(text)).to_bytes());
                    let text = serde_json::json!({ "key": public(seed), "signature": signature });
                    std::fs::write(beside, text.to_string()).unwrap();
                }
            }
            path
        }
    }

    fn public(seed: u8) -> String {
        hex(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes())
    }

    fn text(epoch: u64, max: u32) -> String {
        format!(
            "version = 1\nepoch = {epoch}\nmode = \"supervised\"\n[[approver]]\nid = \"a\"\n\
             key = \"{}\"\n[[write]]\ntag = \"t\"\ntier = \"one\"\nmin = 0\nmax = {max}\n",
            public(1)
        )
    }

    #[test]
    fn a_new_policy_needs_a_higher_epoch_and_an_approver_of_the_one_before() {
        let place = Place(tempfile::tempdir().unwrap());
        let uid = rustix::process::getuid().as_raw();
        let path = place.put(&text(1, 10), None);
        let Ok(Turn::New(_, first)) = turn(Some(&path), uid, None, &[]) else { panic!() };
        let again = turn(Some(&path), uid, Some(&first), &[]).unwrap();
        assert!(matches!(again, Turn::Unchanged(_)));
        let refused = |path: &Path| turn(Some(path), uid, Some(&first), &[]).unwrap_err().0;
        assert!(refused(&place.put(&text(1, 99), Some(1))).contains("epoch"));
        assert!(refused(&place.put(&text(2, 99), None)).contains("signature"));
        assert!(refused(&place.put(&text(2, 99), Some(2))).contains("signature"));
        let path = place.put(&text(2, 99), Some(1));
        std::fs::write(&path, text(2, 100)).unwrap();
        assert!(refused(&path).contains("signature"), "another text than was signed");
        let path = place.put(&text(2, 99), Some(1));
        assert!(matches!(turn(Some(&path), uid, Some(&first), &[]), Ok(Turn::New(..))));
        let path = place.put(&text(2, 99), Some(7));
        let enrolled = [Approver { id: "b".into(), key: public(7), uid: None, offline: true }];
        assert!(matches!(turn(Some(&path), uid, Some(&first), &enrolled), Ok(Turn::New(..))));
        std::fs::write(&path, "broken").unwrap();
        assert!(turn(Some(&path), uid, Some(&first), &[]).is_err());
    }
}
