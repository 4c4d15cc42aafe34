//! The house's rules as ordinary tests over the tree: walls, heads, words, metrics, promises, the map.
//!
//! Each check is a function from texts to faults, so that a test can hand it a bad sample; one more test hands it
//! the repository. It reads files and never changes one, and asks no network.

pub mod fault;
pub mod rust;
pub mod tree;

pub mod leaks;
pub mod walls;
pub mod words;

pub mod boards;
pub mod metrics;

pub mod licences;
pub mod lints;
pub mod lock;
pub mod map;
pub mod promises;
