//! Watches what callers send for requests that two readers could read in two ways, before hyper reads them.
//!
//! hyper forgives: a bare LF ends a line, a length beside chunks or said twice is dropped. Whoever stands before or behind
//! us may forgive otherwise, and then disagrees with us on where a request ends (T13). Such a request is answered here,
//! with a problem that names what is wrong, and its connection closes. HTTP/2 has frames, and passes; so do upgraded
//! connections. Bytes are looked at once and never changed or held.
//!
//! It also sees what does not come, and cuts: a head that takes too long (408), a connection on which nothing is asked, an
//! answer that nobody takes. What was upgraded has bounds of its own.

pub(crate) mod calls;
pub(crate) mod clock;

mod head;
mod scan;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use model::{EventId, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::problem::{MEDIA_TYPE, Problem};
use calls::Calls;
use clock::{Clock, Limits, Wait};
use head::{ChunkLine, Head, Line, Wrong};

/// What is read and thrown away of a refused connection, so that its answer arrives, in bytes.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;
/// How an answer begins that changes the protocol.
const SWITCHED: &[u8] = b"HTTP/1.1 101";

/// A caller's connection, watched.
pub(crate) struct Guard<T> {
    inner: T,
    mode: Mode,
    head: Head,
    /// Whether the last request was answered, as far as one can see from here.
    answered: bool,
    calls: Calls,
    clock: Clock,
}

enum Mode {
    /// A request's head.
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// A body in chunks.
    Chunks(Chunk),
    /// HTTP/2.
    Frames,
    /// Nothing to watch.
    Pass,
    /// An answer of ours: what is left of it.
    Refusing(Vec<u8>, usize),
    /// Nothing more comes.
    Closed,
}

#[derive(Clone, Copy)]
enum Chunk {
    Size,
    Data(u64),
    End,
    Trailers,
}

impl<T> Guard<T> {
    /// Watches a connection, for so long, whose calls are counted there.
    pub(crate) fn new(inner: T, limits: Limits, calls: Calls) -> Self {
        let clock = Clock::new(limits);
        Self { inner, mode: Mode::Head, head: Head::default(), answered: true, calls, clock }
    }

    /// Looks at bytes that came. How many of them may be passed on; fewer than all when the next mode says why.
    fn look(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        // Where the request began that is being read.
        let mut begun = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.mode {
                Mode::Frames | Mode::Pass => return bytes.len(),
                Mode::Refusing(..) | Mode::Closed => return begun,
                Mode::Body(left) => {
                    let here = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.mode = Mode::Head;
                    }
                }
                Mode::Chunks(Chunk::Data(left)) => {
                    let here = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.mode = Mode::Chunks(Chunk::End);
                    }
                }
                Mode::Head => {
                    if self.head.is_new() {
                        begun = at;
                    }
                    let plain = self.head.plain(rest);
                    if plain == rest.len() {
                        break;
                    }
                    let (line, used) = self.head.line(&rest[plain..]);
                    at += plain + used;
                    self.after(line);
                }
                Mode::Chunks(chunk) => {
                    let chunk = *chunk;
                    let (line, used) = self.head.chunk_line(rest);
                    at += used;
                    self.mode = next(chunk, line);
                    begun = at;
                }
            }
        }
        if matches!(self.mode, Mode::Refusing(..) | Mode::Closed) { begun } else { bytes.len() }
    }

    /// What a line of a head leads to.
    fn after(&mut self, line: Line) {
        let framing = match line {
            Line::Part | Line::Field => return,
            Line::Preface => return self.mode = Mode::Frames,
            Line::Wrong(wrong) => return self.refuse(wrong),
            Line::End => self.head.end(),
        };
        match framing {
            Err(wrong) => self.refuse(wrong),
            Ok(length) => {
                self.answered = false;
                self.mode = match length {
                    None => Mode::Chunks(Chunk::Size),
                    Some(0) => Mode::Head,
                    Some(length) => Mode::Body(length),
                };
            }
        }
    }

    /// Cuts a connection from which nothing came for too long. Whether it did.
    fn cuts(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.mode, Mode::Pass) || self.clock.waits_for(Wait::Write) {
            return false;
        }
        let (begun, busy) = (self.calls.begun(), !self.calls.are_over());
        let is_idle = match self.mode {
            Mode::Head => self.head.is_new() && begun > 0,
            // Whoever says something and asks nothing is idle.
            Mode::Frames => true,
            _ => false,
        };
        let wait = if is_idle || busy { Wait::Idle } else { Wait::Head };
        if !self.clock.is_over(wait, begun, busy, cx) {
            return false;
        }
        if is_idle || self.head.is_new() {
            self.mode = Mode::Closed;
        } else {
            self.refuse(Wrong::TooSlow);
        }
        true
    }

    /// Refuses a request: with an answer, unless one before it still has none.
    fn refuse(&mut self, wrong: Wrong) {
        tracing::debug!(why = wrong.detail(), "A request was refused: {}.", wrong.detail());
        self.mode = if self.answered { Mode::Refusing(answer(wrong), 0) } else { Mode::Closed };
    }
}

