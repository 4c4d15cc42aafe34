//! Ids that a decision has, whoever takes it and however often.
//!
//! Pure. Made of what was decided on (whose state, which version of it) and what was decided. A decision that
//! is taken again, by the next leader after a crash or when an observation is delivered again, publishes the
//! same ids, and JetStream and every reader see that they have it already.

use model::{AlertId, EventId, Timestamp};
use sha2::{Digest, Sha256};

/// The event that says `what` of version `version` of `scope` (`health/polygon-main`, `route/quotes`).
pub fn event(scope: &str, version: u64, what: &str, since: Timestamp) -> EventId {
    EventId::make(since, digest(scope, version, what))
}

/// The alert that version `version` of `scope` raised first.
pub fn alert(scope: &str, version: u64, since: Timestamp) -> AlertId {
    AlertId::make(since, digest(scope, version, "alert"))
}

fn digest(scope: &str, version: u64, what: &str) -> u128 {
    let mut hash = Sha256::new();
    for part in [scope.as_bytes(), &version.to_be_bytes(), what.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let bytes = hash.finalize();
    bytes.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_decision_has_the_same_id_and_another_has_another() {
        let at = Timestamp::from_millis(1_000);
        let id = event("health/a", 1, "down", at);
        assert_eq!(id, event("health/a", 1, "down", at));
        assert_ne!(id, event("health/a", 2, "down", at));
        assert_ne!(id, event("health/b", 1, "down", at));
        assert_ne!(id, event("health/a", 1, "up", at));
        assert_ne!(event("a", 1, "bc", at), event("ab", 1, "c", at));
    }
}
