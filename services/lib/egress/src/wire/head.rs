//! Heads: a request's as bytes, and an answer's from bytes. Pure.
//!
//! How long a body is, is read as RFC 9112 section 6.3 says, and refused where two readings are possible: two different
//! lengths, a length beside a transfer coding, a coding that is not known, a coding in HTTP/1.0.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use httparse::{Error as Syntax, ParserConfig, Status};

use super::chunks::Chunks;
use super::{HEAD_BYTES_MAX, HEADERS_MAX, broken};
use crate::error::Error;

/// Room for fields that are put on an answer before it goes on.
const ROOM: usize = 8;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// No body.
    None,
    /// So many bytes.
    Exact(u64),
    /// Nobody knows.
    Chunked,
}

/// How an answer's body is framed, and what is still to come of it.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many bytes.
    Exact(u64),
    /// Pieces that say their size.
    Chunked(Box<Chunks>),
    /// Until the connection ends.
    UntilEnd,
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection may be used again.
    pub(super) is_kept: bool,
    /// What came after it.
    pub(super) rest: Bytes,
}

/// Writes a request's head. Its own `Host` and lengths are not asked.
pub(super) fn write(parts: &Parts, host: &HeaderValue, length: Length, out: &mut Vec<u8>) {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(host.as_bytes());
    for (name, value) in &parts.headers {
        if *name == HOST || *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING {
            continue;
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    match length {
        Length::Exact(bytes) => {
            out.extend_from_slice(b"\r\ncontent-length: ");
            out.extend_from_slice(bytes.to_string().as_bytes());
        }
        Length::Chunked => out.extend_from_slice(b"\r\ntransfer-encoding: chunked"),
        // Whoever expects a body is told that there is none (RFC 9110, section 8.6).
        Length::None if matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"\r\ncontent-length: 0");
        }
        Length::None => {}
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Reads an answer's head; nothing where it is not all here. Its fields come into `room`, which is taken then.
pub(super) fn read(bytes: &Bytes, is_head: bool, room: &mut HeaderMap) -> Result<Option<Head>, Error> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut fields);
    let size = match parsed {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Ok(None),
        Err(Syntax::TooManyHeaders) => return Err(too_large()),
        Err(error) => return Err(broken(&error.to_string())),
    };
    if size > HEAD_BYTES_MAX {
        return Err(too_large());
    }
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let mut response = Response::new(());
    *response.status_mut() = status.ok_or_else(|| broken("its status is not one"))?;
    let is_http_10 = answer.version == Some(0);
    if is_http_10 {
        *response.version_mut() = Version::HTTP_10;
    }
    let mut headers = std::mem::take(room);
    headers.clear();
    // A few more are put on it before it goes on.
    headers.reserve(answer.headers.len() + ROOM);
    let mut said = Said::default();
    for field in &*answer.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        let (Ok(name), Ok(value)) = (name, value) else { return Err(broken("a header field is not one")) };
        if said.hear(&name, value.as_bytes())? {
            headers.append(name, value);
        }
    }
    let framing = said.framing(response.status(), is_http_10, is_head)?;
    let is_over =
        matches!(framing, Framing::UntilEnd) || response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let is_kept = !is_over && said.is_kept(is_http_10);
    *response.headers_mut() = headers;
    Ok(Some(Head { response, framing, is_kept, rest: bytes.slice(size..) }))
}

/// What a head says of its body and its connection, heard field by field.
#[derive(Debug, Default)]
struct Said {
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps: bool,
}

impl Said {
    /// Whether the field says anything to those whom the answer goes on to. A `Connection` that names fields of its own
    /// does: they must not go on either.
    fn hear(&mut self, name: &HeaderName, value: &[u8]) -> Result<bool, Error> {
        if *name == CONTENT_LENGTH {
            for said in value.split(|byte| *byte == b',') {
                let length = length(said).ok_or_else(|| broken("it says a length that is none"))?;
                // The same one may be said again (RFC 9110, section 8.6).
                if *self.length.get_or_insert(length) != length {
                    return Err(broken("it says two lengths"));
                }
            }
        } else if *name == TRANSFER_ENCODING {
            // Any other coding is one that nobody asked for.
            if self.is_chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(broken("it says a transfer coding that is not known"));
            }
            self.is_chunked = true;
        } else if *name == CONNECTION {
            let mut names_fields = false;
            for said in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                let closes = said.eq_ignore_ascii_case(b"close");
                let keeps = said.eq_ignore_ascii_case(b"keep-alive");
                self.closes |= closes;
                self.keeps |= keeps;
                names_fields |= !closes && !keeps;
            }
            return Ok(names_fields);
        }
        Ok(true)
    }

    /// How the body is framed.
    fn framing(&self, status: StatusCode, is_http_10: bool, is_head: bool) -> Result<Framing, Error> {
        if is_head || status.is_informational() || matches!(status.as_u16(), 204 | 304) {
            return Ok(Framing::Exact(0));
        }
        match (self.is_chunked, self.length) {
            (true, _) if is_http_10 => Err(broken("it says a transfer coding in HTTP/1.0")),
            (true, Some(_)) => Err(broken("it says a length and a transfer coding")),
            (true, None) => Ok(Framing::Chunked(Box::default())),
            (false, Some(length)) => Ok(Framing::Exact(length)),
            (false, None) => Ok(Framing::UntilEnd),
        }
    }

    /// Whether the connection stays open (RFC 9112, section 9.3).
    fn is_kept(&self, is_http_10: bool) -> bool {
        !self.closes && (!is_http_10 || self.keeps)
    }
}

/// Digits as a length.
fn length(said: &[u8]) -> Option<u64> {
    let said = said.trim_ascii();
    let length = said.iter().try_fold(0_u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    });
    length.filter(|_| !said.is_empty())
}

