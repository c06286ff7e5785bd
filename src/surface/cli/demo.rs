//! `ot-aiops demo`: a simulated plant and its collector in one process.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::runtime::Builder;

use super::wording::quoted;
use crate::actors::Plant;
use crate::demo::{self, DemoPlant, Fault};
use crate::protocols::PROTOCOLS;
use crate::surface::log;
use crate::surface::run::{self, RunError, RunOptions};
use crate::surface::state::StateDir;

/// The same line every time, so that what one user sees another can see too.
const SEED: u64 = 1;
/// Below the home directory, apart from that of a real collector.
const STATE: &str = ".ot-aiops-demo";

/// Runs it in a state directory of its own, with the named faults or all of them.
pub fn run(state: Option<&Path>, faults: &[String]) -> ExitCode {
    if faults.iter().any(|name| name == "list") {
        for fault in demo::list() {
            println!("{:<16} after {:>2} s  {}", fault.name, fault.starts_s, fault.what);
            println!("{:<16}             to find: {}", "", fault.found);
            if let Some((verdict, within_s)) = fault.detected {
                let (verdict, tag) = (verdict.word(), fault.tag);
                println!("{:<16}             as {verdict} on {tag}, within {within_s} s", "");
            }
        }
        return ExitCode::SUCCESS;
    }
    match prepare(state, faults) {
        Ok((state, chosen)) => host(state, &chosen),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn prepare(
    state: Option<&Path>,
    faults: &[String],
) -> Result<(StateDir, Vec<&'static Fault>), String> {
    let chosen = match faults {
        [] => demo::list().iter().filter(|fault| fault.is_usual).collect(),
        names => names
            .iter()
            .map(|name| {
                demo::by_name(name)
                    .ok_or_else(|| format!("no fault {name:?}; see ot-aiops demo --fault list"))
            })
            .collect::<Result<_, _>>()?,
    };
    let path = match state {
        Some(given) => given.to_owned(),
        None => {
            let home = std::env::var_os("HOME").ok_or("HOME is not set; give --state DIR")?;
            PathBuf::from(home).join(STATE)
        }
    };
    log::start(None).map_err(|error| error.to_string())?;
    Ok((StateDir::at(path), chosen))
}

fn host(state: StateDir, faults: &[&'static Fault]) -> ExitCode {
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    // Before anything of a demo that runs here already is written over.
    let claim = match state.claim() {
        Ok(claim) => claim,
        Err(error) => return RunError::from(error).report(),
    };
    let ended = runtime.block_on(async {
        let pki = state.path().join("plant");
        let plant = demo::start(faults, SEED, &pki).await.map_err(|error| error.to_string())?;
        let config = state.path().join("config.toml");
        std::fs::write(&config, plant.config_toml())
            .map_err(|error| format!("{} can't be written: {error}", config.display()))?;
        let policy = state.path().join("policy.toml");
        write_policy(&policy).map_err(|error| format!("{}: {error}", policy.display()))?;
        print_commands(&plant, state.path());
        let options = RunOptions {
            config: Some(config),
            state,
            exit_idle: None,
            plant: Plant::Demo,
            protocols: PROTOCOLS,
            master: None,
        };
        let ended = run::host_in(claim, options).await.map_err(|error| error.to_string());
        plant.stop().await;
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Writes the demo's policy where nobody else can write it: else it would not be taken.
fn write_policy(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(demo::POLICY.as_bytes())
}

/// Prints what to do next, as it can be pasted into another terminal.
fn print_commands(plant: &DemoPlant, state: &Path) {
    let otctl = format!("{} --state {}", otctl(), quoted(&state.display().to_string()));
    eprintln!("a simulated bottling line runs; its servers, for clients of your own too:");
    for (name, place) in plant.servers() {
        eprintln!("  {name:<12} {place}");
    }
    for fault in plant.faults() {
        eprintln!("  fault {:<16} after {:>2} s, {}", fault.name, fault.starts_s, fault.tag);
    }
    eprintln!("in another terminal:");
    for words in [
        "status",
        "tail 'demo/line1/filler/**'",
        "tag read demo/line1/filler/speed demo/line1/mixer/level",
        "finding list",
        "why demo/line1/packer/cases",
        "plot demo/line1/filler/speed --since 5m",
        "endpoint status",
    ] {
        eprintln!("  {otctl} {words}");
    }
    eprintln!("a write, from request to audit:");
    let steps = [
        "approver new me",
        "approver enrol me PUBLIC_KEY",
        "moc request demo/line1/filler/speed_setpoint 560 --reason 'try it'",
        "moc approve MOC-1",
        "audit verify",
    ];
    for words in steps {
        // What the step before prints is no line to paste from here.
        let is_printed = words.ends_with("PUBLIC_KEY");
        let before = if is_printed { "# the line that this prints: " } else { "" };
        eprintln!("  {before}{otctl} {words}");
    }
}

/// Gives the command that runs `otctl`: the one beside this program, or what builds it.
fn otctl() -> String {
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name("otctl"));
    match beside {
        Some(path) if path.is_file() => path.display().to_string(),
        _ => "cargo run --quiet --release --bin otctl --".to_owned(),
    }
}
