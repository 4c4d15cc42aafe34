//! What is dear to read: forecasts are made anew each hour, what integrations were each quarter of a minute, some in each look.
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
use crate::uptime::Was;
use crate::{Meter, window};

/// How long one look may spend on them: the others wait for it.
const SPENT_MAX: Duration = Duration::from_millis(500);

/// How often it is read again what integrations were.
const WAS_EVERY: Duration = Duration::from_secs(15);
/// How far back it is read at least.
const WAS_BACK: Duration = Duration::from_secs(3600);

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
    /// What integrations were, when that was read, and from when on.
    was: BTreeMap<IntegrationId, (Was, Timestamp, Timestamp)>,
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
        self.look_back(meter, checks, at, begun).await?;
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

    /// Reads what integrations were, as far back as some check needs it.
    async fn look_back(
        &mut self,
        meter: &Meter,
        checks: &[Check],
        at: Timestamp,
        begun: Instant,
    ) -> anyhow::Result<()> {
        let mut wanted: BTreeMap<&IntegrationId, Timestamp> = BTreeMap::new();
        for check in checks {
            let back = match &check.figure {
                Figure::Up { window } => window.length().max(WAS_BACK),
                figure if figure.spoiled_from(at).is_some() => WAS_BACK,
                _ => continue,
            };
            let Some(integration) = check.source.integrations.first() else { continue };
            let from = wanted.entry(integration).or_insert(at);
            *from = at.minus(back).min(*from);
        }
        self.was.retain(|id, _| wanted.contains_key(id));
        let mut due: Vec<(&IntegrationId, Timestamp)> = wanted.into_iter().collect();
        // Those that were read longest ago first.
        due.sort_by_key(|(id, _)| self.was.get(*id).map(|(_, read, _)| *read));
        for (id, from) in due {
            let fresh = |(_, read, known): &(Was, Timestamp, Timestamp)| {
                at.since(*read) < WAS_EVERY && *known <= from.plus(WAS_EVERY)
            };
            if self.was.get(id).is_some_and(fresh) {
                continue;
            }
            if begun.elapsed() > SPENT_MAX {
                break;
            }
            let was = Was::read(&meter.store, id, from, at).await?;
            self.was.insert(id.clone(), (was, at, from));
        }
        Ok(())
    }

    /// What an integration was, until when that is known.
    pub(super) fn was(&self, id: &IntegrationId) -> Option<(&Was, Timestamp)> {
        self.was.get(id).map(|(was, read, _)| (was, *read))
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
