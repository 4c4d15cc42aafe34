//! What an answer means: nothing wrong, or why it was.
//!
//! Pure, and never panics on any bytes. The provider's rules are looked at in order and the first that fits
//! decides, so that a 200 can be an error; without one the status decides. A detail quotes the rule's name and the
//! status only: bodies can echo a key.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

use model::Timestamp;
use model::health::Reason;
use serde_json::Value;

use crate::body::{contains_any, holds, values};
use crate::{ErrorRule, Probe, Provider, RetryFrom, RetryUnit, wait};

/// The largest body that rules look into, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// The longest detail, in characters.
pub const DETAIL_CHARS_MAX: usize = 200;

/// An answer to be judged.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its headers, name and value; names in any case.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body; whole or not at all. Past [`BODY_BYTES_MAX`] it is not looked at.
    pub body: &'a [u8],
}

/// What an answer means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong; `None` when nothing is.
    pub reason: Option<Reason>,
    /// A sentence for people, at most [`DETAIL_CHARS_MAX`] characters. Holds nothing of body or headers.
    pub detail: Option<String>,
    /// How long the provider asks to wait; at most [`crate::RETRY_AFTER_MAX`].
    pub retry_after: Option<Duration>,
    /// Whether this answer named that time; else it is what the provider's pages say.
    pub names_wait: bool,
}

/// Judges an answer by a provider's rules.
pub fn judge(provider: &Provider, answer: &Answer<'_>) -> Verdict {
    judge_body(provider, answer, &Body::new(answer.body))
}

/// Judges the answer to a probe: as [`judge`], and then by what a good answer to it has.
pub fn judge_probe(provider: &Provider, probe: &Probe, answer: &Answer<'_>) -> Verdict {
    let body = Body::new(answer.body);
    let verdict = judge_body(provider, answer, &body);
    if verdict.reason.is_some() || probe.method == "HEAD" {
        return verdict;
    }
    let Some(problem) = probe_problem(probe, &body) else { return verdict };
    let what = match problem {
        Reason::Restricted => "it says that it takes only some calls",
        Reason::Maintenance => "it says that it is under maintenance",
        _ => "the probe's answer is not what it documents",
    };
    let detail = sentence(provider, what, answer.status);
    Verdict { reason: Some(problem), detail: Some(detail), ..Verdict::default() }
}

/// What a status means when no rule fits.
pub const fn judge_status(status: u16) -> Option<Reason> {
    match status {
        200..=299 => None,
        401 => Some(Reason::BadCredentials),
        402 => Some(Reason::QuotaExhausted),
        403 => Some(Reason::Forbidden),
        418 => Some(Reason::Banned),
        429 => Some(Reason::ThrottledBurst),
        408 => Some(Reason::UpstreamError),
        400..=499 => Some(Reason::BadRequest),
        _ => Some(Reason::UpstreamError),
    }
}

impl Provider {
    /// Whether an answer with this status must be read to be judged. Where it need not, a body can be streamed on.
    pub fn reads_body(&self, status: u16) -> bool {
        self.error_rules.iter().any(|rule| rule.reads_body() && rule.fits_status(status))
    }
}

impl Provider {
    /// Whether a rule speaks of answers with this status. Where none does, the status says it all.
    pub fn has_rule_for(&self, status: u16) -> bool {
        self.error_rules.iter().any(|rule| rule.fits_status(status))
    }
}

impl Answer<'_> {
    /// A header's value, its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// When the provider says that it answered.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        self.header("date").and_then(wait::http_date)
    }
}

/// A body, read at most once and only when a rule asks.
struct Body<'a> {
    bytes: &'a [u8],
    json: OnceCell<Option<Value>>,
}

impl<'a> Body<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, json: OnceCell::new() }
    }

    fn json(&self) -> Option<&Value> {
        let read = || {
            let small = self.bytes.len() <= BODY_BYTES_MAX;
            small.then(|| serde_json::from_slice(self.bytes).ok()).flatten()
        };
        self.json.get_or_init(read).as_ref()
    }

    fn text(&self) -> Option<Cow<'a, str>> {
        (self.bytes.len() <= BODY_BYTES_MAX).then(|| String::from_utf8_lossy(self.bytes))
    }
}

