//! Records a call where it is known: when its head or its failure is there, and when its body ended.
//!
//! A call whose caller went away is counted as sent: the provider may have charged for it. Nothing here waits.

use std::borrow::Cow;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use egress::lane;
use http::response::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use model::health::Reason;
use model::usage::ModelCount;
use tokio::time::Instant;

use super::echo::Veiled;
use super::recall::Place;
use crate::body::{Broken, hint};
use crate::live::{Attempted, Live, Patience, Whose};
use crate::quota::held::Slot;
use crate::snapshot::{Caller, Route};
use crate::tokens::{Reader, Rules};

/// Whose call it is: for which endpoint, by whom. Clones share it.
#[derive(Clone)]
pub(crate) struct Account(Arc<Entry>);

/// What an account says.
pub(crate) struct Entry {
    pub(crate) live: Arc<Live>,
    pub(crate) endpoint: Cow<'static, str>,
    pub(crate) caller: Arc<Caller>,
    /// The route by which it came, if any.
    pub(crate) route: Option<Arc<Route>>,
    /// What it holds of its integration's limits.
    pub(crate) quota: Slot,
    /// How what a language model used is read; nothing where none is asked.
    pub(crate) reads: Option<Arc<Rules>>,
    /// What its model is counted with, where one is.
    pub(crate) asked: Asked,
}

/// What was asked of a language model, known before it is known which one answered.
#[derive(Default)]
pub(crate) struct Asked {
    request_bytes: AtomicU64,
    /// Until the answer had begun, in microseconds and one; 0: there was none.
    took_us: AtomicU64,
    /// Whether nobody said how long the answer may be, and a limit must guess.
    pub(crate) is_open: AtomicBool,
}

impl Account {
    /// An account of this.
    pub(crate) fn new(entry: Entry) -> Self {
        Self(Arc::new(entry))
    }

    /// Whose call it is, as it is counted.
    pub(crate) fn whose(&self) -> Whose<'_> {
        let Entry { endpoint, caller, route, .. } = &*self.0;
        let route = route.as_ref().map(|route| &route.id);
        Whose { endpoint, actor: caller.token.actor.as_str(), route }
    }
}

impl Deref for Account {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

// === impl Asked ===

impl Asked {
    fn note(&self, call: &Attempted) {
        let took_us = u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX - 1);
        self.request_bytes.store(call.request_bytes, Relaxed);
        self.took_us.store(took_us + 1, Relaxed);
    }

    fn add_to(&self, count: &mut ModelCount) {
        count.request_bytes = self.request_bytes.load(Relaxed);
        if let Some(took_us) = self.took_us.load(Relaxed).checked_sub(1) {
            count.latency.add(took_us);
        }
    }
}

/// An attempt under way. Dropped without a word, its caller went away.
pub(crate) struct Mark {
    account: Account,
    started: Instant,
    call: Attempted,
    /// Its number among those that wait, once it is sent.
    sent: Option<u64>,
    told: bool,
}

impl Mark {
    /// An attempt begins.
    pub(crate) fn start(account: Account, request_bytes: u64, cost_micros: u64) -> Self {
        let call = Attempted { request_bytes, cost_micros, ..Attempted::default() };
        Self { account, started: lane::now(), call, sent: None, told: false }
    }

    /// From here on the provider may see it. For how long it is waited for, where `slow` is slow and `timeout` too long.
    pub(crate) fn sends(&mut self, slow: Duration, timeout: Duration) -> Patience {
        let Entry { live, endpoint, .. } = &*self.account;
        let (number, patience) = live.waits(endpoint, slow, timeout);
        self.sent = Some(number);
        patience
    }

    /// It ended with an answer or without one.
    pub(crate) fn end(&mut self, sent: bool, reason: Option<Reason>, status: Option<u16>) -> u64 {
        self.told = true;
        self.call = Attempted { sent, reason, status, took: lane::now() - self.started, ..self.call };
        let Entry { live, endpoint, reads, asked, .. } = &*self.account;
        live.attempted(self.account.whose(), &self.call);
        if reads.is_some() && status.is_some() {
            asked.note(&self.call);
        }
        if let Some(number) = self.sent.take() {
            let good = reason.is_none().then_some(&**endpoint);
            live.waited(number, status.is_some(), good);
        }
        u64::try_from(self.call.took.as_millis()).unwrap_or(u64::MAX)
    }

