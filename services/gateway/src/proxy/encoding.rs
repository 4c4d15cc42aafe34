//! Content codings: what a caller accepts, and bounded decoding of copies and of questions that must be read.
//!
//! Bytes that pass are not touched; what is written here is compressed for who takes it. What is decoded is held against a bomb (T21): at most a hundred times what came in,
//! looked at while it is decoded, and windows that HTTP allows.

use std::io::{self, Write};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::body::Body;
use crate::problem::Problem;

mod decoded;
mod shrunk;
mod stream;
mod zstd;

pub(crate) use decoded::Decoded;
pub(crate) use shrunk::own;
pub(crate) use stream::{Sink, Stream};

/// How many bytes may come of one.
const RATIO_MAX: u64 = 100;
/// So many bytes may come of any beginning.
const FIRST_BYTES_MAX: u64 = 64 * 1024;
/// The largest plain body that is judged, in bytes: as much as rules look into.
const OPENED_BYTES_MAX: usize = catalogue::BODY_BYTES_MAX;
/// Bytes that are decoded at a time, so that little is held at once.
pub(crate) const STEP_BYTES: usize = 4 * 1024;
/// How many bytes gzip can make of one.
pub(crate) const GZIP_RATIO: u64 = 1_032;
/// What may come of so few at most, however little came of those before.
const STEP_GIVES_MAX: u64 = GZIP_RATIO * STEP_BYTES as u64;

/// A coding that is decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coded {
    /// Not at all.
    Plain,
    /// In one coding.
    By(Coding),
    /// In several, or in one that is not known here.
    Unknown,
}

/// Decodes a body as it comes.
pub(crate) struct Decoder {
    stream: Stream<Bounded>,
    came: u64,
}

/// A body is broken, or decodes to far more than it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be decoded within bounds")]
pub(crate) struct Undecodable;

/// How much a caller likes a coding, in thousandths (RFC 9110, section 12.4.2).
type Weight = u16;

/// Takes what is decoded, up to a bound.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    left: u64,
    taken: u64,
}

// === impl Coding ===

impl Coding {
    const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name()))
    }

    /// How a message is coded.
    pub(crate) fn of(headers: &HeaderMap) -> Coded {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(first) = values.next() else { return Coded::Plain };
        let name = first.to_str().unwrap_or("?").trim();
        match Self::named(name) {
            _ if values.next().is_some() => Coded::Unknown,
            Some(coding) => Coded::By(coding),
            None if name.eq_ignore_ascii_case("identity") || name.is_empty() => Coded::Plain,
            None => Coded::Unknown,
        }
    }

    /// Whether whoever sent these headers takes it. Who says nothing takes everything (RFC 9110, section 12.5.3).
    pub(crate) fn is_accepted(self, headers: &HeaderMap) -> bool {
        let (mut said, mut rest) = (false, false);
        for (name, weight) in accepted(headers) {
            said = true;
            if Self::named(name) == Some(self) {
                return weight > 0;
            }
            if name == "*" {
                rest = weight > 0;
            }
        }
        !said || rest
    }
}

/// What is accepted, as it is written, and how much it is liked.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = (&str, Weight)> {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight =
            weight.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.trim_start().strip_prefix('='));
        (name.trim(), weight.map_or(1_000, |weight| thousandths(weight.trim())))
    })
}

/// A weight as it is written. What is none is the least that is more than 0.
fn thousandths(weight: &str) -> Weight {
    match weight.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0) as Weight,
        _ => 1,
    }
}

/// What to accept of a provider whose bodies must be read: what the caller accepts and we can decode.
pub(crate) fn readable(headers: &HeaderMap) -> HeaderValue {
    let taken: Vec<&str> = accepted(headers)
        .filter(|(_, weight)| *weight > 0)
        .filter_map(|(name, _)| Coding::named(name).map(Coding::name))
        .collect();
    let text = if taken.is_empty() { "identity".to_owned() } else { taken.join(", ") };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("identity"))
}

