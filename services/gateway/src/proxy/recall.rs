//! Recalls a kept answer: a fresh one instead of a call, a stale one while a new one is fetched or when nobody else answers.
//!
//! Of equal calls at the same time one goes and the others wait for its answer, if it may be shared. What the cache did is
//! said in `x-signalbox-cache` and `cache-status` (RFC 9211); an answer that is not new says its age.

mod going;
mod place;
mod refresh;
mod say;

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body as _;
use model::Timestamp;
use model::health::Reason;
use tokio::time::Instant;

use super::admit::{Call, To};
use super::attempt::Answer;
use crate::Inner as Gateway;
use crate::body::Body;
use crate::cache::flight::{Followed, Joined, Lead};
use crate::cache::kept::{Kept, Origin};
use crate::cache::key::{Door, Key};
use crate::cache::rules::{Rules, Times, Windows};
use crate::cache::said::{Said, directives};
use crate::problem::Problem;
use crate::snapshot::Integration;
use crate::telemetry;
pub(crate) use going::go;
pub(crate) use place::Place;

/// Headers of a request whose answer is of this moment or of a part.
const OF_THE_MOMENT: [&str; 6] =
    ["range", "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"];
/// How long a call waits for the answer of an equal one, in milliseconds; then it goes itself.
const FOLLOW_MS: u64 = 10_000;
/// From how often on an answer that was asked for since it was new is hot.
const HOT_ASKS: u32 = 8;
/// A hot answer is fetched anew in the last part of its time: this one.
const HOT_PART: u32 = 5;

/// What the cache may do for a call.
pub(crate) struct Plan {
    key: Key,
    times: Times,
    rules: Arc<Rules>,
    /// Whether a kept answer may be taken.
    reads: bool,
    /// Whether the answer may be kept.
    keeps: bool,
    /// How old an answer the caller takes, in seconds.
    age_max: Option<u64>,
    /// How many invalidations there were when the provider was asked.
    drops: u64,
    /// What is kept and is not good enough as it is.
    old: Option<Arc<Kept>>,
    /// The right to answer for all who ask the same.
    lead: Option<Lead>,
}

/// What came of looking.
pub(crate) enum Recalled {
    /// An answer.
    Answer(Response<Body>),
    /// A provider must be asked; with a plan for its answer, unless the cache has nothing to do with it.
    Goes(Option<Plan>),
}

/// Looks for an answer, and waits for that of an equal call. An error: the caller wants a kept answer or none.
pub(crate) async fn recall(gateway: &Arc<Gateway>, call: &Call, has_body: bool) -> Result<Recalled, Problem> {
    let Some((mut plan, only_if_cached)) = plan(call, has_body) else { return Ok(Recalled::Goes(None)) };
    plan.drops = gateway.cache.drops();
    if !plan.reads {
        return Ok(Recalled::Goes(Some(plan)));
    }
    if let Some(response) = plan.at_hand(gateway, call) {
        return Ok(Recalled::Answer(response));
    }
    if only_if_cached {
        let detail = "no answer is kept that is fresh, and `only-if-cached` asks for no other";
        return Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "not_cached", "No answer is kept", detail));
    }
    match gateway.cache.flights().join(&plan.key) {
        Joined::Leads(lead) => {
            plan.lead = Some(lead);
            // Whoever led before may have kept its answer between our look and now.
            if let Some(response) = plan.at_hand(gateway, call) {
                if let Some((lead, kept)) = plan.lead.take().zip(gateway.cache.get(&plan.key)) {
                    lead.land(&kept);
                }
                return Ok(Recalled::Answer(response));
            }
        }
        Joined::Follows(follow) => {
            match follow.until(Instant::now() + Duration::from_millis(FOLLOW_MS)).await {
                Followed::Landed(kept) => {
                    if let Some(response) = plan.shared(call, &kept) {
                        return Ok(Recalled::Answer(response));
                    }
                }
                Followed::Leads(lead) => {
                    plan.lead = Some(lead);
                    plan.drops = gateway.cache.drops();
                }
                Followed::Alone => {}
            }
        }
    }
    Ok(Recalled::Goes(Some(plan)))
}

