//! Measures the meter: how many events it counts beside plain consumption of the same stream, and how long roll-ups take to
//! answer.
//!
//! `bench-meter [EVENTS [ROLLED_UP]]`. Prints what `README.md` beside it quotes.
#![expect(clippy::print_stdout, reason = "a command's figures go to standard output")]

mod cpu;
mod events;
mod queries;
mod throughput;

/// As the executable's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Events that pass through JetStream unless said; none: this is not measured.
const EVENTS: u64 = 100_000;
/// Events that are rolled up before queries are timed, unless said; none: they are not.
const ROLLED_UP: u64 = 10_000_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Another may have installed it; either is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().map_or(Ok(usual), |text| text.parse());
    let (count, rolled_up) = (number(EVENTS)?, number(ROLLED_UP)?);
    if count > 0 {
        throughput::measure(count).await?;
    }
    if rolled_up > 0 {
        queries::measure(rolled_up).await?;
    }
    Ok(())
}
