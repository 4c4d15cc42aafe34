//! What Discord's webhooks answer: JSON with a code. Waits are seconds (API v8 and later) and stand in the body first;
//! an answer without JSON comes from the network before Discord, and then the header counts.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::{Meaning, Seen, Verdict};

/// Codes after which a person must act: unknown webhook, unknown channel, invalid token, missing access, forum channel.
const GONE: [u64; 5] = [10015, 10003, 50027, 50001, 50013];
/// How long we wait on a 429 without a wait.
const BLOCKED_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that is believed, in seconds.
const WAIT_SECS_MAX: f64 = 86_400.0;

pub(super) fn classify(seen: &Seen<'_>) -> Verdict {
    let body = seen.json();
    let code = body.as_ref().and_then(|body| body.get("code")?.as_u64());
    if seen.status == 429 {
        return throttled(seen, body.as_ref());
    }
    if !seen.is_success()
        && (code.is_some_and(|code| GONE.contains(&code)) || matches!(seen.status, 401 | 403))
    {
        return Verdict::gone(seen.says());
    }
    if seen.status == 400
        && let Some(path) = body.as_ref().and_then(first_error)
    {
        return Verdict::permanent(format!("{} (at `{path}`)", seen.says()));
    }
    let verdict = seen.by_status();
    let used_up =
        verdict.meaning == Meaning::Delivered && number(seen.headers, "x-ratelimit-remaining") == Some(0.0);
    if used_up {
        let wait = number(seen.headers, "x-ratelimit-reset-after").and_then(seconds);
        return verdict.after(wait);
    }
    verdict
}

fn throttled(seen: &Seen<'_>, body: Option<&Value>) -> Verdict {
    let told = body.and_then(|body| body.get("retry_after")?.as_f64()).and_then(seconds);
    let wait = told.or_else(|| seen.retry_after()).unwrap_or(BLOCKED_WAIT);
    let in_body = body.and_then(|body| body.get("global")?.as_bool()).unwrap_or(false);
    let everywhere = in_body || seen.headers.contains_key("x-ratelimit-global");
    Verdict { everywhere, ..Verdict::retry(seen.says()).after(Some(wait)) }
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn seconds(seconds: f64) -> Option<Duration> {
    seconds.is_finite().then(|| Duration::from_secs_f64(seconds.clamp(0.0, WAIT_SECS_MAX)))
}

/// The path to the first field that Discord refuses: `embeds.0.title`.
fn first_error(body: &Value) -> Option<String> {
    let mut at = body.get("errors")?;
    let mut path = Vec::new();
    // The bound ends the walk through a hostile answer.
    for _ in 0..16 {
        let object = at.as_object()?;
        if object.contains_key("_errors") {
            break;
        }
        let (key, inner) = object.iter().next()?;
        path.push(key.chars().take(40).collect::<String>());
        at = inner;
    }
    (!path.is_empty()).then(|| path.join("."))
}
