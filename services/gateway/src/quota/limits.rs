//! The limits of one integration, ready for its calls: which of them a call is under, and what it takes of each.
//!
//! Made once for a configuration. What is counted lies in the book's pots, which outlive it. A call that is under no limit
//! takes nothing and asks nobody.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use catalogue::{Provider, fit_path};
use model::integration::{Integration, Ratio, Window};
use model::quota::{self, Limit, Quota, Scope, Span, Unit};
use model::token::Priority;
use smallvec::SmallVec;

use super::book::{Book, Kept, Pot};
use super::hold::{Hold, Purses, Refusal};
use super::purse::{Purse, Take};

/// The limits of an integration. What every call looks at stands first, close together: of many integrations none is in any
/// cache.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Limits {
    /// Of the limit that is asked first, and of the others.
    first: Line,
    more: Box<[Line]>,
    pub(super) book: Arc<Book>,
    /// Whether one of them counts tokens: then the body of a call matters.
    pub(crate) counts_tokens: bool,
    /// The rules of the lines.
    pub(super) rules: Vec<Rule>,
    /// Tokens of an answer where the caller does not say how many there may be.
    pub(super) output: u64,
    /// All limits, as `RateLimit-Policy` says them.
    pub(super) policy: http::HeaderValue,
}

/// What every call looks at of a limit.
#[derive(Debug)]
struct Line {
    /// What all share, and its purse; nothing where each has its own.
    shared: Option<(Arc<Purse>, Arc<Kept>)>,
    /// Whether it is throttled near its end.
    is_throttled: bool,
    /// Whether it is about all calls, and each weighs one unit.
    is_plain: bool,
}

/// One limit.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) quota: Quota,
    /// What is allowed in one stretch of its span.
    pub(super) amount: u64,
    pub(super) is_calendar: bool,
    /// How callers are told what is left of it: the beginning.
    pub(super) begins: String,
    pot: Arc<Pot>,
    /// For as long as it is there, its amount holds for all that share the pot.
    _said: Arc<()>,
}

/// What a call is, as far as limits go by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The path below the integration's base.
    pub(crate) path: &'a str,
    /// Its endpoint's name.
    pub(crate) endpoint: &'a str,
    /// Who calls.
    pub(crate) actor: &'a str,
    /// With which token.
    pub(crate) token: &'a str,
    /// Who goes first where it waits.
    pub(crate) priority: Priority,
    /// Tokens that the question may have at most, and the answer.
    pub(crate) tokens: (u64, u64),
    /// What an answer counts that does not tell what it used; nothing where its caller said how long it may be.
    pub(crate) guess: Option<Guess>,
}

/// Tokens of an answer that does not tell, and whose caller did not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    /// As many as others that told had; 0 where nothing is known.
    pub(crate) least: u64,
    /// As many as any is thought to have.
    pub(crate) full: u64,
}

/// The limits that a call is under, and what it weighs in each.
pub(super) type Under<'l> = SmallVec<[(usize, Of<'l>, u64); 3]>;

/// What is kept of a limit.
pub(super) enum Of<'l> {
    /// For all.
    Shared(&'l Kept),
    /// For this caller, token or endpoint.
    Own(Arc<Kept>),
}

impl Deref for Of<'_> {
    type Target = Kept;

    fn deref(&self) -> &Kept {
        match self {
            Self::Shared(kept) => kept,
            Self::Own(kept) => kept,
        }
    }
}

// === impl Limits ===

impl Limits {
    /// The limits of an integration; nothing where it has none. `replicas`: how many gateways there are at most.
    pub(crate) fn new(
        book: &Arc<Book>,
        given: &Integration,
        provider: &Provider,
        replicas: u32,
        output: u64,
    ) -> Option<Arc<Self>> {
        let quotas = provider.quotas_of(given);
        let mut rules: Vec<Rule> =
            quotas.into_iter().filter_map(|quota| rule(book, given, quota, replicas)).collect();
        // What gives least is asked first: a refusal then costs the others nothing.
        rules.sort_by_key(|rule| rule.amount);
        let counts_tokens = rules.iter().any(|rule| rule.quota.unit != Unit::Requests);
        let policy = super::told::policy(&rules);
        let mut lines = rules.iter().map(Rule::line);
        let (first, more) = (lines.next()?, lines.collect());
        Some(Arc::new(Self { first, more, book: book.clone(), counts_tokens, rules, output, policy }))
    }

    fn line(&self, place: usize) -> &Line {
        place.checked_sub(1).map_or(&self.first, |place| &self.more[place])
    }

