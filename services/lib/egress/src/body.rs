//! The body of an answer as it comes in: bytes in the target's pace, cut when it falls silent or grows too large.
//!
//! Nothing is decoded or kept; the reader's pace holds the target back. Read to its end, it gives its connection back.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::error::{Error, Phase};
use crate::settings::Limits;
use crate::stream::Opened;
use crate::wire;

/// Where a body comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A connection that we hold.
    Wire(wire::Incoming),
    /// One that the library holds: HTTP/2, or what may change its protocol.
    Library(hyper::body::Incoming),
}

/// A streaming body with its bounds.
#[derive(Debug)]
pub struct Body {
    incoming: Source,
    /// How its connection came about.
    opened: Opened,
    /// The clock of silence, made when the target is waited for the first time.
    idle: Option<Pin<Box<Sleep>>>,
    /// Whether `idle` counts: only while we wait for the target.
    waiting: bool,
    idle_ms: u64,
    /// When all of it must be here.
    total: Option<(Pin<Box<Sleep>>, u64)>,
    bytes_left: Option<u64>,
    ended: bool,
}

impl Body {
    pub(crate) fn new(incoming: Source, opened: Opened, limits: Limits, total: Option<Instant>) -> Self {
        Self {
            incoming,
            opened,
            idle: None,
            waiting: false,
            idle_ms: limits.idle_ms,
            total: total.map(|end| (Box::pin(sleep_until(end)), limits.total_ms.unwrap_or_default())),
            bytes_left: limits.body_bytes_max,
            ended: false,
        }
    }

    /// How the connection came about on which it comes.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Starts or asks the clock of silence.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let limit = Duration::from_millis(self.idle_ms);
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            idle.as_mut().reset(Instant::now() + limit);
        }
        if let Some((end, limit_ms)) = &mut self.total
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Error::Timeout { phase: Phase::Body, limit_ms: *limit_ms, sent: true });
        }
        ready!(idle.as_mut().poll(cx));
        Poll::Ready(Error::Timeout { phase: Phase::Body, limit_ms: self.idle_ms, sent: true })
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), Error> {
        let (Some(left), Some(data)) = (self.bytes_left, frame.data_ref()) else {
            return Ok(());
        };
        let rest = left.checked_sub(data.len() as u64);
        self.bytes_left = Some(rest.ok_or_else(|| Error::TooLarge("its body".to_owned()))?);
        Ok(())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let outcome = match this.incoming.poll_frame(cx) {
            Poll::Pending => Err(ready!(this.poll_idle(cx))),
            Poll::Ready(None) => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(Some(Ok(frame))) => this.count(&frame).map(|()| frame),
        };
        this.waiting = false;
        if outcome.is_err() {
            this.ended = true;
            this.incoming.close();
        }
        Poll::Ready(Some(outcome))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

// === impl Source ===

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Self::Wire(body) => body.poll_frame(cx),
            Self::Library(body) => Pin::new(body).poll_frame(cx).map_err(|error| Error::of_hyper(&error)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Wire(body) => body.is_end_stream(),
            Self::Library(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Wire(body) => body.size_hint(),
            Self::Library(body) => body.size_hint(),
        }
    }

    /// Nothing more is wanted of it.
    fn close(&mut self) {
        if let Self::Wire(body) = self {
            body.close();
        }
    }
}
