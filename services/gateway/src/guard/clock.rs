//! How long a connection is waited for: for a head, for the next request, for somebody who takes nothing of an answer.
//!
//! One timer a connection, and it is left alone: while requests come and go it is not set anew at each of them, but asked
//! now and then whether something happened. A call under way is not waited for, it has bounds of its own; but the timer
//! goes on, because nobody says when it is over.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Looks at an idle connection until its time is over. The more, the less it is kept beyond it.
const IDLE_LOOKS: u32 = 4;

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A head, from its first bytes on.
    pub(crate) head: Duration,
    /// The next request; up to a quarter more.
    pub(crate) idle: Duration,
    /// Room for bytes of an answer.
    pub(crate) write: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Head,
    Idle,
    Write,
}

/// The timer of a connection.
pub(super) struct Clock {
    limits: Limits,
    wait: Option<Wait>,
    /// The requests that had begun when it was looked last.
    begun: u32,
    looks: u32,
    timer: Option<(Pin<Box<Sleep>>, Waker)>,
}

impl Clock {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, wait: None, begun: 0, looks: 0, timer: None }
    }

    /// Whether this was waited for too long, after so many requests; not while one is under way (`busy`). Wakes the
    /// task when it may be.
    pub(super) fn is_over(&mut self, wait: Wait, begun: u32, busy: bool, cx: &mut Context<'_>) -> bool {
        let is_same = self.wait == Some(wait) && (self.begun == begun || wait == Wait::Idle);
        match &self.timer {
            Some((timer, waker)) if is_same && waker.will_wake(cx.waker()) && !timer.is_elapsed() => false,
            _ => self.look(wait, begun, busy, cx),
        }
    }

    /// What is waited for came, if it was that.
    pub(super) fn came(&mut self, wait: Wait) {
        if self.wait == Some(wait) {
            self.wait = None;
        }
    }

    /// Whether that is waited for.
    pub(super) fn waits_for(&self, wait: Wait) -> bool {
        self.wait == Some(wait)
    }

    #[cold]
    fn look(&mut self, wait: Wait, begun: u32, busy: bool, cx: &mut Context<'_>) -> bool {
        let is_same = self.wait == Some(wait);
        let is_quiet = is_same && self.begun == begun && !busy;
        let rang = self.timer.as_ref().is_some_and(|(timer, _)| timer.is_elapsed());
        let (whole, looks) = match wait {
            Wait::Head => (self.limits.head, 1),
            Wait::Idle => (self.limits.idle, IDLE_LOOKS),
            Wait::Write => (self.limits.write, 1),
        };
        if rang && is_quiet {
            self.looks += 1;
            if self.looks >= looks {
                return true;
            }
        }
        // A look at an idle connection whose time is not over only renews who is woken.
        let is_renewed = is_same && !rang && (is_quiet || wait == Wait::Idle);
        if !is_renewed {
            if !is_quiet {
                (self.wait, self.begun, self.looks) = (Some(wait), begun, 0);
            }
            let until = Instant::now() + whole / looks;
            match &mut self.timer {
                Some((timer, _)) => timer.as_mut().reset(until),
                None => self.timer = Some((Box::pin(sleep_until(until)), cx.waker().clone())),
            }
        }
        if let Some((timer, waker)) = &mut self.timer {
            waker.clone_from(cx.waker());
            // One that is over already wakes at once, and is seen then.
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        false
    }
}
