//! Measures the meter's forecast and anomaly detection on public data.
//!
//! `bench-forecast DATA_DIR`: the directory holds `metro-traffic/` and `nab/`, which are not ours and not committed.
//! Prints what `tests/bench/README.md` quotes; ends with 1 if a goal is missed.
#![expect(clippy::print_stdout, reason = "a command's figures go to standard output")]

mod corpus;
mod nab;
mod product;
mod score;
mod traffic;

use std::path::Path;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let Some(directory) = std::env::args().nth(1) else {
        anyhow::bail!("usage: bench-forecast DATA_DIR");
    };
    let directory = Path::new(&directory);
    let forecast = traffic::measure(&directory.join("metro-traffic"))?;
    let files = corpus::read(&directory.join("nab"))?;
    let anomalies = nab::measure(&files);
    let taxi = product::measure(&files);
    Ok(if forecast && anomalies && taxi { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
