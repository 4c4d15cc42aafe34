//! Makes a snapshot ready to serve: addresses, headers and parameters are read once, not at every call.
//!
//! Pure but for the cells of new integrations. Nothing in a snapshot makes it fail: what cannot be read becomes the fault
//! of its integration, or is left out and logged.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use catalogue::{Catalogue, Provider};
use egress::Egress;
use egress::credential::is_credential;
use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri};
use metrics::counter;
use model::IntegrationId;
use model::auth::Auth;
use model::integration as configured;
use model::quota;
use model::route::Order;
use model::snapshot::{KeyRef, PinnedRoute, Snapshot};
use model::token::Token;
use sha2::{Digest, Sha256};

use super::{Caller, Config, Fault, Integration, KeyUse, Route, Usual};
use crate::breaker::Gate;
use crate::budget::Extra;
use crate::cache::rules::Rules;
use crate::live::Live;
use crate::map::Map;
use crate::merge::Merges;
use crate::near::Near;
use crate::proxy::join::Parameter;
use crate::proxy::key::Slot;
use crate::proxy::operate::Operations;
use crate::quota::book::Book;
use crate::quota::limits::Limits;
use crate::quota::pause::Pause;
use crate::telemetry;

/// Headers that a configuration cannot set: they belong to one connection.
const NEVER: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te"];

