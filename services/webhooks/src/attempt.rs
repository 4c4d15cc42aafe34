//! Sends a rendered message once, and says what came of it. Never repeats, never records.
//!
//! Only here do a webhook's secrets meet its message. A body that a channel refuses for its layout is sent once more
//! without it, as part of the same attempt.

use std::time::{Duration, Instant};

use bytes::Bytes;
use egress::{Egress, FetchLimits};
use http::Request;
use http::header::CONTENT_TYPE;
use model::Timestamp;
use model::secret::Fields;
use model::webhook::WebhookKind;
use serde_json::Value;

use crate::address::address;
use crate::classify::{Seen, Verdict, classify, classify_failure};
use crate::message::{self, Rendered};
use crate::select::Selected;
use crate::sign::signature;

/// Bytes of an answer that are kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Header fields of an answer.
const HEADERS_MAX: usize = 100;

/// What came of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Attempted {
    /// What was sent.
    pub(crate) selected: Selected,
    /// When it began.
    pub(crate) at: Timestamp,
    /// What it means.
    pub(crate) verdict: Verdict,
    /// Status of the answer. Absent when nothing answered.
    pub(crate) status_code: Option<u16>,
    /// How long it took.
    pub(crate) duration: Duration,
}

/// Sends a message once, within the deadline.
pub(crate) async fn attempt(
    egress: &Egress,
    rendered: Rendered,
    fields: &Fields,
    deadline: Duration,
) -> Attempted {
    let (at, started) = (Timestamp::now(), Instant::now());
    let limits = |left: Duration| FetchLimits {
        deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
        body_bytes_max: ANSWER_BYTES_MAX,
        headers_max: HEADERS_MAX,
    };
    let (mut verdict, mut status_code) =
        once(egress, &rendered, rendered.body(), fields, limits(deadline)).await;
    let left = deadline.saturating_sub(started.elapsed());
    if verdict.plainer
        && !left.is_zero()
        && let Some(plainer) = rendered.plainer()
    {
        (verdict, status_code) = once(egress, &rendered, plainer, fields, limits(left)).await;
        verdict.plainer = false;
    }
    if let Some(warning) = rendered.warnings().first() {
        let told = verdict.detail.map_or_else(|| warning.clone(), |detail| format!("{detail} ({warning})"));
        verdict.detail = Some(told);
    }
    Attempted { selected: rendered.selected().clone(), at, verdict, status_code, duration: started.elapsed() }
}

async fn once(
    egress: &Egress,
    rendered: &Rendered,
    body: &Value,
    fields: &Fields,
    limits: FetchLimits,
) -> (Verdict, Option<u16>) {
    let kind = rendered.selected().webhook().kind;
    let request = match request(rendered.selected(), body, fields) {
        Ok(request) => request,
        Err(why) => return (Verdict::permanent(why), None),
    };
    match egress.fetch(request, limits).await {
        Ok(answer) => {
            let status = answer.status.as_u16();
            let seen = Seen { status, headers: &answer.headers, body: &answer.body, at: Timestamp::now() };
            (classify(kind, &seen), Some(status))
        }
        Err(failure) => (classify_failure(&failure.error), failure.status.map(|status| status.as_u16())),
    }
}

/// The exact request: address, body with its credential, signature over the exact bytes. Errors show no secret.
fn request(selected: &Selected, body: &Value, fields: &Fields) -> Result<Request<Bytes>, String> {
    let kind = selected.webhook().kind;
    let url = address(kind, fields).map_err(|wrong| wrong.to_string())?;
    let body = if kind == WebhookKind::Pagerduty {
        let key = fields.get("routing_key").filter(|key| !key.is_empty());
        let key = key.ok_or("the key store has no `routing_key` for this webhook")?;
        let mut body = body.clone();
        body["routing_key"] = Value::String(key.expose().to_owned());
        Bytes::from(body.to_string())
    } else {
        Bytes::from(body.to_string())
    };
    let mut request = Request::post(url.expose()).header(CONTENT_TYPE, message::CONTENT_TYPE);
    if kind == WebhookKind::Http {
        let seconds = Timestamp::now().as_secs();
        let id = selected.delivery().as_str();
        request = request.header("webhook-id", id).header("webhook-timestamp", seconds);
        if let Some(secret) = fields.get("secret").filter(|secret| !secret.is_empty()) {
            let signed = signature(secret, id, seconds, &body).map_err(|wrong| wrong.to_string())?;
            request = request.header("webhook-signature", signed);
        }
    }
    request.body(body).map_err(|_| "the webhook's `url` is not a URL".to_owned())
}
