//! What the gate costs, and how long a value may change behind its back: the time from the fresh
//! read to the end of the write, over approved Modbus writes through a running collector.
//!
//! The target for the second is 5 ms at the 99th percentile on loopback; nothing is judged here.
//! Without `--bench` a few of each are made, which proves nothing but that it runs.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use ed25519_dalek::{Signer, SigningKey};
use ot_aiops::gate::{Clocks, Facts, Moment, authorize};
use ot_aiops::model::{
    Approval, Approver, Check, DataType, Quality, Scalar, Selection, Separation, Setpoint, Tag,
    Ticket, Tier, Value, Verdict, WordOrder, hex,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value as Json, json};

const ROUNDS: usize = 15;
const CALLS: u32 = 500;
const WRITES: usize = 1_000;
const OPENED: i64 = 1_790_000_000_000;
const TTL: i64 = 900_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> String {
    hex(key(seed).verifying_key().as_bytes())
}

fn sign(ticket: &Ticket, seed: u8, uid: u32) -> Approval {
    let signature = hex(&key(seed).sign(&ticket.canonical()).to_bytes());
    Approval { key: public(seed), signature, uid }
}

/// CPU time of this thread, which a busy machine does not stretch.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

fn ticket(tier: Tier) -> Ticket {
    Ticket {
        id: "MOC-1".into(),
        nonce: "00".repeat(16),
        endpoint: "plc".into(),
        identity: "aa".repeat(32),
        tag: "line/speed".into(),
        address: "holding:100".into(),
        unit_id: 0,
        data_type: "uint16".into(),
        order: WordOrder::Abcd,
        scale: None,
        unit: "rpm".into(),
        value: json!(120),
        raw: json!(120),
        before: json!(100),
        before_ms: OPENED,
        tier,
        before_tolerance: 0.0,
        readback_tolerance: 0.0,
        readback_delay_ms: 0,
        revert: false,
        requester_uid: 1601,
        reason_sha256: String::new(),
        policy_sha256: "bb".repeat(32),
        policy_epoch: 7,
        work_order: String::new(),
        undo_of: None,
        separation: Separation::Strict,
        created_ms: OPENED,
        not_after_ms: OPENED + TTL,
    }
}

fn verdict(tier: Tier) -> Verdict {
    let checks = vec![Check { rule: "range".into(), passed: true, detail: String::new() }];
    Verdict {
        checks,
        tier,
        before_tolerance: 0.0,
        readback_tolerance: 0.0,
        readback_delay_ms: 0,
        revert: false,
        ttl_ms: TTL,
        policy_sha256: "bb".repeat(32),
        policy_epoch: 7,
    }
}

/// Gives the median CPU time of one decision, in nanoseconds.
fn decision(approvals: u8, rounds: usize, calls: u32) -> anyhow::Result<u128> {
    let tier = if approvals == 1 { Tier::One } else { Tier::Two };
    let (ticket, verdict) = (ticket(tier), verdict(tier));
    let by: Vec<Approval> =
        (1..=approvals).map(|seed| sign(&ticket, seed, 1500 + u32::from(seed))).collect();
    let approver = |seed: u8| Approver {
        id: format!("person{seed}"),
        key: public(seed),
        uid: Some(1500 + u32::from(seed)),
        offline: false,
    };
    let facts = Facts {
        frozen: None,
        is_unused: true,
        approvers: (1..=4).map(approver).collect(),
        separation: Separation::Strict,
        collector_uid: 900,
    };
    let moment = |ms: u64| Moment {
        wall_ms: OPENED + i64::try_from(ms).unwrap_or_default(),
        uptime_ms: ms,
        boot: 1,
    };
    let clocks = Clocks { opened: moment(0), now: moment(1_000) };
    let tag = Arc::new(Tag::new("line/speed", "plc", "holding:100"));
    let setpoint = Setpoint::fit(&tag, DataType::One(Scalar::UInt16), Value::U64(120))?;
    let selection = Selection {
        setpoint,
        identity: "aa".repeat(32),
        before: Value::U64(100),
        quality: Quality::GOOD,
    };
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = cpu();
        for _ in 0..calls {
            let asked = black_box(selection.clone());
            authorize(asked, &ticket, &by, &verdict, &facts, clocks)
                .map_err(|refusal| anyhow!("{}", refusal.message))?;
        }
        times.push((cpu() - began).as_nanos() / u128::from(calls));
    }
    times.sort_unstable();
    times.get(rounds / 2).copied().context("no round")
}

/// A Modbus TCP server with one register, in threads of its own, for as long as we run.
fn serve() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let register = Arc::new(std::sync::Mutex::new([0_u8, 100]));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), register) = (stream, register.clone()) else { continue };
            std::thread::spawn(move || -> anyhow::Result<()> {
                stream.set_nodelay(true)?;
                let mut request = [0; 12];
                loop {
                    stream.read_exact(&mut request)?;
                    let mut held =
                        register.lock().map_err(|_| anyhow!("a server thread panicked"))?;
                    let [_, _, .., function, _, _, high, low] = request;
                    let answer = match function {
                        6 => {
                            *held = [high, low];
                            request.to_vec()
                        }
                        function => {
                            let head = [&request[..5], &[5, request[6], function, 2]].concat();
                            [head.as_slice(), held.as_slice()].concat()
                        }
                    };
                    stream.write_all(&answer)?;
                }
            });
        }
    });
    Ok(port)
}

