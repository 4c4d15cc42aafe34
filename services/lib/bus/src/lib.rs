//! The door to NATS JetStream: events, consumers, key-value buckets, leadership, questions, and the
//! supervised server.
//!
//! Only this crate names async-nats. It never decides anything: it carries what `model` spells, as often
//! as it takes. Publishing and consuming are both at-least-once, so every event has an id that stays the same
//! when it is sent again, and every handler must bear to see an event twice.

pub mod table;

mod connect;
mod declare;
mod error;
pub mod telemetry;

mod batch;
pub mod cloudevents;
mod headers;
mod publish;

mod backoff;
mod consume;
pub mod dead;
mod message;
mod pull;
mod tail;

mod ask;
mod kv;
mod leader;
mod snapshots;
mod watch;

pub mod server;

pub use ask::Answers;
pub use batch::BATCH_MAX;
pub use connect::{Bus, Login, SERVER_VERSION_MIN, Settings, Status};
pub use consume::{Batches, Consumer, Outcome};
pub use error::Error;
pub use kv::{Change, Entry, Kv};
pub use leader::{Leadership, Term};
pub use message::{Message, Unreadable};
pub use publish::{EVENT_BYTES_MAX, PUBLISH_DEADLINE, Receipt};
pub use server::{ServerError, ServerSettings, Supervised, find_server};
pub use table::{Bucket, Durable};
pub use tail::{Start, Tail};

#[cfg(test)]
mod tests;
