//! What was observed, added up by 5 minutes, hour and day. Late observations land where they belong.

use std::collections::BTreeMap;

use model::health::{Check, Observed};
use model::usage::Sketch;
use model::{IntegrationId, Timestamp};

use super::{HealthEvent, HealthFact};
use crate::db::{Row, Tx, Value, values};
use crate::{Error, Result, Store};

const MINUTE_MS: i64 = 60_000;
/// Rows that one reading gives at most: 5 minutes of 40 days, by two sources.
const ROWS_MAX: u32 = 25_000;

/// The length of a row's span (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Five minutes.
    Five,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Slot {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Five, Self::Hour, Self::Day];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Five => "five",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long it is, in milliseconds.
    pub const fn millis(self) -> i64 {
        match self {
            Self::Five => 5 * MINUTE_MS,
            Self::Hour => 60 * MINUTE_MS,
            Self::Day => 24 * 60 * MINUTE_MS,
        }
    }

    /// The start of the slot in which a moment lies.
    pub const fn floor(self, at: Timestamp) -> Timestamp {
        let millis = at.as_millis();
        Timestamp::from_millis(millis - millis.rem_euclid(self.millis()))
    }
}

/// What was observed in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSum {
    /// Of which integration.
    pub integration: IntegrationId,
    /// By whom.
    pub check: Check,
    /// When the slot began.
    pub start: Timestamp,
    /// Observations.
    pub observations: u64,
    /// Calls that they speak of.
    pub requests: u64,
    /// Those with trouble.
    pub failures: u64,
    /// When the last observation was.
    pub last_at: Timestamp,
    /// How long answers took. Of callers' calls: means of about a second, each as often as it had answers.
    pub latency: Sketch,
}

/// When an integration was last observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Seconds between probes; 0 when only callers' calls were observed.
    pub every_secs: u32,
}

#[derive(Default)]
struct Sum {
    observations: u64,
    requests: u64,
    failures: u64,
    last_at: Timestamp,
    every_secs: u32,
    latency: Sketch,
}

/// Which row. In this order rows are locked.
type Key = (IntegrationId, Slot, Timestamp, &'static str);

/// Adds observations to their slots.
pub(super) async fn add<'e>(tx: &mut Tx, events: impl Iterator<Item = &'e HealthEvent>) -> Result<()> {
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    for event in events {
        let HealthFact::Observed(seen) = &event.fact else { continue };
        // A clock that is ahead does not count into the future.
        let at = seen.at.min(event.stored_at);
        for slot in Slot::ALL {
            let key = (seen.integration.clone(), slot, slot.floor(at), word(seen.check));
            sums.entry(key).or_default().add(seen, at);
        }
    }
    // First the counts, which locks the rows and gives what they hold of latencies; then the latencies together.
    let rows: Vec<Vec<Value>> = sums.iter().map(|(key, sum)| columns(key, sum, &[])).collect();
    let held = tx
        .insert(
            "INSERT INTO health_counts (integration, slot, start_at, source, observations, requests, failures, last_at,
               every_secs, latency) VALUES ",
            &rows,
            " ON CONFLICT (integration, slot, start_at, source) DO UPDATE SET
               observations = health_counts.observations + excluded.observations,
               requests = health_counts.requests + excluded.requests,
               failures = health_counts.failures + excluded.failures,
               last_at = CASE WHEN excluded.last_at > health_counts.last_at
                 THEN excluded.last_at ELSE health_counts.last_at END,
               every_secs = CASE WHEN excluded.every_secs > 0
                 THEN excluded.every_secs ELSE health_counts.every_secs END
             RETURNING integration, slot, start_at, source, latency",
        )
        .await?;
    for row in &held {
        let (integration, slot) = (row.word::<IntegrationId>("integration")?, row.text("slot")?);
        let slot = Slot::ALL.into_iter().find(|known| known.as_str() == slot);
        let key = slot.map(|slot| Ok::<_, Error>((slot, row.time("start_at")?, row.text("source")?)));
        let Some((slot, start, source)) = key.transpose()? else { continue };
        let source = [Check::Probe, Check::Traffic].map(word).into_iter().find(|known| *known == source);
        let Some(sum) = source.and_then(|source| sums.get_mut(&(integration, slot, start, source))) else {
            continue;
        };
        merge(&mut sum.latency, row)?;
    }
    let rows: Vec<Vec<Value>> =
        sums.iter().map(|(key, sum)| columns(key, &Sum::default(), &sum.latency.to_bytes())).collect();
    tx.insert(
        "INSERT INTO health_counts (integration, slot, start_at, source, observations, requests, failures, last_at,
           every_secs, latency) VALUES ",
        &rows,
        " ON CONFLICT (integration, slot, start_at, source) DO UPDATE SET latency = excluded.latency",
    )
    .await
    .map(drop)
}

