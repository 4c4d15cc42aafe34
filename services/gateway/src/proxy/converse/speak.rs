//! Speaks an answer in other words: the provider's bytes are counted as they come, the caller gets what they mean.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;

use crate::body::Broken;
use crate::chat::stream::Translator;
use crate::proxy::record::Watched;

/// What says something of the bytes that are not passed on.
const OF_THE_BYTES: [HeaderName; 5] = [
    CONTENT_ENCODING,
    ETAG,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
];

/// In which words an answer is passed on.
pub(crate) enum Voice {
    /// This body instead.
    Whole(Bytes),
    /// Event by event.
    Stream(Box<Translator>),
}

/// The body of an answer in other words.
pub(crate) struct Spoken {
    from: Watched,
    voice: Voice,
    /// Nothing more comes of `from`.
    heard: bool,
    /// Nothing more goes to the caller.
    said: bool,
}

// === impl Voice ===

impl Voice {
    pub(super) fn whole(document: &impl Serialize) -> Self {
        let bytes =
            serde_json::to_vec(document).expect("its names are texts, and its values have no way to fail");
        Self::Whole(bytes.into())
    }

    /// Says in an answer's headers what its body will be.
    pub(crate) fn label(&self, headers: &mut HeaderMap) {
        for name in OF_THE_BYTES {
            headers.remove(name);
        }
        let media_type = match self {
            Self::Whole(_) => "application/json",
            Self::Stream(_) => "text/event-stream; charset=utf-8",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }

    /// Whether what was not held is of no use.
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

// === impl Spoken ===

impl Spoken {
    pub(crate) fn new(from: Watched, voice: Voice) -> Self {
        Self { from, voice, heard: false, said: false }
    }
}

impl HttpBody for Spoken {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        while !this.said {
            let heard = if this.heard { None } else { ready!(Pin::new(&mut this.from).poll_frame(cx)) };
            let out = match (&mut this.voice, heard) {
                // All of it is held: it is counted, and what it means was found before.
                (Voice::Whole(_), Some(Ok(_))) => continue,
                (Voice::Whole(bytes), _) => {
                    (this.heard, this.said) = (true, true);
                    std::mem::take(bytes)
                }
                (Voice::Stream(translator), Some(Ok(frame))) => {
                    frame.data_ref().map_or_else(Bytes::new, |data| translator.feed(data))
                }
                (Voice::Stream(translator), ended) => {
                    (this.heard, this.said) = (true, true);
                    match ended {
                        _ if translator.is_ended() => Bytes::new(),
                        None => translator.end(),
                        Some(_) => translator.broke(),
                    }
                }
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.said
    }

    fn size_hint(&self) -> SizeHint {
        match &self.voice {
            Voice::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Voice::Stream(_) => SizeHint::new(),
        }
    }
}
