//! Calls through a whole gateway: a real bus, a real key store, and providers on this machine.

pub(crate) mod house;
mod provider;

/// As the executable's, so that what memory is taken, and how long it is waited for, is as it is there.
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
