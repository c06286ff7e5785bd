//! What widens authority: thawing, enrolling, a new policy. An approver signs it wherever a write
//! rule exists; what narrows it takes effect at once.

use std::sync::atomic::Ordering::SeqCst;

use serde::{Deserialize, Serialize};

use super::budgets::GRANTED;
use super::desk::{Desk, DeskError, TICKET};
use super::freeze::Cause;
use super::rulebook::{Turn, place, turn};
use crate::actors::deps::Deps;
use crate::gate::{Refusal, Rule, key_of, verify};
use crate::govern::Policy;
use crate::govern::keys::{enrolment, statement};
use crate::ledger::{Document, Event, Ledger, LedgerError, Outcome, What};
use crate::model::{Approver, Dossier, Principal, Separation, Tier};

/// The kinds of the other documents.
const APPROVER: &str = "approver";
const POLICY: &str = "policy";
const FREEZE: &str = "freeze";
const STATED: &str = "stated";
/// The only document of its kind.
pub(super) const ONE: &str = "one";

/// An approver's signature over what widens authority; otctl makes it with --approver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The approver's public key, in hexadecimal.
    pub key: String,
    /// The signature, in hexadecimal.
    pub signature: String,
    /// The number of the newest audit record when it was signed, from approver_list.
    pub after: u64,
}

#[derive(Serialize, Deserialize)]
struct Enrolled {
    approver: Approver,
    revoked: bool,
}

/// Makes a document.
pub(super) fn put(kind: &str, id: &str, what: &impl Serialize) -> Document {
    let bytes = serde_json::to_vec(what).unwrap_or_default();
    Document { kind: kind.to_owned(), id: id.to_owned(), bytes: Some(bytes) }
}

impl Desk {
    /// Takes in what the ledger keeps.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn restore(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        if let Ok(mut book) = self.book.try_lock() {
            for (id, bytes) in ledger.documents(TICKET)? {
                match serde_json::from_slice::<Dossier>(&bytes) {
                    Ok(dossier) => book.restore(dossier),
                    Err(error) => tracing::error!(id, "a ticket can't be read: {error}"),
                }
            }
        }
        let read = |bytes: &[u8]| serde_json::from_slice::<Enrolled>(bytes).ok();
        let people = ledger.documents(APPROVER)?;
        *self.people.lock() = people
            .iter()
            .filter_map(|(_, bytes)| read(bytes).map(|e| (e.approver, e.revoked)))
            .collect();
        for (_, bytes) in ledger.documents(FREEZE)? {
            self.freeze.set(
                Cause::Hand,
                serde_json::from_slice::<Option<String>>(&bytes)
                    .unwrap_or_else(|_| Some("it can't be read who froze them".into())),
            );
        }
        for (_, bytes) in ledger.documents(STATED)? {
            self.stated.store(serde_json::from_slice(&bytes).unwrap_or(u64::MAX), SeqCst);
        }
        for (_, bytes) in ledger.documents(GRANTED)? {
            *self.granted.lock() = serde_json::from_slice(&bytes).unwrap_or_default();
        }
        for (_, bytes) in ledger.documents(POLICY)? {
            *self.accepted.lock() = serde_json::from_slice(&bytes).ok();
        }
        Ok(())
    }
}

impl Deps {
    /// Tells whether what widens authority needs an approver's signature.
    #[must_use]
    pub fn needs_statement(&self) -> bool {
        // The demo's first approver has nobody to sign for them, and its plant is none.
        if self.separation() == Separation::Relaxed && self.approvers().is_empty() {
            return false;
        }
        self.desk.rulebook.policy().opens_anything()
            || self.desk.accepted.lock().as_ref().is_some_and(|accepted| accepted.opens)
    }

    /// Gives the number that the next statement follows.
    #[must_use]
    pub fn statement_after(&self) -> u64 {
        self.ledger.report().newest
    }

    /// Holds a statement against those who may make it, and gives who made it; nobody where none
    /// is needed.
    ///
    /// # Errors
    /// One is needed and this is none.
    pub async fn stated(
        &self,
        action: &str,
        subject: &str,
        given: Option<&Statement>,
        by: &Principal,
    ) -> Result<Option<String>, DeskError> {
        if !self.needs_statement() {
            return Ok(None);
        }
        match self.hold_statement(action, subject, given, by) {
            Ok(name) => Ok(Some(name)),
            Err(refusal) => {
                self.denied(by, None, &refusal).await;
                let approvers = self.approvers().into_iter().map(|a| a.id).collect();
                Err(DeskError::Unsigned { refusal, approvers })
            }
        }
    }

