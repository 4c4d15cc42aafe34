//! What a call takes of its integration's limits before it is sent, and gives back when it is not.

use std::sync::atomic::Ordering::Relaxed;

use http::Method;
use metrics::counter;
use serde::Deserialize;
use serde_json::Value;

use super::super::admit::Call;
use super::super::record::Account;
use super::Left;
use crate::body::Inbound;
use crate::quota::enter::{Patience, enter};
use crate::quota::limits::{Asked, Guess, Limits};
use crate::quota::told::Limited;
use crate::snapshot::Integration;
use crate::telemetry;

/// Bytes of a question for one token, at least: text has more, and so has what stands around it.
const TOKEN_BYTES: u64 = 3;
/// Shorter media are reckoned as text, in bytes.
const MEDIA_BYTES_MIN: u64 = 1_024;
/// Tokens of a picture: the most that Anthropic reckons for one, and more than OpenAI does for those of usual size.
const PICTURE_TOKENS: u64 = 1_600;
/// How far before media it says what they are, in bytes.
const NEAR_BYTES: usize = 120;
/// Bytes in base64 for one token of other media: documents have some 50 KB and 2,000 tokens a page.
const MEDIA_TOKEN_BYTES: u64 = 32;
/// How a refusal is counted that is no limit's, but the provider's own.
const PROVIDER: &str = "provider";

/// Where a question says how long its answer may be. Nothing else of it is kept while it is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Question {
    max_tokens: Value,
    max_completion_tokens: Value,
    #[serde(alias = "maxOutputTokens")]
    max_output_tokens: Value,
    #[serde(alias = "generationConfig")]
    generation_config: Option<Box<Question>>,
}

/// What was taken for a call that is not sent yet. Dropped, it is given back.
pub(super) struct Reserved(Option<Account>);

impl Reserved {
    /// Takes it; nothing where there is no limit.
    pub(super) async fn of(
        integration: &Integration,
        call: &Call,
        account: &Account,
        below: &str,
        body: &Inbound,
        left: Left,
    ) -> Result<Option<Self>, Limited> {
        unpaused(integration)?;
        let Some(limits) = &integration.limits else { return Ok(None) };
        let token = &call.caller.token;
        let (tokens, guess) = tokens(limits, call, account, body);
        let asked = Asked {
            path: below,
            endpoint: &account.endpoint,
            actor: token.actor.as_str(),
            token: token.id.as_str(),
            priority: token.priority,
            tokens,
            guess,
        };
        let patience = Patience { wait_ms: left.wait_ms, left_ms: left.left_ms };
        match enter(limits, &asked, patience).await {
            Ok(held) => {
                account.quota.fill(held);
                let reserved = Self(Some(account.clone()));
                // It may have waited in the queue.
                unpaused(integration)?;
                Ok(Some(reserved))
            }
            Err(limited) => Err(refused(integration, limited)),
        }
    }

    /// From now on the provider may see the call.
    pub(super) fn sent(mut self) {
        self.0 = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(account) = self.0.take() {
            account.quota.cancel();
        }
    }
}

/// Lets nothing go while the provider wants no calls.
fn unpaused(integration: &Integration) -> Result<(), Limited> {
    let pause = &integration.pause;
    let left = if integration.limits.is_some() { pause.left_of_limits() } else { pause.left() };
    let Some(wait) = left else { return Ok(()) };
    Err(refused(integration, Limited::paused(wait)))
}

/// Counts a call that is not let go, by the limit that does not.
fn refused(integration: &Integration, limited: Limited) -> Limited {
    let quota = limited.quota.clone().unwrap_or_else(|| PROVIDER.to_owned());
    let labels = [("integration", integration.id.to_string()), ("quota", quota)];
    counter!(telemetry::QUOTA_REFUSED, &labels).increment(1);
    limited
}

/// Tokens that a question has and its answer may have at most, where they count; and what an answer counts that does not
/// tell.
fn tokens(limits: &Limits, call: &Call, account: &Account, body: &Inbound) -> ((u64, u64), Option<Guess>) {
    if !limits.counts_tokens || call.method != Method::POST {
        return ((0, 0), None);
    }
    let held = if let Inbound::Held(bytes) = body { Some(bytes) } else { None };
    let input = held.map_or_else(|| body.len().div_ceil(TOKEN_BYTES), |bytes| input(bytes));
    let said = *call.output.get_or_init(|| held.and_then(|bytes| output(bytes)));
    account.asked.is_open.store(said.is_none(), Relaxed);
    if let Some(said) = said {
        return ((input, said), None);
    }
    let (usual, full) = (account.live.length(&account.endpoint), limits.output(None));
    let output = limits.output(usual);
    ((input, output), Some(Guess { least: usual.map_or(0, |_| output), full }))
}

