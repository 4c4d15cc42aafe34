//! What an integration was, for those who judge it: the share of time it was up, and whether it was worked on.
//!
//! Read once, asked of any span until then. Never decides.

use std::time::Duration;

use model::health::Health;
use model::{IntegrationId, Timestamp};
use store::Store;

use super::answer::spans_of;
use super::report;
use super::spans::Span;

/// What an integration was until a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Was(Vec<Span>);

impl Was {
    /// Reads what it was from a moment until another one.
    pub(crate) async fn read(
        store: &Store,
        id: &IntegrationId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Self, store::Error> {
        Ok(Self(spans_of(store, id, from, until).await?))
    }

    /// The share of a span in which it was up, and how much of the span it is known of; maintenance is left out.
    pub(crate) fn up(&self, from: Timestamp, to: Timestamp) -> Option<(f64, Duration)> {
        report::up(&self.0, from, to)
    }

    /// Whether it was worked on at some time of a span.
    pub(crate) fn worked_on(&self, from: Timestamp, to: Timestamp) -> bool {
        let first = self.0.partition_point(|span| span.to <= from);
        let within = self.0[first..].iter().take_while(|span| span.from < to);
        within.into_iter().any(|span| span.health == Health::Maintenance)
    }
}
