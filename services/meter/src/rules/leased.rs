//! Limits that gateways lease, looked at in their ledgers: rolling windows, tokens, weights, calls at a time, and those that
//! each caller, token or endpoint has of its own.
//!
//! Of these it is not counted what was used; the ledgers say it, for all gateways together. What counted calls say already
//! is left to `plan`, so that nobody hears of it twice. Ledgers are not recorded: a dry run knows nothing of them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::{Bucket, Change};
use futures_util::StreamExt;
use model::integration::{Integration, Ratio};
use model::quota::key::{self, Named};
use model::quota::ledger::Ledger;
use model::rule::{Rule, RuleKind};
use model::{KeyId, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::figure::{Figure, whole};
use super::plan::{Check, Source, Target, is_counted, selected, share, terms};
use crate::{Meter, window};

/// Ledgers that are looked at. Further ones are left out, with a warning.
const LEDGERS_MAX: usize = 100_000;
/// Callers, tokens or endpoints of one limit that a rule looks at: those that used most of it.
const PARTS_MAX: usize = 256;
/// The share from which on a limit of the catalogue is near.
const NEAR: Ratio = Ratio::from_millionths(800_000);
/// The pause after ledgers could not be read.
const AGAIN: Duration = Duration::from_secs(1);
/// How the owner of a ledger begins that belongs to a credential.
const CREDENTIAL: &str = "key/";

/// What the ledgers say now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledgers {
    all: Arc<Mutex<BTreeMap<String, (Named, Ledger)>>>,
    /// Whether all were read that there were at the start.
    known: Arc<AtomicBool>,
}

/// Follows the ledgers until told to stop.
pub(crate) async fn follow(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    let bucket = meter.bus.bucket(Bucket::Quota).await?;
    // The bus's clock and the pauses of providers stand among them, and are none.
    let mut changes = bucket.watch::<Value>();
    while let Some(read) = stopping.run_until_cancelled(bucket.all::<Value>()).await {
        match read {
            Ok(all) => {
                meter.ledgers.begin(all.into_iter().map(|(key, entry)| (key, entry.value)));
                break;
            }
            Err(error) => {
                tracing::warn!(%error, "Ledgers of limits cannot be read; trying again: {error}.");
                stopping.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
            }
        }
    }
    let mut is_full = false;
    while let Some(Some(change)) = stopping.run_until_cancelled(changes.next()).await {
        let has_room = meter.ledgers.take(ledger(change));
        if !has_room && !is_full {
            tracing::warn!(
                most = LEDGERS_MAX,
                "There are more ledgers than are looked at; rules leave some out."
            );
        }
        is_full = !has_room;
    }
    Ok(())
}

/// A change of a ledger, or of what is none.
fn ledger(change: Change<Value>) -> Change<Option<Ledger>> {
    match change {
        Change::Put { key, value, revision } => {
            Change::Put { key, value: serde_json::from_value(value).unwrap_or_default(), revision }
        }
        Change::Deleted { key } => Change::Deleted { key },
    }
}

impl Ledgers {
    /// Takes a change; changes of one ledger come in their order. Says whether there was room for it.
    fn take(&self, change: Change<Option<Ledger>>) -> bool {
        let mut all = self.lock();
        match change {
            Change::Put { value: None, .. } => true,
            Change::Put { key, value: Some(value), .. } => {
                let has_room = all.len() < LEDGERS_MAX || all.contains_key(&key);
                if let Some(named) = key::parse(&key).filter(|_| has_room) {
                    all.insert(key, (named, value));
                }
                has_room
            }
            Change::Deleted { key, .. } => {
                all.remove(&key);
                true
            }
        }
    }

    /// Takes all that there are. What is none is left out.
    pub(crate) fn begin(&self, all: impl Iterator<Item = (String, Value)>) {
        for (key, value) in all {
            if let Ok(value) = serde_json::from_value(value) {
                self.take(Change::Put { key, value, revision: 0 });
            }
        }
        self.known.store(true, Relaxed);
    }

    /// Whether all were read.
    pub(super) fn are_known(&self) -> bool {
        self.known.load(Relaxed)
    }

    /// The ledger of a limit that all share.
    pub(crate) fn of(&self, key: &str) -> Option<Ledger> {
        self.lock().get(key).map(|(_, ledger)| ledger.clone())
    }

