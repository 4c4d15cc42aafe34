//! The rest of an answer on its way, without the key in it, wherever its pieces are cut.
//!
//! Bytes pass at once, but for those at a piece's end that a key could begin with: they wait for the next one. What is
//! compressed is looked at decoded, and not changed: where the key is in it, the answer breaks off before that.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::super::encoding::Coding;
use super::super::key::Ready;
use super::opened::{Opened, Unfit};
use crate::body::hint;
use crate::snapshot::Integration;

/// More never waits: of zstd a block at most, and of what a key may have begun in little more than that. In bytes.
const WAITS_BYTES_MAX: usize = 512 * 1024;

/// A body without the key of its integration.
pub(crate) struct Veiled {
    body: egress::Body,
    veil: Option<Box<Veil>>,
}

struct Veil {
    integration: Arc<Integration>,
    key: Arc<Ready>,
    /// What came last and may be the beginning of a key.
    waits: BytesMut,
    /// Whether it was said that there was one.
    told: bool,
    /// Where it is compressed.
    opened: Option<Opened>,
    /// Why it ends, once that is known.
    ended: Option<Unfit>,
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
        Self {
            body,
            veil: Some(Box::new(Veil {
                integration,
                key,
                waits: waits.into(),
                told: false,
                opened: None,
                ended: None,
            })),
        }
    }

    /// A compressed body that goes on after what is `held`, of which the end waits, too, where nobody can read it yet.
    ///
    /// # Errors
    /// Why nothing of it must go on.
    pub(crate) fn coded(
        body: egress::Body,
        coding: Coding,
        integration: &Arc<Integration>,
        key: &Arc<Ready>,
        held: &mut Bytes,
    ) -> Result<Self, Unfit> {
        let mut opened = Opened::new(coding, key);
        opened.look(held)?;
        let waits = held.split_off(held.len() - opened.waiting(held.len()));
        let (integration, key) = (integration.clone(), key.clone());
        let veil =
            Veil { integration, key, waits: waits.into(), told: false, opened: Some(opened), ended: None };
        Ok(Self { body, veil: Some(Box::new(veil)) })
    }
}

impl Veil {
    /// What of these bytes goes on, after those that waited.
    ///
    /// # Errors
    /// Why none of them may.
    fn pass(&mut self, data: Bytes, is_last: bool) -> Result<Bytes, Unfit> {
        if let Some(opened) = &mut self.opened {
            opened.look(&data).inspect_err(|unfit| unfit.tell(&self.integration))?;
            let Some(mut opened) = self.opened.take() else { return Ok(data) };
            let data = self.after(data, |all| opened.waiting(all.len()));
            self.opened = Some(opened);
            return if self.waits.len() > WAITS_BYTES_MAX { Err(Unfit::Key) } else { Ok(data) };
        }
        let data = if self.waits.is_empty() { data } else { self.after(data, |_| 0) };
        let (data, found) = self.key.needles.mask(data);
        if found > 0 {
            let integration = &self.integration;
            integration.live.echoed(found);
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(integration.id = %integration.id, "Hid the key of integration {} in its own answer.", integration.id);
            }
        }
        let begun = if is_last { 0 } else { self.key.needles.begun(&data) };
        Ok(self.after(data, |_| begun))
    }

    /// What waited, with what came, but for so many of the last bytes, which wait.
    fn after(&mut self, data: Bytes, waiting: impl FnOnce(&[u8]) -> usize) -> Bytes {
        if self.waits.is_empty() {
            let mut data = data;
            self.waits.extend_from_slice(&data.split_off(data.len() - waiting(&data)));
            return data;
        }
        self.waits.extend_from_slice(&data);
        let waiting = waiting(&self.waits);
        self.waits.split_to(self.waits.len() - waiting).freeze()
    }
}

impl Unfit {
    /// Counts it, and says so.
    pub(crate) fn tell(self, integration: &Integration) {
        let (id, why) = (&integration.id, self.why());
        if self == Self::Key {
            integration.live.echoed(1);
        }
        tracing::warn!(integration.id = %id, why, "An answer of integration {id} was not given to its caller: {why}.");
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
        if let Some(unfit) = veil.ended {
            return Poll::Ready(Some(Err(broken_off(unfit))));
        }
        loop {
            let data = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => match veil.pass(data, body.is_end_stream()) {
                        Ok(data) => data,
                        Err(unfit) => {
                            // The head goes out before the body ends.
                            veil.ended = Some(unfit);
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                    },
                    // Trailers reach no caller, and would end the body before what waits.
                    Err(_trailers) => continue,
                },
                None if veil.waits.is_empty() => return Poll::Ready(None),
                None => std::mem::take(&mut veil.waits).freeze(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_over = |veil: &Veil| veil.waits.is_empty() && veil.ended.is_none();
        self.veil.as_deref().is_none_or(is_over) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        hint(self.veil.as_ref().map_or(0, |veil| veil.waits.len()), &self.body.size_hint())
    }
}

/// How an answer ends that must not go on.
fn broken_off(unfit: Unfit) -> egress::Error {
    egress::Error::Protocol { detail: unfit.why().to_owned(), sent: true }
}
