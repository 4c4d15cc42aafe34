//! The rest of an answer on its way, without the key in it, wherever its pieces are cut.
//!
//! Bytes pass at once, but for those at a piece's end that a key could begin with: they wait for the next one. What is
//! compressed is looked at decoded, and not changed: where the key is in it, the answer breaks off before that.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::super::encoding::{Coding, Decoder};
use super::super::key::Ready;
use crate::body::hint;
use crate::snapshot::Integration;

/// A body without the key of its integration.
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
    /// Where it is compressed.
    opened: Option<Opened>,
}

/// What comes of a compressed body.
struct Opened {
    /// Nothing when it cannot be decoded: then nobody else can read it either.
    decoder: Option<Decoder>,
    /// What came last and may be the beginning of a key.
    begun: Vec<u8>,
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
        let (integration, key) = (integration.clone(), key.clone());
        Self { body, veil: Some(Box::new(Veil { integration, key, waits, told: false, opened: None })) }
    }

    /// A compressed body that goes on after what is `held`; nothing where the key is in that already.
    pub(crate) fn coded(
        body: egress::Body,
        coding: Coding,
        integration: &Arc<Integration>,
        key: &Arc<Ready>,
        held: &[u8],
    ) -> Option<Self> {
        let opened = Opened { decoder: Some(Decoder::new(coding)), begun: Vec::new() };
        let (integration, key) = (integration.clone(), key.clone());
        let mut veil = Veil { integration, key, waits: Bytes::new(), told: false, opened: Some(opened) };
        (!veil.shows_key(held)).then(|| Self { body, veil: Some(Box::new(veil)) })
    }
}

impl Veil {
    /// What of these bytes goes on, after those that waited.
    fn pass(&mut self, data: Bytes, is_last: bool) -> Bytes {
        let data = if self.waits.is_empty() { data } else { [&self.waits[..], &data].concat().into() };
        let (mut data, found) = self.key.needles.mask(data);
        if found > 0 {
            self.tell(found);
        }
        let waits = if is_last { 0 } else { self.key.needles.begun(&data) };
        self.waits = data.split_off(data.len() - waits);
        data
    }

    /// Whether the key has come in what is compressed, with these bytes at last.
    fn shows_key(&mut self, data: &[u8]) -> bool {
        let Some(Opened { decoder, begun }) = &mut self.opened else { return false };
        let (needles, mut found) = (&self.key.needles, false);
        let mut look = |plain: &[u8]| {
            begun.extend_from_slice(plain);
            found |= needles.is_in(begun);
            begun.drain(..begun.len() - needles.begun(begun));
        };
        if decoder.as_mut().is_some_and(|decoder| decoder.decode(data, &mut look).is_err()) {
            *decoder = None;
        }
        if found {
            self.tell(1);
        }
        found
    }

    fn tell(&mut self, found: u64) {
        let integration = &self.integration;
        integration.live.echoed(found);
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(integration.id = %integration.id, "Hid the key of integration {} in its own answer.", integration.id);
        }
    }
}

/// Why an answer that cannot be masked ends, or is none.
pub(crate) const REPEATED: &str = "it repeats its key in a compressed body";

fn repeated() -> egress::Error {
    egress::Error::Protocol { detail: REPEATED.to_owned(), sent: true }
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
                    Ok(data) if veil.opened.is_some() => {
                        if veil.shows_key(&data) {
                            return Poll::Ready(Some(Err(repeated())));
                        }
                        data
                    }
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
