//! A thread that serves: its number, and the time of its turn.
//!
//! A call asks for the time more than twenty times, and each look at the clock takes as long as a hundred instructions.
//! Event loops look once a turn. What is polled inside of [`Turns`] does so, too: whoever asks first looks, and all who ask
//! after him in the same poll are told the same. What is waited for lies between two turns, never inside of one. Elsewhere
//! the clock is looked at each time.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use model::Timestamp;
use tokio::time::Instant;

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
    static TURN: Cell<Option<Times>> = const { Cell::new(None) };
}

/// What was read of the clocks in this turn.
#[derive(Clone, Copy, Default)]
struct Times {
    steady: Option<Instant>,
    wall: Option<Timestamp>,
}

/// Gives the current thread a lane of its own. Threads that never ask share one: what a connection waits by belongs to the
/// runtime that opened it, and ends with that.
pub fn enter_lane(lane: usize) {
    LANE.set(lane + 1);
}

/// The number of this thread's lane, from 1; 0 is that of threads that never asked.
pub(crate) fn number() -> usize {
    LANE.get()
}

/// Now, on the steady clock; in a turn, when somebody asked first.
pub fn now() -> Instant {
    once(|times| &mut times.steady, Instant::now)
}

/// The same, on the wall clock.
pub fn timestamp() -> Timestamp {
    once(|times| &mut times.wall, Timestamp::now)
}

/// Looks at a clock, in a turn only if nobody did before.
fn once<T: Copy>(place: impl Fn(&mut Times) -> &mut Option<T>, look: impl Fn() -> T) -> T {
    let Some(mut times) = TURN.get() else { return look() };
    let seen = *place(&mut times).get_or_insert_with(look);
    TURN.set(Some(times));
    seen
}

/// Work whose polls are turns.
#[derive(Debug)]
#[must_use = "it does nothing until it is polled"]
pub struct Turns<F>(pub F);

impl<F: Future + Unpin> Future for Turns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        TURN.set(Some(Times::default()));
        let _end = End;
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Ends the turn, also where it panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        TURN.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    fn wait() {
        let (steady, wall) = (Instant::now(), Timestamp::now());
        while Instant::now() == steady || Timestamp::now() == wall {
            std::thread::yield_now();
        }
    }

    #[test]
    fn no_time_passes_in_a_turn_and_some_between_two() {
        let seen = std::cell::RefCell::new(Vec::new());
        let work = pin!(async {
            for _ in 0..2 {
                let first = (now(), timestamp());
                wait();
                assert_eq!((now(), timestamp()), first);
                seen.borrow_mut().push(first);
                tokio::task::yield_now().await;
                wait();
            }
        });
        let (mut work, mut cx) = (Turns(work), Context::from_waker(Waker::noop()));
        while Pin::new(&mut work).poll(&mut cx).is_pending() {}
        let seen = seen.take();
        assert!(seen[0].0 < seen[1].0 && seen[0].1 < seen[1].1);

        let first = (now(), timestamp());
        wait();
        assert!(now() > first.0 && timestamp() > first.1, "outside of a turn it does");
    }

    #[test]
    fn a_turn_that_panics_has_ended() {
        let work = Turns(Box::pin(async {
            now();
            panic!("on purpose");
        }));
        let poll = move || pin!(work).poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).is_err());
        assert!(TURN.get().is_none());
    }
}
