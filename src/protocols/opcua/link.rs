//! One live session: opened, pumped, watched and closed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::{Stream, StreamExt};
use opcua::client::{
    ClientBuilder, ClientConfig, IdentityToken, Session, SessionActivity, SessionBuilder,
    SessionPollResult, SubscriptionActivity,
};
use opcua::crypto::{CertificateStore, SecurityPolicy};
use opcua::sync::RwLock;
use opcua::types::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::certificates;
use super::errors;
use super::judge::{self, Shown};
use super::offers;
use super::settings::OpcuaSettings;
use super::wire::{Dial, Wire};
use crate::clock;
use crate::driver::{DriverError, ErrorKind, Toll};
use crate::model::Secret;

/// How often the session is kept alive and the pump looks at the clock.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often silence is looked for.
const WATCH: Duration = Duration::from_millis(500);
/// Keep-alives in a row that may fail; one is lost with any hiccup.
const KEEP_ALIVES_LOST_MAX: u32 = 2;
/// The server forgets a session this long after the last request, if we vanish.
const SESSION_TIMEOUT_MS: u32 = 60_000;
/// A channel's keys are renewed after three quarters of this.
const CHANNEL_LIFETIME_MS: u32 = 3_600_000;
/// How long we wait for the server to confirm the end of a session.
const GOODBYE: Duration = Duration::from_millis(1500);
/// A message may be this large; a decoding limit that is passed costs the whole connection.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A chunk is 8 KiB at least (Part 6, 7.1.2.3); servers with the least send no more.
const CHUNKS_MAX: usize = 4096;
/// An array may hold this many elements; values are cut later.
const ARRAY_MAX: usize = 1_000_000;
/// A text or octet string may be this long; values are cut later.
const STRING_MAX: usize = 16 * 1024 * 1024;

/// What is known of a session's life.
#[derive(Debug)]
pub(super) struct Health {
    ended: watch::Sender<Option<StatusCode>>,
    wake: Arc<Notify>,
    /// When a publish response came in last, by [`clock::uptime_ms`].
    heard_ms: AtomicU64,
    /// The longest silence that is no sign of death; 0 where nothing is subscribed.
    silence_max_ms: AtomicU64,
}

impl Health {
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        let (heard_ms, silence_max_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { ended: watch::Sender::new(None), wake, heard_ms, silence_max_ms }
    }

    /// Notes the first reason for the end, and wakes the poller.
    pub(super) fn end(&self, status: StatusCode) {
        self.ended.send_modify(|ended| {
            ended.get_or_insert(status);
        });
        self.wake.notify_one();
    }

    /// Says that something has come for the poller.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Notes a sign of life of a subscription.
    pub(super) fn heard(&self) {
        self.heard_ms.store(clock::uptime_ms(), Relaxed);
    }

    /// Begins to watch for silence.
    pub(super) fn expect_within(&self, silence_max: Duration) {
        self.heard();
        let millis = u64::try_from(silence_max.as_millis()).unwrap_or(u64::MAX);
        self.silence_max_ms.store(millis, Relaxed);
    }

    fn is_silent_at(&self, uptime_ms: u64) -> bool {
        let most = self.silence_max_ms.load(Relaxed);
        most > 0 && uptime_ms.saturating_sub(self.heard_ms.load(Relaxed)) > most
    }

    /// Gives the error of a session that has ended.
    pub(super) fn failure(&self) -> Option<DriverError> {
        let status = (*self.ended.borrow())?;
        Some(
            match status {
                StatusCode::BadTimeout => DriverError::new(
                    ErrorKind::Timeout,
                    "the server has fallen silent: neither data nor keep-alives in three intervals",
                )
                .hint("the session is opened anew; if it recurs, look at the server's load"),
                other => DriverError::new(
                    ErrorKind::LinkLost,
                    format!("the session ended ({})", errors::name(other)),
                ),
            }
            .status(status.bits()),
        )
    }
}

/// A live session, shared by the driver and the asks under way.
pub(super) struct Link {
    pub(super) session: Arc<Session>,
    pub(super) wire: Arc<Wire>,
    pub(super) health: Arc<Health>,
    closing: CancellationToken,
    pump: Mutex<Option<JoinHandle<()>>>,
}