pub(super) fn too_large() -> Error {
    Error::TooLarge("its head".to_owned())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Option<Head>, Error> {
        read(&Bytes::copy_from_slice(text.as_bytes()), false, &mut HeaderMap::new())
    }

    /// What a head says of its body, in one word.
    fn said(fields: &str, is_head: bool) -> String {
        let text = Bytes::from(format!("HTTP/1.1 200 OK\r\n{fields}\r\nrest"));
        match read(&text, is_head, &mut HeaderMap::new()) {
            Ok(Some(head)) => {
                assert_eq!(head.rest, "rest");
                let kept = if head.is_kept { "kept" } else { "closed" };
                match head.framing {
                    Framing::Exact(bytes) => format!("{bytes} {kept}"),
                    Framing::Chunked(_) => format!("chunked {kept}"),
                    Framing::UntilEnd => format!("until end {kept}"),
                }
            }
            Ok(None) => "incomplete".to_owned(),
            Err(Error::Protocol { detail, sent: true }) => detail,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_bodys_length_is_read_in_one_way_or_refused() {
        for (fields, wanted) in [
            ("content-length: 5\r\n", "5 kept"),
            ("Content-Length: 5, 5\r\ncontent-length:5\r\n", "5 kept"),
            ("content-length: 5\r\nconnection: foo, Close\r\n", "5 closed"),
            ("transfer-encoding: Chunked\r\n", "chunked kept"),
            ("", "until end closed"),
            ("content-length: 5\r\ncontent-length: 6\r\n", "it says two lengths"),
            ("content-length: 5, 6\r\n", "it says two lengths"),
            ("content-length: +5\r\n", "it says a length that is none"),
            ("content-length: 0x5\r\n", "it says a length that is none"),
            ("content-length:\r\n", "it says a length that is none"),
            ("content-length: 18446744073709551616\r\n", "it says a length that is none"),
            ("content-length: 5\r\ntransfer-encoding: chunked\r\n", "it says a length and a transfer coding"),
            ("transfer-encoding: gzip, chunked\r\n", "it says a transfer coding that is not known"),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                "it says a transfer coding that is not known",
            ),
            ("transfer-encoding: identity\r\n", "it says a transfer coding that is not known"),
        ] {
            assert_eq!(said(fields, false), wanted, "{fields}");
        }
        assert_eq!(said("content-length: 5\r\n", true), "0 kept");
        assert_eq!(said("transfer-encoding: chunked\r\n", true), "0 kept");
    }

    #[test]
    fn what_is_said_of_the_connection_alone_ends_here() {
        for (value, goes_on) in
            [("keep-alive", false), ("Close", false), ("close, Keep-Alive", false), ("x-own, close", true)]
        {
            let text = format!("HTTP/1.1 200 OK\r\nconnection: {value}\r\nx-own: 1\r\n\r\n");
            let head = parse(&text).expect("a head").expect("whole");
            let headers = head.response.headers();
            assert_eq!(
                (headers.contains_key("connection"), headers.len()),
                (goes_on, 1 + usize::from(goes_on))
            );
        }
    }

    #[test]
    fn old_and_bodiless_answers_are_known() {
        let framing = |text: &str| {
            let head = parse(text).expect("a head").expect("whole");
            (matches!(head.framing, Framing::Exact(0)), head.is_kept)
        };
        assert_eq!(framing("HTTP/1.1 204 No Content\r\n\r\n"), (true, true));
        assert_eq!(framing("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"), (true, true));
        assert_eq!(framing("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"), (true, false));
        let kept = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n";
        assert_eq!(framing(kept), (true, true));
        assert!(parse("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/1.1 200 OK\r\nname : value\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\u{0}c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(matches!(parse(text), Err(Error::Protocol { sent: true, .. })), "{text:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(parse(&many), Err(Error::TooLarge(_))));
        let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(HEAD_BYTES_MAX));
        assert!(matches!(parse(&long), Err(Error::TooLarge(_))));
    }

    #[test]
    fn a_request_is_written_with_our_host_and_length() {
        let request = |method: &str| {
            let request = Request::builder().method(method).uri("/a?b=c").header("host", "evil.example");
            let request = request.header("x-key", "k").header("content-length", "99").body(());
            request.expect("a request").into_parts().0
        };
        let text = |method: &str, length: Length| {
            let mut out = Vec::new();
            write(&request(method), &HeaderValue::from_static("api.example"), length, &mut out);
            String::from_utf8(out).expect("text")
        };
        let head = "/a?b=c HTTP/1.1\r\nhost: api.example\r\nx-key: k";
        assert_eq!(text("GET", Length::None), format!("GET {head}\r\n\r\n"));
        assert_eq!(text("DELETE", Length::None), format!("DELETE {head}\r\n\r\n"));
        assert_eq!(text("POST", Length::None), format!("POST {head}\r\ncontent-length: 0\r\n\r\n"));
        assert_eq!(text("POST", Length::Exact(7)), format!("POST {head}\r\ncontent-length: 7\r\n\r\n"));
        let chunked = format!("PUT {head}\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(text("PUT", Length::Chunked), chunked);
    }

    proptest! {
        /// A head cut anywhere is one that is not all here, never another one.
        #[test]
        fn a_part_of_a_head_is_no_head(cut in 0_usize..70) {
            let whole = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-name: some words\r\nx-b: \r\n\r\n";
            let cut = cut.min(whole.len() - 1);
            prop_assert!(matches!(parse(&whole[..cut]), Ok(None)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let begun = Bytes::from([b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes].concat());
            let _ = read(&begun, false, &mut HeaderMap::new());
            let _ = read(&Bytes::from(bytes), false, &mut HeaderMap::new());
        }
    }
}
