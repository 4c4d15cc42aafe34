//! Counts events: each once, many in one transaction.
//!
//! SQLite has one writer; on PostgreSQL replicas take turns by an advisory lock. Marks of what was counted (`seen`), sums
//! (`rows`, or `tally` until they are there) and the memory of them change together or not at all.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use model::price::Plan;
use model::usage::UsageCounted;
use model::{EventId, IntegrationId, Timestamp};

use super::plan::{self, Sofar};
use super::rows::{Key, Remembered, Sums};
use super::seen::{self, Mark};
use super::{Facet, Step, Totals, tally};
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
        self.take(events, plans, false).await
    }

    /// The same, but what was counted is only kept: it is in no answer before [`Store::usage_fold`]. For those who count much,
    /// because a row is then written once for many batches. What a plan may include is in the buckets at once.
    pub async fn usage_tally(&self, events: &[(EventId, UsageCounted)], plans: &Plans) -> Result<Vec<bool>> {
        self.take(events, plans, true).await
    }

    /// Brings whatever was tallied, by anybody, into its buckets; whether there was anything.
    pub async fn usage_fold(&self) -> Result<bool> {
        let mut some = false;
        loop {
            let folded = settle(|| self.fold_once()).await?;
            some |= folded > 0;
            if folded < tally::TAKEN_MAX as usize {
                return Ok(some);
            }
        }
    }

    async fn take(
        &self,
        events: &[(EventId, UsageCounted)],
        plans: &Plans,
        later: bool,
    ) -> Result<Vec<bool>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let marks: Vec<Mark> = events.iter().map(|(id, usage)| Mark::of(id, usage)).collect();
        // Added up while others write: it holds where all are new and what they cost does not depend on what came before.
        let all: Vec<&UsageCounted> = events.iter().map(|(_, usage)| usage).collect();
        let planned = !plans.is_empty() && all.iter().any(|usage| plans.contains_key(&usage.integration));
        let ready = (!planned).then(|| add_up(&all, plans, &mut BTreeMap::new()));
        match ready {
            Some(ready) if later => settle(|| self.tally_once(events, &marks, &ready)).await,
            ready => {
                let ready = ready.map(whole);
                settle(|| self.count_once(events, &marks, plans, ready.as_ref())).await
            }
        }
    }

    async fn tally_once(
        &self,
        events: &[(EventId, UsageCounted)],
        marks: &[Mark],
        ready: &Sums<'_>,
    ) -> Result<Vec<bool>> {
        let (mut tx, fresh) = self.begin_with_new(events, marks).await?;
        if fresh.iter().all(|fresh| *fresh) {
            tally::put(&mut tx, ready).await?;
        } else {
            let counted = new_ones(events, &fresh);
            tally::put(&mut tx, &add_up(&counted, &Plans::new(), &mut BTreeMap::new())).await?;
        }
        tx.commit().await?;
        Ok(fresh)
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
        let (mut tx, fresh) = self.begin_with_new(events, marks).await?;
        let mut known: Remembered = remembered.begin(&mut tx).await?;
        let known = match ready.filter(|_| fresh.iter().all(|fresh| *fresh)) {
            Some(sums) => known.write(&mut tx, sums).await?,
            None => {
                let counted = new_ones(events, &fresh);
                if !plans.is_empty() {
                    // What a plan includes depends on all that was counted.
                    let (_, tallied) = tally::take(&mut tx, u32::MAX).await?;
                    known = known.write(&mut tx, &whole(tallied)).await?;
                }
                let mut sofar = months(&mut tx, &counted, plans).await?;
                known.write(&mut tx, &whole(add_up(&counted, plans, &mut sofar))).await?
            }
        };
        tx.commit().await?;
        *remembered = known;
        Ok(fresh)
    }

    /// How many tallies were taken.
    async fn fold_once(&self) -> Result<usize> {
        let mut remembered = self.inner.usage.lock().await;
        let mut tx = self.begin_to_count().await?;
        let (taken, tallied) = tally::take(&mut tx, tally::TAKEN_MAX).await?;
        if taken > 0 {
            let known = remembered.begin(&mut tx).await?.write(&mut tx, &whole(tallied)).await?;
            tx.commit().await?;
            *remembered = known;
        }
        Ok(taken)
    }

    /// Begins a transaction in which the new ones of these events are marked.
    async fn begin_with_new(
        &self,
        events: &[(EventId, UsageCounted)],
        marks: &[Mark],
    ) -> Result<(Tx, Vec<bool>)> {
        let mut tx = self.begin_to_count().await?;
        let fresh = seen::take(&mut tx, events, marks).await?;
        Ok((tx, fresh))
    }

    async fn begin_to_count(&self) -> Result<Tx> {
        let mut tx = self.db().begin().await?;
        if matches!(tx, Tx::Postgres(_)) {
            tx.all(ADVISORY_LOCK, &[]).await?;
        }
        Ok(tx)
    }
}

fn new_ones<'e>(events: &'e [(EventId, UsageCounted)], fresh: &[bool]) -> Vec<&'e UsageCounted> {
    events.iter().zip(fresh).filter(|(_, fresh)| **fresh).map(|((_, usage), _)| usage).collect()
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

/// What is added to the names of an integration and minute.
type Names<'e> = HashMap<(Facet, &'e str), Totals, RandomState>;

/// One sum for each minute and name.
fn add_up<'e>(
    counted: &[&'e UsageCounted],
    plans: &Plans,
    months: &mut BTreeMap<(&'e str, Timestamp), Sofar>,
) -> Sums<'e> {
    // By integration and minute first: names of a few are found faster than names among all.
    let mut spans: HashMap<(&'e str, Timestamp), Names<'e>, RandomState> = HashMap::default();
    for usage in counted {
        let integration = usage.integration.as_str();
        let names = spans.entry((integration, Step::Minute.floor(usage.from))).or_default();
        let plan = plans.get(&usage.integration);
        let month = plan.map(|_| (integration, Step::month_of(usage.from)));
        for count in &usage.counts {
            let mut none = Sofar::default();
            let sofar = month.and_then(|month| months.get_mut(&month)).unwrap_or(&mut none);
            let billed = plan::bill(plan, sofar, count);
            let route = count.route.as_ref().map(|route| (Facet::Route, route.as_str()));
            let facets = [(Facet::Endpoint, &*count.endpoint), (Facet::Caller, &*count.actor)];
            for name in facets.into_iter().chain(route) {
                names.entry(name).or_default().add_count(count, billed.cost_micros);
            }
            for (model, cost) in count.models.iter().zip(billed.models) {
                names.entry((Facet::Model, &model.model)).or_default().add_model(model, cost);
            }
        }
    }
    let mut minutes =
        Sums::with_capacity_and_hasher(spans.values().map(Names::len).sum(), RandomState::default());
    for ((integration, start), names) in spans {
        for ((facet, name), sum) in names {
            let (integration, name) = (Cow::Borrowed(integration), Cow::Borrowed(name));
            minutes.insert(Key { integration, facet, step: Step::Minute, start, name }, sum);
        }
    }
    minutes
}

/// One sum a row: also of everything, and of hours and days.
fn whole(mut minutes: Sums<'_>) -> Sums<'_> {
    // Each count is of one endpoint, so that all is what endpoints are together.
    let mut all = Sums::default();
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
    let mut longer = Sums::default();
    for (key, sum) in sums {
        longer.entry(Key { step, start: step.floor(key.start), ..key.clone() }).or_default().add(sum);
    }
    longer
}
