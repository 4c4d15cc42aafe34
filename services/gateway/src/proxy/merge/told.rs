//! What callers of a merged call are told: their part of the answer, that they go by themselves, or what went wrong.
//!
//! A part stands for the answer to a single call only if it would have been a good one: it is judged as that, and read as
//! that where a canonical document is asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use http::response::Parts as Head;
use model::health::Reason;
use model::merge::Form;

use super::super::admit::Call;
use super::super::attempt::{Answer, Failure};
use super::super::judge::Judged;
use super::super::operate::{OF_THEIR_FORM, Reader};
use super::super::record::Account;
use crate::merge::split::Parts;
use crate::snapshot::Integration;

/// What a caller is told.
pub(super) enum Told {
    /// Its part of an answer; whether it is the one for whom the call was counted.
    Part { whole: Arc<Whole>, part: Bytes, leads: bool },
    /// What went wrong for all.
    Failed(Arc<Failed>),
    /// It goes by itself.
    Alone,
}

/// The answer to a merged call.
pub(super) struct Whole {
    head: Head,
    may_keep: bool,
    /// All of it; nothing where it could not be held.
    body: Option<Bytes>,
    count: u32,
    several: bool,
}

/// A failure that is all callers'.
pub(super) struct Failed {
    reason: Reason,
    why: Option<String>,
    status: Option<u16>,
    may_have_acted: bool,
    retry_after: Option<Duration>,
    /// The provider's own answer, where all of it is here.
    answer: Option<Whole>,
}

/// Whether each caller alone would have met the same: a limit, or nobody who answers.
pub(super) const fn shares(failure: &Failure) -> bool {
    let limit = matches!(failure.reason, Reason::ThrottledBurst | Reason::QuotaExhausted | Reason::Banned);
    limit || failure.status.is_none()
}

// === impl Whole ===

impl Whole {
    /// The answer to a call of so many callers, for one symbol or several.
    pub(super) fn of(answer: Answer, count: u32, several: bool) -> Self {
        let Answer { mut head, may_keep, held, rest, .. } = answer;
        head.extensions = http::Extensions::new();
        let plain = head.headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
        // An answer for one symbol is each caller's as it is.
        let readable = !several || (plain && head.status == StatusCode::OK);
        let body = Some(held).filter(|_| rest.is_none() && readable);
        if several {
            for name in OF_THEIR_FORM {
                head.headers.remove(name);
            }
        }
        Self { head, may_keep, body, count, several }
    }

    /// The part of each symbol.
    pub(super) fn parts(&self, form: &Form, symbols: &[String]) -> Vec<Option<Bytes>> {
        match &self.body {
            Some(body) if self.several => {
                let parts = Parts::read(form, body);
                symbols.iter().map(|symbol| parts.as_ref()?.of(symbol)).collect()
            }
            whole => vec![whole.clone(); symbols.len()],
        }
    }

    /// One caller's answer; nothing where it is no good one.
    pub(super) async fn of_one(
        &self,
        part: Bytes,
        integration: &Arc<Integration>,
        call: &Call,
        account: &Account,
    ) -> Option<Box<Answer>> {
        let (provider, status) = (integration.provider, self.head.status.as_u16());
        if self.several && provider.has_rule_for(status) {
            let answer = catalogue::Answer { status, headers: &[], body: &part };
            if catalogue::judge(provider, &answer).reason.is_some() {
                return None;
            }
        }
        let reader = Reader::of(call, integration);
        let may_keep = self.may_keep || (reader.is_some() && crate::cache::is_whole(&self.head, true));
        let mut judged = Judged::good(self.head.clone(), part, None);
        if let Some(reader) = reader {
            judged = reader.read(judged).await.ok().filter(|judged| judged.reason.is_none())?;
        }
        let Judged { head, held, .. } = judged;
        Some(Box::new(Answer {
            integration: integration.clone(),
            head,
            may_keep,
            held,
            rest: None,
            account: account.clone(),
            voice: None,
            merged: self.count,
        }))
    }
}

// === impl Failed ===

impl Failed {
    /// The failure of a call of so many callers.
    pub(super) fn of(failure: Failure, count: u32) -> Self {
        let Failure { reason, why, status, may_have_acted, retry_after, answer, .. } = failure;
        let answer = answer.filter(|answer| answer.rest.is_none());
        let answer = answer.map(|answer| Whole::of(*answer, count, false));
        Self { reason, why, status, may_have_acted, retry_after, answer }
    }

    /// The same as one caller's.
    pub(super) fn of_one(
        &self,
        integration: &Arc<Integration>,
        account: &Account,
        duration_ms: u64,
    ) -> Failure {
        let answer = self.answer.as_ref().map(|whole| {
            Box::new(Answer {
                integration: integration.clone(),
                head: whole.head.clone(),
                may_keep: false,
                held: whole.body.clone().unwrap_or_default(),
                rest: None,
                account: account.clone(),
                voice: None,
                merged: whole.count,
            })
        });
        let Self { reason, status, may_have_acted, retry_after, .. } = *self;
        let why = self.why.clone();
        Failure { reason, why, status, duration_ms, may_have_acted, retry_after, answer }
    }
}
