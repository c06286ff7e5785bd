//! Where the log goes: stderr, or a file that stays small. Never stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;

/// A log file above this is set aside; with the one before it, twice as much is kept.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Starts logging, filtered by `$RUST_LOG`, and shortens a panic to one line.
///
/// # Errors
/// The file can't be written.
pub fn start(file: Option<&Path>) -> io::Result<()> {
    let chosen = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let mut filter = EnvFilter::builder().parse_lossy(chosen);
    // rmcp writes arguments at debug. The OPC UA library logs errors of its own beside the ones
    // it returns, with text of the server in them: the poller logs ours.
    for quiet in [
        "rmcp=warn",
        "opcua_client=off",
        "opcua_core=off",
        "opcua_crypto=off",
        "opcua_server=off",
        "opcua_types=off",
        "tokio_modbus=warn",
        // Its spans put the numbers of actors, which nobody else knows, before each line.
        "ractor=warn",
    ] {
        if let Ok(directive) = quiet.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let started = match file {
        None => format.with_writer(io::stderr).with_ansi(false).try_init(),
        Some(path) => {
            let log = BoundedLog(Arc::new(Mutex::new(LogFile::open(path)?)));
            format.with_writer(move || log.clone()).with_ansi(false).try_init()
        }
    };
    started.map_err(io::Error::other)?;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(%place, "panic: {}", text.unwrap_or("without a message"));
    }));
    Ok(())
}

/// Opens a log for appending, setting a large one aside.
///
/// # Errors
/// The file can't be opened.
pub(crate) fn open_bounded(path: &Path) -> io::Result<File> {
    if path.metadata().is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        std::fs::rename(path, PathBuf::from(aside))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = open_bounded(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes })
    }
}

#[derive(Clone)]
struct BoundedLog(Arc<Mutex<LogFile>>);

impl Write for BoundedLog {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock();
        if log.bytes > LOG_BYTES_MAX {
            *log = LogFile::open(&log.path)?;
        }
        let count = log.file.write(text)?;
        log.bytes += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_outgrows_its_bound_by_more_than_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collector.log");
        let mut log = BoundedLog(Arc::new(Mutex::new(LogFile::open(&path).unwrap())));
        let line = [b'x'; 64 * 1024];
        for _ in 0..80 {
            log.write_all(&line).unwrap();
        }
        let most = LOG_BYTES_MAX + 64 * 1024;
        assert!(path.metadata().unwrap().len() <= most);
        assert!(dir.path().join("collector.log.1").metadata().unwrap().len() <= most);
        assert_eq!(dir.path().read_dir().unwrap().count(), 2);
    }
}
