//! Providers as data: one file each under `providers/<category>/`, read, checked and judged by.
//!
//! Pure but for [`Catalogue::parse_dir`], which reads an operator's own files. It calls nobody, knows no clock
//! (what an answer says of absolute times is measured by the answer's own `Date`) and holds no secret. Adding a
//! provider needs a file and no Rust.

mod provider;

mod chat;
pub mod merge;
pub mod operation;

mod check;
mod error;
mod near;
mod read;
mod registry;
mod schema;

mod body;
mod judge;
mod usage;
mod wait;

pub use chat::{CHAT_SCHEMA_ID, ChatAnswer, ChatUsage, FinishReason, ToolCall, chat_schema};
pub use error::Error;
pub use judge::{Answer, BODY_BYTES_MAX, DETAIL_CHARS_MAX, Verdict, judge, judge_probe, judge_status};
pub use provider::*;
pub use read::{FILE_BYTES_MAX, FILES_MAX, parse};
pub use registry::{Catalogue, Own};
pub use schema::{SCHEMA_ID, schema};
pub use usage::{Hint, hints};
pub use wait::{RETRY_AFTER_MAX, go_duration, http_date, retry_after};
