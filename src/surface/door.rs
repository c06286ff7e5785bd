//! The two sockets through which everything local comes in.
//!
//! The door and the kernel's word about the peer decide who is asking; nothing a peer sends does.

use std::collections::HashMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::mcp::{self, CATALOG, Catalog, Session};
use super::state::{Claim, StateDir, StateError, failed};
use super::wire::{INVALID_REQUEST, Limits, rejection};
use crate::actors::Deps;
use crate::config::Doors;
use crate::model::{Door, Principal};

/// Sessions of one user at one door: a hundred agents, and no runaway script.
const SESSIONS_PER_USER_MAX: usize = 128;
/// What sessions get to answer what is under way, before the doors close over them.
const DRAIN: Duration = Duration::from_millis(2500);
/// The pause after a failed accept: without it, a process out of descriptors spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the doors tell about themselves.
#[derive(Debug, Clone)]
pub struct Attendance(Arc<watch::Sender<Attending>>);

/// How the doors stand now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attending {
    /// Whether both doors accept.
    pub open: bool,
    /// How many sessions are under way.
    pub sessions: usize,
    /// How many there have been: the number of the newest.
    pub admitted: u64,
}

impl Default for Attendance {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Attending::default())))
    }
}

impl Attendance {
    /// Gives a watch on it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Attending> {
        self.0.subscribe()
    }
}

/// Serves both doors until `cancel`; then sessions get a moment to end.
///
/// # Errors
/// A socket can't be made.
pub async fn serve(
    deps: Deps,
    claim: &Claim,
    options: &Doors,
    attendance: &Attendance,
    cancel: CancellationToken,
) -> Result<(), StateError> {
    serve_catalog(deps, &CATALOG, claim, options, attendance, cancel).await
}

pub(super) async fn serve_catalog(
    deps: Deps,
    catalog: &'static Catalog,
    claim: &Claim,
    options: &Doors,
    attendance: &Attendance,
    cancel: CancellationToken,
) -> Result<(), StateError> {
    let state = claim.state();
    let agents = bind(state, &state.agent_socket(), options.agent_group.as_deref())?;
    let operators = bind(state, &state.operator_socket(), options.operator_group.as_deref())?;
    let _closing = Closing(attendance.clone());
    let host = Host { deps, catalog, attendance: attendance.clone(), stopping: cancel.clone() };
    attendance.0.send_modify(|now| now.open = true);
    tokio::join!(host.attend(Door::Agent, agents), host.attend(Door::Operator, operators));
    for path in [state.agent_socket(), state.operator_socket()] {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(%error, "a socket is gone already");
        }
    }
    Ok(())
}

/// Says that the doors are shut, however serving ends.
struct Closing(Attendance);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.0.send_modify(|now| now.open = false);
    }
}

/// Makes a socket with its final owner and mode before anybody can reach it.
fn bind(state: &StateDir, path: &Path, group: Option<&str>) -> Result<UnixListener, StateError> {
    let gid = group.map(group_id).transpose()?;
    let making = state.run().join(".new");
    match DirBuilder::new().mode(0o700).create(&making) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("making", &making)(error));
        }
        _ => {}
    }
    let fresh = making.join(path.file_name().unwrap_or_default());
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replacing", &fresh)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed("binding", &fresh))?;
    if gid.is_some() {
        chown(&fresh, None, gid).map_err(failed("giving to its group", path))?;
    }
    let mode = if gid.is_some() { 0o660 } else { 0o600 };
    std::fs::set_permissions(&fresh, Permissions::from_mode(mode))
        .map_err(failed("opening", path))?;
    // The state directory is ours, so what stands there is stale.
    std::fs::rename(&fresh, path).map_err(failed("placing", path))?;
    if let Err(error) = std::fs::remove_dir(&making) {
        tracing::debug!(%error, "{} stays", making.display());
    }
    Ok(listener)
}

