//! Bodies on their way: those of callers, held or passed on under a bound, and those of answers.
//!
//! Bytes are never changed here. Whoever reads sets the pace; nothing is read ahead.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use egress::Outgoing;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use runtime::serve::{Paced, TooSlow};

use crate::problem::Problem;
use crate::proxy::converse::Spoken;
use crate::proxy::encoding::Decoded;
use crate::proxy::record::Watched;
use crate::settings::Callers;

/// Anything that can go wrong with a body.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer to a caller.
pub(crate) enum Body {
    /// Bytes at hand; none when they were sent.
    Whole(Option<Bytes>),
    /// An answer that is decoded for its caller.
    Decoded(Box<Decoded>),
    /// A provider's answer as it comes.
    Passing(Box<Watched>),
    /// The same in other words.
    Spoken(Box<Spoken>),
}

/// The body of a caller's request.
pub(crate) enum Inbound {
    /// All of it is here, so that it can be sent again.
    Held(Bytes),
    /// What is here already, and the rest as it comes: it can be sent once.
    Passing(Passing),
    /// It was sent.
    Gone,
}

/// A request's body that is passed on as it comes.
pub(crate) struct Passing {
    ahead: Option<Bytes>,
    rest: Paced<Incoming>,
    left: u64,
    fate: Fate,
}

/// What became of a body that is passed on, for whoever sent it away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate(Arc<AtomicU8>);

/// What a [`Fate`] can be.
const COMES: u8 = 0;
const WAITS: u8 = 1;
const TOO_LARGE: u8 = 2;
const BROKEN: u8 = 3;
const TOO_SLOW: u8 = 4;
const MALFORMED: u8 = 5;

/// Why a request's body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// More bytes than allowed.
    #[error("the body is too large")]
    TooLarge,
    /// The caller broke off.
    #[error("the body broke off")]
    Broken,
    /// Its chunks are not as HTTP/1.1 wants them.
    #[error("the body's chunks are malformed")]
    Malformed,
    /// It came too slowly.
    #[error("the body came too slowly")]
    TooSlow,
}

// === impl Body ===

impl Body {
    /// A body that is here.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Decoded(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Passing(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Spoken(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Decoded(body) => body.is_end_stream(),
            Self::Passing(body) => body.is_end_stream(),
            Self::Spoken(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Decoded(body) => body.size_hint(),
            Self::Passing(body) => body.size_hint(),
            Self::Spoken(body) => body.size_hint(),
        }
    }
}

// === impl Inbound ===

impl Inbound {
    /// Takes a caller's body. One of at most `hold_bytes` is read to its end; with `eager`, one of unknown size too,
    /// until it proves larger.
    pub(crate) async fn take(
        body: Incoming,
        callers: &Callers,
        hold_bytes: usize,
        eager: bool,
        bytes_max: u64,
    ) -> Result<Self, Refused> {
        let mut body = Paced::new(body, callers.held_pace());
        let (lower, upper) = (body.size_hint().lower(), body.size_hint().upper());
        if lower > bytes_max {
            return Err(Refused::TooLarge);
        }
        let fits = upper.map_or(eager, |upper| upper <= hold_bytes as u64);
        let mut held = BytesMut::new();
        if fits {
            loop {
                let frame = match body.frame().await {
                    None if held.len() as u64 > bytes_max => return Err(Refused::TooLarge),
                    None => return Ok(Self::Held(held.freeze())),
                    Some(frame) => frame.map_err(|error| Refused::of(&error))?,
                };
                held.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                if held.len() > hold_bytes {
                    break;
                }
            }
        }
        let left = bytes_max.checked_sub(held.len() as u64).ok_or(Refused::TooLarge)?;
        body.set_pace(callers.pace());
        let ahead = Some(held.freeze()).filter(|held| !held.is_empty());
        Ok(Self::Passing(Passing { ahead, rest: body, left, fate: Fate::default() }))
    }

