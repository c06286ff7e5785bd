//! Certificates: ours, the trusted ones, and those that settings name; and when they expire.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{Facts, Row};
use crate::model::Timestamp;
use crate::protocols::opcua::certificates::{self, CertificateState};
use crate::tools::setup::{Check, Verdict};

/// Long enough before the end to plan an exchange.
const DAYS_MIN: i64 = 30;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// A chain of certificates; more is no certificate.
const BYTES_MAX: u64 = 256 * 1024;
/// Endings of files that hold certificates.
const ENDINGS: [&str; 4] = [".pem", ".crt", ".cer", ".der"];
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Looks at the trust store.
pub(super) fn trusted(facts: &Facts) -> Vec<Row> {
    let row = |check: Check| Row::new("certificates", check);
    let all = match certificates::list(facts.state.path()) {
        Ok(all) => all,
        Err(error) => {
            let check = Check::new("store", Verdict::Fault, error.to_string());
            return vec![row(check.fix("see otctl cert list"))];
        }
    };
    let mut out = Vec::new();
    for one in all.iter().filter(|one| one.state != CertificateState::Rejected) {
        let (name, fix) = match one.state {
            CertificateState::Own => {
                ("our own", "remove pki/own below the state directory; a new one must be trusted")
            }
            _ => ("a trusted one", "renew it at the server, then otctl cert trust"),
        };
        let short: String = one.fingerprint.chars().take(8).collect();
        let name = format!("{name} ({short})");
        out.push(row(expiry(&name, one.not_before, one.not_after, facts.now, fix)));
    }
    let waiting = all.iter().filter(|one| one.state == CertificateState::Rejected).count();
    if waiting > 0 {
        let check = Check::new("waiting", Verdict::Warning, format!("{waiting} are not trusted"));
        out.push(row(check.fix("otctl cert list, then otctl cert trust FINGERPRINT")));
    }
    out
}

fn expiry(name: &str, from: Timestamp, to: Timestamp, now: Timestamp, fix: &str) -> Check {
    let days = to.millis_since(now).div_euclid(DAY_MS);
    let early = from.millis_since(now) > 0;
    match days {
        _ if early => Check::new("expiry", Verdict::Fault, format!("{name} is not valid yet"))
            .fix("is this machine's clock right?"),
        ..0 => Check::new("expiry", Verdict::Fault, format!("{name} expired {} days ago", -days))
            .fix(fix),
        ..DAYS_MIN => {
            Check::new("expiry", Verdict::Warning, format!("{name} expires in {days} days"))
                .fix(fix)
        }
        _ => Check::new("expiry", Verdict::Ok, format!("{name} expires in {days} days")),
    }
}

/// Looks at files that endpoints name in their settings, whatever their protocol.
pub(super) fn named_by_settings(facts: &Facts) -> Vec<Row> {
    let Ok(config) = &facts.config else { return Vec::new() };
    let dir = facts.path.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    let mut out = Vec::new();
    for spec in &config.endpoints {
        for (key, value) in &spec.settings {
            let Some(path) = value.as_str().filter(|text| is_file_name(text)) else { continue };
            let check = named(key, &dir.join(path), facts.now);
            out.extend(check.map(|check| Row::new(&spec.name, check)));
        }
    }
    out
}

fn is_file_name(text: &str) -> bool {
    ENDINGS.iter().any(|ending| text.to_ascii_lowercase().ends_with(ending))
}

/// Judges one file; a key is no certificate and has no expiry.
fn named(key: &str, path: &Path, now: Timestamp) -> Option<Check> {
    let shown = path.display();
    let unusable = |what: String| {
        Some(
            Check::new(key, Verdict::Fault, format!("{shown} {what}"))
                .fix("name a certificate in PEM or DER that the collector's user may read"),
        )
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
    if let Err(error) = read {
        return unusable(format!("can't be read: {error}"));
    }
    if String::from_utf8_lossy(&bytes).contains("PRIVATE KEY") {
        return None;
    }
    let Some((from, to)) = validity(&bytes) else {
        return unusable("is no certificate".to_owned());
    };
    Some(Check { check: key.to_owned(), ..expiry(&shown.to_string(), from, to, now, "renew it") })
}

/// Reads how long the first certificate of a file is valid.
fn validity(bytes: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let text = String::from_utf8_lossy(bytes);
    let der = match text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)) {
        Some((body, _)) => {
            let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
            STANDARD.decode(body).ok()?
        }
        None => bytes.to_vec(),
    };
    let validity = Certificate::from_der(&der).ok()?.tbs_certificate.validity;
    let at = |time: x509_cert::time::Time| {
        let nanos = i64::try_from(time.to_unix_duration().as_nanos());
        Timestamp::from_nanos(nanos.unwrap_or(i64::MAX))
    };
    Some((at(validity.not_before), at(validity.not_after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_the_days_it_has_left() {
        let at = |days: i64| Timestamp::from_nanos(days * DAY_MS * 1_000_000);
        let judge = |from, to| expiry("it", at(from), at(to), at(1000), "renew").verdict;
        assert_eq!(judge(0, 2000), Verdict::Ok);
        assert_eq!(judge(0, 1010), Verdict::Warning);
        assert_eq!(judge(0, 999), Verdict::Fault);
        assert_eq!(judge(1001, 2000), Verdict::Fault);
    }

    #[test]
    fn a_file_is_a_certificate_or_a_key_or_at_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let now = Timestamp::from_nanos(0);
        assert_eq!(named("ca", &path, now).unwrap().verdict, Verdict::Fault);
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        assert_eq!(named("ca", &path, now), None);
        let (_, der) = certificates::own(dir.path()).unwrap();
        let body = STANDARD.encode(&der);
        std::fs::write(&path, format!("{BEGIN}\n{body}\n{END}\n")).unwrap();
        assert!(named("ca", &path, now).unwrap().detail.contains("not valid yet"));
        assert_eq!(validity(&der), validity(&std::fs::read(&path).unwrap()));
        std::fs::write(&path, "junk").unwrap();
        assert!(named("ca", &path, now).unwrap().detail.contains("no certificate"));
    }
}
