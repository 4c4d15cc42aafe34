//! What a call holds of its integration's limits, from the moment it is sent until its answer has ended.
//!
//! Lies with the call's account. Whoever drops it without a word has it count as spent: the provider may have seen the call.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use model::quota::Unit;
use model::usage::Tokens;

use super::hold::Hold;
use super::limits::Limits;
use super::{steady, told};

/// A place for what a call holds.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Held>>);

/// What a call holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) hold: Hold,
    pub(super) limits: Arc<Limits>,
    /// Tokens that are counted beside those taken if the answer does not tell what it used.
    pub(super) untold: u64,
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
        self.end(Some((0, 0)));
    }

    /// The answer has ended. `tokens`: what it used, where that is known.
    pub(crate) fn settle(&self, tokens: Option<&Tokens>) {
        // An answer that does not tell what it used has used what it might have.
        let told = tokens.map(|tokens| (tokens.input_tokens, tokens.output_tokens));
        self.end(told.filter(|(input, output)| *input > 0 || *output > 0));
    }

    fn end(&self, tokens: Option<(u64, u64)>) {
        let Some(mut held) = self.lock().take() else { return };
        let Held { hold, limits, untold } = &mut held;
        let used = |place: usize, taken: u64| {
            let Some((input, output)) = tokens else {
                let answers = matches!(limits.rules[place].quota.unit, Unit::Tokens | Unit::OutputTokens);
                return if answers { taken.saturating_add(*untold) } else { taken };
            };
            match limits.rules[place].quota.unit {
                Unit::Requests => taken,
                Unit::InputTokens => input,
                Unit::OutputTokens => output,
                Unit::Tokens => input.saturating_add(output),
            }
        };
        let beyond = hold.settle(&**limits, steady::now_ms, used);
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
