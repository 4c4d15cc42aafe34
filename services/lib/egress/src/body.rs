//! The body of an answer as it comes in: bytes in the target's pace, cut when it falls silent or grows too large.
//!
//! Nothing is decoded or kept; the reader's pace holds the target back. Read to its end, it gives its connection back.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::error::{Error, Phase};
use crate::settings::Limits;
use crate::stream::Opened;
use crate::upstream::Lease;

/// A streaming body with its bounds.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    /// How its connection came about.
    opened: Opened,
    /// The connection, until the body is read to its end.
    lease: Option<Lease>,
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
    pub(crate) fn new(
        incoming: Incoming,
        opened: Opened,
        limits: Limits,
        total: Option<Instant>,
        lease: Option<Lease>,
    ) -> Self {
        let mut body = Self {
            incoming,
            opened,
            lease,
            idle: None,
            waiting: false,
            idle_ms: limits.idle_ms,
            total: total.map(|end| (Box::pin(sleep_until(end)), limits.total_ms.unwrap_or_default())),
            bytes_left: limits.body_bytes_max,
            ended: false,
        };
        body.give_back();
        body
    }

    /// How the connection came about on which it comes.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Gives the connection back if nothing more comes on it.
    fn give_back(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
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
        let outcome = match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Pending => Err(ready!(this.poll_idle(cx))),
            Poll::Ready(None) => {
                this.ended = true;
                if let Some(lease) = this.lease.take() {
                    lease.give_back();
                }
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => Err(Error::of_hyper(&error)),
            Poll::Ready(Some(Ok(frame))) => this.count(&frame).map(|()| frame),
        };
        this.waiting = false;
        this.ended = outcome.is_err();
        if this.ended {
            this.lease = None;
        } else {
            this.give_back();
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
