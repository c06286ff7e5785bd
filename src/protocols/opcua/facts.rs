//! What a certificate says of itself (RFC 5280; OPC UA Part 6, 6.2.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use crate::model::Timestamp;

/// A name in a certificate is cut at this many characters.
const NAME_MAX: usize = 200;
/// Names of hosts shown of one certificate.
const HOSTS_MAX: usize = 32;

/// Where a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// It is this collector's.
    Own,
    /// An operator trusts it.
    Trusted,
    /// A server showed it and nobody has trusted it.
    Rejected,
}

/// What the store knows of one certificate. Its names are untrusted text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// SHA-256 of the DER, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// SHA-1 of the DER, the thumbprint of the OPC UA tools.
    pub thumbprint: String,
    /// The distinguished name.
    pub subject: String,
    /// The application's URI, where it has one.
    pub application_uri: Option<String>,
    /// The host names and addresses it is made for.
    pub host_names: Vec<String>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// Where it stands.
    pub state: CertificateState,
    /// The `host:port` it was met at last.
    pub endpoint: Option<String>,
    /// The hosts an operator trusts it for.
    pub trusted_for: Vec<String>,
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a String can't fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
        hex
    })
}

/// Gives the fingerprint of a certificate.
pub(super) fn fingerprint(der: &[u8]) -> String {
    hex(&Sha256::digest(der))
}

fn instant(time: Time) -> Timestamp {
    let since = time.to_unix_duration();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn cut(text: &str) -> String {
    text.chars().take(NAME_MAX).collect()
}

/// Reads a certificate; `None` where the octets are none.
pub(super) fn read(der: &[u8], state: CertificateState) -> Option<CertificateFacts> {
    let certificate = Certificate::from_der(der).ok()?;
    let thumbprint = opcua::crypto::X509::from_der(der).ok()?.thumbprint().as_hex_string();
    let inner = &certificate.tbs_certificate;
    let names = inner.get::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0);
    let (mut application_uri, mut host_names) = (None, Vec::new());
    for name in names.unwrap_or_default() {
        match name {
            GeneralName::UniformResourceIdentifier(uri) if application_uri.is_none() => {
                application_uri = Some(cut(uri.as_str()));
            }
            GeneralName::DnsName(host) => host_names.push(cut(host.as_str())),
            GeneralName::IpAddress(octets) => host_names.extend(address(octets.as_bytes())),
            _ => {}
        }
    }
    host_names.truncate(HOSTS_MAX);
    Some(CertificateFacts {
        fingerprint: fingerprint(der),
        thumbprint,
        subject: cut(&inner.subject.to_string()),
        application_uri,
        host_names,
        not_before: instant(inner.validity.not_before),
        not_after: instant(inner.validity.not_after),
        state,
        endpoint: None,
        trusted_for: Vec::new(),
    })
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|o| Ipv6Addr::from(o).to_string())).ok()
}

impl CertificateFacts {
    /// Tells whether it is made for a host, or an operator trusts it for that one.
    pub(super) fn is_for(&self, host: &str) -> bool {
        let mut hosts = self.host_names.iter().chain(&self.trusted_for);
        hosts.any(|known| known.eq_ignore_ascii_case(host))
    }
}
