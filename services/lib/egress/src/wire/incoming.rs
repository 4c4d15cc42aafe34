//! The body of an answer on a connection that we hold: in the other side's pace, to its end and no byte further.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio_util::io::poll_read_buf;

use super::chunks::Piece;
use super::head::Framing;
use super::sending::Sending;
use super::{Wire, early_end, failed};
use crate::error::Error;
use crate::upstream::Lease;

/// Bytes that are read at once where it is known that many come.
const READ_BYTES: u64 = 64 * 1024;
/// How long a request's body goes on after its answer is whole, in milliseconds.
const AFTER_MS: u64 = 60_000;

/// What still comes of an answer, and what still goes of its request.
#[derive(Debug)]
pub(crate) struct Rest {
    /// What is here and was not given out.
    ahead: Bytes,
    framing: Framing,
    /// Whether the connection may be used again after it.
    is_kept: bool,
    /// The request's body, where it is not sent to its end.
    sending: Option<Box<Sending>>,
}

/// An answer's body, with the connection until it is read to its end.
#[derive(Debug)]
pub(crate) struct Incoming {
    rest: Rest,
    lease: Option<Lease>,
}

// === impl Rest ===

impl Rest {
    pub(super) fn new(ahead: Bytes, framing: Framing, is_kept: bool, sending: Option<Box<Sending>>) -> Self {
        Self { ahead, framing, is_kept, sending }
    }

    fn is_done(&self) -> bool {
        match &self.framing {
            Framing::Exact(left) => *left == 0,
            Framing::Chunked(chunks) => chunks.is_done(),
            Framing::UntilEnd => false,
        }
    }

    /// The next frame that is here already.
    fn next(&mut self) -> Result<Option<Frame<Bytes>>, Error> {
        match &mut self.framing {
            Framing::Exact(left) => {
                let here = usize::try_from(*left).map_or(self.ahead.len(), |left| left.min(self.ahead.len()));
                *left -= here as u64;
                let data = self.ahead.split_to(here);
                Ok(Some(data).filter(|data| !data.is_empty()).map(Frame::data))
            }
            Framing::Chunked(chunks) => Ok(match chunks.next(&mut self.ahead)? {
                Some(Piece::Data(data)) => Some(Frame::data(data)),
                Some(Piece::Trailers(trailers)) => Some(Frame::trailers(trailers)),
                Some(Piece::End) | None => None,
            }),
            Framing::UntilEnd => {
                let data = std::mem::take(&mut self.ahead);
                Ok(Some(data).filter(|data| !data.is_empty()).map(Frame::data))
            }
        }
    }

    /// Reads some more; false where the connection ended.
    fn poll_more(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let read = match self.framing {
            Framing::Exact(left) => {
                // At most what is to come: a byte more would be somebody else's.
                let mut room =
                    BytesMut::with_capacity(usize::try_from(left.min(READ_BYTES)).unwrap_or_default());
                ready!(poll_read_buf(Pin::new(&mut wire.stream), cx, &mut room))?;
                Some(room.freeze()).filter(|read| !read.is_empty())
            }
            Framing::Chunked(_) | Framing::UntilEnd => ready!(wire.poll_look(cx, &mut BytesMut::new()))?,
        };
        self.ahead = read.unwrap_or_default();
        Poll::Ready(Ok(!self.ahead.is_empty()))
    }
}

// === impl Incoming ===

impl Incoming {
    pub(crate) fn new(rest: Rest, lease: Lease) -> Self {
        let mut body = Self { rest, lease: Some(lease) };
        if body.rest.is_done() {
            body.give_back();
        }
        body
    }

    /// The body's end is here: the connection goes back, if it can be used again.
    fn give_back(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        if !self.rest.is_kept || !self.rest.ahead.is_empty() {
            return;
        }
        match self.rest.sending.take() {
            None => lease.give_back(),
            Some(sending) => drop(tokio::spawn(go_on(sending, lease))),
        }
    }

    /// Nothing more is wanted of it: the connection is closed.
    pub(crate) fn close(&mut self) {
        self.lease = None;
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let outcome = ready!(self.poll_next(cx));
        if !matches!(outcome, Some(Ok(_))) {
            self.lease = None;
        }
        Poll::Ready(outcome)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let Self { rest, lease } = self;
            if let (Some(sending), Some(lease)) = (&mut rest.sending, lease.as_mut()) {
                match sending.poll_on(&mut lease.wire.stream, cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => rest.sending = None,
                    Poll::Ready(Err(stopped)) if stopped.is_callers() => {
                        return Poll::Ready(Some(Err(stopped.into_error(true))));
                    }
                    // It wants no more of it; its answer may still be whole.
                    Poll::Ready(Err(_)) => (rest.sending, rest.is_kept) = (None, false),
                }
            }
            if let Some(frame) = rest.next()? {
                if self.rest.is_done() {
                    self.give_back();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            if rest.is_done() {
                self.give_back();
                return Poll::Ready(None);
            }
            let Some(lease) = lease else { return Poll::Ready(None) };
            match ready!(rest.poll_more(&mut lease.wire, cx)) {
                Ok(true) => {}
                Ok(false) if matches!(rest.framing, Framing::UntilEnd) => return Poll::Ready(None),
                Ok(false) => return Poll::Ready(Some(Err(early_end()))),
                Err(error) => return Poll::Ready(Some(Err(failed(&error)))),
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.rest.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.rest.framing {
            Framing::Exact(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilEnd => SizeHint::default(),
        }
    }
}

/// Sends what is left of a request whose answer came early. Whoever answers and leaves the connection open takes the rest
/// of the body (RFC 9112, 9.3), and whoever sends it can only read the answer when it is not cut off in the middle.
async fn go_on(mut sending: Box<Sending>, mut lease: Lease) {
    let rest = std::future::poll_fn(|cx| sending.poll_on(&mut lease.wire.stream, cx));
    if let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(AFTER_MS), rest).await {
        lease.give_back();
    }
}
