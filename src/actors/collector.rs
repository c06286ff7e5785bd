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
use super::findings::{FindingsArgs, FindingsFace};
use super::historian::{HistorianArgs, HistorianFace};
use super::root::{Root, RootArgs, RootMsg};
use super::writes::{Budgets, Cause, Desk};
use crate::cache::{CacheLimits, TagCache};
use crate::clock;
use crate::config::{self, Audit, Change, Config, Problem, Sources};
use crate::driver::Protocol;
use crate::govern::breaker::Breaker;
use crate::ledger::{Event, Ledger, LedgerError, Outlet, Settings, What};
use crate::model::{EndpointName, Secret, Tag, TagId, TagName};
use crate::store::{SampleStore, StoreError};

/// The shutdown as a whole: 5 s are promised, the rest is for the process itself.
const STOP_MAX: Duration = Duration::from_millis(4800);
/// A reload closes sessions and opens others; it never waits for a device to answer.
const RECONCILE_MAX: Duration = Duration::from_secs(8);

/// An actor that takes longer to answer is as good as dead.
const PULSE_MAX: Duration = Duration::from_secs(5);

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
    /// Whether it ends by itself: then it writes nothing.
    pub stay: Stay,
    /// Reads an environment variable.
    pub env: fn(&str) -> Option<String>,
    /// What opens the secret store, where it was given.
    pub master: Option<Secret>,
}

/// How long a collector runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Until somebody ends it.
    Standing,
    /// As long as somebody asks: nobody answers for its writes, so there are none.
    UntilIdle,
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
    /// The audit can't be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
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
    /// Why the policy beside it can't be used: writes are frozen.
    pub policy_fault: Option<String>,
}

impl Reloaded {
    /// Counts what it did.
    #[must_use]
    pub fn in_words(&self) -> String {
        let count = |is: fn(&Change) -> bool| self.changes.iter().filter(|c| is(c)).count();
        format!(
            "endpoints: {} added, {} changed, {} removed, {} unchanged",
            count(|c| matches!(c, Change::Added(_))),
            count(|c| matches!(c, Change::Changed(_))),
            count(|c| matches!(c, Change::Removed(_))),
            count(|c| matches!(c, Change::Unchanged(_))),
        )
    }
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
        let ledger = Arc::new(Ledger::open(&setup.state_dir, audit(&loaded.audit), clock::now())?);
        let historian = HistorianFace::new(loaded.history);
        if let Some(bad) = &opened.report.quarantined {
            tracing::error!("history could not be read and was set aside as {}", bad.display());
            historian.report.lock().quarantined = Some(bad.display().to_string());
        }
        let desk = desk(&setup, &ledger)?;
        let findings = Arc::<FindingsFace>::default();
        findings.restore(&ledger, clock::now())?;
        let deps = Deps::new(Inner {
            cache: TagCache::new(CacheLimits::default()),
            store: Arc::new(opened.store),
            ledger,
            desk,
            directory: Arc::new(Directory::default()),
            historian,
            findings,
            config: parking_lot::RwLock::new(Arc::new(loaded)),
            breaker: Breaker::default(),
            started: clock::now(),
            reloader: Mutex::new(None),
            setup,
        });
        let mut config = Config::clone(&deps.config.read());
        let granted = deps.hold_budgets(&mut config, Budgets::Kept);
        let wanted = deps.prepare(&config, Restore::Tail)?;
        *deps.config.write() = Arc::new(config);
        let args = RootArgs {
            ledger: deps.ledger.clone(),
            historian: HistorianArgs {
                store: deps.store.clone(),
                cache: deps.cache.clone(),
                face: deps.historian.clone(),
            },
            endpoints: EndpointsArgs {
                cache: deps.cache.clone(),
                directory: deps.directory.clone(),
            },
            command: deps.clone(),
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
        let started = Event::new(What::Started).with("version", env!("CARGO_PKG_VERSION"));
        if let Err(error) = deps.ledger.put(started, vec![granted]).await {
            tracing::error!("the start could not be recorded, writes are frozen: {error}");
        }
        deps.load_policy().await;
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

    /// Gives what tells whether the actors live.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse(self.root.clone())
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

/// Tells whether the root actor answers.
pub struct Pulse(ActorRef<RootMsg>);

impl Pulse {
    /// Asks the root actor, which never waits for a device.
    pub async fn is_felt(&self) -> bool {
        let asked = self.0.call(RootMsg::Ping, Some(PULSE_MAX)).await;
        matches!(asked, Ok(CallResult::Success(())))
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
    pub async fn reload(&self, budgets: Budgets) -> Result<Reloaded, SetupError> {
        let reloader = self.reloader.lock().await;
        let root = reloader.as_ref().ok_or_else(|| SetupError::Actors("not started".into()))?;
        let before = self.config.read().clone();
        // Opening the secret store takes half a second of computing.
        let setup = self.setup.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&setup)).await;
        let loaded = loaded.map_err(|error| SetupError::Actors(error.to_string()))?;
        let loaded = loaded.map_err(SetupError::Config)?;
        let mut loaded = config::keep_last_good(loaded, &before);
        let granted = self.hold_budgets(&mut loaded, budgets);
        let changes = config::diff(&before, &loaded);
        let problems = loaded.problems.clone();
        let history = loaded.history;
        let loaded = Arc::new(loaded);
        let wanted = self.prepare(&loaded, Restore::Nothing)?;
        // Nothing can fail or be cut off between here and the message to the root.
        *self.historian.history.lock() = history;
        self.ledger.configure(audit(&loaded.audit));
        *self.config.write() = loaded;
        reconcile(root, wanted).await?;
        self.load_policy().await;
        let recorded = self.ledger.put(applied(&changes, &problems), vec![granted]).await;
        if let Err(error) = recorded {
            tracing::error!("a change of the configuration was not recorded: {error}");
        }
        let policy_fault = self.desk.freeze.by(Cause::Policy);
        Ok(Reloaded { changes, problems, policy_fault })
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

/// Takes up the tickets where they stand, and says why this collector may write nothing.
fn desk(setup: &Setup, ledger: &Ledger) -> Result<Desk, SetupError> {
    let desk = Desk::default();
    desk.restore(ledger)?;
    let why = if !cfg!(feature = "writes") {
        Some("this build has no write path")
    } else if setup.stay == Stay::UntilIdle {
        Some("this collector ends with its last session (--exit-idle); start ot-aiops run")
    } else {
        None
    };
    desk.freeze.set(Cause::Transient, why.map(str::to_owned));
    Ok(desk)
}

/// Makes the record of a configuration that was applied.
fn applied(changes: &[Change], problems: &[Problem]) -> Event {
    let names = |which: fn(&Change) -> Option<&EndpointName>| -> serde_json::Value {
        changes.iter().filter_map(which).map(ToString::to_string).collect()
    };
    Event::new(What::ConfigurationChanged)
        .with("added", names(|c| if let Change::Added(name) = c { Some(name) } else { None }))
        .with("removed", names(|c| if let Change::Removed(name) = c { Some(name) } else { None }))
        .with("changed", names(|c| if let Change::Changed(name) = c { Some(name) } else { None }))
        .with("problems", problems.len())
}

/// Gives the ledger's settings.
fn audit(config: &Audit) -> Settings {
    let file = config.file.clone().map(|path| Outlet::File(path.into()));
    let syslog = config.syslog.clone().map(|path| Outlet::Syslog(path.into()));
    let journald = config.journald.clone().map(|path| Outlet::Journald(path.into()));
    let outlets = [file, syslog, journald].into_iter().flatten().collect();
    Settings { max_bytes: config.max_bytes, outlets }
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
