//! Recalls a kept answer: a fresh one instead of a call, a stale one while a new one is fetched or when nobody else answers.
//!
//! Of equal calls at the same time one goes and the others wait for its answer, if it may be shared. What the cache did is
//! said in `x-signalbox-cache` and `cache-status` (RFC 9211); an answer that is not new says its age.
//!
//! A condition of a caller is judged here (RFC 9111, section 4.3.2): its provider is asked for all of the answer, which
//! then serves those without a condition too. HEAD is answered from what GET got, and leaves nothing behind.

mod asks;
mod give;
mod going;
mod place;
mod refresh;
mod say;

use std::sync::Arc;
use std::time::Duration;

use egress::lane;
use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body::Body as _;
use model::health::Reason;
use tokio::time::Instant;

use super::admit::{Call, To};
use super::attempt::Answer;
use super::join;
use super::judge::is_stream;
use crate::Inner as Gateway;
use crate::body::Body;
use crate::cache::Moment;
use crate::cache::condition::Condition;
use crate::cache::flight::{Followed, Joined, Lead};
use crate::cache::kept::{Kept, Origin, Varies};
use crate::cache::key::{Door, Key};
use crate::cache::rules::{Rules, Times};
use crate::cache::said::Said;
use crate::cache::writes::Since;
use crate::problem::Problem;
use crate::snapshot::{Fault, Integration};
use asks::Asks;
pub(crate) use asks::is_of_the_moment;
pub(crate) use give::pass;
pub(crate) use going::go;
pub(crate) use place::Place;

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
    /// What the caller asks of the cache.
    asks: Asks,
    /// What the caller has already.
    condition: Option<Condition>,
    /// From before the provider was asked.
    moment: Moment,
    /// What is kept and is not good enough as it is.
    old: Option<Arc<Kept>>,
    /// What the answer varies by besides the key; nothing where that cannot be known.
    varies: Option<Varies>,
    /// The right to answer for all who ask the same.
    lead: Option<Lead>,
}

/// What came of looking.
pub(crate) enum Recalled {
    /// An answer.
    Answer(Response<Body>),
    /// A provider must be asked; with a plan for its answer, unless the cache has nothing to do with it.
    Goes(Option<Box<Plan>>),
}

/// Looks for an answer, and waits for that of an equal call. An error: the caller wants a kept answer or none.
pub(crate) async fn recall(gateway: &Arc<Gateway>, call: &Call, has_body: bool) -> Result<Recalled, Problem> {
    let Some(mut plan) = plan(call, has_body) else { return Ok(Recalled::Goes(None)) };
    plan.moment = gateway.cache.moment();
    if !plan.asks.reads {
        return Ok(Recalled::Goes(Some(plan)));
    }
    if let Some(response) = plan.at_hand(gateway, call) {
        return Ok(Recalled::Answer(response));
    }
    if plan.asks.only_if_cached {
        let detail = "no answer is kept that is fresh, and `only-if-cached` asks for no other";
        return Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "not_cached", "No answer is kept", detail));
    }
    if plan.asks.head {
        return Ok(Recalled::Goes(Some(plan)));
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
                    if let Some(response) = plan.shared(gateway, call, &kept) {
                        return Ok(Recalled::Answer(response));
                    }
                }
                Followed::Leads(lead) => {
                    plan.lead = Some(lead);
                    plan.moment = gateway.cache.moment();
                }
                Followed::Alone => {}
            }
        }
    }
    Ok(Recalled::Goes(Some(plan)))
}

/// What the cache may do; nothing for calls that go past it.
fn plan(call: &Call, has_body: bool) -> Option<Box<Plan>> {
    let (rules, door) = match &call.to {
        To::Route(route, _) => (route.cache.as_ref()?, Door::Route(route.id.as_str())),
        To::Integration(integration) => {
            (integration.cache.as_ref()?, Door::Integration(integration.id.as_str()))
        }
    };
    let asks = Asks::of(call).filter(|_| !has_body)?;
    let times = rules.times(&call.path)?;
    let (path, query) = (&call.path, call.query.as_deref());
    let caller = rules.per_caller.then(|| call.actor());
    Some(Box::new(Plan {
        key: Key::new(door, caller, path, query, &call.headers, &rules.headers),
        times,
        rules: rules.clone(),
        // Whoever wants what is true now asks its provider itself.
        condition: Condition::of(&call.headers).filter(|_| asks.reads),
        asks,
        moment: Moment::default(),
        old: None,
        varies: None,
        lead: None,
    }))
}

