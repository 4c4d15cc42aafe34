//! The process's own steady clock, in milliseconds since it began: what leases are measured by. A wall clock that is set
//! changes nothing here.

use std::sync::LazyLock;
use std::time::Instant;

use egress::lane;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where it begins, in milliseconds: 0 is no moment.
const FIRST_MS: u64 = 1_000;

/// Now.
pub(crate) fn now_ms() -> u64 {
    since(Instant::now())
}

/// When this turn began, more or less: for what spends nothing.
pub(crate) fn turn_ms() -> u64 {
    since(lane::now().into_std())
}

fn since(now: Instant) -> u64 {
    let passed = now.saturating_duration_since(*BEGAN);
    passed.as_secs() * 1_000 + u64::from(passed.subsec_millis()) + FIRST_MS
}
