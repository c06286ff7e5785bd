//! Servers that others wrote: started at the first use, ended with the run.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The longest that a server may take until it says READY, on a machine busy with a build.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between our choosing a free port and the server's binding it, another process may take it.
const PORT_TRIES: usize = 3;

/// A server in a process of its own. It ends when this is dropped, or when the tests end.
pub(crate) struct Peer {
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    child: Child,
    /// The leash: its end is the server's end, whatever way these tests end.
    leash: Option<ChildStdin>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.leash = None;
        if let Err(e) = self.child.wait() {
            eprintln!("a server could not be awaited: {e}");
        }
    }
}

/// Gives a path below the package.
pub(crate) fn package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Gives a folder of its own below `target`, for what servers keep between runs.
pub(crate) fn kept(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Finds a port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The Python of one environment of `tests/peers/setup`, with a script of `tests/peers`.
pub(crate) fn python(environment: &str, script: &str) -> Vec<String> {
    let python = package(&format!("target/peers/{environment}/bin/python"));
    assert!(python.exists(), "{} is missing: run tests/peers/setup", python.display());
    vec![text(&python), "-u".to_owned(), text(&package(&format!("tests/peers/{script}")))]
}

/// Node with a script of `tests/peers`.
pub(crate) fn node(script: &str) -> Vec<String> {
    vec!["node".to_owned(), text(&package(&format!("tests/peers/{script}")))]
}

/// The folder of the npm packages.
pub(crate) fn node_path() -> PathBuf {
    let path = package("target/peers/node/node_modules");
    assert!(path.exists(), "{} is missing: run tests/peers/setup", path.display());
    path
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// asyncua: OPC UA at `/sim`, certificates in [`asyncua_certificates`].
pub(crate) fn asyncua() -> Peer {
    Peer::on_free_port("asyncua", |port| {
        let mut words = python("opcua", "opcua_asyncua_server.py");
        words.extend(["--port".to_owned(), port.to_string(), "--certdir".to_owned()]);
        words.push(text(&asyncua_certificates()));
        words
    })
}

/// Where asyncua keeps the certificate it made at its first start.
pub(crate) fn asyncua_certificates() -> PathBuf {
    kept("asyncua")
}

/// node-opcua: OPC UA at `/UA/Sim`, with conditions and history.
pub(crate) fn node_opcua() -> Peer {
    node_opcua_with(&[])
}

/// The same, with `NAME=VALUE` as its script says.
pub(crate) fn node_opcua_with(settings: &[&str]) -> Peer {
    Peer::on_free_port("node-opcua", |port| {
        let mut words = vec!["env".to_owned(), format!("PKI={}", kept("node-opcua").display())];
        words.extend(settings.iter().map(|setting| (*setting).to_owned()));
        words.extend(node("opcua_node_server.js"));
        words.push(port.to_string());
        words
    })
}

/// pymodbus over TCP.
pub(crate) fn pymodbus() -> Peer {
    Peer::on_free_port("pymodbus", |port| {
        let mut words = python("modbus", "modbus_pymodbus_server.py");
        words.extend(["--port".to_owned(), port.to_string()]);
        words
    })
}

/// modbus-serial over TCP.
pub(crate) fn modbus_serial() -> Peer {
    Peer::on_free_port("modbus-serial", |port| {
        let mut words = node("modbus_node_server.js");
        words.push(port.to_string());
        words
    })
}

/// python-snap7: an S7 controller with DB1, DB2 and 512 bytes of the other areas.
pub(crate) fn snap7() -> Peer {
    Peer::on_free_port("snap7", |port| {
        let mut words = python("s7", "s7_snap7_server.py");
        words.extend(["--port".to_owned(), port.to_string()]);
        words
    })
}

/// A Mitsubishi controller written from the public specification, apart from our codec; `fault`
/// is how it sends its answers: `none`, `split`, `glue`, `half` or `rst`.
pub(crate) fn mc_sim(fault: &str) -> Peer {
    Peer::on_free_port("mc_sim", |port| {
        let script = text(&package("tests/peers/mc_sim.py"));
        let words = ["python3", "-u", &script, "--port", &port.to_string(), "--fault", fault];
        words.map(str::to_owned).to_vec()
    })
}

/// The PyPI package's agent: device CNC1, no namespace, no sequence numbers, no streams.
pub(crate) fn mtconnect_agent() -> Peer {
    Peer::on_free_port("mtconnect", |port| {
        let mut words = python("mtc", "mtc_pyagent.py");
        words.push(port.to_string());
        words
    })
}

/// The same agent with the standard's sequence numbers, OUT_OF_RANGE and streams over its buffer
/// of so many observations.
pub(crate) fn mtconnect_stream(buffer: u32) -> Peer {
    Peer::on_free_port("mtconnect-stream", |port| {
        let mut words = vec!["env".to_owned(), format!("BUFFER_SIZE={buffer}")];
        words.extend(python("mtc", "mtc_pyagent.py"));
        words.extend([port.to_string(), "--stream".to_owned()]);
        words
    })
}

/// A TLS front of Python's own before a port, with a certificate and its key.
pub(crate) fn tls_front(target: u16, certificate: &Path, key: &Path) -> Peer {
    Peer::on_free_port("tls-front", |port| {
        let mut words = vec!["python3".to_owned(), "-u".to_owned()];
        words.push(text(&package("tests/peers/tls_front.py")));
        words.extend([port.to_string(), target.to_string(), text(certificate), text(key)]);
        words
    })
}

/// asyncua at `/tree`, with the nodes of a plan as `opcua_tree_server.py` reads it.
pub(crate) fn opcua_tree(plan: &serde_json::Value) -> Peer {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), plan.to_string()).unwrap();
    Peer::on_free_port("opcua-tree", |port| {
        let mut words = python("opcua", "opcua_tree_server.py");
        words.extend(["--port".to_owned(), port.to_string(), text(file.path())]);
        words
    })
}