/// What follows a line among chunks.
fn next(chunk: Chunk, line: ChunkLine) -> Mode {
    match (chunk, line) {
        (chunk, ChunkLine::Part) => Mode::Chunks(chunk),
        (Chunk::Size, ChunkLine::Text(Some(0))) => Mode::Chunks(Chunk::Trailers),
        (Chunk::Size, ChunkLine::Text(Some(size))) => Mode::Chunks(Chunk::Data(size)),
        (Chunk::End, ChunkLine::Empty) => Mode::Chunks(Chunk::Size),
        (Chunk::Trailers, ChunkLine::Empty) => Mode::Head,
        (Chunk::Trailers, ChunkLine::Text(_)) => Mode::Chunks(Chunk::Trailers),
        // Whoever reads the body learns that it broke off.
        _ => Mode::Closed,
    }
}

/// An answer with a problem, as bytes.
fn answer(wrong: Wrong) -> Vec<u8> {
    let status = wrong.status();
    let title = match status {
        StatusCode::BAD_REQUEST => "Request cannot be read",
        StatusCode::REQUEST_TIMEOUT => "Request is too slow",
        _ => "Request is too large",
    };
    let id = EventId::make(Timestamp::now(), rand::random());
    let mut body = Problem::new(status, wrong.code(), title, wrong.detail()).to_json();
    body["request_id"] = id.as_str().into();
    let body = body.to_string();
    let reason = status.canonical_reason().unwrap_or_default();
    let (status, length) = (status.as_str(), body.len());
    crate::telemetry::own_answer(wrong.status().as_u16());
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {length}\r\nx-request-id: {}\r\nconnection: close\r\n\r\n{body}",
        id.as_str()
    )
    .into_bytes()
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.mode {
                Mode::Closed => return Poll::Ready(Ok(())),
                Mode::Refusing(answer, sent) => {
                    while *sent < answer.len() {
                        match ready!(Pin::new(&mut this.inner).poll_write(cx, &answer[*sent..])) {
                            Ok(count) if count > 0 => *sent += count,
                            _ => break,
                        }
                    }
                    let _ = ready!(Pin::new(&mut this.inner).poll_shutdown(cx));
                    discard(&mut this.inner, cx);
                    this.mode = Mode::Closed;
                }
                _ => {
                    let before = buf.filled().len();
                    match Pin::new(&mut this.inner).poll_read(cx, buf) {
                        Poll::Ready(outcome) => outcome?,
                        Poll::Pending if this.cuts(cx) => continue,
                        Poll::Pending => return Poll::Pending,
                    }
                    if buf.filled().len() == before {
                        return Poll::Ready(Ok(()));
                    }
                    let good = this.look(&buf.filled()[before..]);
                    buf.set_filled(before + good);
                    if good > 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

/// Throws away what is here already: a connection that closes with bytes unread takes its answer with it.
fn discard<T: AsyncRead + Unpin>(inner: &mut T, cx: &mut Context<'_>) {
    let mut scratch = [0; 4096];
    let mut seen = 0;
    while seen < DISCARD_BYTES_MAX {
        let mut buf = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *inner).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => seen += buf.filled().len(),
            _ => return,
        }
    }
}

impl<T: AsyncWrite + Unpin> Guard<T> {
    /// Notes that an answer leaves, or that nobody takes it.
    fn wrote(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_pending() {
            let is_late = !matches!(self.mode, Mode::Pass) && self.clock.is_over(Wait::Write, 0, false, cx);
            return if is_late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending };
        }
        self.clock.came(Wait::Write);
        if !self.answered {
            self.answered = true;
            if bytes.starts_with(SWITCHED) {
                self.mode = Mode::Pass;
            }
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(outcome, buf, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(outcome, bufs.first().map_or(&[], |first| first), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
