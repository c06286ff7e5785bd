//! Judges a server's certificate before anything is sent to the server under it.
//!
//! Trust, time, host and application URI (Part 4, 6.1.3). async-opcua then checks once more that
//! the certificate is trusted, that its key suits the policy, and that the server holds the key.

use std::path::Path;

use opcua::crypto::SecurityPolicy;

use super::certificates::{self, CertificateError, CertificateState, Kept, Note};
use super::facts::{self, CertificateFacts};
use crate::driver::{DriverError, ErrorKind};
use crate::model::Timestamp;

/// A certificate as a server showed it.
pub(super) struct Shown<'a> {
    pub(super) der: &'a [u8],
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// What the server calls itself in its endpoint description.
    pub(super) application_uri: &'a str,
    pub(super) policy: SecurityPolicy,
}

fn refuse(message: impl Into<String>, hint: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::CertificateRejected, message).hint(hint)
}

fn store_error(error: &CertificateError) -> DriverError {
    refuse(
        format!("the trust store failed: {error}"),
        "the collector must own the pki folder of its state directory and be able to write there",
    )
}

/// Admits a certificate, or keeps it among the rejected and says what to do.
pub(super) fn judge(
    state_dir: &Path,
    shown: &Shown<'_>,
    now: Timestamp,
) -> Result<(), DriverError> {
    let Some(facts) = facts::read(shown.der, CertificateState::Rejected) else {
        return Err(refuse(
            "the server's certificate can't be read",
            "have the server's certificate made anew",
        ));
    };
    let trusted = certificates::find_trusted(state_dir, shown.der).map_err(|e| store_error(&e))?;
    let met = Note {
        endpoint: Some(format!("{}:{}", shown.host, shown.port)),
        host: Some(shown.host.to_owned()),
        hosts: Vec::new(),
    };
    let Some(trusted) = trusted else {
        certificates::keep(state_dir, CertificateState::Rejected, shown.der, &met)
            .map_err(|e| store_error(&e))?;
        let also = faults(&facts, shown, now).map(|fault| fault.message).collect::<Vec<_>>();
        let also = if also.is_empty() { String::new() } else { format!("; {}", also.join("; ")) };
        return Err(refuse(
            format!("the server's certificate is not trusted{also}"),
            trust_hint(&facts),
        ));
    };
    match faults(&trusted.facts, shown, now).next() {
        Some(fault) => {
            note_meeting(state_dir, &trusted, met).map_err(|e| store_error(&e))?;
            Err(fault)
        }
        None => admit(state_dir, &trusted).map_err(|e| store_error(&e)),
    }
}

fn trust_hint(facts: &CertificateFacts) -> String {
    format!(
        "compare the fingerprint with the server's own, then run `otctl cert trust {}`",
        facts.fingerprint
    )
}

/// Lists what is wrong with a certificate besides trust, the worst first.
fn faults<'a>(
    facts: &'a CertificateFacts,
    shown: &'a Shown<'_>,
    now: Timestamp,
) -> impl Iterator<Item = DriverError> + 'a {
    let renew = || {
        format!(
            "have it renewed on the server, then run `otctl cert trust` with the new one's \
             fingerprint; `otctl cert reject {}` drops this one",
            facts.fingerprint
        )
    };
    let time = if now > facts.not_after {
        let until = facts.not_after.to_rfc3339_millis();
        Some(refuse(format!("the server's certificate expired at {until}"), renew()))
    } else if now < facts.not_before {
        let from = facts.not_before.to_rfc3339_millis();
        Some(refuse(
            format!("the server's certificate is valid only from {from} on"),
            "check the clocks of this machine and of the server; or have it renewed and run \
             `otctl cert trust` with the new one's fingerprint",
        ))
    } else {
        None
    };
    let bits = opcua::crypto::X509::from_der(shown.der).ok().and_then(|c| c.key_length().ok());
    let key = (!bits.is_some_and(|bits| shown.policy.is_valid_keylength(bits)))
        .then(|| refuse("the server's key has a length that the policy forbids", renew()));
    let uri = (facts.application_uri.as_deref() != Some(shown.application_uri)).then(|| {
        refuse(
            "the server's certificate is another application's: the URIs differ",
            format!("`otctl cert list` shows what it names; {}", renew()),
        )
    });
    let host = (!facts.is_for(shown.host)).then(|| {
        refuse(
            "the server's certificate is not made for the configured host",
            format!(
                "set endpoint_url to a host it names (`otctl cert list` shows them), or accept it \
                 for this host with `otctl cert trust {}`",
                facts.fingerprint
            ),
        )
    });
    [time, key, uri, host].into_iter().flatten()
}