fn judge_body(provider: &Provider, answer: &Answer<'_>, body: &Body<'_>) -> Verdict {
    let rule = provider.error_rules.iter().find(|rule| fits(rule, answer, body));
    let reason = match rule {
        Some(rule) => rule.reason,
        None => judge_status(answer.status),
    };
    let Some(reason) = reason else { return Verdict::default() };
    let what = rule.map_or(Cow::Borrowed(reason.as_str()), |rule| Cow::Borrowed(rule.name.as_str()));
    let asked = answer.header("retry-after").and_then(|text| wait::retry_after(text, answer.date()));
    let said =
        || rule.and_then(|rule| rule.retry_from.as_ref()).and_then(|from| said_wait(from, answer, body));
    let preset = || rule.and_then(|rule| rule.retry_after_secs).map(|secs| Duration::from_secs(secs.into()));
    let named = asked.or_else(said);
    Verdict {
        reason: Some(reason),
        detail: Some(sentence(provider, &what.replace('_', " "), answer.status)),
        retry_after: named.or_else(preset).map(|wait| wait.min(wait::RETRY_AFTER_MAX)),
        names_wait: named.is_some(),
    }
}

fn fits(rule: &ErrorRule, answer: &Answer<'_>, body: &Body<'_>) -> bool {
    let header = |test: &crate::HeaderTest| {
        answer.header(&test.name).is_some_and(|value| {
            test.contains.as_ref().is_none_or(|part| contains_any(value, std::slice::from_ref(part)))
        })
    };
    rule.fits_status(answer.status)
        && rule.header.as_ref().is_none_or(header)
        && (rule.body.is_empty()
            || body.json().is_some_and(|json| rule.body.iter().all(|test| holds(test, json))))
        && (rule.body_contains.is_empty()
            || body.text().is_some_and(|text| contains_any(&text, &rule.body_contains)))
}

fn said_wait(from: &RetryFrom, answer: &Answer<'_>, body: &Body<'_>) -> Option<Duration> {
    values(body.json()?, &from.pointer).into_iter().find_map(|value| {
        let text = match value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Number(number) => Cow::Owned(number.to_string()),
            _ => return None,
        };
        let text = match &from.after {
            Some(after) => text.split_once(after.as_str())?.1,
            None => &text,
        };
        match from.unit {
            RetryUnit::Secs => wait::seconds(text.trim()),
            RetryUnit::Duration => wait::go_duration(text),
            RetryUnit::EpochSecs => wait::until_epoch_secs(text, answer.date()?),
        }
    })
}

fn probe_problem(probe: &Probe, body: &Body<'_>) -> Option<Reason> {
    if probe.healthy.is_empty() && probe.state.is_none() {
        return None;
    }
    let Some(json) = body.json() else { return Some(Reason::UpstreamError) };
    if let Some(state) = &probe.state {
        let found = values(json, &state.pointer);
        let word = |value: &&&Value| match value {
            Value::Number(number) => Some(number.to_string()),
            other => other.as_str().map(str::to_owned),
        };
        let said = found.first().as_ref().and_then(word);
        let among = |words: &[String]| said.as_ref().is_some_and(|s| words.iter().any(|w| w == s));
        match () {
            () if among(&state.maintenance) => return Some(Reason::Maintenance),
            () if among(&state.restricted) => return Some(Reason::Restricted),
            () if !among(&state.up) => return Some(Reason::UpstreamError),
            () => {}
        }
    }
    (!probe.healthy.iter().all(|test| holds(test, json))).then_some(Reason::UpstreamError)
}

fn sentence(provider: &Provider, what: &str, status: u16) -> String {
    let end = format!(" (status {status})");
    let room = DETAIL_CHARS_MAX.saturating_sub(end.len());
    let mut text: String = format!("{}: {what}", provider.name).chars().take(room).collect();
    text.push_str(&end);
    text
}

#[cfg(test)]
mod tests;
