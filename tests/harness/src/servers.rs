//! The servers of a distributed house, as an operator would run them: each a process of its own, on a free port,
//! with state in a temporary directory, killed when it is dropped.

mod bao;
mod nats;
mod nats_jwt;
mod postgres;

pub use bao::Bao;
pub use nats::{Gate, Nats};
pub use postgres::Database;

use std::net::TcpListener;

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port").port()
}
