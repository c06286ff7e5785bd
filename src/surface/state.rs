//! The state directory: where it is, whose it is, and what stands in it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::config;
use crate::dbfile::NO_FOLLOW;

/// The kernel takes 107 bytes; the rest is room for the name a socket bears while it is made.
const SOCKET_PATH_BYTES_MAX: usize = 100;
/// The sticky bit (chmod(2)).
const STICKY: u32 = 0o1000;
/// Others may pass through to the sockets, which have their own modes, but not look around.
const DIRECTORY_MODE: u32 = 0o711;

/// Why a state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A socket's path is too long for the kernel.
    #[error(
        "the socket path {path} has {bytes} bytes, above {SOCKET_PATH_BYTES_MAX}; \
         choose a shorter state directory with --state"
    )]
    PathTooLong {
        /// The path.
        path: String,
        /// Its length.
        bytes: usize,
    },
    /// Another collector runs on it.
    #[error("another collector owns this state directory, pid {pid}: {directory}")]
    Owned {
        /// Its process id, or `unknown`.
        pid: String,
        /// The state directory.
        directory: String,
    },
    /// Others could have put something in it.
    #[error("{path} is not this user's own: {what}; choose another directory with --state")]
    NotOurs {
        /// The path.
        path: String,
        /// Why.
        what: String,
    },
    /// A file or directory can't be used.
    #[error("{doing} {path}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// No home directory, no `--state`.
    #[error("no state directory: give --state DIR, or set OT_AIOPS_HOME or HOME")]
    Nowhere,
}

fn not_ours(path: &Path, what: String) -> StateError {
    StateError::NotOurs { path: path.display().to_string(), what }
}

pub(crate) fn failed<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |error| StateError::Io { doing, path: path.display().to_string(), error }
}

/// A state directory by its path. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Takes a path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Finds it: what was given, else where the environment says, else the system's where its
    /// socket answers, else the user's own.
    ///
    /// # Errors
    /// None of these is known.
    pub fn find(given: Option<&Path>) -> Result<Self, StateError> {
        let env = |name: &str| std::env::var(name).ok();
        let found = config::find_state(given, &env, &|path| Self::at(path).answers());
        let path = std::path::absolute(found.ok_or(StateError::Nowhere)?);
        path.map(Self).map_err(failed("finding", given.unwrap_or(Path::new("."))))
    }

    /// Tells whether a collector answers here, as far as we may know.
    fn answers(&self) -> bool {
        [self.agent_socket(), self.operator_socket()].iter().any(|path| {
            match UnixStream::connect(path) {
                Ok(_) => true,
                Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
            }
        })
    }

    /// Gives its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the directory of what exists while a collector runs.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Gives the agents' socket.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.run().join("agent.sock")
    }

    /// Gives the operators' socket.
    #[must_use]
    pub fn operator_socket(&self) -> PathBuf {
        self.run().join("operator.sock")
    }

    /// Gives the log of a collector that was started by a bridge.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.run().join("collector.log")
    }

    /// Tells whether the sockets' paths are short enough for the kernel.
    ///
    /// # Errors
    /// One is too long.
    pub fn fits(&self) -> Result<(), StateError> {
        for path in [self.agent_socket(), self.operator_socket()] {
            let bytes = path.as_os_str().len();
            if bytes > SOCKET_PATH_BYTES_MAX {
                return Err(StateError::PathTooLong { path: path.display().to_string(), bytes });
            }
        }
        Ok(())
    }

    /// Makes the directories where they are missing, and refuses paths that are too long.
    ///
    /// # Errors
    /// A path is too long, or a directory can't be made.
    pub fn prepare(&self) -> Result<(), StateError> {
        self.fits()?;
        if self.run().symlink_metadata().is_ok_and(|about| about.is_symlink()) {
            return Err(not_ours(&self.run(), "it is a link".to_owned()));
        }
        for directory in [self.0.clone(), self.run()] {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE);
            builder.create(&directory).map_err(failed("making", &directory))?;
            let about = directory.metadata().map_err(failed("reading", &directory))?;
            let own = rustix::process::getuid().as_raw();
            if about.uid() != own && about.uid() != 0 {
                return Err(not_ours(&directory, format!("it belongs to user {}", about.uid())));
            }
            let mode = about.permissions().mode();
            // A directory that everybody writes to, such as /tmp, is nobody's to close.
            if mode & 0o777 != DIRECTORY_MODE && mode & STICKY == 0 {
                let mode = Permissions::from_mode(DIRECTORY_MODE);
                std::fs::set_permissions(&directory, mode)
                    .map_err(failed("opening", &directory))?;
            }
        }
        Ok(())
    }

    /// Claims it for this process, before anything in it is touched.
    ///
    /// # Errors
    /// Another collector owns it, or it can't be written.
    pub fn claim(&self) -> Result<Claim, StateError> {
        self.prepare()?;
        let path = self.run().join("collector.lock");
        let mut open = OpenOptions::new();
        open.create(true).truncate(false).write(true).mode(0o600).custom_flags(NO_FOLLOW);
        let lock = open.open(&path).map_err(failed("opening", &path))?;
        let pid_file = self.run().join("collector.pid");
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = std::fs::read_to_string(&pid_file).unwrap_or_default();
                let pid = pid.trim().parse::<u32>().map_or("unknown".into(), |p| p.to_string());
                return Err(StateError::Owned { pid, directory: self.0.display().to_string() });
            }
            Err(error) => return Err(failed("locking", &path)(error.into())),
        }
        let mut open = OpenOptions::new();
        open.create(true).truncate(true).write(true).mode(0o600).custom_flags(NO_FOLLOW);
        open.open(&pid_file)
            .and_then(|mut file| writeln!(file, "{}", std::process::id()))
            .map_err(failed("writing", &pid_file))?;
        Ok(Claim { state: self.clone(), pid_file, _lock: lock })
    }
}