/// Makes a snapshot ready. Cells of integrations that stay are taken over.
pub(super) fn compile(
    (catalogue, egress, book): (&'static Catalogue, &Egress, &Arc<Book>),
    usual: Usual,
    snapshot: &Snapshot,
    before: Option<&Config>,
    now: Instant,
) -> Config {
    let asking = snapshot.routes.values().filter(|given| looks_at_limits(&given.route));
    let asked: BTreeSet<&IntegrationId> = asking.flat_map(|given| &given.route.integrations).collect();
    let integrations: Map<IntegrationId, Arc<Integration>> = snapshot
        .integrations
        .values()
        .map(|given| {
            let old = before.and_then(|config| config.integrations.get(&given.id));
            let slow_ms = usual.slow_ms;
            let mut new = integration(catalogue, egress, slow_ms, given, snapshot, old.map(Arc::as_ref), now);
            new.limits = limits(book, usual, given, &new);
            new.pause = pause(book, given, &new);
            let has_limits = !given.quotas.is_empty() || !new.provider.usage_headers.is_empty();
            new.near = (has_limits && asked.contains(&given.id)).then(|| near(given, old.map(Arc::as_ref)));
            tell_fault(&new, old.and_then(|old| old.fault.as_ref()));
            (given.id.clone(), Arc::new(new))
        })
        .collect();
    let routes = snapshot
        .routes
        .values()
        .map(|given| {
            let old = before.and_then(|config| config.routes.get(&given.route.id));
            (given.route.id.clone(), Arc::new(route(given, &integrations, old.map(Arc::as_ref), now)))
        })
        .collect();
    let tokens = snapshot.tokens.iter().filter_map(caller).collect();
    Config { revision: snapshot.revision, tokens, integrations, routes }
}

/// Says once, not at every revision, that an integration cannot be called.
fn tell_fault(new: &Integration, before: Option<&Fault>) {
    if let Some(fault @ Fault::Broken(why)) = &new.fault
        && before != Some(fault)
    {
        tracing::warn!(integration.id = %new.id, why, "Integration {} cannot be called: {why}.", new.id);
    }
}

fn caller(token: &Token) -> Option<([u8; 32], Arc<Caller>)> {
    let mut hash = [0; 32];
    if hex::decode_to_slice(&token.hash, &mut hash).is_err() {
        tracing::warn!(token.id = %token.id, "Token {} has no hash that can be read; it is not taken.", token.id);
        return None;
    }
    let networks: Result<Vec<_>, _> = token.bounds.addresses.iter().map(|text| network(text)).collect();
    let Ok(networks) = networks else {
        tracing::warn!(token.id = %token.id, "Token {} is bound to a network that cannot be read; it is not taken.", token.id);
        return None;
    };
    Some((hash, Arc::new(Caller { token: token.clone(), networks })))
}

/// A network, or one address.
fn network(text: &str) -> Result<ipnet::IpNet, ipnet::AddrParseError> {
    text.parse().or_else(|error| text.parse::<std::net::IpAddr>().map(Into::into).map_err(|_| error))
}

/// The limits. A language model's answer is as long as it may be, where nobody says.
fn limits(
    book: &Arc<Book>,
    usual: Usual,
    given: &configured::Integration,
    new: &Integration,
) -> Option<Arc<Limits>> {
    let output = new.max_tokens.unwrap_or(usual.output);
    Limits::new(book, given, new.provider, usual.replicas, output)
}

/// Until when the provider wants no calls, as it was known. Whoever disables an integration may have it tried afterwards.
fn pause(book: &Book, given: &configured::Integration, new: &Integration) -> Arc<Pause> {
    let scope = new.provider.refuses_together(given);
    let version = if let KeyUse::Version { version, .. } = new.key { Some(version) } else { None };
    let pause =
        book.pauses.of(quota::pause::key(&quota::key::owner(&given.id, given.key.as_ref(), scope), version));
    if new.fault == Some(Fault::Disabled) {
        pause.lift();
    }
    pause
}

/// How near the limits are, as it was known.
fn near(given: &configured::Integration, old: Option<&Integration>) -> Arc<Near> {
    let kept = old.and_then(|old| old.near.clone()).filter(|near| near.is_of(&given.quotas));
    kept.unwrap_or_else(|| Arc::new(Near::new(&given.quotas)))
}

/// Whether a route looks at how near its members' limits are: to leave one in time, or to ask none beside another that
/// has little left.
fn looks_at_limits(route: &model::route::Route) -> bool {
    route.order == Order::QuotaAware || (route.failover && route.integrations.len() > 1)
}

/// Whether a member has a canonical operation.
fn operates(route: &model::route::Route, integrations: &Map<IntegrationId, Arc<Integration>>) -> bool {
    let mut members = route.integrations.iter().filter_map(|id| integrations.get(id));
    members.any(|member| !member.operations.is_empty())
}

/// Whether a member chats in a dialect that is known.
fn chats(route: &model::route::Route, integrations: &Map<IntegrationId, Arc<Integration>>) -> bool {
    let mut members = route.integrations.iter().filter_map(|id| integrations.get(id));
    members.any(|member| member.dialect.is_some())
}

fn route(
    given: &PinnedRoute,
    integrations: &Map<IntegrationId, Arc<Integration>>,
    old: Option<&Route>,
    now: Instant,
) -> Route {
    let PinnedRoute { route, pinned, drained } = given;
    let methods = route.repeatable_methods.iter();
    Route {
        id: route.id.clone(),
        failover: route.failover,
        members: route.integrations.iter().filter_map(|id| integrations.get(id).cloned()).collect(),
        order: route.order,
        weights: route.weights.clone(),
        pinned: pinned.clone(),
        drained: drained.clone(),
        extra: old.map_or_else(|| Arc::new(Mutex::new(Extra::new(now))), |old| old.extra.clone()),
        cache: Rules::of(&route.cache),
        repeatable: methods
            .filter_map(|method| Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok())
            .collect(),
        chats: chats(route, integrations),
        operates: operates(route, integrations),
        failovers: counter!(telemetry::FAILOVERS, "route" => route.id.to_string()),
    }
}

fn integration(
    catalogue: &'static Catalogue,
    egress: &Egress,
    usual_slow_ms: u32,
    given: &configured::Integration,
    snapshot: &Snapshot,
    old: Option<&Integration>,
    now: Instant,
) -> Integration {
    let callable = catalogue.callable(given.provider.as_str());
    let known = catalogue.get(given.provider.as_str());
    let provider = known.unwrap_or_else(|| Provider::custom());
    let base = base(given, provider);
    let fault = match (&base, callable) {
        _ if !given.enabled => Some(Fault::Disabled),
        (_, Err(why)) => Some(Fault::Broken(why)),
        (Err(why), _) => Some(Fault::Broken(why.clone())),
        (Ok(_), Ok(_)) => None,
    };
    let (scheme, authority, base) =
        base.unwrap_or_else(|_| (Scheme::HTTPS, Authority::from_static("signalbox.invalid"), String::new()));
    let auth = given.auth.clone().unwrap_or_else(|| provider.auth_in(&given.environment).clone());
    let key_ref = given.key.as_ref().map(|key| snapshot.keys.get(key));
    let live = old.map(|old| &old.live).filter(|live| live.provider == given.provider).cloned();
    // What was seen of another key or at another place says nothing of this one.
    let print = print(given, key_ref);
    // Whoever enables one again wants it tried.
    let gate = old.filter(|old| old.print == print && old.fault.is_none()).map(|old| old.gate.clone());
    let merges = old.filter(|old| old.print == print).map(|old| old.merges.clone());
    // Connections stay when a change does not move the integration.
    let kept = old.filter(|old| (&old.scheme, &old.authority) == (&scheme, &authority));
    let kept = kept.and_then(|old| old.upstream.clone().ok());
    Integration {
        id: given.id.clone(),
        id_header: HeaderValue::from_str(given.id.as_str()).expect("a slug can stand in a header"),
        provider,
        fault,
        upstream: kept.map_or_else(|| egress.upstream(&origin(&scheme, &authority)), Ok),
        scheme,
        authority,
        base,
        key: key(given, key_ref),
        headers: headers(given, provider),
        field_headers: field_headers(provider),
        params: params(given, provider, &auth),
        auth,
        timeout_ms: u64::from(given.timeout_ms),
        timeouts: given.timeouts,
        slow_ms: slow_ms(given, provider, usual_slow_ms),
        retry: given.retry.clone(),
        cost_micros: provider.request_micros(given),
        slot: Slot::default(),
        dialect: provider.chat_dialect(given.settings.get("dialect").and_then(serde_json::Value::as_str)),
        models: given.models.clone(),
        max_tokens: given
            .settings
            .get("max_tokens")
            .and_then(serde_json::Value::as_u64)
            .filter(|max| *max > 0),
        operations: Operations::of(given, provider),
        reads_good_bodies: provider.reads_body(200),
        tokens: crate::tokens::Rules::new(provider, &given.settings, &given.cost.prices),
        print,
        cache: Rules::of(&given.cache),
        gate: gate.unwrap_or_else(|| Arc::new(Gate::new(given.id.clone()))),
        limits: None,
        pause: Arc::default(),
        near: None,
        merges: merges.unwrap_or_else(|| Merges::of(given, provider)),
        live: live.unwrap_or_else(|| Arc::new(Live::new(given.id.clone(), given.provider.clone(), now))),
    }
}

/// The root of a host.
fn origin(scheme: &Scheme, authority: &Authority) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("scheme, authority and path are all there")
}

