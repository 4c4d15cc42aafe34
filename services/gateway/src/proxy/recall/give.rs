//! Gives an answer to its caller: all of it, its head alone, or the word that it has it already.
//!
//! Bodies are never copied here.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;

use super::super::admit::Call;
use super::super::answer;
use super::super::attempt::Answer;
use super::{Plan, say};
use crate::Inner as Gateway;
use crate::body::Body;
use crate::cache::condition::{Condition, without_body};
use crate::cache::kept::Kept;
use crate::cache::rules::Windows;
use crate::snapshot::Integration;
use crate::telemetry;

/// How long the rest of an answer is read, to be kept, that its caller has already, in milliseconds.
const REST_MS: u64 = 10_000;

/// Headers that a kept answer gets here, about.
const ADDED: usize = 6;

impl Plan {
    /// A kept answer.
    pub(super) fn give(
        &self,
        call: &Call,
        kept: &Kept,
        member: &Integration,
        word: &'static str,
        (age, windows): (Duration, Windows),
    ) -> Response<Body> {
        let headers = kept.headers.table(ADDED);
        let has = self.has(&headers);
        let whole = !has && !self.asks.head;
        let body = if whole { kept.body.clone() } else { Bytes::new() };
        let mut response = Response::new(Body::whole(body));
        *response.headers_mut() = headers;
        if has {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            without_body(response.headers_mut());
        } else if self.asks.head {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(kept.body.len()));
        }
        say::kept(response.headers_mut(), word, kept.age_secs(age), age, windows.fresh);
        answer::decorate(&mut response, Some(member), usize::from(word == "refresh"), word);
        telemetry::cache(word);
        if word != "refresh" {
            member.live.cached(call.whose(&kept.origin.endpoint));
        }
        member.live.answered(response.status().as_u16());
        response
    }

    fn has(&self, answer: &http::HeaderMap) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.has(answer))
    }
}

/// A provider's answer, kept where it may be; a caller that has it already gets no more than that word.
pub(crate) fn pass(
    gateway: &Gateway,
    found: Box<Answer>,
    attempts: usize,
    mut plan: Option<Box<Plan>>,
    word: &'static str,
) -> Response<Body> {
    let condition = plan.as_mut().and_then(|plan| plan.condition.take());
    let response = answer::pass(gateway, found, attempts, plan, word);
    let has = |condition: &Condition| condition.has(response.headers());
    if response.status() != StatusCode::OK || !condition.as_ref().is_some_and(has) {
        return response;
    }
    let (mut head, mut body) = response.into_parts();
    if matches!(&body, Body::Passing(passing) if passing.is_copied())
        && let Some(permit) = gateway.cache.behind()
    {
        let rest = async move { while let Some(Ok(_)) = body.frame().await {} };
        tokio::spawn(async move {
            // What is not here by then is not kept.
            let _ = tokio::time::timeout(Duration::from_millis(REST_MS), rest).await;
            drop(permit);
        });
    }
    head.status = StatusCode::NOT_MODIFIED;
    without_body(&mut head.headers);
    Response::from_parts(head, Body::whole(Bytes::new()))
}
