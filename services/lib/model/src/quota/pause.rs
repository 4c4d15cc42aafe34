//! A provider wants no calls for a time: what is written into the `quota` bucket, so that no gateway calls it meanwhile.
//!
//! Pure. The end is by the bus's clock, as all that is there. It is believed no longer than it was said to last, whatever
//! the clocks of two gateways make of the end.

use serde::{Deserialize, Serialize};

use super::key;
use crate::Timestamp;
use crate::health::Reason;

/// The longest that a provider is believed, in milliseconds. It is asked again then.
pub const PAUSE_MS_MAX: u64 = 3_600_000;
/// The token that all keys of pauses begin with. No integration is called so.
pub const BELOW: &str = "_pause";

/// A pause that a provider asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Why.
    pub reason: Reason,
    /// Until when.
    pub until: Timestamp,
    /// How long that was, in milliseconds, when it was written.
    pub wait_ms: u64,
    /// The gateway that was refused.
    pub by: String,
}

impl Paused {
    /// How much is left, in milliseconds, when it is not sooner than this: never more than it was.
    pub fn left_ms(&self, earliest: Timestamp) -> u64 {
        let left = self.until.as_millis().saturating_sub(earliest.as_millis());
        u64::try_from(left).unwrap_or(0).min(self.wait_ms).min(PAUSE_MS_MAX)
    }
}

/// The key of a pause. `owner` is an integration or a credential ([`key::owner`]); what was said of one version of a key
/// says nothing of the next.
pub fn key(owner: &str, version: Option<u32>) -> Option<String> {
    let version = version.map(|version| version.to_string());
    key::of(BELOW, owner, version.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_is_longer_than_it_was_said_to_be() {
        let at = Timestamp::from_millis;
        let paused = |until, wait_ms| {
            let by = "g".to_owned();
            Paused { reason: Reason::ThrottledBurst, until: at(until), wait_ms, by }
        };
        for (until, wait_ms, now, left) in [
            (9_000, 5_000, 4_000, 5_000),
            (9_000, 5_000, 8_999, 1),
            (9_000, 5_000, 9_000, 0),
            (9_000, 5_000, 60_000, 0),
            // Clocks that differ, and a word that is no pause's.
            (9_000, 5_000, -90_000, 5_000),
            (i64::MAX, u64::MAX, 0, PAUSE_MS_MAX),
            (i64::MIN, 5_000, i64::MAX, 0),
        ] {
            assert_eq!(paused(until, wait_ms).left_ms(at(now)), left, "{until} {wait_ms} {now}");
        }
    }

    #[test]
    fn a_pause_is_no_limits_ledger() {
        let keys = [key("poly", None), key("poly", Some(3)), key("key/poly", Some(3))];
        let wanted = ["_pause.poly", "_pause.poly.3", "_pause.key=2fpoly.3"];
        for (made, wanted) in keys.into_iter().zip(wanted) {
            assert_eq!(made.as_deref(), Some(wanted));
            assert_eq!(key::parse(wanted), None);
        }
    }
}
