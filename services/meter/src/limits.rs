//! Says how far each limit of an integration is used: by calls that were counted, and by the ledgers of what gateways lease.
//!
//! Calls are counted for what the provider counts by them: whole calls in a calendar's windows. Everything else is known from the
//! ledgers alone. Never changes one, and never decides whether a call may go.

use model::ask::{LeasedUse, PARTS_TOLD_MAX, PartUse, QuotaUse, Source, UsageOf};
use model::forecast::{Forecast, Missing};
use model::integration::Window;
use model::quota::clock::Now;
use model::quota::ledger::Ledger;
use model::quota::{Kind, Limit, Quota, Span, Unit, keep, key};
use model::{IntegrationId, KeyId, Timestamp};

use crate::shared::{REPLICAS, Shared, shared};
use crate::window::{self, Span as Between};
use crate::{Meter, forecasts};

/// Limits with their use, in their order, and those whose calls are counted with their window and forecast.
pub(crate) type Used = (Vec<QuotaUse>, Vec<(Quota, Between, Forecast)>);

/// How far the limits of a question are used.
pub(crate) async fn used(meter: &Meter, question: &UsageOf) -> anyhow::Result<Used> {
    let (mut used, mut limits) = (Vec::new(), Vec::new());
    let (id, now) = (&question.integration, question.now);
    let kept = question.quotas.iter().map(|quota| (quota, true));
    for (quota, is_kept) in kept.chain(question.shown.iter().map(|quota| (quota, false))) {
        let standing = stands(meter, (id, question.key.as_ref()), quota, is_kept, now).await?;
        let Some(Stands { mut told, counted, of }) = standing else { continue };
        if let Some(span) = counted.filter(|_| told.per.is_some()) {
            let limit = (quota, span, told.used, told.limit);
            told.forecast = forecasts::of_quota(meter, &of, limit, now).await?;
            limits.push((quota.clone(), span, told.forecast.clone()));
        }
        used.push(told);
    }
    Ok((used, limits))
}

/// How far a limit is used.
pub(crate) struct Stands {
    /// With no forecast.
    pub(crate) told: QuotaUse,
    /// The window in which its calls are counted, if they are.
    counted: Option<Between>,
    /// Whose calls they are.
    of: Vec<IntegrationId>,
}

/// How far one limit of an integration with this key is used. Nothing of what no gateway can keep, and of what is only
/// shown and not known.
pub(crate) async fn stands(
    meter: &Meter,
    (id, with): (&IntegrationId, Option<&KeyId>),
    quota: &Quota,
    is_kept: bool,
    now: Timestamp,
) -> anyhow::Result<Option<Stands>> {
    let Ok(limit) = keep(quota, REPLICAS) else { return Ok(None) };
    let snapshot = meter.snapshot.borrow().clone();
    let all = snapshot.iter().flat_map(|snapshot| snapshot.integrations.values());
    let Some(Shared { ledger: key, integrations: of, amount, .. }) = shared(all, id, with, quota) else {
        return Ok(None);
    };
    let has_parts = quota.scope.has_parts();
    // What several integrations share is the smallest of what they say, as the ledger knows it.
    let ledger = meter.ledgers.of(&key).filter(|_| !has_parts);
    let amount = ledger.as_ref().map_or(amount, |ledger| ledger.limit.min(amount));
    let is_calendar = matches!(limit.span, Span::Calendar { .. });
    let leased = ledger.as_ref().map(|ledger| standing(ledger, &limit, quota, amount, now));
    let mut parts = if has_parts { parts(meter, quota, &limit, id, now) } else { Vec::new() };
    parts.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.part.cmp(&b.part)));
    let parts_total = parts.len() as u64;
    parts.truncate(PARTS_TOLD_MAX);
    let is_bucket = matches!(limit.span, Span::Bucket { .. });
    let per = quota.per.filter(|per| *per != Window::Second && quota.counts_calls() && !is_bucket);
    // Of what comes again one by one the ledger knows better than a window of the clock.
    let per = per.filter(|_| is_calendar || leased.is_none() && !matches!(limit.span, Span::Concurrent));
    if !is_kept && per.is_none() {
        return Ok(None);
    }
    let span = per.map(|per| window::at(now, per, quota.zone()));
    let mut counted = 0_u64;
    if let Some(span) = span {
        for id in &of {
            counted += meter.store.usage_in_window(id, span.from, span.to, now).await?.requests;
        }
    }
    let by_ledger = leased.iter().chain(parts.first()).map(|standing| standing.used).max().unwrap_or(0);
    let used = counted.max(by_ledger);
    let window = match (&limit.span, quota.per) {
        (Span::Calendar { .. }, Some(per)) => Some(window::at(now, per, quota.zone())),
        _ => None,
    };
    let told = QuotaUse {
        name: quota.name.clone(),
        kept: is_kept,
        unit: quota.unit,
        kind: kind(&limit.span),
        per: quota.per.filter(|_| is_calendar),
        timezone: is_calendar.then(|| quota.zone().to_owned()),
        window_ms: match limit.span {
            Span::Rolling { millis } | Span::Bucket { millis } => Some(millis),
            _ => None,
        },
        scope: quota.scope,
        paths: quota.paths.clone(),
        weighted: !quota.weights.is_empty(),
        source: if span.is_some() { Source::Counted } else { Source::Leased },
        used,
        limit: amount,
        left: amount.saturating_sub(used),
        ratio: ratio(used, amount),
        near: quota.near,
        near_limit: quota.near.reached(used, amount),
        resets_at: window.map(|window| window.to),
        leased: leased.map(|standing| standing.leased),
        parts_total,
        parts,
        forecast: unsupported(),
    };
    Ok(Some(Stands { told, counted: span, of }))
}

