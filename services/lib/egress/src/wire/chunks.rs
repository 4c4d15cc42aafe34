//! The chunked transfer coding, read (RFC 9112, section 7.1). Pure.
//!
//! Sizes, extensions and trailers are bounded; a line ends with CR LF and nothing else.

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::{HEADERS_MAX, broken};
use crate::error::Error;

/// Bytes of a chunk's first line: its size and extensions.
const LINE_BYTES_MAX: usize = 256;
/// Bytes of all extensions of a body, so that an endless one of empty news ends.
const EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// Bytes of all trailers.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// Where in a chunked body we are.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    place: Place,
    /// What is here of a line that is not whole.
    line: Vec<u8>,
    /// Bytes of extensions until now.
    extensions: usize,
}

#[derive(Debug, Default)]
enum Place {
    /// Before a size.
    #[default]
    Size,
    /// Within a chunk that has so many bytes left.
    Data(u64),
    /// After a chunk, before its CR LF.
    After,
    /// After the last chunk, before the empty line.
    Trailers,
    /// At the end.
    End,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of the body, not none.
    Data(Bytes),
    /// Header fields at its end.
    Trailers(HeaderMap),
    /// Its end.
    End,
}

impl Chunks {
    /// Whether all of it was read.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// Takes the next piece from what is here; nothing where more is needed.
    pub(super) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Piece>, Error> {
        loop {
            match &mut self.place {
                Place::End => return Ok(Some(Piece::End)),
                Place::Data(left) => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= here as u64;
                    let data = bytes.split_to(here);
                    if *left == 0 {
                        self.place = Place::After;
                    }
                    // So that the last piece is known as the last one.
                    self.step_over(bytes)?;
                    return Ok(Some(Piece::Data(data)));
                }
                Place::Size | Place::After => {
                    if !self.step_over(bytes)? {
                        return Ok(None);
                    }
                }
                Place::Trailers => {
                    if !self.line(bytes, TRAILER_BYTES_MAX)? {
                        return Ok(None);
                    }
                    if self.line != b"\r\n" && !self.line.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    self.place = Place::End;
                    let trailers = trailers(&std::mem::take(&mut self.line))?;
                    return Ok(Some(if trailers.is_empty() {
                        Piece::End
                    } else {
                        Piece::Trailers(trailers)
                    }));
                }
            }
        }
    }

    /// Reads lines between data: false where more is needed.
    fn step_over(&mut self, bytes: &mut Bytes) -> Result<bool, Error> {
        loop {
            match self.place {
                Place::After => {
                    if !self.line(bytes, 2)? {
                        return Ok(false);
                    }
                    self.line.clear();
                    self.place = Place::Size;
                }
                Place::Size => {
                    if !self.line(bytes, LINE_BYTES_MAX)? {
                        return Ok(false);
                    }
                    let (size, extension) = size(&self.line)?;
                    self.line.clear();
                    self.extensions += extension;
                    if self.extensions > EXTENSION_BYTES_MAX {
                        return Err(Error::TooLarge("its chunk extensions".to_owned()));
                    }
                    self.place = if size == 0 { Place::Trailers } else { Place::Data(size) };
                }
                // A body without trailers ends where its empty line is here already.
                Place::Trailers if self.line.is_empty() && bytes.starts_with(b"\r\n") => {
                    bytes.advance(2);
                    self.place = Place::End;
                }
                Place::Data(_) | Place::Trailers | Place::End => return Ok(true),
            }
        }
    }

    /// Adds a line with its CR LF to what is here: false where more is needed.
    fn line(&mut self, bytes: &mut Bytes, bytes_max: usize) -> Result<bool, Error> {
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = bytes.split_to(end.unwrap_or(bytes.len()));
        if self.line.len() + taken.len() > bytes_max {
            return Err(broken("its chunks are malformed"));
        }
        self.line.extend_from_slice(&taken);
        if end.is_some() && !self.line.ends_with(b"\r\n") {
            return Err(broken("its chunks are malformed"));
        }
        Ok(end.is_some())
    }
}

/// A chunk's size, and how long its extension is.
fn size(line: &[u8]) -> Result<(u64, usize), Error> {
    let malformed = || broken("its chunks are malformed");
    let line = line.strip_suffix(b"\r\n").ok_or_else(malformed)?;
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extension) = line.split_at(digits);
    let is_extension = matches!(extension.trim_ascii_start(), [] | [b';', ..]) && !extension.contains(&b'\r');
    if digits.is_empty() || digits.len() > 15 || !is_extension {
        return Err(malformed());
    }
    let size = digits.iter().fold(0, |size, digit| {
        let digit = (*digit as char).to_digit(16).unwrap_or_default();
        size * 16 + u64::from(digit)
    });
    Ok((size, extension.len()))
}

