//! The collector, and the bridge to it.

use std::process::ExitCode;

use ot_aiops::protocols::PROTOCOLS;
use ot_aiops::surface::cli::collector::{Build, main as run};

fn main() -> ExitCode {
    #[cfg(feature = "demo")]
    let demo = Some(ot_aiops::surface::cli::demo::run as _);
    #[cfg(not(feature = "demo"))]
    let demo = None;
    run(Build { protocols: PROTOCOLS, demo })
}