/// What each caller, token or endpoint used of a limit that each has by itself.
fn parts(meter: &Meter, quota: &Quota, limit: &Limit, id: &IntegrationId, now: Timestamp) -> Vec<PartUse> {
    let Some(key) = key::of(id.as_str(), &key::limit(limit, true), None) else { return Vec::new() };
    let all = meter.ledgers.parts_of(&key).into_iter();
    let told =
        all.map(|(part, ledger)| PartUse { part, ..standing(&ledger, limit, quota, limit.amount, now) });
    told.filter(|part| part.used > 0 || part.leased.held > 0).collect()
}

const fn kind(span: &Span) -> Kind {
    match span {
        Span::Calendar { .. } => Kind::Calendar,
        Span::Concurrent => Kind::Concurrent,
        Span::Bucket { .. } => Kind::Bucket,
        Span::Rolling { .. } => Kind::Rolling,
    }
}

fn unsupported() -> Forecast {
    Forecast {
        missing: Some(Missing::Unsupported),
        detail: "only limits of a calendar that count whole calls of the integration are forecast".to_owned(),
        ..Forecast::default()
    }
}

/// What a ledger says at a moment. Of a window that is over, or of none, nothing.
fn standing(ledger: &Ledger, limit: &Limit, quota: &Quota, amount: u64, at: Timestamp) -> PartUse {
    let near = quota.near;
    let limit = Limit { amount, ..limit.clone() };
    let at_once = Now::exactly(at, 0);
    let now = Ledger::now(Some(ledger), &limit, &at_once);
    let ledger = now.unwrap_or_else(|_| Ledger::new(&limit, ledger.window));
    let told = ledger.told(at);
    let spent = told.spent.saturating_add(told.elsewhere);
    // Where each call is one unit of a calendar, what is held and not spent can be spent.
    let is_exact = !limit.renews() && quota.unit == Unit::Requests && quota.weights.is_empty();
    let in_use = if is_exact { 0 } else { ledger.in_use(at) };
    let used = in_use.max(spent).saturating_add(told.lost).min(amount);
    PartUse {
        part: String::new(),
        used,
        left: amount.saturating_sub(used),
        ratio: ratio(used, amount),
        near_limit: near.reached(used, amount),
        leased: LeasedUse {
            spent: told.spent,
            held: told.held,
            lost: told.lost,
            elsewhere: told.elsewhere,
            free: told.free,
            gateways: told.gateways,
        },
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people, to three digits")]
fn ratio(used: u64, limit: u64) -> f64 {
    (used as f64 / limit.max(1) as f64 * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
