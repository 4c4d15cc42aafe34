//! What an answer becomes before it goes on: without the key in it, and as a failure where it is none for the caller.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use egress::lane;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use model::Timestamp;
use model::health::Reason;

use super::super::converse::{Listener, Voice};
use super::super::dress;
use super::super::echo::{Needles, Unfit, Veiled};
use super::super::encoding::{self, Coded, Coding};
use super::super::judge::Judged;
use super::super::key::Ready;
use super::super::record::{Account, Mark};
use super::{Answer, Failure, Tried};
use crate::quota::learn;
use crate::snapshot::Integration;

/// The largest body that is given plainly because of a key in it, in bytes.
const UNVEILED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Takes what an answer says of the provider's limits.
pub(super) fn hear(
    integration: &Integration,
    judged: &Judged,
    account: &Account,
    sent_at: Timestamp,
    sent_ms: u64,
) {
    let (near, limits) = (integration.near.as_deref(), integration.limits.as_deref());
    if near.is_none() && limits.is_none() {
        return;
    }
    let headers = &judged.head.headers;
    if integration.provider.usage_headers.is_empty() {
        let common = limits.and_then(|_| learn::common(headers));
        account.quota.learn(common.as_slice(), sent_ms);
    } else {
        let read: Vec<(&str, &str)> =
            headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let answer = catalogue::Answer { status: 200, headers: &read, body: b"" };
        let hints = catalogue::hints(integration.provider, &answer);
        account.quota.learn(&hints, sent_ms);
        if let Some(near) = near {
            near.heard(&hints, sent_at, lane::timestamp());
        }
    }
    if let Some(reason) = judged.reason {
        // Where the provider names a time, all calls wait for it, and not those alone that are under a limit.
        if integration.pause.left().is_none() && account.quota.is_limited() {
            integration.pause.guess(reason, judged.retry_after);
        }
        if limits.is_some_and(|limits| limits.counts_tokens) {
            account.quota.failed();
        }
    }
}

/// An answer came: what it means, without the key in it.
pub(super) fn answered(
    integration: &Arc<Integration>,
    judged: Judged,
    account: Account,
    mark: &mut Mark,
    key: Option<&Arc<Ready>>,
    listener: Option<&Listener>,
    operates: bool,
) -> Tried {
    let Judged { mut head, held, mut rest, reason, why, retry_after, .. } = judged;
    let coding = Coding::of(&head.headers);
    let status = head.status.as_u16();
    let may_keep = reason.is_none() && crate::cache::is_whole(&head, operates);
    let length = head.headers.get(CONTENT_LENGTH).cloned();
    dress::undress_answer(&mut head.headers);
    // An answer without a body (to HEAD, or 304) says how long it would be; nothing else tells the caller.
    let is_bodiless = held.is_empty() && rest.as_ref().is_none_or(http_body::Body::is_end_stream);
    if let Some(length) = length.filter(|_| is_bodiless) {
        head.headers.insert(CONTENT_LENGTH, length);
    }
    let mut held = match key {
        Some(key) => {
            let held = match (coding, &rest) {
                (Coded::By(coding), None) => match unveil(key, coding, &mut head, held) {
                    Ok(held) => held,
                    Err(unfit) => {
                        return unfit_for_all(unfit, integration, status, reason, retry_after, mark);
                    }
                },
                _ => held,
            };
            hide(integration, &key.needles, &mut head, held)
        }
        None => held,
    };
    let voice = listener.and_then(|listener| listener.voice(status, &head.headers, &held));
    if voice.as_ref().is_some_and(Voice::is_whole) {
        rest = None;
    }
    let rest = match (rest, key) {
        (Some(body), Some(key)) => match coding {
            Coded::Plain => Some(Veiled::new(body, integration, key, &mut held)),
            Coded::By(coding) => match Veiled::coded(body, coding, integration, key, &mut held) {
                Ok(veiled) => Some(veiled),
                Err(unfit) => return unfit_for_all(unfit, integration, status, reason, retry_after, mark),
            },
            Coded::Unknown => Some(Veiled::plain(body)),
        },
        (rest, _) => rest.map(Veiled::plain),
    };
    let duration_ms = mark.end(true, reason, Some(status));
    let integration_of = integration.clone();
    let answer = Box::new(Answer {
        integration: integration_of,
        head,
        may_keep,
        held,
        rest,
        account,
        voice,
        merged: 0,
    });
    match reason {
        None => Tried::Answered(answer),
        Some(Reason::BadRequest) if !operates && !integration.retry.statuses.contains(&status) => {
            Tried::Answered(answer)
        }
        Some(reason) => Tried::Failed(Failure {
            reason,
            why,
            status: Some(status),
            duration_ms,
            may_have_acted: !is_refusal(reason, status),
            retry_after,
            answer: Some(answer),
        }),
    }
}

/// An answer that nobody must see, and of which nothing went on: to the caller it is none.
fn unfit_for_all(
    unfit: Unfit,
    integration: &Integration,
    status: u16,
    reason: Option<Reason>,
    retry_after: Option<Duration>,
    mark: &mut Mark,
) -> Tried {
    unfit.tell(integration);
    let reason = reason.unwrap_or(Reason::UpstreamError);
    let duration_ms = mark.end(true, Some(reason), Some(status));
    Tried::Failed(Failure {
        why: Some(unfit.why().to_owned()),
        status: Some(status),
        may_have_acted: !is_refusal(reason, status),
        retry_after,
        ..Failure::unsent(reason, duration_ms)
    })
}

/// Gives a whole compressed body plainly where it holds the key, so that it can be hidden there.
///
/// # Errors
/// Why it must not be given at all.
fn unveil(
    key: &Arc<Ready>,
    coding: Coding,
    head: &mut http::response::Parts,
    held: Bytes,
) -> Result<Bytes, Unfit> {
    let Err(unfit) = Needles::look_into(key, coding, &held) else { return Ok(held) };
    let plain = encoding::decode(coding, &held, UNVEILED_BYTES_MAX).map_err(|_| unfit)?;
    head.headers.remove(CONTENT_ENCODING);
    Ok(plain.into())
}

/// Takes the key out of its own answer.
fn hide(
    integration: &Integration,
    needles: &Needles,
    head: &mut http::response::Parts,
    held: Bytes,
) -> Bytes {
    let dropped = needles.drop_from(&mut head.headers);
    let (held, masked) = needles.mask(held);
    if dropped + masked > 0 {
        let (status, places) = (head.status.as_u16(), dropped + masked);
        integration.live.echoed(places);
        tracing::warn!(integration.id = %integration.id, status, places, "Hid the key of integration {} in its own answer.", integration.id);
    }
    held
}

/// Whether the provider says that it did nothing: then even an unsafe request may go elsewhere.
fn is_refusal(reason: Reason, status: u16) -> bool {
    let refused = matches!(
        reason,
        Reason::ThrottledBurst
            | Reason::QuotaExhausted
            | Reason::Banned
            | Reason::BadCredentials
            | Reason::Forbidden
            | Reason::ClockSkew
    );
    refused && status < 500
}
