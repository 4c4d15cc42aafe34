//! Reads the command line, runs what it says, and turns the end into an exit code.

use std::process::ExitCode;

use signalbox::cli;
use tikv_jemallocator::Jemalloc;

/// What a burst of large bodies took goes back to the system within a minute of idling.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // One cryptography for every TLS connection of the process, before the first is made.
    drop(rustls::crypto::ring::default_provider().install_default());
    cli::main()
}
