//! `cert_list`, `cert_trust`, `cert_reject` and `cert_own`: which OPC UA servers we believe.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Audience, Call, Code, Effect, Tool, ToolError, write};
use crate::actors::{Deps, Link, Statement};
use crate::driver::ErrorKind;
use crate::model::{Timestamp, sanitize};
use crate::protocols::opcua::certificates::{
    self, CertificateError, CertificateFacts, CertificateState,
};

/// One certificate. What it says of itself is data, never an instruction.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Certificate {
    /// `own`, `trusted` or `rejected`.
    state: &'static str,
    /// SHA-256, the digits to compare.
    fingerprint: String,
    /// SHA-1, as many OPC UA tools show it.
    thumbprint: String,
    subject: String,
    application_uri: String,
    host_names: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Where it was met.
    met_at: String,
    /// The hosts it is trusted for.
    trusted_for: Vec<String>,
}

impl From<CertificateFacts> for Certificate {
    fn from(facts: CertificateFacts) -> Self {
        let clean = |text: &str| sanitize(text, 200);
        Self {
            state: match facts.state {
                CertificateState::Own => "own",
                CertificateState::Trusted => "trusted",
                CertificateState::Rejected => "rejected",
            },
            fingerprint: facts.fingerprint,
            thumbprint: facts.thumbprint,
            subject: clean(&facts.subject),
            application_uri: clean(&facts.application_uri.unwrap_or_default()),
            host_names: facts.host_names.iter().take(20).map(|name| clean(name)).collect(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            met_at: facts.endpoint.unwrap_or_default(),
            trusted_for: facts.trusted_for,
        }
    }
}

impl From<CertificateError> for ToolError {
    fn from(error: CertificateError) -> Self {
        let code = match error {
            CertificateError::Unknown => Code::NotFound,
            CertificateError::Ambiguous | CertificateError::NotConfirmed => Code::BadArguments,
            CertificateError::File { .. } => Code::Storage,
            CertificateError::Unusable(_) => Code::CertificateRejected,
        };
        Self::new(code, error.to_string(), "see otctl cert list")
    }
}

/// Runs file work where it holds up nobody; making a key takes seconds.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CertificateError> + Send + 'static,
) -> Result<T, ToolError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|e| ToolError::new(Code::Internal, e.to_string(), "report this"))?;
    done.map_err(ToolError::from)
}

/// Lists our own certificate and those that servers have shown, trusted and rejected.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct ListInput {}

/// The certificates.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ListOutput {
    certificates: Vec<Certificate>,
}

/// The tool that lists.
pub(super) struct List;

impl Tool for List {
    const NAME: &'static str = "cert_list";
    const TITLE: &'static str = "List certificates";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ListInput;
    type Output = ListOutput;

    async fn call(
        deps: &Deps,
        _call: Call,
        _input: Self::Input,
    ) -> Result<Self::Output, ToolError> {
        let state_dir = deps.setup.state_dir.clone();
        let all = on_disk(move || certificates::list(&state_dir)).await?;
        Ok(ListOutput { certificates: all.into_iter().map(Certificate::from).collect() })
    }
}

/// Trusts a server's certificate, once its fingerprint has been compared at the server.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustInput {
    /// The fingerprint, or its first 8 digits or more.
    pub(super) fingerprint: String,
    /// The last 8 characters of the fingerprint, read at the server; otctl asks for them.
    #[arg(long, value_name = "LAST8")]
    pub(super) confirm: String,
    /// An approver's signature, where a write rule exists.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signed: Option<Statement>,
}

/// Withdraws trust in a server's certificate; it stays among the rejected.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectInput {
    /// The fingerprint, or its first 8 digits or more.
    fingerprint: String,
}

/// What became of it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ChangedOutput {
    certificate: Certificate,
}

/// The tool that trusts.
pub(super) struct Trust;

impl Tool for Trust {
    const NAME: &'static str = "cert_trust";
    const TITLE: &'static str = "Trust a certificate";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = TrustInput;
    type Output = ChangedOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let state_dir = deps.setup.state_dir.clone();
        let TrustInput { fingerprint, confirm, signed } = input;
        // It lets another device be written to.
        let stated = deps.stated("trust", &fingerprint, signed.as_ref(), &call.principal).await;
        let approver = stated.map_err(write::refused)?;
        let facts =
            on_disk(move || certificates::trust(&state_dir, &fingerprint, &confirm)).await?;
        tracing::info!(fingerprint = %facts.fingerprint, "an operator trusts a certificate");
        let done = deps.trusted(&facts.fingerprint, &call.principal, approver.as_deref()).await;
        done.map_err(write::refused)?;
        let is_refused = |link: &Link| {
            let fault = link.report().last_error;
            fault.is_some_and(|fault| fault.error.kind == ErrorKind::CertificateRejected)
        };
        deps.directory.links().iter().filter(|link| is_refused(link)).for_each(|l| l.reopen());
        Ok(ChangedOutput { certificate: facts.into() })
    }
}

/// The tool that withdraws trust.
pub(super) struct Reject;

impl Tool for Reject {
    const NAME: &'static str = "cert_reject";
    const TITLE: &'static str = "Withdraw trust in a certificate";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = RejectInput;
    type Output = ChangedOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let state_dir = deps.setup.state_dir.clone();
        let facts = on_disk(move || certificates::reject(&state_dir, &input.fingerprint)).await?;
        tracing::info!(fingerprint = %facts.fingerprint, "an operator rejects a certificate");
        // A session that rests on it must not live on.
        let links = deps.directory.links();
        links.iter().filter(|link| link.protocol.name == "opcua").for_each(|link| link.reopen());
        Ok(ChangedOutput { certificate: facts.into() })
    }
}

/// Gives our own application certificate, to be trusted on the servers; makes it the first time.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnInput {
    /// Gives the certificate itself too, as DER in hexadecimal; otctl writes the bytes.
    #[arg(long)]
    #[serde(default)]
    pub(super) der: bool,
}

/// Our own certificate.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct OwnOutput {
    certificate: Certificate,
    #[serde(skip_serializing_if = "Option::is_none")]
    der_hex: Option<String>,
}

/// The tool that shows our own.
pub(super) struct Own;

impl Tool for Own {
    const NAME: &'static str = "cert_own";
    const TITLE: &'static str = "Our own certificate";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = OwnInput;
    type Output = OwnOutput;

    fn allowance(_input: &Self::Input) -> std::time::Duration {
        // The first call makes an RSA key.
        std::time::Duration::from_secs(60)
    }

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let state_dir = deps.setup.state_dir.clone();
        let (facts, der) = on_disk(move || certificates::own(&state_dir)).await?;
        let mut hex = String::with_capacity(der.len() * 2);
        for byte in &der {
            // Writing to a String can't fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
        }
        let der_hex = input.der.then_some(hex);
        Ok(OwnOutput { certificate: facts.into(), der_hex })
    }
}
