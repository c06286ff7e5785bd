//! The operator's client of a running collector.

fn main() -> std::process::ExitCode {
    ot_aiops::surface::cli::otctl::main()
}
