//! What to ask: an integration's own settings over the catalogue's over the program's. Pure.

use std::time::Duration;

use bytes::Bytes;
use catalogue::{Catalogue, Probe, Provider};
use egress::credential::QUERY;
use http::{Method, Request, Uri};
use model::auth::Auth;
use model::health::Reason;
use model::integration::Integration;
use model::quota;
use model::snapshot::Snapshot;
use percent_encoding::utf8_percent_encode;

use crate::Settings;
use crate::dues::{self, Asked, Due};
use crate::schedule::pacing::Pacing;

/// What the question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// How the provider is.
    Provider,
    /// Whether it takes the key.
    Key,
}

/// A question, but for the key.
pub(crate) struct Question<'a> {
    pub(crate) provider: &'a Provider,
    /// The catalogue's question, when it is the one that is asked.
    pub(crate) probe: Option<&'a Probe>,
    pub(crate) auth: Auth,
    pub(crate) needs_key: bool,
    pub(crate) request: Request<Bytes>,
    pub(crate) timeout: Duration,
    pub(crate) slow: Duration,
}

/// The provider of an integration; one without rules for `custom`.
pub(crate) fn provider<'a>(catalogue: &'a Catalogue, it: &Integration) -> Option<&'a Provider> {
    catalogue.callable(it.provider.as_str()).ok()
}

/// How often an integration is asked by its settings, and whether it says so itself.
fn every(catalogue: &Catalogue, settings: &Settings, it: &Integration) -> (Duration, bool) {
    let theirs = provider(catalogue, it)
        .and_then(|provider| provider.probe_in(&it.environment))
        .map(|probe| probe.every_secs);
    let secs = it.probe.every_secs.or(theirs).unwrap_or(settings.prober_every_secs);
    (Duration::from_secs(u64::from(secs.max(1))), it.probe.every_secs.is_some())
}

/// Which starts of its interval an integration is asked at, as far as its limits allow it; and the interval.
pub(crate) fn pacing(catalogue: &Catalogue, settings: &Settings, it: &Integration) -> (Pacing, Duration) {
    let (every, is_said) = every(catalogue, settings, it);
    let dues = dues(catalogue, None, it, About::Provider);
    (Pacing::new(every, dues::pace(&dues, every, is_said), dues::burst(&dues)), every)
}

/// From when on an answer is slow.
pub(crate) fn slow(catalogue: &Catalogue, settings: &Settings, it: &Integration) -> Duration {
    let probe = provider(catalogue, it).and_then(|provider| provider.probe_in(&it.environment));
    let ms = it.probe.slow_ms.or(probe.map(|probe| probe.slow_ms)).unwrap_or(settings.prober_slow_ms);
    Duration::from_millis(ms.into())
}

/// The name of the endpoint that an integration is asked at.
pub(crate) fn endpoint(catalogue: &Catalogue, it: &Integration) -> String {
    let Some(provider) = provider(catalogue, it) else { return "/".to_owned() };
    let (_, path) = asked(provider, it, About::Provider);
    provider.endpoint_of("GET", bare(path)).into_owned()
}

/// What a question costs, in millionths of a dollar: as much as a call, unless its provider does not count it.
pub(crate) fn micros(catalogue: &Catalogue, it: &Integration) -> u64 {
    let Some(provider) = provider(catalogue, it) else { return 0 };
    let (probe, _) = asked(provider, it, About::Provider);
    let is_free = probe.is_some_and(|probe| probe.units == 0 && it.probe.path.is_none());
    if is_free { 0 } else { provider.request_micros(it) }
}

/// What a question takes of limits, by the strictest of all that share them.
pub(crate) fn dues(
    catalogue: &Catalogue,
    snapshot: Option<&Snapshot>,
    it: &Integration,
    about: About,
) -> Vec<Due> {
    let Some(provider) = provider(catalogue, it) else { return Vec::new() };
    let (probe, path) = asked(provider, it, about);
    let path = bare(path);
    let endpoint = provider.endpoint_of("GET", path);
    let units = probe.filter(|_| it.probe.path.is_none()).map(|probe| probe.units);
    let mut dues = dues::dues(provider, it, &Asked { path, endpoint: &endpoint, units });
    if let Some(snapshot) = snapshot {
        dues::agree(&mut dues, catalogue, snapshot, it);
    }
    dues
}

/// Under which key it is written that the provider wants no calls with this version of the integration's key.
pub(crate) fn pause(catalogue: &Catalogue, it: &Integration, version: Option<u32>) -> Option<String> {
    let scope = provider(catalogue, it)?.refuses_together(it);
    quota::pause::key(&quota::key::owner(&it.id, it.key.as_ref(), scope), version)
}

