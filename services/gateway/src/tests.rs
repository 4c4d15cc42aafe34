//! Calls through a whole gateway: a real bus, a real key store, and providers on this machine.

pub(crate) mod house;
mod provider;

/// As the executable's where figures are made, which is in release builds: what the check of limits waits for is memory, and
/// where that lies is the allocator's choice. Tests look at resident memory, of which this one keeps some for later.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod batching;
mod bus_away;
mod caching;
mod chatting;
mod cut_off;
mod encoding;
mod failing;
mod hanging;
mod keys;
mod limits;
mod merging;
mod operating;
mod passing;
mod pauses;
mod quotas;
mod recalling;
mod routing;
mod slow;
mod spending;
mod streaming;
mod telling;
mod tokens;
mod websocket;