/// The state directory is ours until this is dropped, or the process dies.
#[derive(Debug)]
pub struct Claim {
    state: StateDir,
    pid_file: PathBuf,
    _lock: File,
}

impl Claim {
    /// Gives the directory.
    #[must_use]
    pub fn state(&self) -> &StateDir {
        &self.state
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.pid_file) {
            tracing::debug!(%error, "the pid file is gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_file_is_refused_and_what_it_points_to_left_alone() {
        let victim = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(victim.path(), "of somebody else").unwrap();
        for name in ["collector.lock", "collector.pid"] {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::at(dir.path());
            state.prepare().unwrap();
            symlink(victim.path(), state.run().join(name)).unwrap();
            let refusal = state.claim().unwrap_err().to_string();
            assert!(refusal.contains(name), "{refusal}");
            assert_eq!(std::fs::read_to_string(victim.path()).unwrap(), "of somebody else");
        }
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mode = || other.path().metadata().unwrap().permissions().mode();
        let (state, before) = (StateDir::at(dir.path()), mode());
        symlink(other.path(), state.run()).unwrap();
        let refusal = state.claim().unwrap_err().to_string();
        assert!(refusal.contains("run") && refusal.contains("link"), "{refusal}");
        assert_eq!(mode(), before);
    }

    #[test]
    fn a_second_collector_is_refused_by_the_firsts_pid() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let first = state.claim().unwrap();
        let refusal = state.claim().unwrap_err().to_string();
        assert!(refusal.contains(&format!("pid {}", std::process::id())), "{refusal}");
        drop(first);
        drop(state.claim().unwrap());
    }

    #[test]
    fn directories_let_others_through_but_not_in() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().join("new"));
        std::fs::create_dir(state.path()).unwrap();
        state.prepare().unwrap();
        for path in [state.path().to_owned(), state.run()] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o711);
        }
    }

    #[test]
    fn a_long_path_is_refused_by_name() {
        let state = StateDir::at(format!("/tmp/{}", "x".repeat(100)));
        let refusal = state.prepare().unwrap_err().to_string();
        assert!(refusal.contains("agent.sock") && refusal.contains("--state"), "{refusal}");
    }
}