    /// Its size in bytes, as far as it is known.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Passing(passing) => passing.size_hint().lower(),
            Self::Gone => 0,
        }
    }

    /// All of it, where it is here.
    pub(crate) fn held(&self) -> Option<&Bytes> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Passing(_) | Self::Gone => None,
        }
    }

    /// Whether it can be sent (again).
    pub(crate) const fn is_here(&self) -> bool {
        !matches!(self, Self::Gone)
    }

    /// The body to send now, and what will become of it.
    pub(crate) fn next(&mut self) -> Option<(Outgoing, Fate)> {
        match std::mem::replace(self, Self::Gone) {
            Self::Held(bytes) => {
                *self = Self::Held(bytes.clone());
                Some((Outgoing::whole(bytes), Fate::default()))
            }
            Self::Passing(passing) => {
                let fate = passing.fate.clone();
                Some((Outgoing::stream(passing), fate))
            }
            Self::Gone => None,
        }
    }
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.rest).poll_frame(cx) else {
            self.fate.set(WAITS);
            return Poll::Pending;
        };
        self.fate.set(COMES);
        let refused = match frame {
            None => return Poll::Ready(None),
            Some(Err(error)) => Refused::of(&error),
            Some(Ok(frame)) => {
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(size) {
                    Some(left) => {
                        self.left = left;
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    None => Refused::TooLarge,
                }
            }
        };
        self.fate.refuse(refused);
        Poll::Ready(Some(Err(refused.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        hint(self.ahead.as_ref().map_or(0, Bytes::len), &self.rest.size_hint())
    }
}

// === impl Refused ===

impl Refused {
    /// What is wrong with a body that was watched.
    pub(crate) fn of(error: &Broken) -> Self {
        if error.is::<TooSlow>() {
            return Self::TooSlow;
        }
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
        while let Some(error) = next {
            let is_ours = |error: &std::io::Error| {
                let words = error.to_string().to_ascii_lowercase();
                matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
                    && ["chunk", "size", "trailer"].iter().any(|word| words.contains(word))
            };
            if error.downcast_ref().is_some_and(is_ours) {
                return Self::Malformed;
            }
            next = error.source();
        }
        Self::Broken
    }

    /// What its caller is told.
    pub(crate) fn problem(self, bytes_max: u64) -> Problem {
        match self {
            Self::TooLarge => Problem::too_large(bytes_max),
            Self::Broken => Problem::bad_request("body_broken", "the request's body broke off").closing(),
            Self::Malformed => {
                let detail = "the request's body is not chunked as RFC 9112 (section 7.1) wants it: a size that is no number, or an end that is none";
                Problem::bad_request("bad_framing", detail).closing()
            }
            Self::TooSlow => {
                let detail = "the request's body came too slowly; send it again, faster";
                Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "Body is too slow", detail)
                    .closing()
            }
        }
    }
}

/// The size of what is here already and the rest together.
pub(crate) fn hint(ahead: usize, rest: &SizeHint) -> SizeHint {
    let ahead = ahead as u64;
    let mut hint = SizeHint::new();
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper + ahead);
    }
    hint.set_lower(rest.lower() + ahead);
    hint
}

// === impl Fate ===

impl Fate {
    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }

    fn refuse(&self, refused: Refused) {
        self.set(match refused {
            Refused::TooLarge => TOO_LARGE,
            Refused::Broken => BROKEN,
            Refused::Malformed => MALFORMED,
            Refused::TooSlow => TOO_SLOW,
        });
    }

    /// Why it broke off; nothing while it did not.
    pub(crate) fn refused(&self) -> Option<Refused> {
        match self.0.load(Ordering::Acquire) {
            TOO_LARGE => Some(Refused::TooLarge),
            BROKEN => Some(Refused::Broken),
            MALFORMED => Some(Refused::Malformed),
            TOO_SLOW => Some(Refused::TooSlow),
            _ => None,
        }
    }

    /// Whether its caller is waited for.
    pub(crate) fn waits(&self) -> bool {
        self.0.load(Ordering::Acquire) == WAITS
    }
}