/// A session at one of the collector's doors.
struct Session {
    out: UnixStream,
    lines: std::io::Lines<BufReader<UnixStream>>,
    id: u64,
}

impl Session {
    fn open(socket: &Path) -> anyhow::Result<Self> {
        let out = UnixStream::connect(socket)?;
        let lines = BufReader::new(out.try_clone()?).lines();
        let mut session = Self { out, lines, id: 0 };
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"}});
        session.request("initialize", &hello)?;
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        writeln!(session.out, "{ready}")?;
        Ok(session)
    }

    fn request(&mut self, method: &str, params: &Json) -> anyhow::Result<Json> {
        self.id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        writeln!(self.out, "{request}")?;
        loop {
            let line = self.lines.next().context("the session ended")??;
            let answer: Json = serde_json::from_str(&line)?;
            if answer.get("id") == Some(&json!(self.id)) {
                return Ok(answer);
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: &Json) -> anyhow::Result<Json> {
        let answer = self.request("tools/call", &json!({"name": tool, "arguments": arguments}))?;
        let content = answer.pointer("/result/structuredContent").cloned();
        let content = content.with_context(|| format!("{tool}: {answer}"))?;
        ensure!(content.get("error").is_none(), "{tool}: {content}");
        Ok(content)
    }
}

/// A collector of the built program, ended when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("the collector did not end: {error}");
        }
    }
}

fn start(home: &Path, port: u16) -> anyhow::Result<Running> {
    let user = rustix::process::getuid().as_raw();
    let config = format!(
        "[[agents]]\nuser = {user}\ntickets_per_hour = 1000\n\
         [[endpoints]]\nname = \"plc\"\nprotocol = \"modbus\"\nhost = \"127.0.0.1\"\n\
         port = {port}\nscan_ms = 1000\nbudget = {{ requests_per_s = 1000, burst = 1000, \
         on_demand_share = 1.0 }}\n\
         [[endpoints.tags]]\nname = \"line/speed\"\nref = \"holding:100\"\n"
    );
    let policy = format!(
        "version = 1\nepoch = 1\nmode = \"supervised\"\n[[approver]]\nid = \"offline\"\n\
         key = \"ed25519:{}\"\noffline = true\n[[write]]\ntag = \"line/speed\"\ntier = \"one\"\n\
         min = 0\nmax = 1000\nreadback = {{ delay_ms = 0, tolerance = 0.0 }}\n",
        public(7)
    );
    std::fs::write(home.join("config.toml"), config)?;
    std::fs::write(home.join("policy.toml"), policy)?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_ot-aiops"))
        .args(["run", "--config"])
        .arg(home.join("config.toml"))
        .arg("--state")
        .arg(home.join("state"))
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let log = child.stderr.take().context("no stderr")?;
    let running = Running(child);
    let mut lines = BufReader::new(log).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("ready"));
    ensure!(ready, "the collector is not ready");
    // Somebody has to read on.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(running)
}

/// Makes approved writes one after the other. Gives each one's time from the fresh read to the end
/// of the write, in microseconds, sorted.
fn windows(home: &Path, writes: usize) -> anyhow::Result<Vec<u64>> {
    let _running = start(home, serve()?)?;
    let run = home.join("state/run");
    let mut agent = Session::open(&run.join("agent.sock"))?;
    let mut operator = Session::open(&run.join("operator.sock"))?;
    let mut windows = Vec::new();
    for nth in 0..writes {
        let ask = json!({"tag": "line/speed", "value": 120 + nth % 2});
        let asked = agent.call("moc_request", &ask)?;
        let id = asked.get("moc_id").cloned().with_context(|| format!("no ticket: {asked}"))?;
        let shown = operator.call("moc_status", &json!({"id": id, "ticket": true}))?;
        let ticket: Ticket =
            serde_json::from_value(shown.get("ticket").cloned().unwrap_or_default())?;
        let Approval { key, signature, .. } = sign(&ticket, 7, 0);
        operator.call("moc_approve", &json!({"id": id, "key": key, "signature": signature}))?;
        let done = operator.call("moc_status", &json!({"id": id, "wait_s": 30}))?;
        ensure!(done.get("state") == Some(&json!("verified")), "{done}");
        windows.push(done.get("cas_window_us").and_then(Json::as_u64).context("no time")?);
    }
    windows.sort_unstable();
    Ok(windows)
}

fn main() -> anyhow::Result<()> {
    let in_earnest = std::env::args().any(|word| word == "--bench");
    let (rounds, calls, writes) = if in_earnest { (ROUNDS, CALLS, WRITES) } else { (1, 2, 5) };
    for approvals in [1, 2] {
        let nanos = decision(approvals, rounds, calls)?;
        println!("authorize with {approvals} approval(s), CPU: {nanos} ns");
    }
    let home = tempfile::tempdir_in(".")?;
    let windows = windows(home.path(), writes)?;
    let at = |part: usize| windows.get((windows.len() - 1) * part / 100).copied();
    let (Some(least), Some(median), Some(p99), Some(most)) = (at(0), at(50), at(99), at(100))
    else {
        return Err(anyhow!("no write was made"));
    };
    println!(
        "{writes} approved Modbus writes, fresh read to end of write: least {least} us, median \
         {median} us, p99 {p99} us, most {most} us (target: p99 of 5000 us)"
    );
    Ok(())
}
