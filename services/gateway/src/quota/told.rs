//! What callers are told of limits: `RateLimit`, `RateLimit-Policy` and `Retry-After`. Pure.
//!
//! As draft-ietf-httpapi-ratelimit-headers has it: lists of quoted names with what is allowed and what is left.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::limits::Rule;
use super::purse::Purse;
use crate::problem::Problem;

pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Room for what is left of the few limits that an integration has, in bytes.
const TEXT_BYTES: usize = 160;

/// A call that a limit does not let go.
#[derive(Clone, Debug)]
pub(crate) struct Limited {
    /// The limit's name; nothing where the provider wants no calls.
    pub(crate) quota: Option<String>,
    /// The limit.
    pub(crate) amount: u64,
    /// The same for people, where it is not as they set it.
    pub(crate) says: Option<Box<str>>,
    /// What is left of it: less than this call weighs, or more than is let go at the moment.
    pub(crate) left: u64,
    /// What this call weighs.
    pub(crate) needs: u64,
    /// After how long it may go; nothing when it never may.
    pub(crate) wait: Option<Duration>,
    /// All limits, as a header; empty where none is meant.
    pub(crate) policy: HeaderValue,
}

impl Limited {
    /// The provider wants no calls for so long.
    pub(crate) fn paused(wait: Duration) -> Self {
        let policy = HeaderValue::from_static("");
        Self { quota: None, amount: 0, says: None, left: 0, needs: 0, wait: Some(wait), policy }
    }

    /// Why it was not asked, as a problem tells it.
    pub(crate) fn word(&self) -> &'static str {
        if self.quota.is_some() { "quota_exhausted" } else { "blocked" }
    }

    /// 429, with all that a caller needs to try again in time, or to know that no time would do.
    pub(crate) fn problem(&self, integration: &str) -> Problem {
        let Self { quota, amount, says, left, needs, wait, policy } = self;
        let all = says.as_deref().map_or_else(|| amount.to_string(), str::to_owned);
        let secs =
            wait.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).map(|secs| secs.max(1));
        let detail = match (quota, secs) {
            (Some(name), Some(secs)) if *left > 0 && needs > left => format!(
                "this call needs {needs} of limit `{name}` of integration `{integration}` ({all}), of which {left} are left; again in {secs} s"
            ),
            (Some(name), Some(secs)) if *left > 0 => format!(
                "limit `{name}` of integration `{integration}` ({all}, of which {left} are left) lets this call go in {secs} s"
            ),
            (Some(name), Some(secs)) => {
                format!("limit `{name}` of integration `{integration}` ({all}) is used up; again in {secs} s")
            }
            (Some(name), None) => {
                format!(
                    "this call needs {needs} of limit `{name}` of integration `{integration}`, which allows {all}"
                )
            }
            (None, _) => format!("the provider of integration `{integration}` wants no calls for now"),
        };
        let (code, title) = match secs {
            Some(_) => ("quota_exceeded", "Limit is used up"),
            None => ("exceeds_limit", "Call is larger than a limit"),
        };
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, code, title, detail)
            .with("integration", integration)
            .retry_after(secs);
        let Some(name) = quota else { return problem };
        let mut now = Vec::new();
        item(&mut now, &begins(name), *left, secs);
        problem
            .with("violated-policies", vec![name.as_str()])
            .with("limit", *amount)
            .header(RATE_LIMIT, &String::from_utf8_lossy(&now))
            .header(RATE_LIMIT_POLICY, policy.to_str().unwrap_or_default())
    }
}

/// All limits, as `RateLimit-Policy`.
pub(super) fn policy(rules: &[Rule]) -> HeaderValue {
    let mut policy = String::new();
    for rule in rules {
        let comma = if policy.is_empty() { "" } else { ", " };
        let (name, requests) = (quoted(&rule.quota.name), rule.quota.requests);
        write!(policy, "{comma}{name};q={requests}").expect("a string takes all");
        match rule.window_secs() {
            Some(secs) => write!(policy, ";w={secs}"),
            None => write!(policy, ";qu=\"concurrent-requests\""),
        }
        .expect("a string takes all");
    }
    HeaderValue::from_str(&policy).expect("names are quoted, in visible ASCII")
}

/// Puts what is left of limits into an answer's head: of each how its item [`begins`], and its purse.
pub(super) fn put<'a>(
    headers: &mut HeaderMap,
    policy: &HeaderValue,
    left: impl Iterator<Item = (&'a str, &'a Purse)>,
    now_ms: u64,
) {
    let mut text = Vec::with_capacity(TEXT_BYTES);
    for (begins, purse) in left {
        let secs = purse.resets_ms().map(|resets| resets.saturating_sub(now_ms).div_ceil(1_000));
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        item(&mut text, begins, purse.remaining().0, secs);
    }
    if text.is_empty() {
        return;
    }
    if let Ok(left) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
        headers.insert(RATE_LIMIT, left);
        headers.insert(RATE_LIMIT_POLICY, policy.clone());
    }
}

/// How a limit's item in `RateLimit` begins: all of it that does not change.
pub(super) fn begins(name: &str) -> String {
    format!("{};r=", quoted(name))
}

/// What is left of one limit.
fn item(text: &mut Vec<u8>, begins: &str, left: u64, secs: Option<u64>) {
    text.extend_from_slice(begins.as_bytes());
    text.extend_from_slice(itoa::Buffer::new().format(left).as_bytes());
    if let Some(secs) = secs {
        text.extend_from_slice(b";t=");
        text.extend_from_slice(itoa::Buffer::new().format(secs).as_bytes());
    }
}

/// A name as a string of a structured field, which takes visible ASCII only.
fn quoted(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ' { c } else { '_' };
    format!("\"{}\"", name.chars().map(plain).collect::<String>())
}
