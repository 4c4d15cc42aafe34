//! The body of a request on its way out: nothing, bytes at hand, or a stream.
//!
//! One type, because a connection has one; nothing is boxed unless it streams.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::{Error, Shared};

/// A request's body.
#[derive(Debug)]
pub struct Outgoing(Kind);

#[derive(Debug)]
enum Kind {
    /// Bytes at hand; none when they were sent.
    Whole(Option<Bytes>),
    /// Whatever comes.
    Stream(UnsyncBoxBody<Bytes, Error>),
}

impl Outgoing {
    /// No body.
    pub const fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    /// Bytes at hand.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// Whether it is bytes at hand.
    pub(crate) const fn is_here(&self) -> bool {
        matches!(self.0, Kind::Whole(_))
    }

    /// Whatever comes. An error of the caller's body is the caller's.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = body.map_err(|error| Error::RequestBody { source: Shared::new(error.into()) });
        Self(Kind::Stream(body.boxed_unsync()))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}
