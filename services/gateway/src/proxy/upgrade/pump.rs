//! Copies a WebSocket both ways, as fast as the slower side takes it, and counts what passes.
//!
//! Holds one buffer a direction. Ends when a side ends, falls silent, or sends a frame that is too large, and when the
//! process stops; then both sides are told, between two of their frames.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::super::record::Account;
use super::frames::{Frames, close};
use crate::live::Passed;
use crate::telemetry::OpenWebSocket;

/// Bytes that are copied at a time.
const BUFFER_BYTES: usize = 8 * 1024;
/// How often what passed is counted, and silence looked for, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// How long both sides have to say goodbye, in milliseconds.
const GOODBYE_MS: u64 = 2_000;
/// Why we close: we go away; a frame is too large (RFC 6455, section 7.4.1).
const AWAY: u16 = 1001;
const TOO_LARGE: u16 = 1009;

/// The bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long neither side may send anything.
    pub(super) idle: Duration,
    /// The largest frame.
    pub(super) frame_bytes_max: u64,
}

/// What passed one way.
#[derive(Debug, Default)]
struct Tally {
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// What both directions share.
struct Shared {
    bounds: Bounds,
    /// That it shall end, and why.
    end: CancellationToken,
    code: AtomicU16,
}

/// Copies until it ends.
pub(super) async fn pump<C, P>(
    caller: C,
    provider: P,
    account: &Account,
    bounds: Bounds,
    stopping: &CancellationToken,
) where
    C: AsyncRead + AsyncWrite,
    P: AsyncRead + AsyncWrite,
{
    let _open = OpenWebSocket::new();
    let shared = Shared { bounds, end: stopping.child_token(), code: AtomicU16::new(AWAY) };
    let (to_provider, to_caller) = (Tally::default(), Tally::default());
    let ((from_caller, into_caller), (from_provider, into_provider)) = (split(caller), split(provider));
    let both = async {
        tokio::join!(
            copy(from_caller, into_provider, &shared, &to_provider, true),
            copy(from_provider, into_caller, &shared, &to_caller, false),
        )
    };
    let counts = || {
        let passed = Passed {
            request_bytes: to_provider.bytes.swap(0, Ordering::Relaxed),
            response_bytes: to_caller.bytes.swap(0, Ordering::Relaxed),
            messages_sent: to_provider.messages.swap(0, Ordering::Relaxed),
            messages_received: to_caller.messages.swap(0, Ordering::Relaxed),
        };
        let any = passed.request_bytes + passed.response_bytes > 0;
        if any {
            account.live.passed(account.whose(), &passed);
        }
        any
    };
    let watch = async {
        let look = Duration::from_millis(LOOK_MS).min(bounds.idle.max(Duration::from_millis(1)));
        let mut look = interval_at(Instant::now() + look, look);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                now = look.tick() => {
                    if counts() {
                        heard = now;
                    } else if now.duration_since(heard) >= bounds.idle {
                        shared.end.cancel();
                    }
                }
                () = shared.end.cancelled() => break,
            }
        }
        tokio::time::sleep(Duration::from_millis(GOODBYE_MS)).await;
    };
    tokio::select! {
        _ = both => {}
        () = watch => {}
    }
    counts();
}

/// Copies one way. When it shall end, says so between two frames and waits until this side has closed, too.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    tally: &Tally,
    masks: bool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut frames = Frames::new(shared.bounds.frame_bytes_max);
    let mut told = false;
    loop {
        let count = tokio::select! {
            biased;
            () = shared.end.cancelled(), if !told && frames.is_between() => {
                told = true;
                let code = shared.code.load(Ordering::Relaxed);
                let goodbye = close(code, masks.then(rand::random));
                if frames.closed || to.write_all(&goodbye).await.is_err() || to.flush().await.is_err() {
                    break;
                }
                continue;
            }
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        if count == 0 {
            break;
        }
        let (before, passing) = (frames.messages, &buffer[..count]);
        if let Err(large) = frames.read(passing) {
            shared.code.store(TOO_LARGE, Ordering::Relaxed);
            shared.end.cancel();
            // Where its head went out in part, nothing can be said to the other side any more.
            if let Some(at) = large.at {
                let mut last = passing[..at].to_vec();
                last.extend(close(TOO_LARGE, masks.then(rand::random)));
                let _ = timeout(Duration::from_millis(GOODBYE_MS), to.write_all(&last)).await;
            }
            break;
        }
        if told {
            // They are told that we go; what they still say goes nowhere.
            if frames.closed {
                break;
            }
            continue;
        }
        tally.bytes.fetch_add(count as u64, Ordering::Relaxed);
        tally.messages.fetch_add(frames.messages - before, Ordering::Relaxed);
        if to.write_all(passing).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    // The other direction ends when its reader sees the end, or with the time for goodbyes.
    shared.end.cancel();
    let _ = to.shutdown().await;
}