impl Sum {
    fn add(&mut self, seen: &Observed, at: Timestamp) {
        let failures = seen.failures.min(seen.requests);
        self.observations += 1;
        self.requests += u64::from(seen.requests);
        self.failures += u64::from(failures);
        self.last_at = self.last_at.max(at);
        self.every_secs = seen.every_secs.unwrap_or(self.every_secs);
        if let Some(latency_ms) = seen.latency_ms {
            let answers = match seen.check {
                Check::Probe => 1,
                Check::Traffic => u64::from(seen.requests - failures).max(1),
            };
            self.latency.add_times(u64::from(latency_ms) * 1000, answers);
        }
    }
}

fn columns((integration, slot, start, source): &Key, sum: &Sum, latency: &[u8]) -> Vec<Value> {
    values![
        integration,
        slot.as_str(),
        *start,
        *source,
        sum.observations,
        sum.requests,
        sum.failures,
        sum.last_at,
        sum.every_secs,
        latency
    ]
    .to_vec()
}

const fn word(check: Check) -> &'static str {
    match check {
        Check::Probe => "probe",
        Check::Traffic => "traffic",
    }
}

fn merge(latency: &mut Sketch, row: &Row) -> Result<()> {
    let bytes = row.bytes("latency")?;
    let whole = latency.merge_bytes(&bytes);
    whole.then_some(()).ok_or_else(|| Error::corrupt("column `latency`", "it is no sketch"))
}

impl Store {
    /// What was observed of an integration in the slots that begin from `from` to before `to`, oldest first; at most 25,000.
    pub async fn health_sums(
        &self,
        id: &IntegrationId,
        slot: Slot,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<HealthSum>> {
        self.db()
            .all(
                "SELECT integration, start_at, source, observations, requests, failures, last_at, latency
                 FROM health_counts WHERE integration = $1 AND slot = $2 AND start_at >= $3 AND start_at < $4
                 ORDER BY start_at, source LIMIT $5",
                &values![id, slot.as_str(), from, to, ROWS_MAX],
            )
            .await?
            .iter()
            .map(sum)
            .collect()
    }

    /// What was observed of all integrations in the slot that begins then.
    pub async fn health_slot(&self, slot: Slot, start: Timestamp) -> Result<Vec<HealthSum>> {
        self.db()
            .all(
                "SELECT integration, start_at, source, observations, requests, failures, last_at, latency
                 FROM health_counts WHERE slot = $1 AND start_at = $2 ORDER BY integration, source LIMIT $3",
                &values![slot.as_str(), start, ROWS_MAX],
            )
            .await?
            .iter()
            .map(sum)
            .collect()
    }

    /// When an integration was last observed before a moment.
    pub async fn health_seen(&self, id: &IntegrationId, before: Timestamp) -> Result<Option<Seen>> {
        let rows = self
            .db()
            .all(
                "SELECT last_at, every_secs FROM health_counts
                 WHERE integration = $1 AND slot = 'five' AND start_at <= $2 AND last_at < $2
                 ORDER BY start_at DESC LIMIT 2",
                &values![id, before],
            )
            .await?;
        let rows = match rows.is_empty() {
            false => rows,
            // What is older is known by the hour.
            true => {
                self.db()
                    .all(
                        "SELECT last_at, every_secs FROM health_counts
                         WHERE integration = $1 AND slot = 'hour' AND start_at <= $2 AND last_at < $2
                         ORDER BY start_at DESC LIMIT 2",
                        &values![id, before],
                    )
                    .await?
            }
        };
        let mut seen: Option<Seen> = None;
        for row in &rows {
            let (at, every_secs) = (row.time("last_at")?, row.small("every_secs")?);
            let found = seen.get_or_insert(Seen { at, every_secs });
            *found = Seen { at: found.at.max(at), every_secs: found.every_secs.max(every_secs) };
        }
        Ok(seen)
    }

    /// Forgets slots of a length that began before, at most `limit`; says how many.
    pub async fn health_counts_purge(&self, slot: Slot, before: Timestamp, limit: u32) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM health_counts WHERE (integration, slot, start_at, source) IN
                 (SELECT integration, slot, start_at, source FROM health_counts
                  WHERE slot = $1 AND start_at < $2 ORDER BY start_at LIMIT $3)",
                &values![slot.as_str(), before, limit],
            )
            .await
    }
}

fn sum(row: &Row) -> Result<HealthSum> {
    let mut latency = Sketch::default();
    merge(&mut latency, row)?;
    Ok(HealthSum {
        integration: row.word("integration")?,
        check: row.word("source")?,
        start: row.time("start_at")?,
        observations: row.count("observations")?,
        requests: row.count("requests")?,
        failures: row.count("failures")?,
        last_at: row.time("last_at")?,
        latency,
    })
}
