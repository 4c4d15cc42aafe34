//! The calls of a connection: how many began, and how many of those are over.
//!
//! A call is over when its answer's last bytes were handed on, or it was given up.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// The calls of one connection. Clones are the same. Counts go round, and are only compared.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicU32,
    over: AtomicU32,
}

/// A call under way.
pub(crate) struct Call(Calls);

/// The body of a call's answer.
pub(crate) struct Held<B> {
    body: B,
    _call: Call,
}

impl Calls {
    /// A call begins.
    pub(crate) fn begin(&self) -> Call {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Call(self.clone())
    }

    /// How many began.
    pub(super) fn begun(&self) -> u32 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Whether none is under way.
    pub(super) fn are_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed) == self.begun()
    }
}

impl Call {
    /// Ends with this body.
    pub(crate) fn with<B>(self, body: B) -> Held<B> {
        Held { body, _call: self }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.over.fetch_add(1, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
