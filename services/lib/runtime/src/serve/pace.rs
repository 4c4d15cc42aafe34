//! A body that must come at a minimum pace.
//!
//! Only time in which we wait for the peer counts: who handles slowly makes nobody late. A body may be late by its grace,
//! and by a second more for each minimum rate's worth that came. One that is here when it is asked for costs no timer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body may be waited for in all before its pace counts.
pub const GRACE: Duration = Duration::from_secs(5);
/// How fast a body must come after that, in bytes per second.
pub const BODY_BYTES_PER_SEC_MIN: u32 = 1_024;
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
    grace: Duration,
    most: Duration,
}

impl Pace {
    /// So many bytes a second after [`GRACE`]; 0: as slow as they like.
    pub const fn new(bytes_per_sec_min: u32) -> Self {
        Self { bytes_per_sec_min, grace: GRACE, most: FOREVER }
    }

    /// The same with another grace.
    #[must_use]
    pub const fn after(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The same where a body may be waited for so long in all, however much of it has come.
    #[must_use]
    pub const fn at_most(self, most: Duration) -> Self {
        Self { most, ..self }
    }

    /// How long all of the waiting for a body may take, of which so much has come.
    fn patience(self, bytes: u64) -> Duration {
        let earned = bytes.checked_div(u64::from(self.bytes_per_sec_min)).map(Duration::from_secs);
        earned.map_or(self.most, |earned| self.grace.saturating_add(earned).min(self.most))
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

    /// Watches it by another pace from here on. What was waited for counts.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
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
        // Each byte moves the end: it is looked at when the timer is over, not at each byte.
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(Some(Err(TooSlow.into())));
            }
            timer.as_mut().reset(until);
        }
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
    use futures_util::{StreamExt, stream};

    /// Seconds until a body that sends so many bytes every so many seconds is over, and how it ends.
    async fn check(pace: u32, bytes: usize, every_secs: u64, times: usize, expected: (u64, bool)) {
        check_by(Pace::new(pace), bytes, every_secs, times, expected).await;
    }

    async fn check_by(pace: Pace, bytes: usize, every_secs: u64, times: usize, expected: (u64, bool)) {
        let started = Instant::now();
        let drops = stream::unfold(0, move |sent| async move {
            tokio::time::sleep(Duration::from_secs(every_secs)).await;
            (sent < times).then(|| (Ok::<_, std::io::Error>(vec![0_u8; bytes]), sent + 1))
        });
        let body = Body::new(Paced::new(Body::from_stream(Box::pin(drops)), pace));
        let well = to_bytes(body, usize::MAX).await.is_ok();
        assert_eq!((started.elapsed().as_secs(), well), expected, "{bytes} bytes every {every_secs} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_cut_when_its_patience_is_used_up() {
        check(240, 1, 1, 1_000, (5, false)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_cut() {
        check(240, 2_400, 3_600, 1, (5, false)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_at_the_pace_comes_to_its_end() {
        check(240, 240, 1, 100, (101, true)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pace_a_body_may_drip() {
        check(0, 1, 60, 100, (6_060, true)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_own_grace_and_its_most() {
        let pace = Pace::new(100);
        check_by(pace.after(Duration::from_secs(2)), 1, 1, 1_000, (2, false)).await;
        check_by(pace.at_most(Duration::from_secs(30)), 100, 1, 1_000, (30, false)).await;
        check_by(Pace::new(0).at_most(Duration::from_secs(30)), 100, 1, 1_000, (30, false)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_is_credit() {
        // Twenty seconds' worth, and then nothing.
        let first = async { Ok::<_, std::io::Error>(vec![0_u8; 2_000]) };
        let drops = stream::once(first).chain(stream::pending());
        let started = Instant::now();
        let body = Body::new(Paced::new(Body::from_stream(Box::pin(drops)), Pace::new(100)));
        assert!(to_bytes(body, usize::MAX).await.is_err());
        assert_eq!(started.elapsed().as_secs(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_handler_makes_nobody_late() {
        let mut body = Paced::new(Body::from("all of it is here"), Pace::new(1_000_000));
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(frame.unwrap().is_ok());
    }
}
