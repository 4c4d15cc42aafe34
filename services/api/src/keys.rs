//! What nobody asks for but keys need: notice before they expire, and fingerprints of the keyed kind.
//!
//! Runs beside the requests, in every replica; all that it writes is written once, whoever is first. It never shows
//! or changes a value.

mod expiry;
mod fingerprints;
mod watch;

pub(crate) use fingerprints::renew;
pub(crate) use watch::watch;
