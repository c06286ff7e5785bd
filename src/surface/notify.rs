//! The service manager's notification socket (sd_notify(3)), by hand: one datagram.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells the service manager of a state; without one this does nothing.
pub(crate) fn notify_service_manager(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(socket.as_bytes(), state) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// Gives how often the service manager wants to hear that we live (sd_watchdog_enabled(3)): twice
/// in the time it allows. Nothing where it does not watch this process.
pub(crate) fn watchdog_every() -> Option<Duration> {
    let env = |name: &str| std::env::var(name).ok();
    watched(env("WATCHDOG_USEC"), env("WATCHDOG_PID"))
}

fn watched(allowed_us: Option<String>, pid: Option<String>) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
    let allowed = Duration::from_micros(allowed_us?.parse().ok()?);
    (is_ours && !allowed.is_zero()).then_some(allowed / 2)
}

fn send(socket: &[u8], state: &str) -> io::Result<()> {
    let address = match socket.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(socket))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_arrives_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), "READY=1").unwrap();
        let name = format!("ot-aiops-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_bytes(), "READY=1").unwrap();
        for socket in [by_path, by_name] {
            let mut got = [0; 16];
            let count = socket.recv(&mut got).unwrap();
            assert_eq!(&got[..count], b"READY=1");
        }
        assert!(send(b"/nowhere/at/all", "READY=1").is_err());
    }

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_and_only_by_whom_it_watches() {
        let text = |text: &str| Some(text.to_owned());
        let own = std::process::id().to_string();
        let half = Some(Duration::from_secs(15));
        assert_eq!(watched(text("30000000"), None), half);
        assert_eq!(watched(text("30000000"), Some(own)), half);
        assert_eq!(watched(text("30000000"), text("1")), None);
        for none in [None, text("0"), text("soon")] {
            assert_eq!(watched(none, None), None);
        }
    }
}
