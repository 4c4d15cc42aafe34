//! The whole program: one executable, any set of roles. Only here do the doors and the services meet.
//!
//! `up` runs every role in one process, with a supervised nats-server, SQLite and the sealed key store, unless
//! `NATS_URL`, `DATABASE_URL` or `VAULT_ADDR` name others. `run` runs the roles it is given.

pub mod cli;
mod doors;
mod house;
mod relay;
pub mod schemas;
mod shelf;

pub use house::{Addresses, House, Options, Role};
