//! Signatures, and whether they are other people's.

use ed25519_dalek::{Signature, VerifyingKey};

use super::authorize::Facts;
use super::refusal::{Refusal, Rule};
use crate::model::{Approval, Approver, Separation, Ticket, unhex};

/// Reads a public key in hexadecimal; weak ones are refused, since anybody can sign for them.
#[must_use]
pub fn key_of(text: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = unhex(text)?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak())
}

/// Tells whether a signature in hexadecimal is by this key over these bytes.
#[must_use]
pub fn verify(key: &str, message: &[u8], signature: &str) -> bool {
    let signature = unhex(signature).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    match (key_of(key), signature) {
        (Some(key), Some(bytes)) => {
            key.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok()
        }
        _ => false,
    }
}

/// Tells whether an approval is valid for a ticket, and whose it is.
pub(super) fn approver<'a>(
    ticket: &Ticket,
    approval: &Approval,
    facts: &'a Facts,
) -> Result<&'a Approver, Refusal> {
    let known = facts.approvers.iter().find(|a| a.key.eq_ignore_ascii_case(&approval.key));
    let approver = known.ok_or_else(|| {
        Refusal::new(Rule::UnknownKey, "no approver is enrolled with this key: otctl approver list")
    })?;
    if !verify(&approval.key, &ticket.canonical(), &approval.signature) {
        let what = "the signature is not over this ticket as it stands; sign it again";
        return Err(Refusal::new(Rule::BadSignature, what));
    }
    if facts.separation == Separation::Strict && !approver.offline {
        let asked = ticket.requester_uid;
        if approval.uid == asked || approver.uid == Some(asked) {
            let what = format!(
                "user {asked} asked for it and can't approve it; another user has to, or a key \
                 marked offline"
            );
            return Err(Refusal::new(Rule::SelfApproval, what));
        }
        // Who runs as the collector, or as root, could hand in anybody's approval.
        if asked == facts.collector_uid || asked == 0 {
            let what = "who asked runs as the collector's own user or as root, which owns \
                        everybody's sessions; give agents a user of their own, or approve with \
                        a key marked offline";
            return Err(Refusal::new(Rule::SelfApproval, what));
        }
        if approver.uid.is_some_and(|uid| uid != approval.uid) {
            let what = "the key belongs to another user than the one who handed the approval in";
            return Err(Refusal::new(Rule::UnknownKey, what));
        }
    }
    Ok(approver)
}

/// Tells whether so many different people approved.
pub(super) fn enough(
    ticket: &Ticket,
    approvals: &[Approval],
    facts: &Facts,
    needed: usize,
) -> Result<(), Refusal> {
    let mut people: Vec<(&Approver, u32)> = Vec::new();
    for approval in approvals {
        let one = approver(ticket, approval, facts)?;
        let is_same = |(other, uid): &(&Approver, u32)| {
            let same_user = *uid == approval.uid || (other.uid.is_some() && other.uid == one.uid);
            other.key.eq_ignore_ascii_case(&one.key)
                || other.id == one.id
                || (same_user
                    && facts.separation == Separation::Strict
                    && !(one.offline && other.offline))
        };
        if people.iter().any(is_same) {
            let what = format!("{} has approved already; the second must be another", one.id);
            return Err(Refusal::new(Rule::SamePerson, what));
        }
        people.push((one, approval.uid));
    }
    if people.len() < needed {
        let what = format!("{} of {needed} approvals are there", people.len());
        return Err(Refusal::new(Rule::NotApproved, what));
    }
    Ok(())
}