/// What a session is opened with.
pub(super) struct Opening<'a> {
    pub(super) settings: &'a OpcuaSettings,
    pub(super) password: Option<&'a Secret>,
    pub(super) state_dir: &'a Path,
    /// The endpoint's name, for the server's list of sessions.
    pub(super) name: &'a str,
    pub(super) wire: &'a Arc<Wire>,
    pub(super) wake: Arc<Notify>,
    pub(super) toll: &'a Toll,
    pub(super) deadline: Instant,
}

fn config(opening: &Opening<'_>, application_uri: &str) -> ClientConfig {
    let settings = opening.settings;
    ClientBuilder::new()
        .application_name("ot-aiops")
        .application_uri(application_uri)
        .product_uri("urn:ot-aiops")
        .session_name(format!("ot-aiops {}", opening.name))
        .pki_dir(certificates::pki_dir(opening.state_dir))
        .create_sample_keypair(false)
        .trust_server_certs(false)
        // Retries are the poller's.
        .session_retry_limit(0)
        .recreate_subscriptions(false)
        .session_timeout(SESSION_TIMEOUT_MS)
        .channel_lifetime(CHANNEL_LIFETIME_MS)
        .keep_alive_interval(KEEP_ALIVE)
        // Lost keep-alives are counted by the pump, which knows what is one.
        .max_failed_keep_alive_count(0)
        .request_timeout(Duration::from_millis(settings.timeout_ms))
        .min_publish_interval(Duration::from_millis(50))
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_chunk_count(CHUNKS_MAX)
        .max_array_length(ARRAY_MAX)
        .max_string_length(STRING_MAX)
        .max_byte_string_length(STRING_MAX)
        .into_config()
}

/// Opens the store for async-opcua, with our certificate where one is needed.
async fn store(
    opening: &Opening<'_>,
) -> Result<(Arc<RwLock<CertificateStore>>, String), DriverError> {
    let pki = certificates::pki_dir(opening.state_dir);
    if opening.settings.policy == SecurityPolicy::None {
        // Nothing is signed: no certificate is needed, and none is made.
        let store = CertificateStore::new(&pki);
        return Ok((Arc::new(RwLock::new(store)), "urn:ot-aiops".to_owned()));
    }
    let state_dir = opening.state_dir.to_owned();
    // An RSA key takes seconds to make.
    let making = tokio::task::spawn_blocking(move || certificates::own(&state_dir));
    let refused = |why: String| {
        DriverError::new(
            ErrorKind::CertificateRejected,
            format!("our own certificate can't be had: {why}"),
        )
    };
    let own = match timeout_at(opening.deadline, making).await {
        Ok(Ok(Ok((facts, _der)))) => facts,
        Ok(Ok(Err(error))) => return Err(refused(error.to_string())),
        Ok(Err(_panicked)) => return Err(refused("making it failed".to_owned())),
        // It goes on being made, and is there at the next attempt.
        Err(_elapsed) => return Err(refused("it is still being made".to_owned())),
    };
    let (mut store, _, _) = CertificateStore::new_with_x509_data(
        &pki,
        false,
        Some(Path::new(certificates::OWN_CERTIFICATE)),
        Some(Path::new(certificates::OWN_KEY)),
        None::<opcua::crypto::X509Data>,
    );
    store.set_trust_unknown_certs(false);
    // Time, host and URI are judged before, with the operator's say on the host.
    store.set_skip_verify_certs(true);
    Ok((Arc::new(RwLock::new(store)), own.application_uri.unwrap_or_default()))
}