/// What the cache may do, and whether the caller wants nothing else; nothing for calls that go past it.
fn plan(call: &Call, has_body: bool) -> Option<(Plan, bool)> {
    let (rules, door) = match &call.to {
        To::Route(route, _) => (route.cache.as_ref()?, Door::Route(route.id.as_str())),
        To::Integration(integration) => {
            (integration.cache.as_ref()?, Door::Integration(integration.id.as_str()))
        }
    };
    let of_the_moment = OF_THE_MOMENT.iter().any(|name| call.headers.contains_key(*name));
    if call.method != Method::GET || has_body || of_the_moment {
        return None;
    }
    let times = rules.times(&call.path)?;
    let (mut no_cache, mut no_store, mut only_if_cached, mut age_max) = (false, false, false, None);
    if call.headers.contains_key(CACHE_CONTROL) {
        directives(&call.headers, |name, value| match name {
            "no-cache" => no_cache = true,
            "no-store" => no_store = true,
            "only-if-cached" => only_if_cached = true,
            "max-age" => age_max = value.and_then(|secs| secs.parse().ok()).or(Some(0)),
            _ => {}
        });
    }
    let (path, query) = (&call.path, call.query.as_deref());
    let plan = Plan {
        key: Key::new(door, &call.method, path, query, &call.headers, &rules.headers),
        times,
        rules: rules.clone(),
        reads: !no_cache && !no_store && age_max != Some(0),
        keeps: !no_store,
        age_max,
        drops: 0,
        old: None,
        lead: None,
    };
    Some((plan, only_if_cached))
}

impl Plan {
    /// `miss`, or `bypass` when the caller does not want a kept answer.
    pub(crate) fn word(&self) -> &'static str {
        if self.reads { "miss" } else { "bypass" }
    }

    /// An answer that is good as it is: a fresh one, or a stale one while a new one is fetched.
    fn at_hand(&mut self, gateway: &Arc<Gateway>, call: &Call) -> Option<Response<Body>> {
        let (kept, member) = self.kept(gateway, call)?;
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        let too_old = self.age_max.is_some_and(|max| kept.age_secs(age) > max);
        if too_old || age >= windows.while_revalidate {
            self.old = Some(kept);
            return None;
        }
        let word = if age < windows.fresh { "hit" } else { "stale" };
        let behind = windows.while_revalidate > windows.fresh;
        if behind && (is_hot(kept.ask(), age, windows.fresh) || word == "stale") {
            refresh::behind(gateway, call, self, &kept);
        }
        Some(answer(call, &kept, &member, word, (age, windows)))
    }

    /// The answer to an equal call, if this caller may have it too.
    fn shared(&self, call: &Call, kept: &Arc<Kept>) -> Option<Response<Body>> {
        let member = of(kept, call)?;
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        // An old one lands when its leader found nothing better. One that was just fetched is new, whatever its time.
        let is_new = age < windows.fresh.max(Duration::from_millis(FOLLOW_MS));
        let word = if is_new { "coalesced" } else { "stale" };
        Some(answer(call, kept, &member, word, (age, windows)))
    }

    /// An answer from before, for when nobody answers now. All who wait get it.
    pub(crate) fn stale(
        &mut self,
        gateway: &Gateway,
        call: &Call,
        reason: Option<Reason>,
    ) -> Option<Response<Body>> {
        // What the provider refuses to this caller's request it would have refused before.
        if reason == Some(Reason::Forbidden) {
            return None;
        }
        let (kept, member) = self.kept(gateway, call)?;
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        if age >= windows.if_error {
            return None;
        }
        if let Some(lead) = self.lead.take() {
            lead.land(&kept);
        }
        Some(answer(call, &kept, &member, "stale", (age, windows)))
    }

    /// The kept answer, if its integration is still as it was and the caller may call it.
    fn kept(&self, gateway: &Gateway, call: &Call) -> Option<(Arc<Kept>, Arc<Integration>)> {
        let kept = gateway.cache.get(&self.key)?;
        let member = of(&kept, call)?;
        Some((kept, member))
    }

    /// A place for an answer that is on its way, if it may be kept and shared.
    pub(crate) fn place(self, gateway: &Gateway, found: &mut Answer) -> Option<Box<Place>> {
        let Answer { head, may_keep, held, rest, .. } = &*found;
        let said = Said::of(&head.headers, Timestamp::now());
        let len = rest.as_ref().map_or(Some(0), |rest| rest.size_hint().upper());
        let len = len.and_then(|len| usize::try_from(len).ok()).map(|len| len + held.len());
        let max = gateway.cache.body_bytes_max();
        let may = self.keeps
            && *may_keep
            && head.status == StatusCode::OK
            && self.times.keeps(&said)
            && head
                .headers
                .get_all(VARY)
                .iter()
                .all(|vary| vary.to_str().is_ok_and(|v| self.rules.covers(v)))
            && !is_stream(&head.headers)
            && len.is_none_or(|len| len <= max);
        let kept = may.then(|| Kept::new(&head.headers, origin(found), said));
        say::forwarded(&mut found.head.headers, self.word(), self.old.is_some(), may);
        let Some(kept) = kept else {
            if self.old.is_some() && !found.head.status.is_server_error() {
                // What the provider says now is not what was kept.
                gateway.cache.remove(&self.key);
            }
            if let Some(lead) = self.lead {
                lead.apart();
            }
            return None;
        };
        Some(Box::new(Place::new(gateway.cache.clone(), self.key, kept, len, self.drops, self.lead)))
    }

    /// The old answer again, after its provider said that it is still true.
    pub(crate) fn confirmed(
        &mut self,
        gateway: &Gateway,
        call: &Call,
        found: &Answer,
    ) -> Option<Response<Body>> {
        let old = call.revalidates.as_ref().filter(|_| found.head.status == StatusCode::NOT_MODIFIED)?;
        let same =
            old.origin.integration == found.integration.id && old.origin.print == found.integration.print;
        if !same {
            return None;
        }
        let said = Said::of(&found.head.headers, Timestamp::now());
        let kept = Arc::new(old.confirmed(&found.head.headers, said));
        if self.keeps {
            gateway.cache.keep(&self.key, &kept, self.drops);
        }
        if let Some(lead) = self.lead.take() {
            lead.land(&kept);
        }
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        Some(answer(call, &kept, &found.integration, "refresh", (age, windows)))
    }
}

