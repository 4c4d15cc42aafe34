//! How much a gateway spends, as far as leases go by it. Pure.

/// How fast a rise is believed, in milliseconds.
const RISE_MS: f64 = 1_000.0;
/// How fast a fall is, in milliseconds: a pause of seconds gives nothing back.
const FALL_MS: f64 = 5_000.0;
/// For how long it is known what was used at the most, in milliseconds.
const PEAK_MS: f64 = 600_000.0;
/// The shortest stretch that is measured, in milliseconds.
const STRETCH_MS: u64 = 90;

/// Units a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    per_ms: f64,
    /// The most that it was; less with every minute.
    peak_per_ms: f64,
    seen: u64,
    at_ms: u64,
    /// When something was spent last, or asked for in vain.
    pub(super) used_ms: u64,
    /// Units asked for in vain since it was planned last.
    pub(super) refused: u64,
}

impl Demand {
    /// Takes the total of what was spent.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn sample(&mut self, spent: u64, refused: u64, now_ms: u64) {
        self.refused += refused;
        let gone = now_ms.saturating_sub(self.at_ms);
        if spent != self.seen || refused > 0 {
            self.used_ms = now_ms;
        }
        if gone < STRETCH_MS {
            return;
        }
        let seen = spent.saturating_sub(self.seen) as f64 / gone as f64;
        let pace = if seen > self.per_ms { RISE_MS } else { FALL_MS };
        self.per_ms += (seen - self.per_ms) * (gone as f64 / pace).min(1.0);
        let fallen = self.peak_per_ms * (1.0 - (gone as f64 / PEAK_MS).min(1.0));
        self.peak_per_ms = fallen.max(self.per_ms);
        (self.seen, self.at_ms) = (spent, now_ms);
    }

    /// What is spent in so many milliseconds.
    pub(super) fn within(&self, millis: u64) -> u64 {
        units(self.per_ms, millis)
    }

    /// What was spent in so many at the most.
    pub(super) fn at_most_within(&self, millis: u64) -> u64 {
        units(self.peak_per_ms, millis)
    }

    /// The total begins anew.
    pub(super) fn restart(&mut self) {
        self.seen = 0;
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn units(per_ms: f64, millis: u64) -> u64 {
    (per_ms * millis as f64).ceil() as u64
}
