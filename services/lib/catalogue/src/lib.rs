//! Providers as data: one file each under `providers/<category>/`, read, checked and judged by.
//!
//! Pure but for [`Catalogue::parse_dir`], which reads an operator's own files. It calls nobody, knows no clock
//! (what an answer says of absolute times is measured by the answer's own `Date`) and holds no secret. Adding a
//! provider needs a file and no Rust.

mod provider;

mod provider;

pub use provider::*;
