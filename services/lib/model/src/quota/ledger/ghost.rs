//! Shares whose holders are gone: not free before all that they may have spent has come home. Pure.

use serde::{Deserialize, Serialize};

use super::Holder;

/// Ghosts in a ledger. Further ones become one with the last: it is free when the later of the two is.
const GHOSTS_MAX: usize = 32;

/// A share that nobody holds, and that nobody can have yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ghost {
    /// How much.
    #[serde(rename = "n")]
    pub units: u64,
    /// When it is free, in Unix milliseconds.
    #[serde(rename = "f")]
    pub free_at: i64,
    /// For whom it is kept: he may be alive and cut off.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Adds one. Those that nobody is kept anything by and that are free at the same time are one.
pub(super) fn put(ghosts: &mut Vec<Ghost>, ghost: Ghost) {
    let alike = |known: &&mut Ghost| known.free_at == ghost.free_at && known.holder.is_none();
    if ghost.holder.is_none()
        && let Some(known) = ghosts.iter_mut().find(alike)
    {
        known.units = known.units.saturating_add(ghost.units);
        return;
    }
    if ghosts.len() < GHOSTS_MAX {
        ghosts.push(ghost);
        return;
    }
    // Whoever it was kept for must do without: what was his stays away from all others for as long.
    let last = ghosts.last_mut().expect("it is full");
    last.units = last.units.saturating_add(ghost.units);
    last.free_at = last.free_at.max(ghost.free_at);
    last.holder = None;
}
