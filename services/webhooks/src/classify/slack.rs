//! What Slack's incoming webhooks answer: a plain word. Only `ok` is success; anything else with 200 is not.

use super::{Meaning, Seen, Verdict};

/// Words after which a person must act, with what it is about.
const GONE: [&str; 13] = [
    "invalid_token",
    "action_prohibited",
    "posting_to_general_channel_denied",
    "channel_not_found",
    "channel_is_archived",
    "no_service",
    "no_service_id",
    "no_active_hooks",
    "no_team",
    "team_disabled",
    "user_not_found",
    "account_inactive",
    "token_revoked",
];
/// Words about the layout of this one message.
const LAYOUT: [&str; 3] = ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"];
/// Slack's own troubles.
const TRANSIENT: [&str; 2] = ["rollup_error", "internal_error"];

pub(super) fn classify(seen: &Seen<'_>) -> Verdict {
    let text = String::from_utf8_lossy(seen.body);
    let from_json = seen.json().and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
    let word = from_json.as_deref().unwrap_or_else(|| text.trim());
    if GONE.contains(&word) {
        return Verdict::gone(seen.says());
    }
    if LAYOUT.contains(&word) {
        return Verdict { plainer: true, ..Verdict::permanent(seen.says()) };
    }
    if TRANSIENT.contains(&word) {
        return Verdict::retry(seen.says()).after(seen.retry_after());
    }
    if seen.status == 429 || word == "rate_limited" || word == "ratelimited" {
        return Seen { status: 429, ..*seen }.by_status();
    }
    let verdict = seen.by_status();
    if verdict.meaning == Meaning::Delivered && word != "ok" {
        return Verdict::permanent(seen.says());
    }
    verdict
}
