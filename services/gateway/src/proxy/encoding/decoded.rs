//! A body decoded on its way to a caller that does not accept what the provider sent.

use std::collections::VecDeque;
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
use crate::telemetry;

/// A decoded body. Holds what comes of one frame, at most a hundred times its size.
pub(crate) struct Decoded {
    inner: Body,
    decoder: Option<Decoder>,
    ready: VecDeque<Bytes>,
}

/// The answer as a caller with this `Accept-Encoding` can read it.
pub(super) fn fit(response: Response<Body>, accepts: HeaderValue) -> Response<Body> {
    let Coded::By(coding) = Coding::of(response.headers()) else { return response };
    let asked = HeaderMap::from_iter([(ACCEPT_ENCODING, accepts)]);
    let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
    if coding.is_accepted(&asked) || is_part || response.body().is_end_stream() {
        return response;
    }
    telemetry::decoded(coding.name());
    let (mut head, inner) = response.into_parts();
    for name in [CONTENT_ENCODING, CONTENT_LENGTH, ACCEPT_RANGES] {
        head.headers.remove(name);
    }
    head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    weaken(&mut head.headers);
    let decoded = Decoded { inner, decoder: Some(Decoder::new(coding)), ready: VecDeque::new() };
    Response::from_parts(head, Body::Decoded(Box::new(decoded)))
}

/// The same document in other bytes: its tag says no more than that.
pub(super) fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""))
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(ETAG, weak);
    }
}

impl HttpBody for Decoded {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { inner, decoder, ready } = &mut *self;
        loop {
            if let Some(plain) = ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(plain))));
            }
            let Some(decoding) = decoder else { return Poll::Ready(None) };
            let mut keep = |plain: &[u8]| ready.push_back(Bytes::copy_from_slice(plain));
            let outcome = match ready!(Pin::new(&mut *inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => decoding.decode(&data, &mut keep),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => {
                    *decoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => decoder.take().map_or(Ok(()), |decoder| decoder.end(&mut keep)),
            };
            if let Err(error) = outcome {
                (*decoder, *ready) = (None, VecDeque::new());
                return Poll::Ready(Some(Err(error.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_none() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}