    /// Takes of every limit that a call is under, or of none.
    pub(super) fn take(&self, under: &Under<'_>, now_ms: u64) -> Result<Hold, Refusal> {
        let refusal = |place, until_ms| Refusal { place, take: Take::Wait { until_ms } };
        let mut turns: SmallVec<[(usize, Turn<'_>, u64); 1]> = SmallVec::new();
        for (place, kept, units) in under {
            if !self.line(*place).is_throttled {
                continue;
            }
            let Some(share) = self.rules[*place].quota.throttle else { continue };
            if let Some(turn) = throttled(share, kept, now_ms) {
                turn.look(now_ms).map_err(|until_ms| refusal(*place, until_ms))?;
                turns.push((*place, turn, *units));
            }
        }
        let mut hold = Hold::default();
        for (place, kept, units) in under {
            let (purse, own) = match (&self.line(*place).shared, kept) {
                (Some((purse, _)), _) => (&**purse, None),
                (None, Of::Own(kept)) => (&*kept.purse, Some(kept.purse.clone())),
                (None, Of::Shared(kept)) => (&*kept.purse, None),
            };
            let is_estimate = self.counts_tokens && self.rules[*place].quota.unit != Unit::Requests;
            if let Err(refusal) = hold.add(self, *place, purse, own, *units, is_estimate, now_ms) {
                self.book.ring();
                return Err(refusal);
            }
        }
        // A turn is taken when nothing else stands in the way: who waits for another limit leaves it to others.
        for (place, turn, units) in turns {
            if let Err(until_ms) = turn.take(units, now_ms) {
                hold.cancel(self, || now_ms);
                return Err(refusal(place, until_ms));
            }
        }
        if hold.is_low {
            self.book.ring();
        }
        Ok(hold)
    }

    /// The limits that a call is under.
    pub(super) fn under(&self, asked: &Asked<'_>) -> Under<'_> {
        let mut under = Under::new();
        for (place, line) in std::iter::once(&self.first).chain(&*self.more).enumerate() {
            let units = if line.is_plain { 1 } else { self.rules[place].units(asked) };
            let own = || Of::Own(self.rules[place].kept(&self.book, asked));
            if units > 0 {
                under.push((
                    place,
                    line.shared.as_ref().map_or_else(own, |(_, kept)| Of::Shared(kept)),
                    units,
                ));
            }
        }
        under
    }

    /// Whether a limit of a window that all calls share has come near its end.
    pub(crate) fn is_near(&self, now_ms: u64) -> bool {
        let shared = self.rules.iter().filter(|rule| rule.is_calendar && rule.quota.paths.is_empty());
        let near = |rule: &Rule| {
            rule.pot.whole().is_some_and(|kept| {
                let (left, most) = kept.purse.remaining();
                let is_open = kept.purse.resets_ms().is_some_and(|resets| now_ms < resets);
                is_open && rule.quota.near.reached(most.saturating_sub(left), most)
            })
        };
        shared.into_iter().any(near)
    }

    /// Tokens of an answer where its caller does not say: as are `usual`, and not so many that a limit lets it never go.
    /// One at least: a limit of answers is about it.
    pub(crate) fn output(&self, usual: Option<u64>) -> u64 {
        let counting = self.rules.iter().filter(|rule| rule.quota.unit != Unit::Requests);
        counting.map(|rule| rule.amount / 2).fold(usual.unwrap_or(self.output), u64::min).max(1)
    }

    /// Whether somebody waits for what is kept at a place: whoever comes then comes after.
    pub(super) fn is_waited(&self, place: usize, kept: &Kept) -> bool {
        // Of those that all share not even that is looked at: it would be one more line that is in no cache.
        Purses::shared(self, place).map_or_else(|| kept.queue.is_waited(), Purse::is_waited)
    }

    /// The limits that all calls share, by name: what is left, and of how much. For people to look at.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (&Quota, &Arc<Kept>)> {
        self.rules.iter().filter_map(|rule| Some((&rule.quota, rule.pot.whole()?)))
    }
}

impl Purses for Limits {
    fn shared(&self, place: usize) -> Option<&Purse> {
        Some(&*self.line(place).shared.as_ref()?.0)
    }
}

// === impl Rule ===

impl Rule {
    /// What a call weighs. 0: the limit is not about it.
    fn units(&self, asked: &Asked<'_>) -> u64 {
        let weight = self.quota.weighs(asked.path, fit_path);
        let (input, output) = asked.tokens;
        match self.quota.unit {
            _ if weight == 0 => 0,
            Unit::Requests => weight,
            Unit::InputTokens => input,
            Unit::OutputTokens => output,
            Unit::Tokens => input.saturating_add(output),
        }
    }

    fn kept(&self, book: &Book, asked: &Asked<'_>) -> Arc<Kept> {
        self.pot.kept(
            book,
            match self.quota.scope {
                Scope::Integration | Scope::Credential => "",
                Scope::Caller => asked.actor,
                Scope::Token => asked.token,
                Scope::Endpoint => asked.endpoint,
            },
        )
    }

    /// What all share; nothing where each has its own.
    pub(super) fn shared(&self) -> Option<&Arc<Kept>> {
        self.pot.whole()
    }

    fn line(&self) -> Line {
        let Quota { unit, paths, weights, throttle, .. } = &self.quota;
        let is_plain = *unit == Unit::Requests && paths.is_empty() && weights.is_empty();
        let shared = self.pot.whole().map(|kept| (kept.purse.clone(), kept.clone()));
        Line { shared, is_throttled: throttle.is_some(), is_plain }
    }

    /// Its window, in seconds; nothing for calls at a time.
    pub(super) fn window_secs(&self) -> Option<u64> {
        self.quota.per.map(Window::secs).or(self.quota.window_secs).map(u64::from)
    }

    /// How much it allows, for people, where a burst makes it another number than they set.
    pub(super) fn says(&self) -> Option<String> {
        let Quota { requests, .. } = self.quota;
        let secs = self.window_secs().filter(|_| self.amount != requests)?;
        Some(format!("{requests} in {secs} s, {} at once", self.amount))
    }
}

/// The turns of a limit that is throttled: what is left of it is spread over the rest of its window.
struct Turn<'l> {
    /// When the next one is, in microseconds.
    next_us: &'l AtomicU64,
    /// From one to the next for each unit, in microseconds.
    spacing_us: u64,
    resets_ms: u64,
}

/// The turns of a limit past the share from which on it is throttled; nothing before that.
fn throttled(share: Ratio, kept: &Kept, now_ms: u64) -> Option<Turn<'_>> {
    let resets_ms = kept.purse.resets_ms()?;
    let (left, most) = kept.purse.remaining();
    if left == 0 || now_ms >= resets_ms || !share.reached(most.saturating_sub(left), most) {
        return None;
    }
    let spacing_us = (resets_ms - now_ms).saturating_mul(1_000) / left;
    Some(Turn { next_us: &kept.next_us, spacing_us, resets_ms })
}

