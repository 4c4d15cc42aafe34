//! What a call holds of its integration's limits, from the moment it is sent until its answer has ended.
//!
//! Lies with the call's account. Whoever drops it without a word has it count as spent: the provider may have seen the call.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use model::quota::Unit;
use model::usage::Tokens;

use super::hold::Hold;
use super::limits::{Asked, Guess, Limits};
use super::{steady, told};

/// A place for what a call holds.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Held>>);

/// What a call holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) hold: Hold,
    pub(super) limits: Arc<Limits>,
    /// Tokens that were taken for the answer, and what it counts if it does not tell.
    output: u64,
    guess: Option<Guess>,
}

/// What tokens a call used.
#[derive(Clone, Copy)]
enum Used {
    /// As its answer told.
    Told { input: u64, output: u64 },
    /// It told nothing, and can have so many at most, where that is known.
    Untold { most: Option<u64> },
}

impl Held {
    /// What a call holds that is sent now.
    pub(super) fn new(hold: Hold, limits: Arc<Limits>, asked: &Asked<'_>) -> Self {
        Self { hold, limits, output: asked.tokens.1, guess: asked.guess }
    }
}

impl Slot {
    /// Puts it there.
    pub(crate) fn fill(&self, held: Held) {
        *self.lock() = Some(held);
    }

    /// The call was never sent: all is given back.
    pub(crate) fn cancel(&self) {
        if let Some(mut held) = self.lock().take() {
            held.hold.cancel(&*held.limits, steady::now_ms);
        }
    }

    /// Whether the call is under a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.lock().is_some()
    }

    /// The call has failed: it counts, and used no tokens.
    pub(crate) fn failed(&self) {
        self.end(Used::Told { input: 0, output: 0 });
    }

    /// The answer has ended. `tokens`: what it used, where that is known; `most`: how many tokens it can have by its length.
    pub(crate) fn settle(&self, tokens: Option<&Tokens>, most: Option<u64>) {
        let told = tokens.map(|tokens| (tokens.input_tokens, tokens.output_tokens));
        match told.filter(|(input, output)| *input > 0 || *output > 0) {
            Some((input, output)) => self.end(Used::Told { input, output }),
            // An answer that does not tell what it used has used what it might have.
            None => self.end(Used::Untold { most }),
        }
    }

    fn end(&self, used: Used) {
        let Some(mut held) = self.lock().take() else { return };
        let Held { hold, limits, output, guess, .. } = &mut held;
        // What its caller said that it may have, or what it is thought to have, by its length where that is known.
        let thought = |most: Option<u64>| {
            guess.map_or(*output, |Guess { least, full }| most.unwrap_or(full).clamp(least, full.max(least)))
        };
        let settled = |place: usize, taken: u64| match (limits.rules[place].quota.unit, used) {
            (Unit::Requests, _) => taken,
            (Unit::InputTokens, Used::Told { input, .. }) => input,
            (Unit::InputTokens, Used::Untold { .. }) => taken,
            (Unit::OutputTokens, Used::Told { output, .. }) => output,
            (Unit::OutputTokens, Used::Untold { most }) => thought(most),
            (Unit::Tokens, Used::Told { input, output }) => input.saturating_add(output),
            (Unit::Tokens, Used::Untold { most }) => {
                taken.saturating_sub(*output).saturating_add(thought(most))
            }
        };
        let beyond = hold.settle(&**limits, steady::now_ms, settled);
        if beyond > 0 {
            limits.book.ring();
        }
    }

    /// Says in an answer's head what is left.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let held = self.lock();
        let Some(Held { hold, limits, .. }) = &*held else { return };
        let left = hold.purses(&**limits).map(|(place, purse)| (&*limits.rules[place].begins, purse));
        told::put(headers, &limits.policy, left, steady::turn_ms());
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.hold.forget(&*self.limits);
    }
}
