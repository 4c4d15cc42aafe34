//! What the sealed store keeps its records on.
//!
//! A shelf knows nothing of keys: it keeps opaque bytes under a path and a version. The executable puts one
//! over the database.

use futures_util::future::BoxFuture;

/// A shelf's answer.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ShelfError>>;

/// One version of something, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1.
    pub version: u32,
    /// The sealed bytes, as they were put.
    pub sealed: Vec<u8>,
}

/// Why a shelf did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// That version is there already; nothing was changed.
    #[error("that version exists")]
    Exists,
    /// Anything else: asking again later may help.
    #[error("the shelf failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where sealed records are kept. Paths are `<name>/<id>` of at most 160 of `A-Z a-z 0-9 _ - /`.
///
/// What was put is there when the future is ready, also after a crash.
pub trait Shelf: Send + Sync {
    /// One version, or the newest that is there.
    fn get<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, Option<Record>>;

    /// Keeps a new version. [`ShelfError::Exists`] when that number is taken: of two writers one wins.
    fn put<'a>(&'a self, path: &'a str, version: u32, sealed: Vec<u8>) -> Answer<'a, ()>;

    /// The versions that are there, in any order.
    fn versions<'a>(&'a self, path: &'a str) -> Answer<'a, Vec<u32>>;

    /// Forgets one version, or all. Done also when there is none.
    fn erase<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, ()>;

    /// The paths that begin with the prefix and have at least one version, each once, in any order.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>>;
}
