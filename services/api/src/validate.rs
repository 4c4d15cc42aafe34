//! What a configuration must be, beyond its type: checked against the catalogue and the rest of the configuration.

mod costs;
mod models;
mod plans;

use std::collections::BTreeSet;

use catalogue::Provider;
use model::auth::Auth;
use model::integration::{CUSTOM_PROVIDER, Integration};
use model::quota::{self, Fault};
use model::route::{Order, Route};
use model::webhook::{Rate, Schedule};
use runtime::Problem;

use crate::config::Config;
use crate::resources::{caches, providers};
use crate::state::Api;

/// Integrations in one route.
const MEMBERS_MAX: usize = 16;
/// Statuses after which one integration is asked again.
const RETRY_STATUSES_MAX: u64 = 20;
/// Headers that a configuration must not set: credentials belong into a key, the rest is the connection's own.
const HEADERS_REFUSED: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "keep-alive",
    "x-api-key",
    "api-key",
    "x-signalbox-token",
    "forwarded",
];

fn within(pointer: &str, value: u64, min: u64, max: u64) -> Result<(), Problem> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Problem::validation(pointer, format!("must be {min} to {max}, not {value}")))
}

/// Checks an integration, and gives its provider.
pub(crate) fn integration<'a>(
    api: &'a Api,
    config: &Config,
    it: &Integration,
) -> Result<Option<&'a Provider>, Problem> {
    let provider = provider_of(api, it)?;
    scheme(it)?;
    operations(it)?;
    merges(it, provider)?;
    plans::check(it, provider)?;
    let before = config.integrations.get(&it.id).map(|kept| &kept.body);
    models::check(it, provider, before)?;
    models::counted(it, provider, before)?;
    bounds(it)?;
    if let Some(key) = &it.key {
        let kept = config.keys.get(key).ok_or_else(|| {
            Problem::validation(
                "/key",
                format!("there is no key `{key}`; create it first with POST /api/v1/keys"),
            )
        })?;
        let theirs = api.catalogue.get(kept.body.provider.as_str()).map(|provider| provider.id.clone());
        if provider.is_some_and(|provider| theirs.as_ref().is_some_and(|theirs| *theirs != provider.id)) {
            return Err(Problem::validation(
                "/key",
                format!("the key `{key}` is for {}, not for {}", kept.body.provider, it.provider),
            ));
        }
        let auth = it.auth.as_ref().or_else(|| provider.map(|provider| provider.auth_in(&it.environment)));
        if let (Some(auth), Some(version)) = (auth, kept.body.active())
            && let Some(missing) =
                auth.fields().into_iter().find(|field| !version.fields.contains_key(*field))
        {
            return Err(Problem::validation(
                "/key",
                format!(
                    "the key `{key}` has no field `{missing}`, which this integration shows to its provider"
                ),
            ));
        }
    }
    Ok(provider)
}

fn provider_of<'a>(api: &'a Api, it: &Integration) -> Result<Option<&'a Provider>, Problem> {
    if it.provider.as_str() != CUSTOM_PROVIDER {
        let provider = providers::named(api, it.provider.as_str(), "/provider")?;
        if it.base_url.is_none() && provider.base_url(&it.environment).is_none() {
            let known: Vec<&str> =
                provider.environments.iter().map(|environment| environment.name.as_str()).collect();
            return Err(Problem::validation(
                "/environment",
                format!(
                    "{} has no environment `{}`; it has {}",
                    provider.name,
                    it.environment,
                    known.join(", ")
                ),
            ));
        }
        return Ok(Some(provider));
    }
    if it.base_url.is_none() {
        return Err(Problem::validation(
            "/base_url",
            "a custom provider needs its address, such as https://api.example.com",
        ));
    }
    match &it.auth {
        None => Err(Problem::validation(
            "/auth",
            "a custom provider needs a scheme, such as {\"scheme\":\"none\"}",
        )),
        Some(Auth::None {}) => Ok(None),
        Some(_) if it.key.is_none() => {
            Err(Problem::validation("/key", "this scheme shows a key, so name one"))
        }
        Some(_) => Ok(None),
    }
}

/// Whether the scheme can be used: its names can be sent, its patterns be filled.
pub(crate) fn scheme(it: &Integration) -> Result<(), Problem> {
    match it.auth.as_ref().map(Auth::check) {
        Some(Err(fault)) => Err(Problem::validation(format!("/auth{}", fault.pointer), fault.why)),
        Some(Ok(())) | None => Ok(()),
    }
}

/// Whether the operations that it brings can be carried out.
fn operations(it: &Integration) -> Result<(), Problem> {
    catalogue::operation::check_own(&it.operations)
        .map_err(|wrong| Problem::validation(format!("/operations{}", wrong.pointer()), wrong.reason))
}

/// Whether the calls that it wants to be merged can be.
fn merges(it: &Integration, provider: Option<&Provider>) -> Result<(), Problem> {
    catalogue::merge::check_own(&it.merge, provider)
        .map_err(|wrong| Problem::validation(format!("/merge{}", wrong.pointer()), wrong.reason))
}