/// Whether an answer that is asked for so often should not become stale. Its last part of time is left to fetch it.
fn is_hot(asks: u32, age: Duration, fresh: Duration) -> bool {
    asks >= HOT_ASKS && fresh.saturating_sub(age) <= fresh / HOT_PART
}

/// The member that a kept answer is of, if the caller may call it and it is still as it was.
fn of(kept: &Kept, call: &Call) -> Option<Arc<Integration>> {
    let same = |member: &&Arc<Integration>| {
        member.id == kept.origin.integration && member.print == kept.origin.print && member.fault.is_none()
    };
    call.members().iter().find(same).cloned()
}

/// Who gave an answer.
fn origin(found: &Answer) -> Origin {
    let (integration, endpoint) = (&found.integration, (*found.account.endpoint).into());
    Origin { integration: integration.id.clone(), print: integration.print, endpoint }
}

/// Whether an answer comes in pieces for as long as it likes.
fn is_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["text/event-stream", "application/x-ndjson", "application/ndjson", "multipart/x-mixed-replace"]
        .iter()
        .any(|stream| media_type.get(..stream.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(stream)))
}

fn answer(
    call: &Call,
    kept: &Kept,
    member: &Integration,
    word: &'static str,
    (age, windows): (Duration, Windows),
) -> Response<Body> {
    let mut response = Response::new(Body::whole(kept.body.clone()));
    response.headers_mut().clone_from(&kept.headers);
    say::kept(response.headers_mut(), word, kept.age_secs(age), age, windows.fresh);
    super::answer::decorate(&mut response, Some(member), usize::from(word == "refresh"), word);
    telemetry::cache(word);
    if word != "refresh" {
        member.live.cached(&kept.origin.endpoint, call.actor());
    }
    member.live.answered(200);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_hot_when_it_is_asked_for_often_and_nearly_stale() {
        let secs = Duration::from_secs;
        for (asks, age, wanted) in [(HOT_ASKS, 80, true), (HOT_ASKS, 79, false), (HOT_ASKS - 1, 99, false)] {
            assert_eq!(is_hot(asks, secs(age), secs(100)), wanted, "{asks} {age}");
        }
    }

    #[test]
    fn streams_are_not_shared() {
        for (media_type, wanted) in [
            ("text/event-stream; charset=utf-8", true),
            ("Application/X-NDJSON", true),
            ("application/json", false),
            ("", false),
        ] {
            let headers = [(CONTENT_TYPE, http::HeaderValue::from_static(media_type))].into_iter().collect();
            assert_eq!(is_stream(&headers), wanted, "{media_type}");
        }
    }
}