/// From when on an answer is slow, as the prober has it.
fn slow_ms(given: &configured::Integration, provider: &Provider, usual_ms: u32) -> u64 {
    let theirs = provider.probe_in(&given.environment).map(|probe| probe.slow_ms);
    u64::from(given.probe.slow_ms.or(theirs).unwrap_or(usual_ms))
}

/// Scheme, authority and path of the base URL, or why there is none.
fn base(given: &configured::Integration, provider: &Provider) -> Result<(Scheme, Authority, String), String> {
    let own = given.base_url.as_deref().filter(|url| !url.is_empty());
    let text = own
        .or_else(|| provider.base_url(&given.environment))
        .ok_or_else(|| format!("{} has no environment `{}`", provider.name, given.environment))?;
    let uri: Uri = text.parse().map_err(|_| "its base URL cannot be read".to_owned())?;
    if uri.query().is_some() || text.contains('#') {
        return Err("its base URL holds a query or a fragment; use `params`".to_owned());
    }
    let path = uri.path().trim_end_matches('/').to_owned();
    crate::proxy::join::check(&path).map_err(|why| format!("its base URL: {why}"))?;
    let (scheme, authority) = (uri.scheme().cloned(), uri.authority().cloned());
    let (Some(scheme), Some(authority)) = (scheme, authority) else {
        return Err("its base URL is not absolute".to_owned());
    };
    Ok((scheme, authority, path))
}

fn key(given: &configured::Integration, key_ref: Option<Option<&KeyRef>>) -> KeyUse {
    match (&given.key, key_ref.flatten()) {
        (None, _) => KeyUse::None,
        (Some(_), None) => KeyUse::Missing,
        (Some(_), Some(KeyRef { version: None, .. })) => KeyUse::Revoked,
        (Some(id), Some(KeyRef { version: Some(version), expires_at })) => {
            KeyUse::Version { path: vault::Path::key(id), version: *version, expires_at: *expires_at }
        }
    }
}

/// The catalogue's headers and the integration's own, which win.
fn headers(given: &configured::Integration, provider: &Provider) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: HashMap<HeaderName, HeaderValue> = HashMap::new();
    for (name, value) in provider.headers.iter().chain(&given.headers) {
        let read = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        match read {
            (Ok(name), Ok(value)) if !NEVER.contains(&name.as_str()) && !is_credential(&name) => {
                headers.insert(name, value);
            }
            _ => {
                tracing::warn!(integration.id = %given.id, header = ?name, "A header of integration {} cannot be sent.", given.id);
            }
        }
    }
    headers.into_iter().collect()
}

/// Fields of a key that the catalogue sends as headers, beside the scheme.
fn field_headers(provider: &Provider) -> Vec<(HeaderName, String)> {
    let named = provider.fields.iter().filter_map(|field| Some((field.header.as_deref()?, &field.name)));
    named.filter_map(|(header, name)| Some((header.parse().ok()?, name.clone()))).collect()
}

/// The integration's own parameters, and the catalogue's that it does not have. The key's own place stays free.
fn params(given: &configured::Integration, provider: &Provider, auth: &Auth) -> Vec<Parameter> {
    let key_name = if let Auth::Query { name, .. } = auth { Some(name) } else { None };
    let fixed = provider.query.iter().filter(|(name, _)| !given.params.contains_key(*name));
    let all = given.params.iter().chain(fixed).filter(|(name, _)| Some(*name) != key_name);
    all.map(|(name, value)| Parameter::new(name, value)).collect()
}

/// A short form of all that may change an integration's answers. Whether it is called at all changes none.
fn print(given: &configured::Integration, key: Option<Option<&KeyRef>>) -> u64 {
    let enabled = (!given.enabled).then(|| configured::Integration { enabled: true, ..given.clone() });
    let whole = serde_json::to_vec(&(enabled.as_ref().unwrap_or(given), key.flatten())).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    Sha256::digest(&whole).hash(&mut hasher);
    hasher.finish()
}
