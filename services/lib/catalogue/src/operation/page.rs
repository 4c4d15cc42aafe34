//! Whether an answer is all that was asked for, and what to ask for to get the rest. Pure.
//!
//! A provider gives so many rows at once and seldom says that there are more. A full answer whose rows do not reach to
//! where they should is told as cut off; that is perhaps once too often, and never once too seldom. Nobody is asked
//! again here: every call costs quota, and the caller knows how much of it he wants.

use std::time::Duration;

use model::Timestamp;
use model::operation::{Keeps, Page};

use super::asked::Asked;
use super::document::Next;

/// Some providers write a time in whole seconds: one less is surely before.
const SECOND: Duration = Duration::from_secs(1);

/// What an answer has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Had {
    /// Its rows.
    pub(super) rows: usize,
    /// Those among them that were asked for; more than `limit` says, perhaps.
    pub(super) fitting: usize,
    /// When the first and the last row begin.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// Whether the provider says that there are more.
    pub(super) says_more: bool,
}

/// How the question was put to the provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put {
    /// The number of rows that it was asked for.
    pub(super) limit: Option<usize>,
    /// The beginning that it was given, where that is not the one that was asked for.
    pub(super) from: Option<Timestamp>,
    /// Whether it can be given an end.
    pub(super) has_to: bool,
    /// From one row to the next, at the least.
    pub(super) step: Duration,
    /// From the last row to where the next question begins.
    pub(super) past: Duration,
}

/// Whether something is missing: nothing when it is all, else what gets the rest, if anything does.
pub(super) fn rest(page: &Page, asked: &Asked, put: Put, had: Had, now: Timestamp) -> Option<Option<Next>> {
    let size = page.rows.map(|rows| rows as usize).into_iter().chain(put.limit).min();
    let full = match page.more {
        Some(_) => had.says_more,
        None => size.is_some_and(|size| had.rows >= size),
    };
    let enough = asked.limit.is_some_and(|limit| had.fitting >= limit as usize);
    let (first, last) = had.span.unzip();
    let begins = put.from.or(first);
    let keeps = page.keeps.filter(|keeps| *keeps == Keeps::Newest || asked.from.is_some());
    let cut = put.from.is_some() && (asked.from.is_some() || (asked.limit.is_some() && had.rows > 0));
    let starts_late = match (asked.from, first) {
        (Some(from), Some(first)) => first.minus(put.step) >= from,
        (Some(_), None) => false,
        (None, _) => asked.limit.is_some() || had.fitting == 0,
    };
    if !enough && (cut || (full && starts_late && keeps != Some(Keeps::Oldest))) {
        let to = begins.map(|at| at.minus(SECOND)).filter(|to| asked.to.is_none_or(|asked| *to < asked));
        let next = to.filter(|_| put.has_to).map(|to| Next { from: text(asked.from), to: text(Some(to)) });
        return Some(next);
    }
    let from = asked.from.and(last)?;
    let ends_early = had.says_more || from.plus(put.step) <= asked.to.unwrap_or(now);
    (full && ends_early && keeps != Some(Keeps::Newest))
        .then(|| Some(Next { from: text(Some(from.plus(put.past))), to: text(asked.to) }))
}

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_jiff().to_string())
}
