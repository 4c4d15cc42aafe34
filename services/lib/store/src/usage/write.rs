//! Counts events: each once, many in one transaction.
//!
//! SQLite has one writer; on PostgreSQL replicas take turns by an advisory lock. Marks of what was counted (`seen`), sums
//! (`rows`) and the memory of them change together or not at all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::price::Plan;
use model::usage::UsageCounted;
use model::{EventId, IntegrationId, Timestamp};

use super::plan::{self, Sofar};
use super::rows::{Key, Remembered, Sums};
use super::seen::{self, Mark};
use super::{Facet, Step};
use crate::db::{Tx, settle, values};
use crate::{Result, Store};

/// The advisory lock of those who count, `usagecnt` in ASCII.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_xact_lock(8463219685413056116)";

/// The plans of integrations that have one, with what they include.
pub type Plans = BTreeMap<IntegrationId, Plan>;

impl Store {
    /// Counts events, each once: for each, whether it was new. All in one transaction, into the buckets in which they
    /// begin, however late they come. What a plan includes costs nothing.
    pub async fn count(&self, events: &[(EventId, UsageCounted)], plans: &Plans) -> Result<Vec<bool>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let marks: Vec<Mark> = events.iter().map(|(id, usage)| Mark::of(id, usage)).collect();
        // Added up while others write: it holds where all are new and what they cost does not depend on what came before.
        let all: Vec<&UsageCounted> = events.iter().map(|(_, usage)| usage).collect();
        let ready = plans.is_empty().then(|| add_up(&all, plans, &mut BTreeMap::new()));
        settle(|| self.count_once(events, &marks, plans, ready.as_ref())).await
    }

    async fn count_once(
        &self,
        events: &[(EventId, UsageCounted)],
        marks: &[Mark],
        plans: &Plans,
        ready: Option<&Sums<'_>>,
    ) -> Result<Vec<bool>> {
        // Held until the transaction is over: nobody else counts from a memory that is about to change.
        let mut remembered = self.inner.usage.lock().await;
        let mut tx = self.begin_to_count().await?;
        let fresh = match seen::take_new(&mut tx, marks).await? {
            Some(fresh) => fresh,
            None => {
                drop(tx);
                tx = self.begin_to_count().await?;
                seen::take(&mut tx, events, marks).await?
            }
        };
        let known: Remembered = remembered.begin(&mut tx).await?;
        let known = match ready.filter(|_| fresh.iter().all(|fresh| *fresh)) {
            Some(sums) => known.write(&mut tx, sums).await?,
            None => {
                let new = events.iter().zip(&fresh).filter(|(_, fresh)| **fresh);
                let counted: Vec<&UsageCounted> = new.map(|((_, usage), _)| usage).collect();
                let mut sofar = months(&mut tx, &counted, plans).await?;
                known.write(&mut tx, &add_up(&counted, plans, &mut sofar)).await?
            }
        };
        tx.commit().await?;
        *remembered = known;
        Ok(fresh)
    }

    async fn begin_to_count(&self) -> Result<Tx> {
        let mut tx = self.db().begin().await?;
        if matches!(tx, Tx::Postgres(_)) {
            tx.all(ADVISORY_LOCK, &[]).await?;
        }
        Ok(tx)
    }
}

/// What was counted so far of the months of integrations with a plan.
async fn months<'e>(
    tx: &mut Tx,
    counted: &[&'e UsageCounted],
    plans: &Plans,
) -> Result<BTreeMap<(&'e str, Timestamp), Sofar>> {
    let mut months = BTreeMap::new();
    for usage in counted.iter().filter(|usage| plans.contains_key(&usage.integration)) {
        let from = Step::month_of(usage.from);
        if months.contains_key(&(usage.integration.as_str(), from)) {
            continue;
        }
        let row = tx
            .one(
                "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS requests,
                   CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT) AS tokens
                 FROM usage_rollups
                 WHERE integration = $1 AND facet = 0 AND step = 2 AND start_at >= $2 AND start_at < $3",
                &values![&usage.integration, from, Step::month_after(from)],
            )
            .await?;
        let sofar = Sofar { requests: row.count("requests")?, tokens: row.count("tokens")? };
        months.insert((usage.integration.as_str(), from), sofar);
    }
    Ok(months)
}

/// One sum a row.
fn add_up<'e>(
    counted: &[&'e UsageCounted],
    plans: &Plans,
    months: &mut BTreeMap<(&'e str, Timestamp), Sofar>,
) -> Sums<'e> {
    let mut minutes = Sums::new();
    for usage in counted {
        let integration = usage.integration.as_str();
        let start = Step::Minute.floor(usage.from);
        let plan = plans.get(&usage.integration);
        let month = plan.map(|_| (integration, Step::month_of(usage.from)));
        for count in &usage.counts {
            let mut none = Sofar::default();
            let sofar = month.and_then(|month| months.get_mut(&month)).unwrap_or(&mut none);
            let billed = plan::bill(plan, sofar, count);
            let route = count.route.as_ref().map(|route| (Facet::Route, route.as_str()));
            let facets = [(Facet::Endpoint, &*count.endpoint), (Facet::Caller, &*count.actor)];
            let key = |facet, name| Key {
                integration: Cow::Borrowed(integration),
                facet,
                step: Step::Minute,
                start,
                name: Cow::Borrowed(name),
            };
            for (facet, name) in facets.into_iter().chain(route) {
                minutes.entry(key(facet, name)).or_default().add_count(count, billed.cost_micros);
            }
            for (model, cost) in count.models.iter().zip(billed.models) {
                minutes.entry(key(Facet::Model, &model.model)).or_default().add_model(model, cost);
            }
        }
    }
    // Each count is of one endpoint, so that all is what endpoints are together.
    let mut all = Sums::new();
    for (key, sum) in minutes.iter().filter(|(key, _)| key.facet == Facet::Endpoint) {
        all.entry(key.whole()).or_default().add(sum);
    }
    minutes.extend(all);
    let hours = longer(&minutes, Step::Hour);
    let days = longer(&hours, Step::Day);
    minutes.extend(hours);
    minutes.extend(days);
    minutes
}

/// The same by a longer step.
fn longer<'e>(sums: &Sums<'e>, step: Step) -> Sums<'e> {
    let mut longer = Sums::new();
    for (key, sum) in sums {
        longer.entry(Key { step, start: step.floor(key.start), ..key.clone() }).or_default().add(sum);
    }
    longer
}
