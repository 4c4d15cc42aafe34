//! The process's own steady clock, in milliseconds since it began: what leases are measured by. A wall clock that is set
//! changes nothing here.

use std::sync::LazyLock;
use std::time::Instant;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where it begins, in milliseconds: 0 is no moment.
const FIRST_MS: u64 = 1_000;

/// Now.
pub(crate) fn now_ms() -> u64 {
    let passed = BEGAN.elapsed();
    passed.as_secs() * 1_000 + u64::from(passed.subsec_millis()) + FIRST_MS
}
