//! The collector as a whole: from a configuration to running actors, and back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorRef};
use tokio::sync::Mutex;

use super::connections::{Connection, connections};
use super::deps::{Deps, Inner};
use super::directory::Directory;
use super::doors::ServeDoors;
use super::endpoints::EndpointsArgs;
use super::findings::FindingsArgs;
use super::historian::{HistorianArgs, HistorianFace};
use super::root::{Root, RootArgs, RootMsg};
use crate::cache::{CacheLimits, TagCache};
use crate::clock;
use crate::config::{self, Change, Config, Problem, Sources};
use crate::driver::Protocol;
use crate::model::{Secret, Tag, TagId, TagName};
use crate::store::{SampleStore, StoreError};

/// The shutdown as a whole: 5 s are promised, the rest is for the process itself.
const STOP_MAX: Duration = Duration::from_millis(4800);
/// A reload closes sessions and opens others; it never waits for a device to answer.
const RECONCILE_MAX: Duration = Duration::from_secs(8);

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
    /// What opens the secret store, where it was given.
    pub master: Option<Secret>,
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
    /// The configuration can't be used at all.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<Problem>),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An actor didn't start or answer.
    #[error("{0}")]
    Actors(String),
}

/// A running collector.
pub struct Collector {
    root: ActorRef<RootMsg>,
    deps: Deps,
}

/// What a reload did.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// What became of each endpoint.
    pub changes: Vec<Change>,
    /// What is wrong with the file and was left as it was before.
    pub problems: Vec<Problem>,
}

/// The root, once it runs, behind a lock that lets one reload at a time through.
pub(crate) type Reloader = Mutex<Option<ActorRef<RootMsg>>>;

impl Collector {
    /// Opens the store, restores the cache and starts the actors; the doors stay closed.
    ///
    /// # Errors
    /// The configuration can't be used at all, or the store can't be opened.
    pub async fn start(
        setup: Setup,
        doors: impl FnOnce(Deps) -> ServeDoors,
    ) -> Result<Self, SetupError> {
        let loaded = load(&setup).map_err(SetupError::Config)?;
        let path = setup.state_dir.join("samples.redb");
        let opened = SampleStore::open(&path, clock::now())?;
        let historian = HistorianFace::new(loaded.history);
        if let Some(bad) = &opened.report.quarantined {
            tracing::error!("history could not be read and was set aside as {}", bad.display());
            historian.report.lock().quarantined = Some(bad.display().to_string());
        }
        let deps = Deps::new(Inner {
            cache: TagCache::new(CacheLimits::default()),
            store: Arc::new(opened.store),
            directory: Arc::new(Directory::default()),
            historian,
            findings: Arc::default(),
            config: parking_lot::RwLock::new(Arc::new(loaded)),
            started: clock::now(),
            reloader: Mutex::new(None),
            setup,
        });
        let config = deps.config.read().clone();
        let wanted = deps.prepare(&config, Restore::Tail)?;
        let args = RootArgs {
            historian: HistorianArgs {
                store: deps.store.clone(),
                cache: deps.cache.clone(),
                face: deps.historian.clone(),
            },
            endpoints: EndpointsArgs {
                cache: deps.cache.clone(),
                directory: deps.directory.clone(),
            },
            findings: FindingsArgs {
                cache: deps.cache.clone(),
                directory: deps.directory.clone(),
                historian: deps.historian.clone(),
                face: deps.findings.clone(),
            },
            doors: doors(deps.clone()),
        };
        let (root, _) = Actor::spawn(None, Root, args)
            .await
            .map_err(|error| SetupError::Actors(error.to_string()))?;
        *deps.reloader.lock().await = Some(root.clone());
        reconcile(&root, wanted).await?;
        Ok(Self { root, deps })
    }

    /// Opens the doors.
    ///
    /// # Errors
    /// The root has gone.
    pub fn open_doors(&self) -> Result<(), SetupError> {
        self.root
            .send_message(RootMsg::OpenDoors)
            .map_err(|error| SetupError::Actors(error.to_string()))
    }

