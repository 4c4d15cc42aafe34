//! What is written here, compressed for a caller that takes it: operations, translated chats, batches.
//!
//! What a provider wrote is in the coding that it chose of those that the caller takes, and is not touched. Ours is a
//! document that is whole; streams are not compressed, because their events must not wait for one another.

use std::io::Write;

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::task::spawn_blocking;

use super::decoded::weaken;
use super::{Coding, Weight, accepted};
use crate::body::Body;

/// Smaller ones gain nothing, in bytes.
const BYTES_MIN: u64 = 1024;
/// Larger ones are compressed beside the calls, in bytes: this takes a part of a millisecond.
const AT_ONCE_BYTES_MAX: usize = 16 * 1024;
/// How hard brotli tries: as fast as gzip does, and better.
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_BITS: u32 = 19;
const BROTLI_BUFFER_BYTES: usize = 4 * 1024;
/// Which is taken of those that a caller likes as much: the smallest first.
const ORDER: [Coding; 4] = [Coding::Brotli, Coding::Zstd, Coding::Gzip, Coding::Deflate];

/// Stands with an answer that is written here.
#[derive(Clone, Copy)]
struct Own;

/// Marks an answer as one that is written here, and is whole.
pub(crate) fn own(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(Own);
    response
}

pub(super) fn is_own(response: &Response<Body>) -> bool {
    response.extensions().get::<Own>().is_some()
}

/// The same in the coding that a caller with this `Accept-Encoding` likes best, if it is worth it.
pub(super) async fn shrink(response: Response<Body>, accepts: HeaderValue) -> Response<Body> {
    let asked = HeaderMap::from_iter([(ACCEPT_ENCODING, accepts)]);
    let size = response.body().size_hint().exact().unwrap_or_default();
    let coding = liked(&asked).filter(|_| !response.headers().contains_key(CONTENT_ENCODING));
    let Some(coding) = coding.filter(|_| size >= BYTES_MIN) else { return response };
    let (mut head, body) = response.into_parts();
    // Whole as it is, this takes no time. One that breaks off is no answer of ours.
    let plain = match body.collect().await {
        Ok(plain) => plain.to_bytes(),
        Err(error) => {
            tracing::warn!(%error, "An answer that is written here broke off: {error}.");
            head.status = StatusCode::BAD_GATEWAY;
            head.headers.remove(CONTENT_LENGTH);
            Bytes::new()
        }
    };
    let small = if plain.len() > AT_ONCE_BYTES_MAX {
        let plain = plain.clone();
        spawn_blocking(move || encode(coding, &plain)).await.ok().flatten()
    } else {
        encode(coding, &plain)
    };
    head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    let Some(small) = small.filter(|small| small.len() < plain.len()) else {
        return Response::from_parts(head, Body::whole(plain));
    };
    head.headers.remove(CONTENT_LENGTH);
    weaken(&mut head.headers);
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    Response::from_parts(head, Body::whole(small.into()))
}

/// How hard zstd tries: as its own program does.
const ZSTD_LEVEL: i32 = 3;

/// What whoever sent these headers likes best, of what is named.
fn liked(headers: &HeaderMap) -> Option<Coding> {
    let weight = |coding: Coding| -> Weight {
        let named = accepted(headers).filter(|(name, _)| Coding::named(name) == Some(coding));
        named.map(|(_, weight)| weight).max().unwrap_or_default()
    };
    // Of equals the last is the greatest.
    let best = ORDER.into_iter().rev().max_by_key(|coding| weight(*coding))?;
    (weight(best) > 0).then_some(best)
}

/// A body in a coding. Nothing: it could not be written, which memory does not do.
fn encode(coding: Coding, plain: &[u8]) -> Option<Vec<u8>> {
    match coding {
        Coding::Gzip => {
            let mut to = GzEncoder::new(Vec::new(), Compression::fast());
            to.write_all(plain).ok()?;
            to.finish().ok()
        }
        Coding::Deflate => {
            let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
            to.write_all(plain).ok()?;
            to.finish().ok()
        }
        Coding::Brotli => {
            let mut to =
                CompressorWriter::new(Vec::new(), BROTLI_BUFFER_BYTES, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
            to.write_all(plain).ok()?;
            Some(to.into_inner())
        }
        Coding::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let plain: Vec<u8> =
            (0..200_000_u32).flat_map(|n| format!("{{\"price\":{n}}},").into_bytes()).collect();
        for coding in ORDER {
            for plain in [&plain[..], b"", b"x"] {
                let small = encode(coding, plain).expect("memory");
                assert_eq!(decode(coding, &small, plain.len()).as_deref(), Ok(plain), "{coding:?}");
            }
        }
    }

    #[test]
    fn the_coding_that_is_liked_best_is_taken() {
        for (accepts, wanted) in [
            ("gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Brotli)),
            ("gzip;q=1.0, br;q=0.5", Some(Coding::Gzip)),
            ("gzip, zstd", Some(Coding::Zstd)),
            ("br;q=0, gzip;q=0.001", Some(Coding::Gzip)),
            ("identity", None),
            ("gzip;q=0", None),
            // Nobody asked for it: what is as good as nothing said gets plain bytes.
            ("*", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepts))]);
            assert_eq!(liked(&headers), wanted, "{accepts}");
        }
    }
}