/// The catalogue's question about an integration, and the path that is asked.
fn asked<'a: 'b, 'b>(
    provider: &'a Provider,
    it: &'b Integration,
    about: About,
) -> (Option<&'a Probe>, &'b str) {
    let own = it.probe.path.as_deref();
    let usual = provider.probe_in(&it.environment);
    // A trial of a key asks what shows the key, where the usual question does not.
    let probe = match &provider.key_probe {
        Some(probe) if about == About::Key && own.is_none() && usual.is_none_or(|usual| !usual.needs_key) => {
            Some(probe)
        }
        _ => usual,
    };
    (probe, own.or(probe.map(|probe| probe.path.as_str())).unwrap_or("/"))
}

fn bare(path: &str) -> &str {
    path.split_once('?').map_or(path, |(bare, _)| bare)
}

/// The question of an integration. An error is a sentence: there is nothing that could be asked.
pub(crate) fn question<'a>(
    catalogue: &'a Catalogue,
    settings: &Settings,
    it: &Integration,
    about: About,
) -> Result<Question<'a>, (Reason, String)> {
    let wrong = |detail: String| (Reason::TargetRefused, detail);
    let provider = catalogue.callable(it.provider.as_str()).map_err(wrong)?;
    let base = it.base_url.as_deref().or_else(|| provider.base_url(&it.environment));
    let base =
        base.ok_or_else(|| wrong(format!("{} has no environment `{}`", provider.name, it.environment)))?;
    let own = it.probe.path.is_some();
    let auth = it.auth.clone().unwrap_or_else(|| provider.auth_in(&it.environment).clone());
    let (probe, path) = asked(provider, it, about);
    let mut target = format!("{}{path}", base.trim_end_matches('/'));
    let theirs = probe.filter(|_| !own).map(|probe| &probe.query);
    let query = provider.query.iter().chain(theirs.into_iter().flatten()).chain(&it.params);
    for (name, value) in query {
        let sign = if target.contains('?') { '&' } else { '?' };
        let encode = |text| utf8_percent_encode(text, QUERY);
        target.push_str(&format!("{sign}{}={}", encode(name), encode(value)));
    }
    let uri: Uri = target.parse().map_err(|_| wrong("the address cannot be read".to_owned()))?;
    let method = it
        .probe
        .method
        .as_deref()
        .or(probe.filter(|_| !own).map(|probe| probe.method.as_str()))
        .unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in provider.headers.iter().chain(&it.headers) {
        request = request.header(name, value);
    }
    let request =
        request.body(Bytes::new()).map_err(|error| wrong(format!("the question cannot be put: {error}")))?;
    let ms = |own: Option<u32>, theirs: Option<u32>, default: u32| {
        Duration::from_millis(own.or(theirs).unwrap_or(default).into())
    };
    Ok(Question {
        provider,
        needs_key: own || probe.is_none_or(|probe| probe.needs_key),
        timeout: ms(it.probe.timeout_ms, probe.map(|probe| probe.timeout_ms), settings.prober_timeout_ms),
        slow: slow(catalogue, settings, it),
        probe: probe.filter(|_| !own),
        auth,
        request,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_costs_as_much_as_a_call() {
        let cost = |more: serde_json::Value| {
            let mut it = serde_json::json!({ "id": "it", "provider": "polygon" });
            more.as_object().expect("members").iter().for_each(|(name, value)| it[name] = value.clone());
            micros(Catalogue::builtin(), &serde_json::from_value(it).expect("an integration"))
        };
        assert_eq!(cost(serde_json::json!({ "cost": { "per_request_micros": 250 } })), 250);
        let theirs = Catalogue::builtin().get("polygon").expect("is there").cost.per_request_micros;
        assert_eq!(cost(serde_json::json!({})), theirs);
    }

    #[test]
    fn a_provider_that_this_process_does_not_know_is_not_asked_and_said() {
        let settings = runtime::settings::flags(&[]).expect("the defaults are right");
        let why = |provider: &str| {
            let it =
                serde_json::json!({ "id": "it", "provider": provider, "base_url": "https://acme.example" });
            let it: Integration = serde_json::from_value(it).expect("an integration");
            question(Catalogue::builtin(), &settings, &it, About::Provider).err()
        };
        let (reason, detail) = why("acme").expect("nothing to ask");
        assert_eq!(reason, Reason::TargetRefused);
        assert!(detail.contains("no provider `acme`") && detail.contains("--providers-dir"), "{detail}");
        assert!(why("ftx").is_some_and(|(_, detail)| detail.contains("is gone")));
        assert!(why("fred").is_none() && why("custom").is_none());
    }
}
