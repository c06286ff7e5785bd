//! Asks an agent over HTTP: bounded answers, no redirect to another host, no proxy.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::{Instant, timeout_at};

use super::errors;
use super::multipart;
use super::settings::AgentSettings;
use super::xml::{AgentError, Fault, Walker};
use crate::driver::{DriverError, ErrorKind, Toll};
use crate::net::tls::{self, TlsFiles};

/// A document of 100 000 observations has 12 MB; four such machines on one agent are the most
/// that is taken at once, unpacked.
pub(super) const BODY_BYTES_MAX: usize = 48 << 20;
/// An agent behind a front end redirects once.
const REDIRECTS_MAX: usize = 3;
/// Long enough for a host on a slow line, within any call's deadline.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// One agent, asked over connections that are kept.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    client: Client,
    settings: AgentSettings,
}

/// An answer in full.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) url: String,
    pub(super) text: String,
}

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) url: String,
    pub(super) boundary: String,
    pub(super) response: Response,
}

/// What an agent makes of a wish for a stream.
#[derive(Debug)]
pub(super) enum Streamed {
    Stream(Stream),
    /// It answered once, and that was all.
    Once,
}

/// A request that brought no document.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The agent's own reason, where it answered with one.
    pub(super) code: Option<AgentError>,
    pub(super) error: DriverError,
}

impl From<DriverError> for Refusal {
    fn from(error: DriverError) -> Self {
        Self { code: None, error }
    }
}

/// Whoever pays for a request, and until when its answer is of use.
pub(super) type Paying<'a> = (&'a Toll, Instant);

impl Agent {
    pub(super) fn new(settings: AgentSettings) -> Result<Self, DriverError> {
        // Without a provider the client panics, and only one can be installed in a process.
        if rustls::crypto::CryptoProvider::get_default().is_none()
            && rustls::crypto::ring::default_provider().install_default().is_err()
        {
            tracing::debug!("another provider of cryptography was installed meanwhile");
        }
        let client = Client::builder()
            .user_agent(concat!("ot-aiops/", env!("CARGO_PKG_VERSION")))
            // A proxy of the environment is for people's browsers, not for machines.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // The budget counts each request: none is sent twice behind its back.
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(CONNECT_MAX)
            .pool_max_idle_per_host(2);
        let client = match &settings.ca_file {
            None => client,
            Some(path) => {
                let files = TlsFiles { ca_file: Some(path.clone()), client: None };
                let config = tls::config(&files).map_err(|error| {
                    DriverError::new(ErrorKind::Settings, error.to_string())
                        .hint("give a file in PEM form that the collector's user may read")
                })?;
                client.tls_backend_preconfigured((*config).clone())
            }
        };
        let client = client.build().map_err(|_| {
            DriverError::new(ErrorKind::Settings, "this machine's certificates can't be read")
                .hint("install the system's certificate authorities (ca-certificates)")
        })?;
        Ok(Self { client, settings })
    }

    pub(super) fn base(&self) -> &str {
        &self.settings.base
    }

    /// Asks for one document.
    pub(super) async fn get(
        &self,
        request: &str,
        paying: Paying<'_>,
    ) -> Result<Document, DriverError> {
        self.fetch(request, paying).await.map_err(|refusal| refusal.error)
    }

    /// Asks for one document, and tells the agent's own refusals from others.
    pub(super) async fn fetch(
        &self,
        request: &str,
        paying: Paying<'_>,
    ) -> Result<Document, Refusal> {
        let deadline = paying.1.min(Instant::now() + self.settings.timeout);
        let (url, response) = self.send(request, (paying.0, deadline)).await?;
        match timeout_at(deadline, whole(&url, response)).await {
            Ok(text) => Ok(Document { url, text: text? }),
            Err(_) => Err(errors::silent(&url).into()),
        }
    }

    /// Asks for a stream.
    pub(super) async fn stream(
        &self,
        request: &str,
        paying: Paying<'_>,
    ) -> Result<Streamed, Refusal> {
        let deadline = paying.1.min(Instant::now() + self.settings.timeout);
        let (url, response) = self.send(request, (paying.0, deadline)).await?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        if let Some(boundary) = content_type.and_then(multipart::boundary) {
            return Ok(Streamed::Stream(Stream { url, boundary, response }));
        }
        match timeout_at(deadline, whole(&url, response)).await {
            Ok(text) => text.map(|_| Streamed::Once),
            Err(_) => Err(errors::silent(&url).into()),
        }
    }

    /// Sends a request, and again where the same host redirects it: each is paid for.
    async fn send(
        &self,
        request: &str,
        (toll, deadline): Paying<'_>,
    ) -> Result<(String, Response), DriverError> {
        let url = format!("{}/{request}", self.settings.base);
        // Errors name the address that was asked for: where a redirect leads is the agent's text.
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            toll.spend(deadline).await?;
            let sent = timeout_at(deadline, self.client.get(&at).send()).await;
            let response = sent
                .map_err(|_| errors::silent(&url))?
                .map_err(|error| errors::request(&url, &error))?;
            if !response.status().is_redirection() {
                return Ok((url, response));
            }
            at = redirected(&at, &response).ok_or_else(|| errors::redirected(&url))?;
        }
        Err(errors::circling(&url))
    }
}

/// Follows a redirect on the same host; `None` where it leads elsewhere.
fn redirected(url: &str, response: &Response) -> Option<String> {
    let from = Url::parse(url).ok()?;
    let to = from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    let is_same = from.scheme() == to.scheme()
        && from.host_str() == to.host_str()
        && from.port_or_known_default() == to.port_or_known_default()
        && to.username().is_empty();
    is_same.then(|| to.to_string())
}

/// Reads a whole body, counted as it unpacks; what is no success is the agent's error where it
/// says one.
async fn whole(url: &str, mut response: Response) -> Result<String, Refusal> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| errors::request(url, &e))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(errors::oversized(url, BODY_BYTES_MAX).into());
        }
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(body);
    if !status.is_success() {
        return Err(refusal(url, status, text.as_deref().unwrap_or_default()));
    }
    text.map_err(|_| errors::document(url, Fault::Encoding).into())
}

/// Says why the agent refuses: its own error document knows best.
fn refusal(url: &str, status: StatusCode, text: &str) -> Refusal {
    match Walker::new(text).root("MTConnectStreams") {
        Err(fault @ Fault::Agent(code)) => {
            Refusal { code: Some(code), error: errors::document(url, fault) }
        }
        _ => errors::status(url, status.as_u16()).into(),
    }
}