impl Turn<'_> {
    /// Whether it is here. An error: until when to wait, in milliseconds.
    fn look(&self, now_ms: u64) -> Result<(), u64> {
        let next_us = self.next_us.load(Relaxed);
        if now_ms * 1_000 >= next_us { Ok(()) } else { Err(self.until(next_us)) }
    }

    /// Takes it. An error: somebody else did; until when to wait, in milliseconds.
    fn take(&self, units: u64, now_ms: u64) -> Result<(), u64> {
        let (now_us, lasts_us) = (now_ms * 1_000, self.spacing_us.saturating_mul(units));
        let next = |seen: u64| (now_us >= seen).then(|| now_us.saturating_add(lasts_us));
        self.next_us.fetch_update(Relaxed, Relaxed, next).map(drop).map_err(|seen| self.until(seen))
    }

    fn until(&self, next_us: u64) -> u64 {
        next_us.min(self.resets_ms * 1_000).div_ceil(1_000)
    }
}

/// A limit made ready. One that cannot be kept is left out and said: the api takes none.
fn rule(book: &Book, given: &Integration, quota: Quota, replicas: u32) -> Option<Rule> {
    let limit: Limit = match quota::keep(&quota, replicas) {
        Ok(limit) => limit,
        Err(fault) => {
            let why = fault.to_string();
            tracing::warn!(integration.id = %given.id, quota = quota.name, why, "Limit {} of integration {} cannot be kept: {why}.", quota.name, given.id);
            return None;
        }
    };
    let owner = quota::key::owner(&given.id, given.key.as_ref(), quota.scope);
    let has_parts = quota.scope.has_parts();
    let (pot, said) = book.pot(&given.id, &owner, &limit, has_parts)?;
    let is_calendar = matches!(limit.span, Span::Calendar { .. });
    let begins = super::told::begins(&quota.name);
    Some(Rule { quota, amount: limit.amount, is_calendar, begins, pot, _said: said })
}
