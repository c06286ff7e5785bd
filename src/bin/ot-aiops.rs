//! The collector, and the bridge to it.

use std::process::ExitCode;

use ot_aiops::surface::cli::collector::{Build, main as run};

fn main() -> ExitCode {
    run(Build { protocols: &[], demo: None })
}