    fn hold_statement(
        &self,
        action: &str,
        subject: &str,
        given: Option<&Statement>,
        by: &Principal,
    ) -> Result<String, Refusal> {
        let given = given.ok_or_else(|| {
            let what = format!(
                "{action} widens what can be written, so it needs an approver's signature: \
                 add --approver KEYFILE to the otctl command"
            );
            Refusal::new(Rule::NotApproved, what)
        })?;
        let people = self.approvers();
        let known = people.iter().find(|a| a.key.eq_ignore_ascii_case(&given.key));
        let approver = known.ok_or_else(|| {
            Refusal::new(Rule::UnknownKey, "no approver is enrolled with this key")
        })?;
        let is_strict = self.separation() == Separation::Strict && !approver.offline;
        if is_strict && approver.uid.is_some_and(|uid| uid != by.uid) {
            let what = "the key belongs to another user than the one who handed it in";
            return Err(Refusal::new(Rule::UnknownKey, what));
        }
        let newest = self.statement_after();
        if given.after <= self.desk.stated.load(SeqCst) || given.after > newest {
            let what = "the statement was handed in before, or is of another time; sign it anew";
            return Err(Refusal::new(Rule::TicketUsed, what));
        }
        if !verify(&given.key, &statement(action, subject, given.after), &given.signature) {
            let what = format!("the signature is not over {action} {subject}");
            return Err(Refusal::new(Rule::BadSignature, what));
        }
        // It counts from here on, whatever becomes of what it is for.
        self.desk.stated.store(given.after, SeqCst);
        Ok(approver.id.clone())
    }

    /// Records what somebody did, with what changes by it.
    pub(crate) async fn did(
        &self,
        event: Event,
        by: &Principal,
        approver: Option<&str>,
        mut documents: Vec<Document>,
    ) -> Result<(), DeskError> {
        let event = event.by(by).ended(Outcome::Ok, "");
        let event = event.with("separation", serde_json::json!(self.separation()));
        let event = match approver {
            Some(name) => event.with("approver", name),
            None => event,
        };
        documents.push(put(STATED, ONE, &self.desk.stated.load(SeqCst)));
        self.ledger.put(event, documents).await?;
        Ok(())
    }

    /// Freezes writes by hand, before the next message to a device.
    ///
    /// # Errors
    /// It can't be recorded; writes are frozen all the same.
    pub async fn freeze_writes(&self, why: &str, by: &Principal) -> Result<(), DeskError> {
        let why = crate::model::sanitize(why, 200);
        let text = match why.as_str() {
            "" => format!("by user {}", by.uid),
            why => format!("by user {}: {why}", by.uid),
        };
        self.desk.freeze.set(Cause::Hand, Some(text.clone()));
        let document = put(FREEZE, ONE, &Some(text.clone()));
        let event = Event::new(What::WritesFrozen).with("why", text);
        self.did(event, by, None, vec![document]).await
    }

    /// Lifts the freeze by hand.
    ///
    /// # Errors
    /// An approver's signature is needed and missing, or it can't be recorded.
    pub async fn thaw_writes(
        &self,
        given: Option<&Statement>,
        by: &Principal,
    ) -> Result<(), DeskError> {
        let approver = self.stated("thaw", "writes", given, by).await?;
        let document = put(FREEZE, ONE, &None::<String>);
        let event = Event::new(What::WritesThawed);
        self.did(event, by, approver.as_deref(), vec![document]).await?;
        // Who thaws has seen what is wrong with the audit, where something is.
        let ledger = self.ledger.clone();
        let seen = tokio::task::spawn_blocking(move || ledger.acknowledge()).await;
        seen.map_err(|error| LedgerError::Io(error.to_string()))??;
        self.desk.freeze.set(Cause::Hand, None);
        Ok(())
    }

    /// Enrols an approver.
    ///
    /// # Errors
    /// The key is none, the name or key is taken, or a signature is missing.
    pub async fn enrol(
        &self,
        approver: Approver,
        given: Option<&Statement>,
        by: &Principal,
    ) -> Result<(), DeskError> {
        let mismatch = |what: &str| DeskError::Refused(Refusal::new(Rule::UnknownKey, what));
        if key_of(&approver.key).is_none() {
            return Err(mismatch("the key is no ed25519 public key in hexadecimal"));
        }
        let is_named = !approver.id.trim().is_empty() && approver.id.chars().count() <= 64;
        let others = self.approvers();
        if !is_named || others.iter().any(|a| a.id == approver.id || a.key == approver.key) {
            return Err(mismatch("each approver has a name and a key of its own, and keeps them"));
        }
        let named = self.stated("enrol", &enrolment(&approver), given, by).await?;
        let enrolled = Enrolled { approver: approver.clone(), revoked: false };
        let document = put(APPROVER, &approver.key, &enrolled);
        let event = Event::new(What::ApproverEnrolled)
            .with("id", approver.id.clone())
            .with("key", approver.key.clone())
            .with("uid", serde_json::json!(approver.uid))
            .with("offline", approver.offline);
        self.did(event, by, named.as_deref(), vec![document]).await?;
        let mut people = self.desk.people.lock();
        people.retain(|(a, _)| a.key != approver.key);
        people.push((approver, false));
        Ok(())
    }

