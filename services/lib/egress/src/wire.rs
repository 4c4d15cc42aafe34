//! HTTP/1.1 on a connection in the hands of whoever asks: no task, no channel and no timer of its own.
//!
//! A request is written and its answer read by the same task, in its caller's turn. A body may still be on its way out
//! while the answer comes in. What the other side sends is believed in nothing: heads, chunks and lengths are bounded and
//! checked (RFC 9112), and a connection on which anything else came is never used again.

mod chunks;
mod head;
mod incoming;
mod sending;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::{Error, Phase};
use crate::outgoing::Outgoing;
use crate::stream::{Opened, Stream};
use head::Head;
pub(crate) use incoming::{Incoming, Rest};
use sending::{Sending, Stopped};

/// Bytes of an answer's head.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The most header fields of an answer.
pub(crate) const HEADERS_MAX: usize = 100;
/// The most heads that announce nothing but that another one follows (status 1xx).
const INTERIM_MAX: usize = 16;
/// Bytes that are looked for at once where it is not known how many come.
const LOOK_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where bytes arrive before it is known what they are: one place a thread, so that connections need none.
    static LOOK: std::cell::RefCell<Box<[u8]>> = std::cell::RefCell::new(vec![0; LOOK_BYTES].into());
}

/// An open HTTP/1.1 connection.
pub(crate) struct Wire {
    stream: Stream,
    clock: Clock,
}

/// Until when an answer's head is waited for, and for how long that is by which setting, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    pub(crate) at: Instant,
    pub(crate) limit_ms: u64,
}

/// One timer a connection: each request moves it on, which costs next to nothing; to begin and to end one costs a lock.
#[derive(Default)]
struct Clock(Option<Pin<Box<Sleep>>>);

/// What became of a request: the answer's head with the rest to come; or the request again, because the connection had
/// closed before anything of it was written.
pub(crate) enum Asked {
    Answered(Response<Rest>),
    Unsent(Request<Outgoing>),
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, clock: Clock::default() }
    }

    /// How it came about.
    pub(crate) fn opened(&self) -> &Opened {
        &self.stream.opened
    }

    /// Whether nothing came on it since the last answer: neither bytes that nobody asked for nor its end.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let read = Pin::new(&mut self.stream)
            .poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut byte));
        read.is_pending()
    }

    /// Writes a request, and reads the head of its answer. An error: nothing more can come of this connection.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Outgoing>,
        host: &HeaderValue,
        until: Until,
    ) -> Result<Asked, Error> {
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let (sending, room) = (Sending::new(body), HeaderMap::new());
        let ahead = BytesMut::new();
        let mut asking = Asking {
            wire: self,
            host,
            parts: Some(parts),
            is_head,
            sending,
            room,
            ahead,
            interim: 0,
            broken: None,
        };
        std::future::poll_fn(|cx| match asking.poll(cx) {
            Poll::Pending => asking.wire.clock.poll(until, cx),
            answered => answered,
        })
        .await
    }

    /// Some more bytes, together with those that are here `ahead`. Nothing: the connection ended.
    fn poll_look(&mut self, cx: &mut Context<'_>, ahead: &mut BytesMut) -> Poll<io::Result<Option<Bytes>>> {
        LOOK.with_borrow_mut(|look| {
            let mut look = ReadBuf::new(look);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut look))?;
            let found = look.filled();
            Poll::Ready(Ok(if found.is_empty() {
                None
            } else if ahead.is_empty() {
                Some(Bytes::copy_from_slice(found))
            } else {
                ahead.extend_from_slice(found);
                Some(std::mem::take(ahead).freeze())
            }))
        })
    }
}

// === impl Clock ===

impl Clock {
    fn poll<T>(&mut self, until: Until, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let Until { at, limit_ms } = until;
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(Error::Timeout { phase: Phase::FirstByte, limit_ms, sent: true }))
    }
}

/// A request and what is known of its answer.
struct Asking<'a> {
    wire: &'a mut Wire,
    host: &'a HeaderValue,
    /// The request's head, until something of it was written.
    parts: Option<Parts>,
    is_head: bool,
    sending: Sending,
    /// Memory for the answer's fields: that of the request's.
    room: HeaderMap,
    /// What came of a head that is not whole.
    ahead: BytesMut,
    /// Heads that announced another one.
    interim: usize,
    /// Why nothing more can be written.
    broken: Option<Stopped>,
}

impl Asking<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Asked, Error>> {
        if let Some(ended) = self.send(cx) {
            return Poll::Ready(ended);
        }
        loop {
            let read = match ready!(self.wire.poll_look(cx, &mut self.ahead)) {
                Ok(Some(read)) => read,
                Ok(None) => return Poll::Ready(Err(self.ended(early_end()))),
                Err(error) => return Poll::Ready(Err(self.ended(failed(&error)))),
            };
            if let Some(answer) = self.read(read)? {
                return Poll::Ready(Ok(Asked::Answered(answer)));
            }
        }
    }

    /// Sends as much as goes. Something: that is how it ends.
    fn send(&mut self, cx: &mut Context<'_>) -> Option<Result<Asked, Error>> {
        if self.broken.is_some() || self.sending.is_done() {
            return None;
        }
        let sent = self.sending.poll(self.parts.as_ref(), self.host, &mut self.wire.stream, cx);
        let stopped = match sent {
            Poll::Ready(Err(stopped)) => stopped,
            Poll::Ready(Ok(())) | Poll::Pending => {
                if self.sending.has_begun()
                    && let Some(parts) = self.parts.take()
                {
                    self.room = parts.headers;
                }
                return None;
            }
        };
        if stopped.is_callers() {
            return Some(Err(stopped.into_error(true)));
        }
        if let Some(parts) = self.parts.take() {
            let body = self.sending.take_back();
            return Some(Ok(Asked::Unsent(Request::from_parts(parts, body))));
        }
        // It may have answered before it closed: what it said counts.
        self.broken = Some(stopped);
        None
    }

    /// Reads a head from what is here; nothing where more is to come.
    fn read(&mut self, read: Bytes) -> Result<Option<Response<Rest>>, Error> {
        let mut read = read;
        loop {
            let Some(head) = head::read(&read, self.is_head, &mut self.room)? else {
                if read.len() >= HEAD_BYTES_MAX {
                    return Err(head::too_large());
                }
                self.ahead = BytesMut::from(read);
                return Ok(None);
            };
            let Head { response, framing, is_kept, rest } = head;
            let status = response.status();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                self.interim += 1;
                if self.interim > INTERIM_MAX {
                    return Err(head::too_large());
                }
                read = rest;
                continue;
            }
            let is_kept = is_kept && self.broken.is_none();
            let goes_on = self.broken.is_none() && !self.sending.is_done();
            let sending = goes_on.then(|| Box::new(std::mem::take(&mut self.sending)));
            return Ok(Some(response.map(|()| Rest::new(rest, framing, is_kept, sending))));
        }
    }

    /// Why there will be no answer: what stopped the request says it best.
    fn ended(&mut self, error: Error) -> Error {
        self.broken.take().map_or(error, |stopped| stopped.into_error(true))
    }
}

/// The connection ended where bytes were to come.
fn early_end() -> Error {
    broken("it closed the connection before its answer was whole")
}

/// The connection failed where bytes were to come.
fn failed(error: &io::Error) -> Error {
    broken(&error.kind().to_string())
}

fn broken(detail: &str) -> Error {
    Error::Protocol { detail: detail.to_owned(), sent: true }
}