    /// The ledgers of a limit's callers, tokens or endpoints, by their names.
    pub(crate) fn parts_of(&self, key: &str) -> Vec<(String, Ledger)> {
        let first = format!("{key}.");
        let all = self.lock();
        let from =
            all.range::<str, _>((std::ops::Bound::Included(first.as_str()), std::ops::Bound::Unbounded));
        let parts = from.take_while(|(key, _)| key.starts_with(&first));
        parts.filter_map(|(_, (named, ledger))| Some((named.part.clone()?, ledger.clone()))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Named, Ledger)>> {
        // The map is whole after every statement, so a panic elsewhere spoils nothing.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of a calendar's window that was spent or is lost, as its ledger says; 0 where there is none. What gateways
    /// hold and have not spent is not used.
    pub(super) fn spent_of(&self, key: &str, at: Timestamp) -> f64 {
        let all = self.lock();
        let Some((named, ledger)) = all.get(key) else { return 0.0 };
        match span_of(named, at) {
            Some(span) if span.from.as_millis() == ledger.window => {
                let told = ledger.told(at);
                let gone = told.spent.saturating_add(told.elsewhere).saturating_add(told.lost);
                whole(gone.min(ledger.limit)) / whole(ledger.limit).max(1.0)
            }
            _ => 0.0,
        }
    }

    /// What rules find in the ledgers at a moment.
    pub(super) fn checks(&self, book: &Book, at: Timestamp) -> Vec<Check> {
        let near = [RuleKind::NearLimit, RuleKind::Exhausted];
        let rules: Vec<&Rule> =
            book.rules.values().filter(|rule| rule.enabled && near.contains(&rule.kind)).collect();
        let all = self.lock();
        rules.into_iter().flat_map(|rule| of_rule(book, rule, &all, at)).collect()
    }
}

fn of_rule(book: &Book, rule: &Rule, all: &BTreeMap<String, (Named, Ledger)>, at: Timestamp) -> Vec<Check> {
    let integrations: Vec<&Integration> = selected(book, rule).collect();
    let by_id: BTreeMap<&str, &Integration> =
        integrations.iter().map(|one| (one.id.as_str(), *one)).collect();
    let mut by_key: BTreeMap<&KeyId, Vec<&Integration>> = BTreeMap::new();
    for one in &integrations {
        if let Some(key) = &one.key {
            by_key.entry(key).or_default().push(one);
        }
    }
    let mut limits: BTreeMap<(&str, &str), Vec<Check>> = BTreeMap::new();
    for (named, ledger) in all.values() {
        let found = match named.owner.strip_prefix(CREDENTIAL) {
            Some(key) => {
                let owners = by_key.iter().find(|(id, _)| id.as_str() == key).map(|(_, all)| all.as_slice());
                owners.unwrap_or_default().iter().find_map(|one| Some((*one, near_of(one, named)?)))
            }
            None => by_id.get(&*named.owner).and_then(|one| Some((*one, near_of(one, named)?))),
        };
        if let Some((integration, near)) = found {
            let check = check(rule, integration, near, named, ledger, at);
            limits.entry((integration.id.as_str(), &named.limit)).or_default().push(check);
        }
    }
    for parts in limits.values_mut() {
        parts.sort_by(|a, b| used(b).total_cmp(&used(a)));
        parts.truncate(PARTS_MAX);
    }
    limits.into_values().flatten().collect()
}

fn used(check: &Check) -> f64 {
    if let Figure::Leased { share, .. } = &check.figure { *share } else { 0.0 }
}

/// From which share on a limit of an integration is near; nothing where it has none of this name and window, or where
/// counted calls say how far it is used.
fn near_of(integration: &Integration, named: &Named) -> Option<Ratio> {
    if integration.quotas.is_empty() {
        return integration.preset_quotas.then_some(NEAR);
    }
    let quota = integration.quotas.iter().find(|quota| quota.name == named.limit)?;
    let counted = is_counted(quota);
    let same = named.window.as_ref().is_none_or(|(per, zone)| {
        Some(*per) == quota.per && (zone == quota.zone() || is_utc(zone, quota.zone()))
    });
    (same && !counted).then_some(quota.near)
}

/// Zones have several names for UTC.
fn is_utc(zone: &str, other: &str) -> bool {
    let utc = |name: &str| matches!(name, "UTC" | "Etc/UTC");
    utc(zone) && utc(other)
}

/// The window of a limit, where it has one.
fn span_of(named: &Named, at: Timestamp) -> Option<window::Span> {
    named.window.as_ref().map(|(per, zone)| window::at(at, *per, zone))
}

/// The share of a limit that is in use.
fn share_at(named: &Named, ledger: &Ledger, at: Timestamp) -> f64 {
    // A window that is over is not used.
    let is_now = span_of(named, at).is_none_or(|span| span.from.as_millis() == ledger.window);
    let used = if is_now { ledger.in_use(at) } else { 0 };
    whole(used) / whole(ledger.limit).max(1.0)
}

fn check(
    rule: &Rule,
    integration: &Integration,
    near: Ratio,
    named: &Named,
    ledger: &Ledger,
    at: Timestamp,
) -> Check {
    let part = named.part.as_deref().map(|part| format!("/{part}")).unwrap_or_default();
    let name = named
        .part
        .as_deref()
        .map_or_else(|| integration.id.to_string(), |part| format!("{part} at {}", integration.id));
    let threshold = match rule.kind {
        RuleKind::Exhausted => 1.0,
        _ => rule.threshold.unwrap_or_else(|| share(near)),
    };
    Check {
        rule: rule.clone(),
        target: Target {
            key: format!("integration/{}/quota/{}{part}", integration.id, named.limit),
            integration: Some(integration.id.clone()),
            provider: Some(integration.provider.to_string()),
            quota: Some(named.limit.clone()),
            part: named.part.clone(),
            budget: None,
            name,
            whole: Some(ledger.limit),
            labels: integration.labels.clone(),
        },
        source: Source::of(vec![integration.id.clone()]),
        figure: Figure::Leased {
            share: share_at(named, ledger, at),
            resets_at: span_of(named, at).map(|span| span.to),
        },
        terms: terms(rule, vec![threshold]),
        severities: vec![rule.severity()],
    }
}

#[cfg(test)]
mod tests;
