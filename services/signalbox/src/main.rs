//! Reads the command line, runs what it says, and turns the end into an exit code.

use std::process::ExitCode;

use signalbox::cli;

fn main() -> ExitCode {
    // One cryptography for every TLS connection of the process, before the first is made.
    drop(rustls::crypto::ring::default_provider().install_default());
    cli::main()
}