/// A serial line, and what keeps it and its far end alive.
pub(crate) struct SerialLine {
    /// The terminal at our end.
    pub(crate) near: PathBuf,
    _processes: Vec<Peer>,
    _folder: tempfile::TempDir,
}

/// pymodbus as RTU slave (units 1 and 2, 19200 8N1) behind a pair of pseudo-terminals.
pub(crate) fn pymodbus_rtu() -> SerialLine {
    let folder = tempfile::tempdir().unwrap();
    let [near, far] = ["near", "far"].map(|name| folder.path().join(name));
    let end = |path: &Path| format!("PTY,link={},raw,echo=0", path.display());
    let line = socat(&end(&near), &end(&far), &[&near, &far]);
    let mut words = python("modbus", "modbus_pymodbus_server.py");
    words.extend(["--serial".to_owned(), text(&far)]);
    let slave = Peer::start("pymodbus-rtu", &words, 0).unwrap_or_else(|why| panic!("{why}"));
    SerialLine { near, _processes: vec![slave, line], _folder: folder }
}

/// A serial line whose far end is a TCP port of 127.0.0.1.
pub(crate) fn terminal_before(port: u16) -> SerialLine {
    let folder = tempfile::tempdir().unwrap();
    let near = folder.path().join("near");
    let end = format!("PTY,link={},raw,echo=0", near.display());
    let line = socat(&end, &format!("TCP:127.0.0.1:{port}"), &[&near]);
    SerialLine { near, _processes: vec![line], _folder: folder }
}

/// Joins two ends. socat says nothing when it is ready: the links it makes are the sign.
fn socat(one: &str, other: &str, links: &[&Path]) -> Peer {
    let script = r#"socat "$1" "$2" &
        shift 2
        for link; do until [ -e "$link" ]; do sleep 0.05; done; done
        echo READY
        wait"#;
    let mut words = ["bash", "-c", script, "socat", one, other].map(str::to_owned).to_vec();
    words.extend(links.iter().map(|link| text(link)));
    Peer::start("socat", &words, 0).unwrap_or_else(|why| panic!("{why}"))
}

impl Peer {
    /// Starts a server on a port that was free a moment ago.
    pub(crate) fn on_free_port(name: &str, words: impl Fn(u16) -> Vec<String>) -> Self {
        let mut why = String::new();
        for _ in 0..PORT_TRIES {
            let port = free_port();
            match Self::start(name, &words(port), port) {
                Ok(peer) => return peer,
                Err(failure) => why = failure,
            }
        }
        panic!("{why}");
    }

    /// Starts a server and waits until it prints READY.
    ///
    /// # Errors
    /// What the server wrote before it ended or its time was up.
    pub(crate) fn start(name: &str, words: &[String], port: u16) -> Result<Self, String> {
        let log = kept("logs").join(format!("{name}-{}-{port}.log", std::process::id()));
        let mut child = Command::new(package("tests/peers/leash"))
            .args(words)
            .env("NODE_PATH", node_path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let leash = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let peer = Self { port, child, leash };
        let (said, hear) = channel();
        // Reads on after READY too, so that a talkative server never blocks.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("READY") && said.send(()).is_err() {
                    return;
                }
            }
        });
        let started = Instant::now();
        match hear.recv_timeout(READY_WITHIN) {
            Ok(()) => Ok(peer),
            Err(end) => {
                drop(peer);
                let how = match end {
                    RecvTimeoutError::Timeout => "was not ready",
                    RecvTimeoutError::Disconnected => "ended",
                };
                let written = std::fs::read_to_string(&log).unwrap_or_default();
                let seconds = started.elapsed().as_secs();
                Err(format!("{name} {how} after {seconds} s: {words:?}\n{written}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::eventually;

    #[test]
    fn a_server_that_ends_before_it_is_ready_is_reported_with_what_it_wrote() {
        let words = ["sh", "-c", "echo the port is taken >&2; exit 1"].map(str::to_owned);
        let why = Peer::start("failing", &words, 0).err().unwrap();
        assert!(why.contains("ended") && why.contains("the port is taken"), "{why}");
    }

    #[tokio::test]
    async fn dropping_a_server_ends_its_whole_process_group() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = r#"sleep 1000 & echo $! > "$1"; echo READY; wait"#;
        let words = ["bash", "-c", script, "x", pid.to_str().unwrap()].map(str::to_owned);
        drop(Peer::start("group", &words, 0).unwrap());
        let pid = std::fs::read_to_string(pid).unwrap();
        eventually("the child of the server is gone", async || {
            // The state of a process that is gone, or that nobody has reaped yet.
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            state.map_or(true, |text| text.contains(") Z ")).then_some(())
        })
        .await;
    }

    #[test]
    fn every_server_starts() {
        let bus = [pymodbus(), modbus_serial(), asyncua(), node_opcua()];
        let controllers = [snap7(), mc_sim("none"), mtconnect_agent()];
        for peer in bus.into_iter().chain(controllers) {
            assert!(std::net::TcpStream::connect(("127.0.0.1", peer.port)).is_ok());
        }
        assert!(pymodbus_rtu().near.exists());
    }
}
