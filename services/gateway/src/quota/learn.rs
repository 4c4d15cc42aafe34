//! What answers say of their provider's limits: it corrects the count at once, downwards only.
//!
//! A word is taken for the limits that its call was under, in the window in which it was sent, and not when one of a later
//! call was taken already. Which limit it speaks of is told by its name, else by its amount, else there is only one.

use std::sync::atomic::Ordering::Relaxed;

use catalogue::Hint;
use http::HeaderMap;
use model::quota::Unit;

use super::held::{Held, Slot};
use super::limits::Rule;
use super::steady;

impl Slot {
    /// Takes what the answer to this call says, of a call that was sent at this moment of the steady clock.
    pub(crate) fn learn(&self, hints: &[Hint<'_>], sent_ms: u64) {
        let held = self.lock();
        let Some(Held { hold, limits, .. }) = &*held else { return };
        let now_ms = steady::turn_ms();
        for (place, purse) in hold.current(&**limits) {
            let rule = &limits.rules[place];
            let Some(kept) = rule.shared().filter(|_| is_shared(rule)) else { continue };
            let Some(hint) = spoken_of(rule, hints, &limits.rules) else { continue };
            let Some(left) = left(hint, rule.amount) else { continue };
            if kept.heard_ms.fetch_max(sent_ms, Relaxed) > sent_ms {
                continue;
            }
            // Beyond what we know, somebody else spent it: all gateways are told, before they lease what is not there.
            let is_news = left < purse.remaining().0;
            if purse.heed(left, now_ms) > 0 || is_news {
                kept.say(rule.amount.saturating_sub(left));
                limits.book.ring();
            }
        }
    }
}

/// Whether a provider can count for it: it knows no callers of ours.
fn is_shared(rule: &Rule) -> bool {
    !rule.quota.scope.has_parts() && rule.quota.paths.is_empty()
}

fn spoken_of<'h, 'a>(rule: &Rule, hints: &'h [Hint<'a>], rules: &[Rule]) -> Option<&'h Hint<'a>> {
    let named = hints.iter().find(|hint| hint.name == rule.quota.name);
    let of_unit = |hint: &&Hint<'_>| {
        let tokens = hint.name.contains("token");
        match rule.quota.unit {
            Unit::Requests => !tokens,
            Unit::InputTokens => tokens && hint.name.contains("input"),
            Unit::OutputTokens => tokens && hint.name.contains("output"),
            Unit::Tokens => tokens && !hint.name.contains("put"),
        }
    };
    let by_amount = || hints.iter().filter(of_unit).find(|hint| hint.limit == Some(rule.quota.requests));
    let only = || {
        let alone = rules.iter().filter(|other| other.quota.unit == rule.quota.unit).count() == 1;
        let mut fitting = hints.iter().filter(of_unit).filter(|hint| hint.limit.is_none());
        fitting.next().filter(|_| alone && fitting.next().is_none())
    };
    named.or_else(by_amount).or_else(only)
}

/// What is left by a hint, and never more than the limit.
fn left(hint: &Hint<'_>, amount: u64) -> Option<u64> {
    let used = hint.used.or_else(|| Some(hint.limit?.saturating_sub(hint.remaining?)));
    let by_use = used.map(|used| amount.saturating_sub(used));
    match (by_use, hint.remaining) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b).map(|left| left.min(amount)),
    }
}

/// The words of a provider that the catalogue does not know: those of the drafts, and those that many use.
pub(crate) fn common(headers: &HeaderMap) -> Option<Hint<'static>> {
    // Nearly nobody says them: one look at the names is less than two look-ups.
    if !headers.keys().any(|name| name.as_str().ends_with("ratelimit-remaining")) {
        return None;
    }
    let number = |names: [&str; 2]| {
        let value = names.iter().find_map(|name| headers.get(*name))?;
        value.to_str().ok()?.trim().parse::<u64>().ok()
    };
    let remaining = number(["x-ratelimit-remaining", "ratelimit-remaining"])?;
    let limit = number(["x-ratelimit-limit", "ratelimit-limit"]).filter(|limit| *limit > 0);
    Some(Hint { name: "", used: None, remaining: Some(remaining), limit, reset_after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(used: Option<u64>, remaining: Option<u64>, limit: Option<u64>) -> Hint<'static> {
        Hint { name: "requests", used, remaining, limit, reset_after: None }
    }

    #[test]
    fn a_word_never_raises_a_limit() {
        for (used, remaining, limit, left_then) in [
            (Some(30), None, None, Some(70)),
            (None, Some(20), None, Some(20)),
            (None, Some(900), Some(1_000), Some(0)),
            (None, Some(5_000), None, Some(100)),
            (Some(10), Some(40), None, Some(40)),
            (None, None, Some(100), None),
            (Some(500), None, None, Some(0)),
        ] {
            assert_eq!(
                left(&hint(used, remaining, limit), 100),
                left_then,
                "{used:?} {remaining:?} {limit:?}"
            );
        }
    }

    #[test]
    fn common_words_are_read_of_anybody() {
        let mut headers = HeaderMap::new();
        assert_eq!(common(&headers), None);
        headers.insert("x-ratelimit-remaining", "7".parse().expect("a value"));
        headers.insert("x-ratelimit-limit", "60".parse().expect("a value"));
        assert_eq!(common(&headers).map(|hint| (hint.remaining, hint.limit)), Some((Some(7), Some(60))));
    }
}
