//! A body decoded on its way to a caller that does not accept what the provider sent.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderValue, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Coded, Coding, Decoder};
use crate::body::{Body, Broken};
use crate::problem::Problem;
use crate::telemetry;

/// A decoded body. Holds what comes of one frame, at most a hundred times its size.
pub(crate) struct Decoded {
    inner: Body,
    decoder: Option<Decoder>,
    ready: VecDeque<Bytes>,
    /// Why it ends, once that is known.
    broken: Option<Broken>,
}

/// The answer as a caller with this `Accept-Encoding` can read it.
///
/// # Errors
/// Where what is here of it cannot be decoded.
pub(super) async fn fit(response: Response<Body>, accepts: &HeaderValue) -> Result<Response<Body>, Problem> {
    let Coded::By(coding) = Coding::of(response.headers()) else { return Ok(response) };
    let asked = HeaderMap::from_iter([(ACCEPT_ENCODING, accepts.clone())]);
    let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
    if coding.is_accepted(&asked) || is_part || response.body().is_end_stream() {
        return Ok(response);
    }
    telemetry::decoded(coding.name());
    let (mut head, inner) = response.into_parts();
    for name in [CONTENT_ENCODING, CONTENT_LENGTH, ACCEPT_RANGES] {
        head.headers.remove(name);
    }
    head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    weaken(&mut head.headers);
    let mut decoded = Box::new(Decoded {
        inner,
        decoder: Some(Decoder::new(coding)),
        ready: VecDeque::new(),
        broken: None,
    });
    // Once, and not waited for: what comes later has an answer before it.
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut *decoded).poll_frame(cx))).await {
        Poll::Ready(Some(Ok(first))) => {
            first.into_data().into_iter().for_each(|data| decoded.ready.push_front(data));
        }
        Poll::Ready(None) | Poll::Pending if decoded.broken.is_none() => {}
        // What it says cannot be read; that it refused can.
        _ if !head.status.is_success() => return Ok(Response::from_parts(head, Body::whole(Bytes::new()))),
        _ => {
            let detail = format!(
                "the provider's answer is not whole or not in `{}`, which its caller does not take, or decodes to far more than it is",
                coding.name()
            );
            return Err(Problem::new(
                StatusCode::BAD_GATEWAY,
                "undecodable",
                "Answer cannot be decoded",
                detail,
            ));
        }
    }
    Ok(Response::from_parts(head, Body::Decoded(decoded)))
}

/// The same document in other bytes: its tag says no more than that.
pub(super) fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""))
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(ETAG, weak);
    }
}

/// Ends the body with the next look at it: the head goes out before.
fn later<T>(broken: &mut Option<Broken>, error: Broken, cx: &Context<'_>) -> Poll<T> {
    *broken = Some(error);
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl HttpBody for Decoded {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { inner, decoder, ready, broken } = &mut *self;
        if let Some(error) = broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            if let Some(plain) = ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(plain))));
            }
            let Some(decoding) = decoder else { return Poll::Ready(None) };
            let mut keep = |plain: &[u8]| ready.push_back(Bytes::copy_from_slice(plain));
            let outcome = match ready!(Pin::new(&mut *inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => decoding.decode(&data, &mut keep),
                    // They would end the body before what is left.
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => {
                    *decoder = None;
                    return later(broken, error, cx);
                }
                None => decoder.take().map_or(Ok(()), |decoder| decoder.end(&mut keep)),
            };
            if let Err(error) = outcome {
                (*decoder, *ready) = (None, VecDeque::new());
                return later(broken, error.into(), cx);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_none() && self.ready.is_empty() && self.broken.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}
