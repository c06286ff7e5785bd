//! A session of `otctl` with the collector.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation,
    ProgressNotificationParam,
};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::{Map, Value};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::exit::{Exit, Failure};
use crate::surface::state::StateDir;
use crate::tools::Audience;

/// A collector that accepts and then says nothing is stuck; a busy one answers sooner.
const GREET_MAX: Duration = Duration::from_secs(5);

/// A session.
pub(super) struct Session {
    client: RunningService<RoleClient, Face>,
    socket: String,
}

/// What the collector sees of us, and where it tells how far a long call has come.
#[derive(Debug, Clone)]
struct Face {
    config: ClientConfig,
    /// A line about progress stands on the terminal.
    is_shown: Arc<AtomicBool>,
}

impl ClientHandler for Face {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn on_progress(
        &self,
        told: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        if io::stderr().is_terminal() {
            self.is_shown.store(true, Relaxed);
            eprint!("\r{} so far", told.progress);
        }
    }
}

impl Face {
    /// Takes the line about progress away.
    fn clear(&self) {
        if self.is_shown.swap(false, Relaxed) {
            // Erase in line (ECMA-48, 8.3.41).
            eprint!("\r\u{1b}[K");
        }
    }
}

impl Session {
    /// Connects through the operators' door, or the agents' where that is enough and the other
    /// is not for us.
    pub(super) async fn open(state: &StateDir, needs: Audience) -> Result<Self, Failure> {
        let (operator, agent) = (state.operator_socket(), state.agent_socket());
        let (stream, path) = match UnixStream::connect(&operator).await {
            Ok(stream) => (stream, operator),
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                return Err(nobody(&operator, &error));
            }
            Err(_) if needs == Audience::OperatorsOnly => {
                return Err(Failure::new(
                    Exit::Denied,
                    format!(
                        "this needs the operators' door: permission denied on {}",
                        operator.display()
                    ),
                )
                .hint("its owner and the members of doors.operator_group may"));
            }
            Err(_) => match UnixStream::connect(&agent).await {
                Ok(stream) => (stream, agent),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(no_permission(&operator, &agent));
                }
                Err(error) => return Err(nobody(&agent, &error)),
            },
        };
        let socket = path.display().to_string();
        let us = Implementation::new("otctl", env!("CARGO_PKG_VERSION"));
        let config = ClientConfig::new(ClientCapabilities::default(), us);
        let client = Face { config, is_shown: Arc::default() };
        match timeout(GREET_MAX, client.serve(stream.into_split())).await {
            Ok(Ok(client)) => Ok(Self { client, socket }),
            Ok(Err(error)) => Err(Failure::new(
                Exit::Unreachable,
                format!("the collector at {socket} ended the session: {error}"),
            )),
            Err(_) => Err(Failure::new(
                Exit::Unreachable,
                format!("the collector at {socket} accepts but says nothing within 5 s"),
            )
            .hint("it may be stopped or overloaded; see its log")),
        }
    }

    /// Calls a tool.
    pub(super) async fn call(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        within: Duration,
    ) -> Result<Value, Failure> {
        let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        let unreachable = |what: String| Failure::new(Exit::Unreachable, what);
        let answered = timeout(within, self.client.peer().call_tool(params)).await;
        self.client.service().clear();
        let result = answered
            .map_err(|_| unreachable(format!("{} did not answer {name} in time", self.socket)))?
            .map_err(|error| unreachable(format!("{} broke off: {error}", self.socket)))?;
        let answer = result.structured_content.unwrap_or(Value::Null);
        if result.is_error == Some(true) {
            return Err(Failure::of_answer(answer));
        }
        Ok(answer)
    }
}

fn nobody(path: &Path, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "no such socket",
        io::ErrorKind::ConnectionRefused => "nobody listens",
        _ => return Failure::new(Exit::Unreachable, format!("{}: {error}", path.display())),
    };
    let message = format!("no collector answers at {}: {why}", path.display());
    Failure::new(Exit::Unreachable, message)
        .hint("start one with `ot-aiops run`, or name its state directory with --state")
}

fn no_permission(operator: &Path, agent: &Path) -> Failure {
    let message = format!(
        "permission denied on {} and on {}; a collector may well be running",
        operator.display(),
        agent.display()
    );
    Failure::new(Exit::Unreachable, message)
        .hint("run as its owner, or join doors.agent_group or doors.operator_group")
}