fn group_id(group: &str) -> Result<u32, StateError> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let path = PathBuf::from("/etc/group");
    let all = std::fs::read_to_string(&path).map_err(failed("reading", &path))?;
    // group(5): name:password:GID:members
    let found = all.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == group).then(|| fields.nth(1)?.parse().ok())?
    });
    found.ok_or_else(|| {
        let error = io::Error::new(io::ErrorKind::NotFound, format!("no group {group:?}"));
        failed("looking into", &path)(error)
    })
}

/// What lets sessions in.
struct Host {
    deps: Deps,
    catalog: &'static Catalog,
    attendance: Attendance,
    stopping: CancellationToken,
}

impl Host {
    async fn attend(&self, door: Door, listener: UnixListener) {
        let users = Users::default();
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => break,
                accepted = listener.accept() => accepted,
                Some(_) = sessions.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => self.admit(door, stream, &users, &mut sessions),
                Err(error) => {
                    tracing::warn!(%error, ?door, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let drained = timeout(DRAIN, async { while sessions.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(?door, "sessions were cut off");
        }
    }

    fn admit(&self, door: Door, stream: UnixStream, users: &Users, sessions: &mut JoinSet<()>) {
        let peer = match stream.peer_cred() {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "a peer without credentials is turned away");
                return;
            }
        };
        let (uid, gid, pid) = (peer.uid(), peer.gid(), peer.pid());
        let Some((seat, session)) = users.seat(uid, &self.attendance) else {
            tracing::warn!(uid, ?door, "too many sessions of one user");
            sessions.spawn(turn_away(stream));
            return;
        };
        let principal = Principal { door, uid, gid, pid, session };
        let (deps, stopping) = (self.deps.clone(), self.stopping.clone());
        let session = Session::new(deps, principal, self.catalog, stopping);
        sessions.spawn(async move {
            let serving = mcp::serve(session, stream.into_split(), Limits::SOCKET);
            if std::panic::AssertUnwindSafe(serving).catch_unwind().await.is_err() {
                tracing::error!("a session failed inside");
            }
            drop(seat);
        });
    }
}

async fn turn_away(mut stream: UnixStream) {
    let message = format!("a user has at most {SESSIONS_PER_USER_MAX} sessions at a door");
    let line = rejection(&serde_json::Value::Null, INVALID_REQUEST, &message);
    if let Err(error) = stream.write_all(&line).await {
        tracing::debug!(%error, "a peer did not wait to be turned away");
    }
}

/// Sessions by user.
#[derive(Clone, Default)]
struct Users(Arc<Mutex<HashMap<u32, usize>>>);

/// One session's place; dropping it frees the place.
struct Seat {
    uid: u32,
    users: Users,
    attendance: Attendance,
}

impl Users {
    /// Gives a place and the number of the session.
    fn seat(&self, uid: u32, attendance: &Attendance) -> Option<(Seat, u64)> {
        let mut users = self.0.lock();
        let count = users.entry(uid).or_default();
        if *count >= SESSIONS_PER_USER_MAX {
            return None;
        }
        *count += 1;
        let mut number = 0;
        attendance.0.send_modify(|now| {
            now.sessions += 1;
            now.admitted += 1;
            number = now.admitted;
        });
        Some((Seat { uid, users: self.clone(), attendance: attendance.clone() }, number))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self.users.0.lock();
        if let Some(count) = users.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                users.remove(&self.uid);
            }
        }
        self.attendance.0.send_modify(|now| now.sessions = now.sessions.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;
    use crate::surface::testing::{self, TEST_TOOLS};

    struct Opened {
        state: StateDir,
        cancel: CancellationToken,
        attendance: Attendance,
        serving: tokio::task::JoinHandle<Result<(), StateError>>,
        _dir: tempfile::TempDir,
    }

    async fn opened(options: Doors) -> Opened {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let claim = state.claim().unwrap();
        let (cancel, attendance) = (CancellationToken::new(), Attendance::default());
        let (until, watched) = (cancel.clone(), attendance.clone());
        let serving = tokio::spawn(async move {
            let catalog: &'static Catalog = Box::leak(Box::new(Catalog::new(TEST_TOOLS)));
            let deps = testing::plant();
            serve_catalog(deps, catalog, &claim, &options, &watched, until).await
        });
        attendance.watch().wait_for(|now| now.open).await.unwrap();
        Opened { state, cancel, attendance, serving, _dir: dir }
    }

    async fn ask(path: &Path, line: &Value) -> Value {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn call(name: &str, arguments: &Value) -> Value {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": name, "arguments": arguments, "_meta": meta});
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    }

    #[tokio::test]
    async fn the_door_decides_what_may_be_called_and_the_kernel_who_calls() {
        let opened = opened(Doors::default()).await;
        let claims = json!({"text": "x", "principal": "operator"});
        let answer = ask(&opened.state.agent_socket(), &call("test_echo", &claims)).await;
        assert_eq!(answer["result"]["structuredContent"]["error"]["code"], "bad_arguments");
        let claims = json!({"text": "x"});
        let answer = ask(&opened.state.agent_socket(), &call("test_echo", &claims)).await;
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(answer["result"]["structuredContent"]["uid"], uid);
        let administer = call("test_administer", &json!({}));
        let answer = ask(&opened.state.agent_socket(), &administer).await;
        assert_eq!(answer["result"]["structuredContent"]["error"]["code"], "denied");
        let answer = ask(&opened.state.operator_socket(), &administer).await;
        assert_eq!(answer["result"]["structuredContent"], json!({"done": true}));
        opened.cancel.cancel();
        opened.serving.await.unwrap().unwrap();
        assert!(!opened.state.agent_socket().exists());
    }

    #[tokio::test]
    async fn sockets_have_their_modes_and_replace_stale_ones() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        state.prepare().unwrap();
        drop(UnixListener::bind(state.agent_socket()).unwrap());
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let agents = bind(&state, &state.agent_socket(), None).unwrap();
        assert_eq!(mode(&state.agent_socket()), 0o600);
        let own = rustix::process::getgid().as_raw().to_string();
        let operators = bind(&state, &state.operator_socket(), Some(&own)).unwrap();
        assert_eq!(mode(&state.operator_socket()), 0o660);
        let client = UnixStream::connect(state.agent_socket()).await;
        assert!(client.is_ok() && agents.accept().await.is_ok());
        drop(operators);
        assert!(bind(&state, &state.agent_socket(), Some("no such group")).is_err());
    }

    #[tokio::test]
    async fn a_users_sessions_are_counted_and_bounded() {
        let opened = opened(Doors::default()).await;
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS_PER_USER_MAX {
            sessions.push(UnixStream::connect(opened.state.agent_socket()).await.unwrap());
        }
        let mut watch = opened.attendance.watch();
        watch.wait_for(|now| now.sessions == SESSIONS_PER_USER_MAX).await.unwrap();
        let one_more = UnixStream::connect(opened.state.agent_socket()).await.unwrap();
        let mut answer = String::new();
        BufReader::new(one_more).read_line(&mut answer).await.unwrap();
        assert!(answer.contains("at most 128 sessions"), "{answer}");
        // The other door has places of its own.
        let administer = call("test_administer", &json!({}));
        let answer = ask(&opened.state.operator_socket(), &administer).await;
        assert_eq!(answer["result"]["structuredContent"], json!({"done": true}));
        drop(sessions);
        watch.wait_for(|now| now.sessions == 0).await.unwrap();
        opened.cancel.cancel();
        opened.serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn doors_that_close_say_so() {
        let opened = opened(Doors::default()).await;
        let mut watch = opened.attendance.watch();
        opened.cancel.cancel();
        opened.serving.await.unwrap().unwrap();
        watch.wait_for(|now| !now.open).await.unwrap();
        assert!(opened.state.claim().is_ok());
    }
}
