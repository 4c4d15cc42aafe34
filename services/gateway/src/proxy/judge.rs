//! Judges an answer before anything of it goes to the caller: by its head, and by its body where that can matter.
//!
//! A body is held when its provider tells errors inside of it, or when its status is an error, up to a bound; streams of
//! events are never held. Of any other answer that is taken which is here with its head, and a short one is waited for a
//! moment: where its framing breaks at once, nothing of it went to the caller, and the call can go elsewhere. What is held
//! is passed on byte for byte afterwards.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use catalogue::{Answer, Provider};
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use model::health::Reason;
use tokio::time::timeout;

use super::encoding::opened;

/// The most of an answer's body that is held, in bytes.
pub(crate) const HELD_BYTES_MAX: usize = 64 * 1024;
/// How long a body is held for, in milliseconds.
const HOLD_MS: u64 = 5_000;
/// What is taken of a good answer before it goes on, in bytes: all of it, where that is known to be no more.
const BEGINNING_BYTES_MAX: usize = 16 * 1024;
/// How long it is waited for where it is not here, in milliseconds. It counts as time to the answer's beginning.
const BEGINNING_MS: u64 = 50;

/// An answer with what it means.
pub(crate) struct Judged {
    /// Its head, as it came.
    pub(crate) head: Parts,
    /// What is held of its body.
    pub(crate) held: Bytes,
    /// The rest; nothing when all of it is held.
    pub(crate) rest: Option<egress::Body>,
    /// What is wrong.
    pub(crate) reason: Option<Reason>,
    /// The same in words of ours, where more is known.
    pub(crate) why: Option<String>,
    /// How long the provider asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// Whether this answer named that time; else it is what the provider's pages say.
    pub(crate) names_wait: bool,
}

impl Judged {
    /// One of which nothing is wrong.
    pub(crate) const fn good(head: Parts, held: Bytes, rest: Option<egress::Body>) -> Self {
        Self { head, held, rest, reason: None, why: None, retry_after: None, names_wait: false }
    }
}

/// Judges an answer. An error: its body broke off while it was held.
pub(crate) async fn judge(
    provider: &Provider,
    method: &Method,
    answer: http::Response<egress::Body>,
) -> Result<Judged, egress::Error> {
    let (head, mut body) = answer.into_parts();
    let status = head.status.as_u16();
    let (mut held, mut whole) = (BytesMut::new(), false);
    if must_hold(provider, method, status, &head.headers, body.size_hint().upper()) {
        let holding = hold(&mut body, &mut held);
        // A body that dribbles is judged by its head, and passed on as it comes.
        whole = timeout(Duration::from_millis(HOLD_MS), holding).await.unwrap_or(Ok(false))?;
    }
    let held = held.freeze();
    // Redirects are not followed and are no trouble of the provider; nor is a change of protocol that was asked for.
    if head.status.is_redirection() || head.status.is_informational() {
        let rest = (!whole).then_some(body);
        return Ok(Judged::good(head, held, rest));
    }
    // The APIs of the catalogue answer no pages: what does is a guard or a portal on the way, whatever its status.
    if head.status == StatusCode::OK && !provider.is_custom() && media_type(&head.headers) == "text/html" {
        let rest = (!whole).then_some(body);
        let reason = Some(Reason::UpstreamError);
        let why = Some("a page, where an API answers".to_owned());
        return Ok(Judged { reason, why, ..Judged::good(head, held, rest) });
    }
    // The plain case: a good answer of a provider that tells errors by their status.
    if head.status.is_success() && !provider.has_rule_for(status) {
        let held = if whole || !held.is_empty() { held } else { begin(&head.headers, &mut body).await? };
        let rest = (!whole && !body.is_end_stream()).then_some(body);
        return Ok(Judged::good(head, held, rest));
    }
    let pairs: Vec<(&str, &str)> =
        head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    // What is compressed is judged by a copy that is not; the bytes themselves pass on as they came.
    let opened = if whole { opened(&head.headers, &held) } else { None };
    let seen: &[u8] = match &opened {
        Some(plain) => plain,
        None if whole => &held,
        None => &[],
    };
    let verdict = catalogue::judge(provider, &Answer { status, headers: &pairs, body: seen });
    let rest = (!whole).then_some(body);
    let is_garbled = verdict.reason.is_none() && whole && is_garbled(&head.headers, &held);
    let reason = verdict.reason.or_else(|| is_garbled.then_some(Reason::UpstreamError));
    let why = is_garbled.then(|| "it says that it is JSON, and is not".to_owned());
    let catalogue::Verdict { retry_after, names_wait, .. } = verdict;
    Ok(Judged { reason, why, retry_after, names_wait, ..Judged::good(head, held, rest) })
}