/// Tokens that a question may have, by its bytes. Pictures and the like are no text: they stand there in base64.
fn input(body: &[u8]) -> u64 {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let (mut text, mut media, mut at) = (0, 0, 0);
    for word in body.chunk_by(|a, b| is_base64(a) && is_base64(b)) {
        let bytes = word.len() as u64;
        if bytes >= MEDIA_BYTES_MIN && is_data(&body[..at]) {
            let reckoned = if is_picture(&body[..at]) { 0 } else { bytes / MEDIA_TOKEN_BYTES };
            media += PICTURE_TOKENS.max(reckoned).min(bytes.div_ceil(TOKEN_BYTES));
        } else {
            text += bytes;
        }
        at += word.len();
    }
    text.div_ceil(TOKEN_BYTES) + media
}

/// Whether what comes after this is media: of a `data:` URL, or a member `data`.
fn is_data(before: &[u8]) -> bool {
    let member = || {
        let name = before.strip_suffix(b"\"")?.trim_ascii_end().strip_suffix(b":")?;
        Some(name.trim_ascii_end().ends_with(b"\"data\""))
    };
    before.ends_with(b";base64,") || member().unwrap_or_default()
}

/// Whether what stands shortly before it says that it is a picture, however large.
fn is_picture(before: &[u8]) -> bool {
    let near = &before[before.len().saturating_sub(NEAR_BYTES)..];
    memchr::memmem::find(near, b"image/").is_some() || memchr::memmem::find(near, b"image\\/").is_some()
}

/// Tokens that an answer may have, by the question.
pub(in crate::proxy) fn output(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Question>(body).ok()?.output()
}

impl Question {
    fn output(&self) -> Option<u64> {
        let here = [&self.max_tokens, &self.max_completion_tokens, &self.max_output_tokens];
        let inside = || self.generation_config.as_ref()?.output();
        here.into_iter().find_map(Value::as_u64).or_else(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_as_long_as_its_text_and_a_picture_is_no_text() {
        let text = "How long is this? ".repeat(500);
        let picture = |bytes: usize| format!("data:image/png;base64,{}", "iVBORw0K".repeat(bytes / 8));
        for (body, wanted) in [
            (String::new(), 0),
            ("1234567".into(), 3),
            (text.clone(), 3_000),
            ("x".repeat(1_023), 341),
            (picture(300), 106),
            (picture(20_000), 1_608),
            // Not more than text of its length has, and text is text however long its words are.
            (picture(1_200), 408),
            (r#"{"type":"base64","data": ""#.to_owned() + &"iVBORw0K".repeat(2_500), 1_600 + 9),
            ("ACGT".repeat(3_000), 4_000),
            (format!("{text}\"{}\"{}", picture(20_000), picture(2_000)), 3_016 + 1_600 + 667),
            // A picture of a megabyte, and a document.
            (picture(1 << 20), 1_608),
            (picture(1 << 20).replace("image/png", "application/pdf"), (1 << 15) + 10),
        ] {
            let told: String = body.chars().take(40).collect();
            assert_eq!(input(body.as_bytes()), wanted, "{told} of {} bytes", body.len());
        }
    }

    #[test]
    fn how_long_an_answer_may_be_is_read_in_every_dialect() {
        for (body, wanted) in [
            (r#"{"model":"m","max_tokens":100,"messages":[{"content":"max_tokens"}]}"#, Some(100)),
            (r#"{"max_completion_tokens":200,"max_tokens":null}"#, Some(200)),
            (r#"{"max_output_tokens":300}"#, Some(300)),
            (r#"{"generationConfig":{"temperature":1,"maxOutputTokens":400}}"#, Some(400)),
            (r#"{"generation_config":{"max_output_tokens":500}}"#, Some(500)),
            (r#"{"max_tokens":"many","messages":[]}"#, None),
            (r#"{"max_tokens":-1}"#, None),
            (r#"{"generationConfig":7}"#, None),
            ("no JSON", None),
            ("", None),
        ] {
            assert_eq!(output(body.as_bytes()), wanted, "{body}");
        }
    }
}