impl Link {
    /// Connects and logs in, with the mode, policy and login configured and no other.
    pub(super) async fn open(opening: Opening<'_>) -> Result<Self, DriverError> {
        let settings = opening.settings;
        let (store, application_uri) = store(&opening).await?;
        let config = config(&opening, &application_uri);
        let dial = Dial {
            host: settings.host.clone(),
            port: settings.port,
            url: settings.url.clone(),
            wire: opening.wire.clone(),
        };
        let limit = Instant::now() + Duration::from_millis(settings.timeout_ms);
        let offered =
            offers::ask(&config, store.clone(), &dial, limit.min(opening.deadline)).await?;
        let endpoint = offers::choose(offered, settings)?;
        if settings.policy != SecurityPolicy::None {
            judge_certificate(&opening, &endpoint).await?;
        }
        let login = match &settings.username {
            None => IdentityToken::new_anonymous(),
            Some(user) => {
                let password = opening.password.map(Secret::reveal).unwrap_or_default();
                IdentityToken::new_user_name(user.as_str(), password)
            }
        };
        let dial = Dial { url: endpoint.endpoint_url.to_string(), ..dial };
        let (session, events) = SessionBuilder::new(&config)
            .with_connector(dial)
            .user_identity_token(login)
            .connect_to_endpoint_directly(endpoint)
            .and_then(|builder| builder.build(store))
            .map_err(|error| offers::connecting(&error))?;
        let health = Arc::new(Health::new(opening.wake.clone()));
        let closing = CancellationToken::new();
        let pump = tokio::spawn(pump(
            session.clone(),
            events.enter(),
            health.clone(),
            closing.clone(),
            Counted { wire: opening.wire.clone(), toll: opening.toll.background() },
        ));
        let (wire, pump) = (opening.wire.clone(), Mutex::new(Some(pump)));
        // From here on a drop says goodbye to the server.
        let link = Self { session, wire, health, closing, pump };
        link.wait_for_login(&opening).await.map(|()| link)
    }

    async fn wait_for_login(&self, opening: &Opening<'_>) -> Result<(), DriverError> {
        let limit = Instant::now() + Duration::from_millis(opening.settings.timeout_ms);
        let mut ended = self.health.ended.subscribe();
        // A rejected login never reports a connection: the pump ends instead.
        let connected = async {
            tokio::select! {
                _ = self.session.wait_for_connection() => Ok(()),
                ended = ended.wait_for(Option::is_some) => {
                    let status = ended.ok().and_then(|status| *status);
                    Err(status.unwrap_or(StatusCode::BadNotConnected))
                }
            }
        };
        match timeout_at(limit.min(opening.deadline), connected).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => Err(login_error(status, opening.settings)),
            Err(_elapsed) => Err(DriverError::new(
                ErrorKind::Timeout,
                "the server accepts the connection and does not open a session in time",
            )
            .hint(
                "the server may be overloaded or out of sessions; raise timeout_ms if it is slow",
            )),
        }
    }

    /// Ends the session properly, by `deadline` at the latest.
    pub(super) async fn close(&self, deadline: Instant) {
        self.closing.cancel();
        let pump = self.pump.lock().take();
        if let Some(pump) = pump {
            let abort = pump.abort_handle();
            if timeout_at(deadline, pump).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The pump says goodbye on its own and ends.
        self.closing.cancel();
    }
}

async fn judge_certificate(
    opening: &Opening<'_>,
    endpoint: &opcua::types::EndpointDescription,
) -> Result<(), DriverError> {
    let (state_dir, settings) = (opening.state_dir.to_owned(), opening.settings.clone());
    let der = endpoint.server_certificate.as_ref().to_vec();
    let uri = endpoint.server.application_uri.as_ref().to_owned();
    let judged = tokio::task::spawn_blocking(move || {
        let shown = Shown {
            der: &der,
            host: &settings.host,
            port: settings.port,
            application_uri: &uri,
            policy: settings.policy,
        };
        judge::judge(&state_dir, &shown, clock::now())
    });
    judged.await.unwrap_or_else(|_panicked| {
        Err(DriverError::new(
            ErrorKind::CertificateRejected,
            "the server's certificate could not be judged",
        ))
    })
}

fn login_error(status: StatusCode, settings: &OpcuaSettings) -> DriverError {
    match status {
        StatusCode::BadUserAccessDenied
        | StatusCode::BadIdentityTokenRejected
        | StatusCode::BadIdentityTokenInvalid => {
            let who = if settings.username.is_some() { "this user" } else { "anonymous sessions" };
            DriverError::new(
                ErrorKind::LoginRefused,
                format!("the server refuses {who} ({})", errors::name(status)),
            )
            .status(status.bits())
            .hint("check username, and the password with `ot-aiops secret set`")
        }
        StatusCode::BadNotConnected | StatusCode::BadConnectionClosed => {
            DriverError::new(ErrorKind::LinkLost, "the server closed the connection at the login")
                .status(status.bits())
                .hint(
                    "with Sign or SignAndEncrypt it may not trust this collector: `otctl cert own \
                     --der` exports the certificate to trust on the server",
                )
        }
        other => errors::from_status("opening the session", other)
            .reacting(crate::driver::Reaction::DropSession),
    }
}