/// Whether a whole body says that it is JSON, and is not.
fn is_garbled(headers: &HeaderMap, body: &Bytes) -> bool {
    media_type(headers) == "application/json"
        && !body.is_empty()
        && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err()
}

/// The media type without its parameters.
fn media_type(headers: &HeaderMap) -> &str {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim()
}

/// Reads a body up to the bound, and says whether that was all of it. Stopped half-way, what was read is in `held`.
async fn hold(body: &mut egress::Body, held: &mut BytesMut) -> Result<bool, egress::Error> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        held.extend_from_slice(&data);
        if held.len() > HELD_BYTES_MAX {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes the beginning of a good answer: what is here of it, and a short one whole if it comes at once. An error: it broke
/// off meanwhile.
async fn begin(headers: &HeaderMap, body: &mut egress::Body) -> Result<Bytes, egress::Error> {
    let mut held = Bytes::new();
    if body.is_end_stream() {
        return Ok(held);
    }
    {
        let mut taking = pin!(take(body, &mut held));
        // Mostly it is here, and needs no timer.
        match poll_fn(|cx| Poll::Ready(taking.as_mut().poll(cx))).await {
            Poll::Ready(taken) => taken?,
            Poll::Pending if is_stream(headers) => {}
            // One that takes its time is passed on as it comes.
            Poll::Pending => timeout(Duration::from_millis(BEGINNING_MS), taking).await.unwrap_or(Ok(()))?,
        }
    }
    Ok(held)
}

/// Takes what can be had at once, but of a short body all, and of one of unknown size its first bytes.
async fn take(body: &mut egress::Body, held: &mut Bytes) -> Result<(), egress::Error> {
    let size = body.size_hint().upper();
    let is_short = size.is_some_and(|size| size <= BEGINNING_BYTES_MAX as u64);
    poll_fn(|cx| {
        loop {
            let frame = match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending if is_short || (size.is_none() && held.is_empty()) => return Poll::Pending,
                Poll::Pending | Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(frame)) => frame?,
            };
            // Trailers reach no caller.
            let data = frame.into_data().unwrap_or_default();
            *held = if held.is_empty() {
                data
            } else {
                // Nobody else has it: it grows where it is, into however many pieces it was cut.
                let mut more = BytesMut::from(std::mem::take(held));
                more.extend_from_slice(&data);
                more.freeze()
            };
            // Between the bytes of a long one there is nothing that could be wrong.
            let is_enough = (size.is_some() && !is_short) || held.len() >= BEGINNING_BYTES_MAX;
            if is_enough || body.is_end_stream() {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

/// Whether an answer comes in pieces for as long as it likes.
pub(crate) fn is_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["text/event-stream", "application/x-ndjson", "application/ndjson", "multipart/x-mixed-replace"]
        .iter()
        .any(|stream| media_type.get(..stream.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(stream)))
}

/// Whether a body must be held. `upper` is its size, where it is known.
fn must_hold(
    provider: &Provider,
    method: &Method,
    status: u16,
    headers: &HeaderMap,
    upper: Option<u64>,
) -> bool {
    if status < 400 && !provider.reads_body(status) {
        return false;
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is = |part: &str| media_type.to_ascii_lowercase().contains(part);
    let can_matter = status >= 400 || (provider.reads_body(status) && (is("json") || media_type.is_empty()));
    can_matter
        && status >= 200
        && method != Method::HEAD
        && !is_stream(headers)
        && upper.is_none_or(|upper| upper <= HELD_BYTES_MAX as u64)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn streams_are_not_shared() {
        for (media_type, wanted) in [
            ("text/event-stream; charset=utf-8", true),
            ("Application/X-NDJSON", true),
            ("application/json", false),
            ("", false),
        ] {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(media_type))].into_iter().collect();
            assert_eq!(is_stream(&headers), wanted, "{media_type}");
        }
    }
}
