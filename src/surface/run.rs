//! A collector as a process: claim, start, doors, signals, end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::door::{self, Attendance, Attending};
use super::notify::{notify_service_manager, watchdog_every};
use super::state::{Claim, StateDir, StateError};
use crate::actors::{Budgets, Collector, Deps, Plant, Pulse, ServeDoors, Setup, SetupError, Stay};
use crate::config::{Problem, Severity};
use crate::driver::Protocol;
use crate::model::Secret;

/// The doors stand within this, or something is very wrong with the machine.
const OPEN_MAX: Duration = Duration::from_secs(10);
/// The end of everything: 5 s are promised, the process itself needs a little.
const STOP_MAX: Duration = Duration::from_millis(4900);

/// What a collector is run with.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The configuration file; `None` runs without endpoints.
    pub config: Option<PathBuf>,
    /// The state directory.
    pub state: StateDir,
    /// Ends this long after the last session did; `None` runs until told to end.
    pub exit_idle: Option<Duration>,
    /// Whether the plant is our own simulation.
    pub plant: Plant,
    /// The protocols of this build.
    pub protocols: &'static [Protocol],
    /// What opens the secret store, where it was given.
    pub master: Option<Secret>,
}

/// Why a collector did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state directory is not ours.
    #[error(transparent)]
    State(#[from] StateError),
    /// The collector did not start.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The doors did not open.
    #[error("the doors did not open within {} s; the log says why", OPEN_MAX.as_secs())]
    Doors,
    /// The system gave no runtime or no signals.
    #[error("the system refused a runtime or a signal: {0}")]
    System(#[from] std::io::Error),
}

impl RunError {
    /// Says it on stderr, and gives what the shell gets: 3 where another collector owns the place.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        let is_owned = matches!(self, Self::State(StateError::Owned { .. }));
        ExitCode::from(if is_owned { 3 } else { 2 })
    }
}

/// Runs a collector to its end on a runtime of its own, and reports on stderr.
#[must_use]
pub fn run(options: RunOptions) -> ExitCode {
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(RunError::from)
        .and_then(|runtime| {
            let ended = runtime.block_on(host(options));
            runtime.shutdown_timeout(Duration::from_millis(50));
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Runs a collector until SIGTERM, SIGINT, or until nobody has needed it for long enough.
///
/// # Errors
/// It could not start.
pub async fn host(options: RunOptions) -> Result<(), RunError> {
    let claim = options.state.claim()?;
    host_in(claim, options).await
}

/// Runs a collector as [`host`] does, in a state directory that is claimed already.
///
/// # Errors
/// It could not start.
pub async fn host_in(claim: Claim, options: RunOptions) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let claim = Arc::new(claim);
    let attendance = Attendance::default();
    let setup = Setup {
        config: options.config,
        state_dir: options.state.path().to_owned(),
        plant: options.plant,
        protocols: options.protocols,
        stay: if options.exit_idle.is_some() { Stay::UntilIdle } else { Stay::Standing },
        env: |name| std::env::var(name).ok(),
        master: options.master,
    };
    let serve = |deps| serve_doors(deps, &claim, &attendance);
    let collector = Collector::start(setup, serve).await?;
    let config = collector.deps().config.read().clone();
    log_problems(&config.problems);
    let mut attending = attendance.watch();
    collector.open_doors()?;
    let opened = timeout(OPEN_MAX, attending.wait_for(|now| now.open)).await;
    if !matches!(opened, Ok(Ok(_))) {
        collector.stop().await;
        return Err(RunError::Doors);
    }
    drop(opened);
    eprintln!("ready state={} pid={}", options.state.path().display(), std::process::id());
    notify_service_manager("READY=1");
    let pulse = collector.pulse();
    let feeding = tokio::spawn(async move { feed_watchdog(&pulse).await });
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::End => break,
                Told::Reload => reload(collector.deps()).await,
            },
            () = idle(&mut attending, options.exit_idle) => {
                tracing::info!("nobody has asked for a while");
                break;
            }
        }
    }
    feeding.abort();
    notify_service_manager("STOPPING=1");
    if timeout(STOP_MAX, collector.stop()).await.is_err() {
        tracing::warn!("the collector was cut off");
    }
    Ok(())
}

/// Tells the service manager that we live, as long as the root actor answers.
async fn feed_watchdog(pulse: &Pulse) {
    let Some(every) = watchdog_every() else { return };
    loop {
        if pulse.is_felt().await {
            notify_service_manager("WATCHDOG=1");
        } else {
            tracing::error!("the root actor does not answer");
        }
        sleep(every).await;
    }
}

fn serve_doors(deps: Deps, claim: &Arc<Claim>, attendance: &Attendance) -> ServeDoors {
    let (claim, attendance) = (claim.clone(), attendance.clone());
    Arc::new(move |cancel| {
        let (deps, claim, attendance) = (deps.clone(), claim.clone(), attendance.clone());
        async move {
            let groups = deps.doors();
            let served = door::serve(deps, &claim, &groups, &attendance, cancel).await;
            served.map_err(|error| error.to_string())
        }
        .boxed()
    })
}

/// Says in the log what is wrong with the configuration.
fn log_problems(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
}

async fn reload(deps: &Deps) {
    match deps.reload(Budgets::Kept).await {
        Ok(reloaded) => {
            tracing::info!("the configuration was read again: {}", reloaded.in_words());
            log_problems(&reloaded.problems);
        }
        Err(error) => tracing::error!("the configuration stays as it was: {error}"),
    }
}

/// Waits until no session has been open for `idle_for` on end.
async fn idle(attending: &mut watch::Receiver<Attending>, idle_for: Option<Duration>) {
    let Some(idle_for) = idle_for else { return std::future::pending().await };
    loop {
        if attending.wait_for(|now| now.sessions == 0).await.is_err() {
            return;
        }
        let busy = attending.wait_for(|now| now.sessions > 0);
        if timeout(idle_for, busy).await.is_err() {
            return;
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Only that it is handled counts: a write beyond the limit of a file's size then fails, as it
    /// does on a full disk, and the process lives.
    _file_size: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

/// What a signal asks for.
enum Told {
    End,
    Reload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idleness_counts_from_the_last_session() {
        let (told, mut heard) = watch::channel(Attending { open: true, ..Attending::default() });
        let started = tokio::time::Instant::now();
        let coming = async {
            for sessions in [1, 2, 1, 0] {
                tokio::time::sleep(Duration::from_secs(8)).await;
                told.send_modify(|now| now.sessions = sessions);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = idle(&mut heard, Some(Duration::from_secs(10))) => {}
            () = coming => {}
        }
        assert_eq!(started.elapsed(), Duration::from_secs(8 * 4 + 10));
    }
}