/// Tells whether a keep-alive got no answer; a server that is not running, or does not tell its
/// state, has answered, and dropping it would only make it busier.
fn lost(activity: &SessionActivity) -> Option<StatusCode> {
    match activity {
        SessionActivity::KeepAliveSucceeded => None,
        SessionActivity::KeepAliveFailed(status) => {
            let answers = [StatusCode::BadServerHalted, StatusCode::BadUnknownResponse];
            Some(*status).filter(|status| !answers.contains(status))
        }
    }
}

/// Where the background's messages are counted.
struct Counted {
    wire: Arc<Wire>,
    toll: Toll,
}

/// Drives the session until it ends or shall end, then says goodbye.
async fn pump(
    session: Arc<Session>,
    events: impl Stream<Item = Result<SessionPollResult, StatusCode>>,
    health: Arc<Health>,
    closing: CancellationToken,
    counted: Counted,
) {
    tokio::pin!(events);
    let mut keep_alives_lost = 0;
    let (mut is_open, mut settled) = (false, Instant::now());
    let reason = loop {
        let event = tokio::select! {
            () = closing.cancelled() => break StatusCode::Good,
            event = timeout(WATCH, events.next()) => event,
        };
        match event {
            Err(_elapsed) => {}
            Ok(None) => return health.end(StatusCode::BadConnectionClosed),
            Ok(Some(Err(status))) => return health.end(status),
            Ok(Some(Ok(event))) => match event {
                SessionPollResult::ConnectionLost(status) => return health.end(status),
                SessionPollResult::Reconnected(_) => is_open = true,
                SessionPollResult::SessionActivity(activity) => match lost(&activity) {
                    None => keep_alives_lost = 0,
                    Some(status) => {
                        keep_alives_lost += 1;
                        if keep_alives_lost >= KEEP_ALIVES_LOST_MAX {
                            break status;
                        }
                    }
                },
                SessionPollResult::Subscription(SubscriptionActivity::FatalFailure(status)) => {
                    break status;
                }
                _ => {}
            },
        }
        if health.is_silent_at(clock::uptime_ms()) {
            break StatusCode::BadTimeout;
        }
        // Set-up is counted by who opens; from then on keep-alives and publishes are ours.
        if is_open && settled.elapsed() >= WATCH {
            counted.wire.settle(&counted.toll);
            settled = Instant::now();
        }
    };
    health.end(reason);
    session.disable_reconnects();
    if !is_open {
        return counted.wire.settle(&counted.toll);
    }
    let goodbye = timeout(GOODBYE, session.disconnect());
    tokio::pin!(goodbye);
    loop {
        tokio::select! {
            _ = &mut goodbye => break,
            event = events.next() => if !matches!(event, Some(Ok(_))) { break },
        }
    }
    counted.wire.settle(&counted.toll);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_only_where_something_is_subscribed() {
        let health = Health::new(Arc::new(Notify::new()));
        assert!(!health.is_silent_at(u64::MAX));
        health.expect_within(Duration::from_secs(15));
        let now = clock::uptime_ms();
        assert!(!health.is_silent_at(now + 14_000));
        assert!(health.is_silent_at(now + 16_000));
    }

    #[test]
    fn a_server_that_answers_is_alive_whatever_it_says() {
        assert_eq!(lost(&SessionActivity::KeepAliveFailed(StatusCode::BadServerHalted)), None);
        let timeout = SessionActivity::KeepAliveFailed(StatusCode::BadTimeout);
        assert_eq!(lost(&timeout), Some(StatusCode::BadTimeout));
    }

    #[test]
    fn the_first_reason_for_the_end_is_the_one_told() {
        let health = Health::new(Arc::new(Notify::new()));
        assert_eq!(health.failure(), None);
        health.end(StatusCode::BadTimeout);
        health.end(StatusCode::BadConnectionClosed);
        assert_eq!(health.failure().unwrap().kind, ErrorKind::Timeout);
    }
}
