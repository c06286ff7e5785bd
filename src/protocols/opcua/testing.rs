//! What the tests of this room share.

use std::sync::OnceLock;

use super::certificates::{self, CertificateFacts};

/// Gives a certificate, made once per test binary: RSA keys take seconds.
pub(super) fn certificate() -> &'static (CertificateFacts, Vec<u8>) {
    static MADE: OnceLock<(CertificateFacts, Vec<u8>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let home = tempfile::tempdir().expect("a temporary directory");
        certificates::own(home.path()).expect("a certificate")
    })
}
