//! What any other target answers, by Standard Webhooks 1.0.0: 2xx is success, a redirect is not, 410 means never again.

use super::{Seen, Verdict};

pub(super) fn classify(seen: &Seen<'_>) -> Verdict {
    seen.by_status()
}