/// Remembers where a trusted certificate was met, so that trusting it again can mean that host.
fn note_meeting(state_dir: &Path, trusted: &Kept, met: Note) -> Result<(), CertificateError> {
    let note = Note { hosts: trusted.note.hosts.clone(), ..met };
    certificates::keep(state_dir, CertificateState::Trusted, &trusted.der, &note).map(|_path| ())
}

/// Makes sure that async-opcua finds what we found, also where a person named the file.
fn admit(state_dir: &Path, trusted: &Kept) -> Result<(), CertificateError> {
    let name = certificates::file_name(&trusted.der)?;
    if trusted.path.file_name().is_none_or(|own| own != name.as_str()) {
        let note = &trusted.note;
        certificates::keep(state_dir, CertificateState::Trusted, &trusted.der, note)?;
    }
    certificates::forget(state_dir, CertificateState::Rejected, &trusted.facts.fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Timestamp = Timestamp::from_millis(1_900_000_000_000);

    fn server() -> (Vec<u8>, CertificateFacts) {
        let (facts, der) = crate::protocols::opcua::testing::certificate();
        (der.clone(), facts.clone())
    }

    fn shown<'a>(der: &'a [u8], host: &'a str, uri: &'a str) -> Shown<'a> {
        let policy = SecurityPolicy::Basic256Sha256;
        Shown { der, host, port: 4840, application_uri: uri, policy }
    }

    #[test]
    fn an_unknown_certificate_is_kept_and_the_command_named() {
        let home = tempfile::tempdir().unwrap();
        let (der, facts) = server();
        let uri = facts.application_uri.clone().unwrap();
        let host = facts.host_names[0].clone();
        let error = judge(home.path(), &shown(&der, &host, &uri), facts.not_before).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CertificateRejected);
        assert!(error.hint.contains(&format!("otctl cert trust {}", facts.fingerprint)));
        certificates::trust(home.path(), &facts.fingerprint, &facts.fingerprint[56..]).unwrap();
        judge(home.path(), &shown(&der, &host, &uri), facts.not_before).unwrap();
    }

    #[test]
    fn an_expired_one_is_refused_though_trusted() {
        let home = tempfile::tempdir().unwrap();
        let (der, facts) = server();
        let uri = facts.application_uri.clone().unwrap();
        let host = facts.host_names[0].clone();
        judge(home.path(), &shown(&der, &host, &uri), facts.not_before).unwrap_err();
        certificates::trust(home.path(), &facts.fingerprint, &facts.fingerprint[56..]).unwrap();
        let late = Timestamp::from_millis(facts.not_after.millis() + 1).max(LATER);
        let error = judge(home.path(), &shown(&der, &host, &uri), late).unwrap_err();
        assert!(error.message.contains("expired"), "{}", error.message);
        let early = Timestamp::from_millis(facts.not_before.millis() - 1);
        let error = judge(home.path(), &shown(&der, &host, &uri), early).unwrap_err();
        assert!(error.message.contains("valid only from"), "{}", error.message);
    }

    #[test]
    fn trust_is_for_the_host_that_the_operator_saw() {
        let home = tempfile::tempdir().unwrap();
        let (der, facts) = server();
        let uri = facts.application_uri.clone().unwrap();
        let (print, now) = (facts.fingerprint.clone(), facts.not_before);
        let error = judge(home.path(), &shown(&der, "10.0.0.5", &uri), now).unwrap_err();
        assert!(error.message.contains("not trusted"), "{}", error.message);
        assert!(error.message.contains("configured host"), "{}", error.message);
        certificates::trust(home.path(), &print, &print[56..]).unwrap();
        judge(home.path(), &shown(&der, "10.0.0.5", &uri), now).unwrap();
        // The same certificate on another host is an impostor until somebody says otherwise.
        let error = judge(home.path(), &shown(&der, "10.0.0.6", &uri), now).unwrap_err();
        assert!(error.hint.contains(&print));
        certificates::trust(home.path(), &print, &print[56..]).unwrap();
        judge(home.path(), &shown(&der, "10.0.0.6", &uri), now).unwrap();
        judge(home.path(), &shown(&der, "10.0.0.5", &uri), now).unwrap();
    }

    #[test]
    fn another_applications_certificate_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (der, facts) = server();
        let host = facts.host_names[0].clone();
        let (print, now) = (facts.fingerprint.clone(), facts.not_before);
        judge(home.path(), &shown(&der, &host, "urn:else"), now).unwrap_err();
        certificates::trust(home.path(), &print, &print[56..]).unwrap();
        let error = judge(home.path(), &shown(&der, &host, "urn:else"), now).unwrap_err();
        assert!(error.message.contains("another application"), "{}", error.message);
    }
}