/// Header fields that stand at the end.
fn trailers(bytes: &[u8]) -> Result<HeaderMap, Error> {
    let malformed = || broken("its trailers are malformed");
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let parsed = httparse::parse_headers(bytes, &mut fields).map_err(|_| malformed())?;
    let httparse::Status::Complete((_, fields)) = parsed else { return Err(malformed()) };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| malformed())?;
        trailers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| malformed())?);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body's bytes, its trailers, and what follows it.
    type Whole = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// Reads a body that arrives in pieces.
    fn read(pieces: &[&[u8]]) -> Result<Whole, Error> {
        let (mut chunks, mut body, mut trailers) = (Chunks::default(), Vec::new(), None);
        let mut bytes = Bytes::new();
        let mut pieces = pieces.iter();
        loop {
            match chunks.next(&mut bytes)? {
                Some(Piece::Data(data)) => body.extend_from_slice(&data),
                Some(Piece::Trailers(found)) => trailers = Some(found),
                Some(Piece::End) => {
                    assert!(chunks.is_done());
                    let rest = pieces.fold(bytes.to_vec(), |rest, piece| [&rest, *piece].concat());
                    return Ok((body, trailers, rest));
                }
                None => {
                    assert!(bytes.is_empty());
                    let Some(piece) = pieces.next() else { return Err(broken("more was needed")) };
                    bytes = Bytes::copy_from_slice(piece);
                }
            }
        }
    }

    #[test]
    fn chunks_become_a_body() {
        let whole = b"4\r\nWiki\r\n00A; name=\"x\"\r\npedia in c\r\n0;last\r\nx-sum: 1\r\nx-b: 2\r\n\r\nHTTP";
        let (body, trailers, rest) = read(&[whole]).expect("a body");
        assert_eq!((body.as_slice(), rest.as_slice()), (&b"Wikipedia in c"[..], &b"HTTP"[..]));
        let trailers = trailers.expect("trailers");
        assert!(trailers["x-sum"] == "1" && trailers["x-b"] == "2");
        assert_eq!(read(&[b"0\r\n\r\n"]).expect("a body"), (Vec::new(), None, Vec::new()));
    }

    #[test]
    fn the_last_piece_is_known_as_the_last_one() {
        let (mut chunks, mut bytes) = (Chunks::default(), Bytes::from_static(b"2\r\nab\r\n0\r\n\r\n"));
        let data = chunks.next(&mut bytes).expect("a piece");
        assert_eq!(data, Some(Piece::Data(Bytes::from_static(b"ab"))));
        assert!(chunks.is_done() && bytes.is_empty());
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = format!("1;{}\r\na\r\n", "x".repeat(LINE_BYTES_MAX));
        let many = "1;abcdefghijklmnopqrstuvwxyz\r\na\r\n".repeat(EXTENSION_BYTES_MAX / 20);
        let trailers = format!("0\r\na: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX));
        for text in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "0x1\r\na\r\n",
            "1\na\n",
            "1 \u{1}\r\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r0\r\n\r\n",
            "1;a\rb\r\na\r\n",
            "10000000000000000\r\n",
            "0\r\nno colon\r\n\r\n",
            &long,
            &many,
            &trailers,
        ] {
            let shown = text.get(..40).unwrap_or(text);
            assert!(
                matches!(read(&[text.as_bytes()]), Err(error) if !error.to_string().contains("needed")),
                "{shown:?}"
            );
        }
    }

    proptest! {
        /// Whatever the pieces in which it arrives, the same body comes out, and what follows it stays.
        #[test]
        fn a_body_is_the_same_in_all_pieces(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            has_trailers in any::<bool>(),
        ) {
            let mut coded = Vec::new();
            for chunk in &chunks {
                coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                coded.extend_from_slice(chunk);
                coded.extend_from_slice(b"\r\n");
            }
            coded.extend_from_slice(if has_trailers { b"0\r\nx-a: b\r\n\r\nnext" } else { b"0\r\n\r\nnext" });
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(coded.len())).collect();
            cuts.extend([0, coded.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &coded[cut[0]..cut[1]]).collect();
            let (body, trailers, rest) = read(&pieces).expect("a body");
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(trailers.is_some(), has_trailers);
            prop_assert_eq!(rest, b"next");
        }
    }
}
