//! A request on its way out: its head, then its body as it comes.
//!
//! Nothing is copied but heads, and what a full connection did not take.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderValue;
use http::request::Parts;
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::head::{self, Length};
use crate::error::{Error, Shared};
use crate::outgoing::Outgoing;
use crate::stream::Stream;

/// Room for a head at first, in bytes.
const ROOM: usize = 2 * 1024;
/// The most room that is kept, in bytes.
const ROOM_MAX: usize = 16 * 1024;
/// What ends a chunk.
const LINE_END: &[u8] = b"\r\n";
/// What ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

thread_local! {
    /// Where heads are written before they go out: one place a thread, so that connections need none.
    static HEAD: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(ROOM));
}

/// A request that is being written.
#[derive(Debug)]
pub(super) struct Sending {
    /// The head, or a chunk's size: what is not written of it.
    before: Bytes,
    /// Bytes of the body that are next.
    data: Bytes,
    /// What ends them.
    after: &'static [u8],
    /// What comes then; nothing when all of it came.
    body: Option<Outgoing>,
    length: Length,
    /// Bytes that the body has left of what its head says.
    left: u64,
    stage: Stage,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nothing was done.
    New,
    /// It is encoded, and nothing was written.
    Encoded,
    /// Some of it was written.
    Begun,
    /// All of it was.
    Done,
}

/// Why it went no further.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The body broke off.
    Body(Error),
    /// The connection did.
    Connection(io::Error),
}

impl Default for Sending {
    fn default() -> Self {
        Self { stage: Stage::Done, ..Self::new(Outgoing::empty()) }
    }
}

impl Sending {
    pub(super) fn new(body: Outgoing) -> Self {
        let size = body.size_hint().exact();
        let length = match size {
            _ if body.is_end_stream() => Length::None,
            Some(size) => Length::Exact(size),
            None => Length::Chunked,
        };
        Self {
            before: Bytes::new(),
            data: Bytes::new(),
            after: &[],
            body: (length != Length::None).then_some(body),
            length,
            left: size.unwrap_or_default(),
            stage: Stage::New,
        }
    }

    /// Whether all of it is written.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether anything of it was written.
    pub(super) fn has_begun(&self) -> bool {
        self.stage >= Stage::Begun
    }

    /// The body, of which nothing was sent.
    pub(super) fn take_back(&mut self) -> Outgoing {
        let whole = Outgoing::whole(std::mem::take(&mut self.data));
        self.body.take().unwrap_or(whole)
    }

    /// Writes as much as goes; `parts` and `host` before the first byte.
    pub(super) fn poll(
        &mut self,
        parts: Option<&Parts>,
        host: &HeaderValue,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stopped>> {
        if let Some(parts) = parts.filter(|_| self.stage == Stage::New) {
            self.begin(parts, host, stream, cx)?;
        }
        self.poll_on(stream, cx)
    }

    /// Encodes the head, and writes it with what is here of the body: in most cases that is all.
    fn begin(
        &mut self,
        parts: &Parts,
        host: &HeaderValue,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Result<(), Stopped> {
        HEAD.with_borrow_mut(|head| {
            head.clear();
            head::write(parts, host, self.length, head);
            self.stage = Stage::Encoded;
            // A body that streams is asked when its head is on its way: until then the request can be taken back.
            if self.body.as_ref().is_some_and(Outgoing::is_here) {
                self.poll_body(cx)?;
            }
            let slices = [IoSlice::new(head), IoSlice::new(&self.data)];
            let wrote = match Pin::new(stream).poll_write_vectored(cx, &slices) {
                Poll::Ready(wrote) => wrote.map_err(Stopped::Connection)?,
                Poll::Pending => 0,
            };
            let rest = head.get(wrote..).unwrap_or_default();
            if !rest.is_empty() {
                self.before = Bytes::copy_from_slice(rest);
            }
            self.data.advance(wrote.saturating_sub(head.len()));
            if wrote > 0 {
                self.stage = Stage::Begun;
            }
            if head.capacity() > ROOM_MAX {
                *head = Vec::with_capacity(ROOM);
            }
            Ok(())
        })
    }

    /// Writes what is left.
    pub(super) fn poll_on(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        while self.stage < Stage::Done {
            if self.has_begun() && self.data.is_empty() && self.after.is_empty() {
                self.poll_body(cx)?;
            }
            if self.before.is_empty() && self.data.is_empty() && self.after.is_empty() {
                // What was written must not wait for what is not here yet.
                ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(Stopped::Connection)?;
                if self.body.is_some() {
                    return Poll::Pending;
                }
                self.stage = Stage::Done;
                break;
            }
            let written = ready!(self.poll_write(stream, cx)).map_err(Stopped::Connection)?;
            if written == 0 {
                return Poll::Ready(Err(Stopped::Connection(io::ErrorKind::WriteZero.into())));
            }
            self.stage = Stage::Begun;
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(&self.before), IoSlice::new(&self.data), IoSlice::new(self.after)];
        Pin::new(stream).poll_write_vectored(cx, &slices)
    }

    fn advance(&mut self, mut written: usize) {
        for bytes in [&mut self.before, &mut self.data] {
            let here = written.min(bytes.len());
            bytes.advance(here);
            written -= here;
        }
        self.after = self.after.get(written..).unwrap_or_default();
    }

    /// Asks the body for what comes next, if anything is here.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<(), Stopped> {
        let wrong = |detail: &str| Stopped::Body(Error::RequestBody { source: Shared::new(detail.into()) });
        while let Some(body) = &mut self.body {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { return Ok(()) };
            let data = match frame {
                Some(frame) => frame.map_err(Stopped::Body)?.into_data().unwrap_or_default(),
                None => {
                    self.body = None;
                    if self.left > 0 {
                        return Err(wrong("it is shorter than it said"));
                    }
                    if self.length == Length::Chunked {
                        self.after = LAST_CHUNK;
                    }
                    return Ok(());
                }
            };
            if data.is_empty() {
                continue;
            }
            if self.length == Length::Chunked {
                let size = format!("{:x}\r\n", data.len());
                self.before = Bytes::from([&self.before, size.as_bytes()].concat());
                self.after = LINE_END;
            } else {
                let left = self.left.checked_sub(data.len() as u64);
                self.left = left.ok_or_else(|| wrong("it is longer than it said"))?;
                if self.left == 0 {
                    self.body = None;
                }
            }
            self.data = data;
            return Ok(());
        }
        Ok(())
    }
}

impl Stopped {
    /// Whether it was the body.
    pub(super) const fn is_callers(&self) -> bool {
        matches!(self, Self::Body(_))
    }

    /// As callers see it. `sent` says whether the target may have seen something.
    pub(super) fn into_error(self, sent: bool) -> Error {
        match self {
            Self::Body(error) => error,
            Self::Connection(error) => Error::Protocol { detail: error.kind().to_string(), sent },
        }
    }
}
