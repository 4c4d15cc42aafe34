//! A body that must come at a minimum pace.
//!
//! Only time in which we wait for the peer counts: who handles slowly makes nobody late. A body may be late by ten
//! seconds, and by a second more for each minimum rate's worth that came.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body may be waited for in all before its pace counts.
const GRACE: Duration = Duration::from_secs(10);
/// The longest that anything is waited for: a body this slow is over long before.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A body was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body comes too slowly")]
pub struct TooSlow;

/// How fast bodies must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    bytes_per_sec_min: u32,
}

impl Pace {
    /// So many bytes a second; 0: as slow as they like.
    pub const fn new(bytes_per_sec_min: u32) -> Self {
        Self { bytes_per_sec_min }
    }

    /// How long all of the waiting for a body may take, of which so much has come.
    fn patience(self, bytes: u64) -> Duration {
        let earned = bytes.checked_div(u64::from(self.bytes_per_sec_min)).map(Duration::from_secs);
        earned.map_or(FOREVER, |earned| GRACE.saturating_add(earned).min(FOREVER))
    }
}

/// A body under a [`Pace`].
pub struct Paced<B> {
    inner: B,
    pace: Pace,
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    /// Watches this body.
    pub fn new(inner: B, pace: Pace) -> Self {
        Self { inner, pace, bytes: 0, waited: Duration::ZERO, waiting_since: None, timer: None }
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.waited += this.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
            let come = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
            this.bytes = this.bytes.saturating_add(come.map_or(0, |data| data.len() as u64));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let since = *this.waiting_since.get_or_insert_with(Instant::now);
        let until = since + this.pace.patience(this.bytes).saturating_sub(this.waited);
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx).map(|()| Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use futures_util::stream;

    /// Seconds until a body that sends so many bytes every so many seconds is over, and how it ends.
    async fn check(pace: u32, bytes: usize, every_secs: u64, times: usize, expected: (u64, bool)) {
        tokio::time::pause();
        let started = Instant::now();
        let drops = stream::unfold(0, move |sent| async move {
            tokio::time::sleep(Duration::from_secs(every_secs)).await;
            (sent < times).then(|| (Ok::<_, std::io::Error>(vec![0_u8; bytes]), sent + 1))
        });
        let body = Body::new(Paced::new(Body::from_stream(Box::pin(drops)), Pace::new(pace)));
        let well = to_bytes(body, usize::MAX).await.is_ok();
        assert_eq!((started.elapsed().as_secs(), well), expected, "{bytes} bytes every {every_secs} s");
    }

    #[tokio::test]
    async fn a_body_that_drips_is_cut_when_its_patience_is_used_up() {
        check(240, 1, 1, 1_000, (10, false)).await;
    }

    #[tokio::test]
    async fn a_body_that_stops_is_cut() {
        check(240, 2_400, 3_600, 1, (10, false)).await;
    }

    #[tokio::test]
    async fn a_body_at_the_pace_comes_to_its_end() {
        check(240, 240, 1, 100, (101, true)).await;
    }

    #[tokio::test]
    async fn without_a_pace_a_body_may_drip() {
        check(0, 1, 60, 100, (6_060, true)).await;
    }

    #[tokio::test]
    async fn a_slow_handler_makes_nobody_late() {
        tokio::time::pause();
        let mut body = Paced::new(Body::from("all of it is here"), Pace::new(1_000_000));
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(frame.unwrap().is_ok());
    }
}