fn bounds(it: &Integration) -> Result<(), Problem> {
    within("/timeout_ms", it.timeout_ms.into(), 100, 600_000)?;
    let model::integration::Timeouts { connect_ms, first_byte_ms, total_ms } = it.timeouts;
    let limits = [
        ("/timeouts/connect_ms", connect_ms),
        ("/timeouts/first_byte_ms", first_byte_ms),
        ("/timeouts/total_ms", total_ms),
    ];
    for (at, limit) in limits {
        limit.map_or(Ok(()), |ms| within(at, ms.into(), 1, 86_400_000))?;
    }
    within("/retry/attempts", it.retry.attempts.into(), 1, 10)?;
    within("/retry/backoff_ms", it.retry.backoff_ms.into(), 0, 60_000)?;
    within("/retry/statuses", it.retry.statuses.len() as u64, 0, RETRY_STATUSES_MAX)?;
    for (n, status) in it.retry.statuses.iter().enumerate() {
        within(&format!("/retry/statuses/{n}"), (*status).into(), 400, 599)?;
    }
    let probe = &it.probe;
    probe.every_secs.map_or(Ok(()), |secs| within("/probe/every_secs", secs.into(), 1, 86_400))?;
    probe.timeout_ms.map_or(Ok(()), |ms| within("/probe/timeout_ms", ms.into(), 50, 60_000))?;
    probe.slow_ms.map_or(Ok(()), |ms| within("/probe/slow_ms", ms.into(), 1, 60_000))?;
    if probe.method.as_deref().is_some_and(|method| !matches!(method, "GET" | "HEAD")) {
        return Err(Problem::validation("/probe/method", "must be GET or HEAD"));
    }
    if probe.path.as_deref().is_some_and(|path| !path.starts_with('/') || path.contains(['\r', '\n', ' '])) {
        return Err(Problem::validation("/probe/path", "must begin with `/` and hold no white space"));
    }
    for (name, value) in &it.headers {
        let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        if HEADERS_REFUSED.contains(&name.to_ascii_lowercase().as_str())
            || name.to_ascii_lowercase().starts_with("x-signalbox-")
        {
            return Err(Problem::validation(&pointer, "may not be set here; credentials belong into a key"));
        }
        if http::HeaderName::try_from(name.as_str()).is_err()
            || http::HeaderValue::try_from(value.as_str()).is_err()
        {
            return Err(Problem::validation(&pointer, "is not a valid header"));
        }
    }
    caches::check(&it.cache)?;
    costs::check(&it.cost)?;
    quotas(it)
}

/// Limits that can never be met, or contradict themselves, with the first thing that is wrong.
fn quotas(it: &Integration) -> Result<(), Problem> {
    // How many gateways share an estimate is theirs to know.
    let wrong = quota::compile(&it.quotas, 1).err().unwrap_or_else(|| quota::contradictions(&it.quotas));
    wrong.into_iter().next().map_or(Ok(()), |Fault { pointer, why }| {
        Err(Problem::validation(format!("/quotas{pointer}"), why.to_string()))
    })
}

pub(crate) fn zone(pointer: &str, name: &str) -> Result<(), Problem> {
    jiff::tz::TimeZone::get(name).map(drop).map_err(|_| {
        Problem::validation(
            pointer,
            format!("`{}` is not a time zone such as America/New_York or UTC", name.escape_debug()),
        )
    })
}

/// Checks a route.
pub(crate) fn route(config: &Config, route: &Route) -> Result<(), Problem> {
    if route.integrations.is_empty() || route.integrations.len() > MEMBERS_MAX {
        return Err(Problem::validation(
            "/integrations",
            format!("must name 1 to {MEMBERS_MAX} integrations"),
        ));
    }
    let mut seen = BTreeSet::new();
    for (i, id) in route.integrations.iter().enumerate() {
        if !config.integrations.contains_key(id) {
            return Err(Problem::validation(
                format!("/integrations/{i}"),
                format!("there is no integration `{id}`"),
            ));
        }
        if !seen.insert(id) {
            return Err(Problem::validation(format!("/integrations/{i}"), format!("`{id}` is named twice")));
        }
    }
    for (i, method) in route.repeatable_methods.iter().enumerate() {
        if !matches!(method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE") {
            return Err(Problem::validation(
                format!("/repeatable_methods/{i}"),
                "must be POST, PUT, PATCH or DELETE",
            ));
        }
    }
    weights(route)?;
    caches::check(&route.cache)
}

/// Checks how a route's calls are shared out.
fn weights(route: &Route) -> Result<(), Problem> {
    if route.order != Order::Weighted && !route.weights.is_empty() {
        return Err(Problem::validation("/weights", "need the order `weighted`"));
    }
    for (id, weight) in &route.weights {
        let pointer = format!("/weights/{id}");
        if !route.integrations.contains(id) {
            return Err(Problem::validation(pointer, format!("`{id}` is not part of this route")));
        }
        within(&pointer, u64::from(*weight), 1, 1_000)?;
    }
    Ok(())
}

/// Checks when a webhook may speak.
pub(crate) fn schedule(schedule: &Schedule) -> Result<(), Problem> {
    zone("/schedule/timezone", &schedule.timezone)?;
    for (pointer, time, end) in
        [("/schedule/from", &schedule.from, false), ("/schedule/to", &schedule.to, true)]
    {
        let valid = time.len() == 5
            && time.split_once(':').is_some_and(|(hour, minute)| {
                let (hour, minute) = (hour.parse::<u8>().unwrap_or(99), minute.parse::<u8>().unwrap_or(99));
                (hour < 24 && minute < 60) || (end && hour == 24 && minute == 0)
            });
        if !valid {
            return Err(Problem::validation(pointer, "must be HH:MM, such as 09:30"));
        }
    }
    Ok(())
}

/// Checks how fast a webhook may speak.
pub(crate) fn rate(rate: Rate) -> Result<(), Problem> {
    within("/rate/max", rate.max.into(), 1, 10_000)?;
    within("/rate/per_secs", rate.per_secs.into(), 1, 86_400)
}
