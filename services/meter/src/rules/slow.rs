//! Figures that are dear to make: forecasts are made anew each hour, some in each look.
//!
//! What is not made yet proves nothing: what fires goes on, and nothing new fires. Never decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{IntegrationId, Timestamp};
use tokio::time::Instant;

use super::figure::Figure;
use super::plan::Check;
use crate::forecasts::{Weighed, finished};
use crate::{Meter, window};

/// How long one look may spend on them: the others wait for it.
const SPENT_MAX: Duration = Duration::from_millis(500);

/// A check's rule and what it looks at.
type Key = (String, String);

/// A forecast, the hour until which counts are in it, and when its window began.
#[derive(Clone, Debug)]
struct Made {
    hour: Timestamp,
    from: Timestamp,
    weighed: Arc<Weighed>,
}

/// What was made so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Slow {
    ahead: BTreeMap<Key, Made>,
}

impl Slow {
    /// Makes what is missing and what is old, for as long as a look may take.
    pub(super) async fn refresh(
        &mut self,
        meter: &Meter,
        checks: &[Check],
        all: &[IntegrationId],
        at: Timestamp,
    ) -> anyhow::Result<()> {
        let (begun, hour) = (Instant::now(), finished(at));
        for check in checks {
            let Figure::Heading { per, zone, unit, .. } = &check.figure else { continue };
            let (key, span) = (key(check), window::at(at, *per, zone));
            if self.ahead.get(&key).is_some_and(|made| (made.hour, made.from) == (hour, span.from)) {
                continue;
            }
            if begun.elapsed() > SPENT_MAX {
                break;
            }
            let series = check.source.series(all, *unit);
            let weighed = meter.forecasts.outlook(&meter.store, &series, span, zone, at).await?;
            self.ahead.insert(key, Made { hour, from: span.from, weighed });
        }
        Ok(())
    }

    /// Forgets what nobody looks at any more.
    pub(super) fn keep(&mut self, checks: &[Check]) {
        let looked: std::collections::BTreeSet<Key> = checks.iter().map(key).collect();
        self.ahead.retain(|key, _| looked.contains(key));
    }

    /// The forecast of a check's window that began at a moment.
    pub(super) fn outlook(&self, check: &Check, from: Timestamp) -> Option<&Weighed> {
        self.ahead.get(&key(check)).filter(|made| made.from == from).map(|made| made.weighed.as_ref())
    }
}

fn key(check: &Check) -> Key {
    (check.rule.id.to_string(), check.target.key.clone())
}
