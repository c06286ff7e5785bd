//! TLS: whom we trust, who we are, and what was wrong.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

/// Where distributions keep the authorities that the machine trusts.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or holds nothing of the kind.
    #[error("{key}: {path} holds no {what} in PEM form, or can't be read")]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: String,
        /// What it should hold.
        what: &'static str,
    },
    /// The machine trusts nobody.
    #[error("no authority is trusted: this machine has no bundle of them")]
    NoAuthorities,
    /// Certificate and key are no pair, or not of a kind that can be used.
    #[error("cert_file and key_file are no pair that TLS can use")]
    NoPair,
}

/// The files of a connection's TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// The authorities that may have signed the server's certificate; the machine's own where
    /// none is given.
    pub ca_file: Option<String>,
    /// Our certificate with its key, where the server wants one.
    pub client: Option<(String, String)>,
}

/// Why two sides did not agree on TLS; no text of the server or its certificate stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// One side does not trust the other's certificate.
    Certificate(&'static str),
    /// What came is no TLS, or none that both speak.
    Protocol(&'static str),
}

/// Finds what TLS found wrong among the causes of a failure.
#[must_use]
pub fn fault_in(error: &(dyn Error + 'static)) -> Option<TlsFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        let found = error.downcast_ref::<rustls::Error>().map(judged);
        let found = found.or_else(|| error.downcast_ref::<io::Error>().and_then(within));
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}

/// Looks into an error that carries another, which is no cause of it; libraries wrap them twice.
fn within(error: &io::Error) -> Option<TlsFault> {
    let inner = error.get_ref()?;
    let found = inner.downcast_ref::<rustls::Error>().map(judged);
    found.or_else(|| inner.downcast_ref::<io::Error>().and_then(within))
}

fn judged(error: &rustls::Error) -> TlsFault {
    use AlertDescription as Alert;
    use TlsFault::{Certificate, Protocol};
    match error {
        rustls::Error::InvalidCertificate(why) => Certificate(match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: compare the clocks"
            }
            CertificateError::UnknownIssuer => {
                "the server's certificate is signed by none of the trusted authorities"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for another name than the one it is called by"
            }
            CertificateError::Revoked => "the server's certificate is revoked",
            _ => "the server's certificate is not valid",
        }),
        rustls::Error::NoCertificatesPresented => Certificate("the server shows no certificate"),
        rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
            | Alert::HandshakeFailure,
        ) => Certificate("the server refuses our certificate, or wants one"),
        rustls::Error::InvalidMessage(_) => Protocol("the port does not speak TLS"),
        _ => Protocol("TLS could not be agreed on"),
    }
}

/// Reads the files.
///
/// # Errors
/// Which file is at fault.
pub fn config(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let authorities = match &files.ca_file {
        Some(path) => certificates("ca_file", path)?,
        None => SYSTEM_BUNDLES
            .iter()
            .find_map(|path| certificates("ca_file", path).ok())
            .ok_or(TlsError::NoAuthorities)?,
    };
    let (taken, _) = roots.add_parsable_certificates(authorities);
    if taken == 0 {
        return Err(TlsError::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsError::NoPair)?
        .with_root_certificates(roots);
    let config = match &files.client {
        None => builder.with_no_client_auth(),
        Some((cert_file, key_file)) => {
            let chain = certificates("cert_file", cert_file)?;
            let key = PrivateKeyDer::from_pem_file(Path::new(key_file)).map_err(|_| {
                let what = "private key without a passphrase";
                TlsError::File { key: "key_file", path: key_file.clone(), what }
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|_| TlsError::NoPair)?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(key: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificate";
    let bad = || TlsError::File { key, path: path.to_owned(), what };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(Path::new(path)).map_err(|_| bad())?.collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_found_however_deep_it_is_wrapped() {
        let wrong = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let once = io::Error::new(io::ErrorKind::InvalidData, wrong);
        let twice = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, once));
        assert!(matches!(fault_in(&twice), Some(TlsFault::Certificate(_))));
        assert_eq!(fault_in(&io::Error::other("cut off")), None);
    }

    #[test]
    fn a_file_at_fault_is_named_by_its_key() {
        let files = |ca: &str, client| TlsFiles { ca_file: Some(ca.to_owned()), client };
        let error = config(&files("/no/such/ca.crt", None)).unwrap_err();
        assert!(error.to_string().starts_with("ca_file: /no/such/ca.crt"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "no certificate at all").unwrap();
        assert!(config(&files(text.to_str().unwrap(), None)).is_err());
    }
}
