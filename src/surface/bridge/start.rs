//! Finding the collector, and starting one where there is none.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::surface::log::open_bounded;
use crate::surface::state::StateDir;

/// A collector that was started by a bridge ends this long after its last session.
const EXIT_IDLE_S: u32 = 10;
/// After a collector that never answered, this long before the next is started.
const START_AGAIN: Duration = Duration::from_secs(2);
/// What of a log's end is shown.
const LOG_TAIL_BYTES: u64 = 600;

/// How a bridge comes by a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Starting {
    /// It starts this program where none answers, with this configuration.
    Start {
        /// The program.
        program: PathBuf,
        /// The configuration.
        config: Option<PathBuf>,
    },
    /// It never starts one.
    Attach,
}

/// A way to the collector.
pub(super) struct Collectors {
    state: StateDir,
    starting: Starting,
    child: Option<Child>,
    last_start: Option<Instant>,
}

impl Collectors {
    pub(super) fn new(state: StateDir, starting: Starting) -> Self {
        Self { state, starting, child: None, last_start: None }
    }

    /// Connects once; where nobody answers, a collector is started for the next try.
    ///
    /// # Errors
    /// Nobody answers yet, or the socket is not for us.
    pub(super) async fn connect(&mut self) -> io::Result<UnixStream> {
        match UnixStream::connect(self.state.agent_socket()).await {
            Ok(stream) => {
                // One that has answered may be followed at once.
                self.last_start = None;
                Ok(stream)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::PermissionDenied {
                    self.start()?;
                }
                Err(error)
            }
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let Starting::Start { program, config } = &self.starting else { return Ok(()) };
        if let Some(child) = &mut self.child
            && child.try_wait()?.is_none()
        {
            return Ok(());
        }
        if self.last_start.is_some_and(|last| last.elapsed() < START_AGAIN) {
            return Ok(());
        }
        self.state.prepare().map_err(io::Error::other)?;
        let log = self.state.log();
        let mut command = Command::new(program);
        command.arg("run").arg("--exit-idle").arg(EXIT_IDLE_S.to_string());
        command.arg("--state").arg(self.state.path()).arg("--log").arg(&log);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        // A group of its own: what interrupts the client must not end the collector.
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        command.stderr(open_bounded(&log)?);
        self.child = Some(command.spawn()?);
        self.last_start = Some(Instant::now());
        Ok(())
    }

    /// Tells what became of the collector that was started, if it has ended.
    pub(super) fn failure(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let log = self.state.log();
        let tail = tail(&log).unwrap_or_default();
        Some(format!("it ended with {status}; {} ends: {}", log.display(), tail.trim()))
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut text = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