    /// Revokes an approver: it narrows, so nobody has to sign.
    ///
    /// # Errors
    /// There is none of that name, or it can't be recorded.
    pub async fn revoke(&self, id: &str, by: &Principal) -> Result<Approver, DeskError> {
        let found = self.approvers().into_iter().find(|approver| approver.id == id);
        let gone =
            || DeskError::Unknown("no approver has that name; see otctl approver list".into());
        let approver = found.ok_or_else(gone)?;
        {
            let mut people = self.desk.people.lock();
            people.retain(|(a, _)| a.key != approver.key);
            people.push((approver.clone(), true));
        }
        let enrolled = Enrolled { approver: approver.clone(), revoked: true };
        let document = put(APPROVER, &approver.key, &enrolled);
        let event = Event::new(What::ApproverRevoked).with("id", approver.id.clone());
        self.did(event, by, None, vec![document]).await?;
        Ok(approver)
    }

    /// Records that a certificate was trusted.
    ///
    /// # Errors
    /// It can't be recorded.
    pub async fn trusted(
        &self,
        fingerprint: &str,
        by: &Principal,
        approver: Option<&str>,
    ) -> Result<(), DeskError> {
        let event = Event::new(What::CertificateChanged).with("trusted", fingerprint);
        self.did(event, by, approver, Vec::new()).await
    }

    /// Records that an approver let budgets be raised.
    ///
    /// # Errors
    /// It can't be recorded.
    pub async fn budgets_opened(
        &self,
        by: &Principal,
        approver: Option<&str>,
    ) -> Result<(), DeskError> {
        let event = Event::new(What::ConfigurationChanged).with("budgets", "may be raised");
        self.did(event, by, approver, Vec::new()).await
    }

    /// Reads the policy again. Where it can't be used, reads go on and writes freeze.
    pub(crate) async fn load_policy(&self) {
        let path = place(self.setup.config.as_deref());
        let before = self.desk.accepted.lock().clone();
        let enrolled: Vec<Approver> =
            self.approvers().into_iter().filter(|a| self.is_enrolled(a)).collect();
        let turned = turn(path.as_deref(), self.collector_uid(), before.as_ref(), &enrolled);
        let fault = match turned {
            Ok(Turn::Unchanged(policy)) => {
                self.desk.rulebook.put(policy);
                return self.desk.freeze.set(Cause::Policy, None);
            }
            Ok(Turn::None) => {
                self.desk.rulebook.put(Policy::default());
                return self.desk.freeze.set(Cause::Policy, None);
            }
            Ok(Turn::New(policy, accepted)) => {
                let event = Event::new(What::PolicyChanged)
                    .ended(Outcome::Ok, "")
                    .with("epoch", policy.epoch)
                    .with("sha256", policy.sha256.clone());
                let document = put(POLICY, ONE, &accepted);
                if let Err(error) = self.ledger.put(event, vec![document]).await {
                    let why = format!("the policy can't be recorded: {error}");
                    return self.desk.freeze.set(Cause::Policy, Some(why));
                }
                *self.desk.accepted.lock() = Some(accepted);
                self.desk.rulebook.put(*policy);
                return self.desk.freeze.set(Cause::Policy, None);
            }
            Err(fault) => fault,
        };
        tracing::error!("the policy can't be used, so writes are frozen: {fault}");
        self.desk.freeze.set(Cause::Policy, Some(format!("the policy: {fault}")));
        let event = Event::new(What::PolicyChanged).ended(Outcome::Refused, "policy");
        if let Err(error) = self.ledger.append_durable(event.with("why", fault.0)).await {
            tracing::error!("a refused policy could not be recorded: {error}");
        }
    }

    fn is_enrolled(&self, approver: &Approver) -> bool {
        self.desk.people.lock().iter().any(|(a, revoked)| !revoked && a.key == approver.key)
    }

    /// Gives the policy in force.
    #[must_use]
    pub fn policy(&self) -> std::sync::Arc<Policy> {
        self.desk.rulebook.policy()
    }

    /// Tells how many have to approve a tag's writes; `None` where nobody can.
    #[must_use]
    pub fn approvals_needed(&self, tag: &str) -> Option<usize> {
        self.policy().rule(tag).map_or(Tier::Never, |rule| rule.tier).approvals()
    }
}
