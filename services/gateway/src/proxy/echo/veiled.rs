//! The rest of an answer on its way, without the key in it, wherever its pieces are cut.
//!
//! Bytes pass at once, but for those at a piece's end that a key could begin with: they wait for the next one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::super::key::Ready;
use crate::body::hint;
use crate::snapshot::Integration;

/// A body without the key of its integration. What is compressed passes as it is.
pub(crate) struct Veiled {
    body: egress::Body,
    veil: Option<Box<Veil>>,
}

struct Veil {
    integration: Arc<Integration>,
    key: Arc<Ready>,
    /// What came last and may be the beginning of a key.
    waits: Bytes,
    /// Whether it was said that there was one.
    told: bool,
}

impl Veiled {
    /// A body in which nothing is looked for.
    pub(crate) const fn plain(body: egress::Body) -> Self {
        Self { body, veil: None }
    }

    /// A body that goes on after what is `held`, of which the end waits, too, where a key could begin with it.
    pub(crate) fn new(
        body: egress::Body,
        integration: &Arc<Integration>,
        key: &Arc<Ready>,
        held: &mut Bytes,
    ) -> Self {
        let waits = held.split_off(held.len() - key.needles.begun(held));
        let veil = Veil { integration: integration.clone(), key: key.clone(), waits, told: false };
        Self { body, veil: Some(Box::new(veil)) }
    }
}

impl Veil {
    /// What of these bytes goes on, after those that waited.
    fn pass(&mut self, data: Bytes, is_last: bool) -> Bytes {
        let data = if self.waits.is_empty() { data } else { [&self.waits[..], &data].concat().into() };
        let (mut data, found) = self.key.needles.mask(data);
        if found > 0 {
            let integration = &self.integration;
            integration.live.echoed(found);
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(integration.id = %integration.id, "Hid the key of integration {} in its own answer.", integration.id);
            }
        }
        let waits = if is_last { 0 } else { self.key.needles.begun(&data) };
        self.waits = data.split_off(data.len() - waits);
        data
    }
}

impl HttpBody for Veiled {
    type Data = Bytes;
    type Error = egress::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, egress::Error>>> {
        let Self { body, veil } = &mut *self;
        let Some(veil) = veil else { return Pin::new(body).poll_frame(cx) };
        loop {
            let data = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => veil.pass(data, body.is_end_stream()),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                None if veil.waits.is_empty() => return Poll::Ready(None),
                None => std::mem::take(&mut veil.waits),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.veil.as_ref().is_none_or(|veil| veil.waits.is_empty()) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        hint(self.veil.as_ref().map(|veil| &veil.waits), &self.body.size_hint())
    }
}
