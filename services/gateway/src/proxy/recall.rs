//! Recalls a kept answer: a fresh one instead of a call, a stale one when nobody else answers.
//!
//! What the cache did is said in `x-signalbox-cache`; an answer that is not new says its age.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, HeaderValue};
use http::{Method, Response, StatusCode};
use model::cache::Caching;

use super::admit::{Call, To};
use crate::Inner as Gateway;
use crate::body::Body;
use crate::cache::{Kept, Key, has_directive};
use crate::snapshot::Integration;

/// Headers of a request whose answer is of this moment or of a part.
const OF_THE_MOMENT: [&str; 6] =
    ["range", "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"];

/// What the cache may do for a call.
pub(crate) struct Plan {
    pub(crate) key: Key,
    times: Caching,
    /// Whether a kept answer may be taken.
    reads: bool,
    /// Whether the answer may be kept.
    pub(crate) keeps: bool,
    /// The members whose answers the caller may have.
    members: Vec<Arc<Integration>>,
}

/// What the cache may do; nothing for calls that go past it.
pub(crate) fn plan(call: &Call, has_body: bool) -> Option<Plan> {
    let To::Route(route, members) = &call.to else { return None };
    let times = route.cache.clone();
    let off = times.ttl_secs == 0 && times.stale_if_error_secs == 0;
    let of_the_moment = OF_THE_MOMENT.iter().any(|name| call.headers.contains_key(*name));
    if off || call.method != Method::GET || has_body || of_the_moment {
        return None;
    }
    Some(Plan {
        key: Key::new(&route.id, &call.path, call.query.as_deref(), &call.headers),
        times,
        reads: !has_directive(&call.headers, "no-cache") && !has_directive(&call.headers, "no-store"),
        keeps: !has_directive(&call.headers, "no-store"),
        members: members.clone(),
    })
}

impl Plan {
    /// `miss`, or `bypass` when the caller does not want a kept answer.
    pub(crate) fn word(&self) -> &'static str {
        if self.reads { "miss" } else { "bypass" }
    }

    /// A fresh answer.
    pub(crate) fn fresh(&self, gateway: &Gateway, call: &Call) -> Option<Response<Body>> {
        let ttl = Duration::from_secs(u64::from(self.times.ttl_secs));
        let (kept, member) = self.kept(gateway, ttl).filter(|_| self.reads)?;
        member.live.cached(&kept.endpoint, call.actor());
        Some(answer(&kept, &member, "hit"))
    }

    /// An answer from before, for when nobody answers now.
    pub(crate) fn stale(&self, gateway: &Gateway, call: &Call) -> Option<Response<Body>> {
        let secs = u64::from(self.times.ttl_secs) + u64::from(self.times.stale_if_error_secs);
        if self.times.stale_if_error_secs == 0 {
            return None;
        }
        let (kept, member) = self.kept(gateway, Duration::from_secs(secs))?;
        member.live.cached(&kept.endpoint, call.actor());
        Some(answer(&kept, &member, "stale"))
    }

    /// The kept answer, if its integration is still as it was and the caller may call it.
    fn kept(&self, gateway: &Gateway, age_max: Duration) -> Option<(Arc<Kept>, Arc<Integration>)> {
        let kept = gateway.cache.get(&self.key).filter(|kept| kept.age() < age_max)?;
        let same = |member: &&Arc<Integration>| {
            member.id == kept.integration && member.print == kept.print && member.fault.is_none()
        };
        let member = self.members.iter().find(same)?.clone();
        Some((kept, member))
    }
}

fn answer(kept: &Kept, member: &Integration, word: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(kept.body.clone()));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().clone_from(&kept.headers);
    response.headers_mut().insert(AGE, HeaderValue::from(kept.age().as_secs()));
    super::answer::decorate(&mut response, Some(member), 0, word);
    member.live.answered(200);
    response
}