/// Something was written: what is kept of that address is not true any more (RFC 9111, section 4.4).
pub(crate) fn wrote(gateway: &Gateway, call: &Call, found: &Answer) {
    let good = found.head.status.is_success() || found.head.status.is_redirection();
    if good && !call.method.is_safe() {
        let integration = &found.integration;
        gateway.cache.wrote(&integration.id, join::below(&integration.base, &call.path));
        for name in [LOCATION, CONTENT_LOCATION] {
            let said = found.head.headers.get(name).and_then(|value| value.to_str().ok());
            if let Some(path) = said.and_then(|said| place_below(integration, said)) {
                gateway.cache.wrote(&integration.id, path.path());
            }
        }
    }
}

/// The path below its base of what an integration says to be elsewhere; nothing where that is not its own.
fn place_below(integration: &Integration, said: &str) -> Option<Uri> {
    let uri: Uri = said.parse().ok()?;
    let is_own = uri.authority().is_none_or(|authority| *authority == integration.authority);
    let path = uri.path().strip_prefix(&*integration.base).filter(|path| path.starts_with('/'));
    path.filter(|_| is_own && said.contains('/'))?.parse().ok()
}

impl Plan {
    /// `miss`, or `bypass` when the caller does not want a kept answer.
    pub(crate) fn word(&self) -> &'static str {
        if self.asks.reads { "miss" } else { "bypass" }
    }

    /// An answer that is good as it is: a fresh one, or a stale one while a new one is fetched.
    fn at_hand(&mut self, gateway: &Arc<Gateway>, call: &Call) -> Option<Response<Body>> {
        let (kept, member) = self.kept(gateway, call, false)?;
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        if !self.asks.takes(&kept, age, windows) {
            self.old = Some(kept);
            return None;
        }
        let word = if age < windows.fresh { "hit" } else { "stale" };
        let behind = windows.while_revalidate > windows.fresh && age < windows.if_error;
        if behind && (is_hot(kept.ask(), age, windows.fresh) || word == "stale") {
            refresh::behind(gateway, call, self, &kept);
        }
        Some(self.give(call, &kept, &member, word, (age, windows)))
    }

    /// The answer to an equal call, if this caller may have it too.
    fn shared(&self, gateway: &Gateway, call: &Call, kept: &Arc<Kept>) -> Option<Response<Body>> {
        if !kept.suits(&call.headers) || !gateway.cache.is_current(kept) {
            return None;
        }
        let member = of(kept, call, false)?;
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        // An old one lands when its leader found nothing better. One that was just fetched is new, whatever its time.
        let is_new = age < windows.fresh.max(Duration::from_millis(FOLLOW_MS));
        let word = if is_new { "coalesced" } else { "stale" };
        Some(self.give(call, kept, &member, word, (age, windows)))
    }

    /// An answer from before, for when nobody answers now. All who wait get it.
    pub(crate) fn stale(
        &mut self,
        gateway: &Gateway,
        call: &Call,
        reason: Option<Reason>,
    ) -> Option<Response<Body>> {
        // What the provider refuses to this caller's request it would have refused before. And who wants what is true
        // now is not told what was true before.
        if reason == Some(Reason::Forbidden) || !self.asks.reads {
            return None;
        }
        let (kept, member) = self.kept(gateway, call, true)?;
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        if age >= windows.if_error {
            return None;
        }
        if let Some(lead) = self.lead.take() {
            lead.land(&kept);
        }
        Some(self.give(call, &kept, &member, "stale", (age, windows)))
    }

    /// The kept answer, if its integration is still as it was and the caller may call it.
    fn kept(&self, gateway: &Gateway, call: &Call, stale: bool) -> Option<(Arc<Kept>, Arc<Integration>)> {
        let kept = gateway.cache.get(&self.key).filter(|kept| kept.suits(&call.headers))?;
        let member = of(&kept, call, stale)?;
        Some((kept, member))
    }

    /// What an answer says of being kept. Where each caller has its own, `private` says nothing more.
    fn said(&self, headers: &HeaderMap) -> Said {
        let said = Said::of(headers, lane::timestamp());
        Said { private: said.private && !self.rules.per_caller, ..said }
    }

    /// Which writes end an answer of a member.
    fn since(&self, gateway: &Gateway, member: &Integration) -> Since {
        gateway.cache.since(&member.id, join::below(&member.base, self.key.path()), self.moment)
    }

    /// A place for an answer that is on its way, if it may be kept and shared.
    pub(crate) fn place(mut self: Box<Self>, gateway: &Gateway, found: &mut Answer) -> Option<Box<Place>> {
        let Answer { head, may_keep, held, rest, .. } = &*found;
        let said = self.said(&head.headers);
        let len = rest.as_ref().map_or(Some(0), |rest| rest.size_hint().upper());
        let len = len.and_then(|len| usize::try_from(len).ok()).map(|len| len + held.len());
        let max = gateway.cache.body_bytes_max();
        let may = self.asks.keeps
            && *may_keep
            && head.status == StatusCode::OK
            && self.times.keeps(&said)
            && !is_stream(&head.headers)
            && len.is_none_or(|len| len <= max);
        let varies = self.varies.take().filter(|_| may);
        let kept = varies.map(|varies| {
            let since = self.since(gateway, &found.integration);
            Kept::new(&head.headers, origin(found), said, since, varies)
        });
        if kept.is_none() && self.is_refuted(found) {
            gateway.cache.remove(&self.key);
        }
        say::forwarded(&mut found.head.headers, self.word(), self.old.is_some(), kept.is_some());
        let Some(kept) = kept else {
            if let Some(lead) = self.lead {
                lead.apart();
            }
            return None;
        };
        Some(Box::new(Place::new(gateway.cache.clone(), self.key, kept, len, self.moment, self.lead)))
    }

    /// Whether what the provider says now, and what is not kept, tells that what is kept is not true any more.
    fn is_refuted(&self, found: &Answer) -> bool {
        let (status, Some(old)) = (found.head.status, &self.old) else { return false };
        match status {
            StatusCode::OK if self.asks.head => old.differs(&found.head.headers),
            StatusCode::NOT_MODIFIED => false,
            _ => !status.is_server_error(),
        }
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
        let (said, since) = (self.said(&found.head.headers), self.since(gateway, &found.integration));
        let kept = Arc::new(old.confirmed(&found.head.headers, said, since));
        if self.asks.keeps {
            gateway.cache.keep(&self.key, &kept, self.moment);
        }
        if let Some(lead) = self.lead.take() {
            lead.land(&kept);
        }
        let (age, windows) = (kept.age(), self.times.windows(&kept.said));
        Some(self.give(call, &kept, &found.integration, "refresh", (age, windows)))
    }
}

/// Whether an answer that is asked for so often should not become stale. Its last part of time is left to fetch it.
fn is_hot(asks: u32, age: Duration, fresh: Duration) -> bool {
    asks >= HOT_ASKS && fresh.saturating_sub(age) <= fresh / HOT_PART
}

/// The member that a kept answer is of, if the caller may call it and it is still as it was. Where a `stale` answer is
/// better than none that of a disabled one is too.
fn of(kept: &Kept, call: &Call, stale: bool) -> Option<Arc<Integration>> {
    let same = |member: &&Arc<Integration>| {
        member.id == kept.origin.integration
            && member.print == kept.origin.print
            && (member.fault.is_none() || (stale && member.fault == Some(Fault::Disabled)))
    };
    call.members().iter().find(same).cloned()
}

/// Who gave an answer.
fn origin(found: &Answer) -> Origin {
    let (integration, endpoint) = (&found.integration, Arc::from(&*found.account.endpoint));
    Origin { integration: integration.id.clone(), print: integration.print, endpoint }
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
}