    /// Gives the handles that tools work with.
    #[must_use]
    pub fn deps(&self) -> &Deps {
        &self.deps
    }

    /// Ends everything in order within 5 s.
    pub async fn stop(self) {
        match self.root.call(RootMsg::Shutdown, Some(STOP_MAX)).await {
            Ok(CallResult::Success(())) => (),
            _ => tracing::warn!("the shutdown was cut off"),
        }
    }
}

/// Whether the newest history goes into the rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restore {
    Tail,
    Nothing,
}

impl Deps {
    /// Reads the configuration again and applies the difference.
    ///
    /// What is now wrong keeps its last good form.
    ///
    /// # Errors
    /// The file can't be used at all; nothing has changed.
    pub async fn reload(&self) -> Result<Reloaded, SetupError> {
        let reloader = self.reloader.lock().await;
        let root = reloader.as_ref().ok_or_else(|| SetupError::Actors("not started".into()))?;
        let before = self.config.read().clone();
        // Opening the secret store takes half a second of computing.
        let setup = self.setup.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&setup)).await;
        let loaded = loaded.map_err(|error| SetupError::Actors(error.to_string()))?;
        let loaded = loaded.map_err(SetupError::Config)?;
        let loaded = config::keep_last_good(loaded, &before);
        let changes = config::diff(&before, &loaded);
        let problems = loaded.problems.clone();
        let history = loaded.history;
        let loaded = Arc::new(loaded);
        let wanted = self.prepare(&loaded, Restore::Nothing)?;
        // Nothing can fail or be cut off between here and the message to the root.
        *self.historian.history.lock() = history;
        *self.config.write() = loaded;
        reconcile(root, wanted).await?;
        Ok(Reloaded { changes, problems })
    }

    /// Numbers the tags, tells the cache of them, and gathers endpoints into connections.
    fn prepare(&self, config: &Config, restore: Restore) -> Result<Vec<Connection>, SetupError> {
        let tags: Vec<&Arc<Tag>> = config.endpoints.iter().flat_map(|e| &e.tags).collect();
        let names: Vec<(TagName, Vec<TagName>)> =
            tags.iter().map(|tag| (tag.name.clone(), tag.was.clone())).collect();
        let ids = self.store.intern(&names)?;
        let known: Vec<TagId> = self.cache.tags().into_iter().map(|(id, _)| id).collect();
        for gone in known.iter().filter(|id| !ids.contains(id)) {
            self.cache.retire(*gone);
        }
        for (id, tag) in ids.iter().zip(&tags) {
            self.cache.define(*id, (*tag).clone());
        }
        if restore == Restore::Tail {
            let rows = CacheLimits::default().rows_per_group;
            for (id, window) in self.store.tail(&ids, rows)? {
                self.cache.restore(id, &window);
            }
            for (endpoint, block) in self.store.blocks()? {
                self.cache.restore_block(&endpoint, block);
            }
        }
        let id_of = |tag: &Tag| self.cache.resolve(&tag.name);
        Ok(connections(&config.endpoints, self.setup.protocols, &id_of))
    }
}

fn load(setup: &Setup) -> Result<Config, Vec<Problem>> {
    let sources = Sources {
        protocols: setup.protocols,
        env: &|name| (setup.env)(name),
        state_dir: &setup.state_dir,
        master: setup.master.as_ref(),
    };
    config::load(setup.config.as_deref(), sources)
}

async fn reconcile(root: &ActorRef<RootMsg>, wanted: Vec<Connection>) -> Result<(), SetupError> {
    let asked = root.call(|done| RootMsg::Reconcile(wanted, done), Some(RECONCILE_MAX)).await;
    match asked {
        Ok(CallResult::Success(())) => Ok(()),
        Ok(_) => Err(SetupError::Actors("the endpoints' supervisor did not answer".into())),
        Err(error) => Err(SetupError::Actors(error.to_string())),
    }
}
