//! Carries a decision out: answers, waits, breaks off half-way, or never answers.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http::header::CONTENT_LENGTH;

use crate::call::Answer;
use crate::door::{Hangup, Served};

/// How long a hanging request is held at most. The client's going away ends it sooner.
const HANG_MAX: Duration = Duration::from_secs(600);

/// The connection is broken on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in breaks the connection")]
struct Broken;

/// What is to happen to a request.
#[derive(Debug)]
pub(crate) enum Effect {
    /// It is answered.
    Answer(Answer),
    /// It is answered later.
    Late(Duration, Answer),
    /// Half of the answer is sent, then the connection ends.
    Half(Answer),
    /// It is never answered.
    Hang,
    /// The connection ends without an answer.
    Hangup,
}

impl Effect {
    /// The status the client will see, if any.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Effect::Answer(answer) | Effect::Late(_, answer) | Effect::Half(answer) => Some(answer.status),
            Effect::Hang | Effect::Hangup => None,
        }
    }
}

/// Does it; `pause` is the time between the chunks of a stream.
pub(crate) async fn carry_out(effect: Effect, pause: Duration) -> Served {
    match effect {
        Effect::Answer(answer) => Ok(answer.into_response(pause)),
        Effect::Late(wait, answer) => {
            tokio::time::sleep(wait.min(HANG_MAX)).await;
            Ok(answer.into_response(pause))
        }
        Effect::Half(answer) => Ok(half(&answer)),
        Effect::Hang => {
            tokio::time::sleep(HANG_MAX).await;
            Err(Hangup)
        }
        Effect::Hangup => Err(Hangup),
    }
}

fn half(answer: &Answer) -> Response<Body> {
    let (mut parts, ()) = answer.head().into_parts();
    let whole = answer.bytes();
    parts.headers.insert(CONTENT_LENGTH, (whole.len().max(1)).into());
    let first = whole.slice(..whole.len() / 2);
    let body = stream::unfold(Some(first), |first| async move {
        match first {
            Some(first) => Some((Ok::<Bytes, Broken>(first), None)),
            None => {
                // The half that was sent must leave the buffer before the connection ends.
                tokio::task::yield_now().await;
                Some((Err(Broken), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(body))
}