    /// It ended through the caller's fault: nothing to say of the provider.
    pub(crate) fn void(&mut self) {
        self.told = true;
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let Some(number) = self.sent else { return };
        let live = &self.account.live;
        live.waited(number, false, None);
        if !self.told {
            live.gone(self.account.whose(), self.call.request_bytes, self.call.cost_micros);
        }
    }
}

/// The body of a provider's answer on its way to the caller: what is held first, then the rest as it comes.
pub(crate) struct Watched {
    ahead: Option<Bytes>,
    rest: Option<Veiled>,
    account: Account,
    bytes: u64,
    told: bool,
    /// Where a copy goes.
    copy: Option<Box<Place>>,
    /// Reads what a language model used, where one answers.
    tokens: Option<Box<Reader>>,
}

impl Watched {
    pub(crate) fn new(held: Bytes, rest: Option<Veiled>, account: Account, copy: Option<Box<Place>>) -> Self {
        let ahead = Some(held).filter(|held| !held.is_empty());
        Self { ahead, rest, account, bytes: 0, told: false, copy, tokens: None }
    }

    /// The same, read for what a language model used, if this is the head of an answer of one.
    pub(crate) fn reading(mut self, head: &Parts) -> Self {
        let rules = self.account.reads.as_ref();
        self.tokens = rules.and_then(|rules| Reader::new(rules, head.status, &head.headers)).map(Box::new);
        self
    }

    /// Whether a copy is kept.
    pub(crate) const fn is_copied(&self) -> bool {
        self.copy.is_some()
    }

    fn pass(&mut self, data: &Bytes) {
        self.bytes += data.len() as u64;
        if let Some(tokens) = &mut self.tokens {
            tokens.read(data);
        }
        if self.copy.as_mut().is_some_and(|place| !place.add(data))
            && let Some(place) = self.copy.take()
        {
            place.apart();
        }
    }

    fn tell(&mut self, broke_off: Option<Reason>) {
        if self.told {
            return;
        }
        self.told = true;
        let (live, whose) = (&self.account.live, self.account.whose());
        live.ended(whose, self.bytes, broke_off);
        let is_whole = broke_off.is_none() && self.is_done();
        let most = self.tokens.as_ref().and_then(|tokens| tokens.most()).filter(|_| is_whole);
        // Also of an answer that broke off: what was used until then is paid for.
        let mut used = self.tokens.take().and_then(|tokens| tokens.end());
        if let Some(used) = &mut used {
            used.count.response_bytes = self.bytes;
            self.account.asked.add_to(&mut used.count);
            live.used(whose, used);
            let tokens = &used.count.tokens;
            let is_told = tokens.input_tokens > 0 || tokens.output_tokens > 0;
            if is_told && is_whole && self.account.asked.is_open.load(Relaxed) {
                live.had_length(&self.account.endpoint, tokens.output_tokens);
            }
        }
        self.account.quota.settle(used.as_ref().map(|used| &used.count.tokens), most);
        if let Some(place) = self.copy.take().filter(|_| broke_off.is_none()) {
            place.keep();
        }
    }

    fn is_done(&self) -> bool {
        self.ahead.is_none() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let frame = match (this.ahead.take(), &mut this.rest) {
            (Some(ahead), _) => Some(Ok(Frame::data(ahead))),
            (None, None) => None,
            (None, Some(rest)) => ready!(Pin::new(rest).poll_frame(cx)),
        };
        Poll::Ready(match frame {
            None => {
                this.tell(None);
                None
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.pass(data);
                }
                // The server does not ask again when nothing can come.
                if this.is_done() {
                    this.tell(None);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                this.tell(Some(error.reason()));
                Some(Err(error.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint);
        hint(self.ahead.as_ref().map_or(0, Bytes::len), &rest)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The caller went away: what passed until then is counted, and no half body is kept.
        if !self.is_done()
            && let Some(place) = self.copy.take()
        {
            place.go_on(self.ahead.take(), self.rest.take());
        }
        self.tell(None);
    }
}