/// The answer as a caller with this `Accept-Encoding` takes it. Most are passed on as they are.
///
/// # Errors
/// Where it must be decoded for its caller and cannot be from its beginning.
pub(crate) async fn fit(
    response: Response<Body>,
    accepts: Option<HeaderValue>,
) -> Result<Response<Body>, Problem> {
    let Some(accepts) = accepts else { return Ok(response) };
    if shrunk::is_own(&response) {
        return Ok(Box::pin(shrunk::shrink(response, accepts)).await);
    }
    decoded::fit(response, &accepts).await
}

/// A question that must be read here, without its coding. `Content-Encoding` goes with it.
pub(crate) fn plain(headers: &mut HeaderMap, body: Bytes, bytes_max: u64) -> Result<Bytes, Problem> {
    let coding = match Coding::of(headers) {
        Coded::Plain => return Ok(body),
        Coded::By(coding) => coding,
        Coded::Unknown => {
            let known = Coding::ALL.map(Coding::name).join(", ");
            let detail = format!("the body's `Content-Encoding` is not one of {known}");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unknown_encoding", "Body cannot be decoded", detail)
                .header(ACCEPT_ENCODING, &known));
        }
    };
    headers.remove(CONTENT_ENCODING);
    let max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    decode(coding, &body, max).map(Bytes::from).map_err(|_| {
        let detail = format!(
            "the body is not whole or not in `{}`, or decodes to more than {bytes_max} bytes or {RATIO_MAX} times its size",
            coding.name()
        );
        Problem::bad_request("undecodable", detail)
    })
}

/// Decodes a whole body of at most `bytes_max` plain bytes.
pub(crate) fn decode(coding: Coding, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Undecodable> {
    let (mut decoder, mut plain) = (Decoder::new(coding), Vec::new());
    for step in body.chunks(STEP_BYTES) {
        decoder.decode(step, &mut |bytes| plain.extend_from_slice(bytes))?;
        if plain.len() > bytes_max {
            return Err(Undecodable);
        }
    }
    decoder.end(&mut |bytes| plain.extend_from_slice(bytes))?;
    if plain.len() > bytes_max { Err(Undecodable) } else { Ok(plain) }
}

/// The plain bytes of a whole body that is held, if it is coded and they can be had.
pub(crate) fn opened(headers: &HeaderMap, held: &[u8]) -> Option<Vec<u8>> {
    match Coding::of(headers) {
        Coded::By(coding) if !held.is_empty() => decode(coding, held, OPENED_BYTES_MAX).ok(),
        _ => None,
    }
}

// === impl Decoder ===

impl Decoder {
    /// A body that begins.
    pub(crate) fn new(coding: Coding) -> Self {
        Self { stream: Stream::new(coding, Bounded::default()), came: 0 }
    }

    /// Decodes what came, and gives what comes of it in pieces.
    pub(crate) fn decode(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(), Undecodable> {
        for step in bytes.chunks(STEP_BYTES) {
            self.came += step.len() as u64;
            let to = self.stream.to();
            let left = FIRST_BYTES_MAX + RATIO_MAX * self.came - to.taken;
            to.left = left.min(STEP_GIVES_MAX);
            self.stream.write(step)?;
            self.give(each);
        }
        Ok(())
    }

    /// The body is over. One that is not whole has given what there was.
    pub(crate) fn end(mut self, each: &mut impl FnMut(&[u8])) -> Result<(), Undecodable> {
        let ended = self.stream.end();
        self.give(each);
        ended
    }

    fn give(&mut self, each: &mut impl FnMut(&[u8])) {
        let to = self.stream.to();
        if !to.bytes.is_empty() {
            each(&to.bytes);
            to.bytes.clear();
        }
    }
}

impl Sink for Bounded {
    fn taken(&self) -> u64 {
        self.taken
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other(Undecodable))?;
        self.taken += bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
