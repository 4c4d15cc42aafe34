//! Finds the key of a call in what its provider sends back, so that it does not reach the caller (T10).
//!
//! Looks for every secret field as it is, percent-encoded, escaped in JSON and in base64, and for the pair of basic authentication.
//! Headers that hold one are dropped; bodies are masked byte for byte, so that lengths stay: what is held of
//! them here, and the rest as it comes (`veiled`).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::{Bytes, BytesMut};
use catalogue::Provider;
use http::HeaderMap;
use http::header::HeaderName;
use memchr::arch::all::packedpair::Finder as Pair;
use model::auth::Auth;
use model::secret::Fields;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::encoding::Coding;
use super::key::Ready;

mod opened;
mod veiled;

pub(crate) use opened::Unfit;
pub(crate) use veiled::Veiled;

/// Shorter values are no secrets, and stand in answers by chance. In bytes.
const NEEDLE_BYTES_MIN: usize = 8;

/// What is encoded where only what must be is (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What must not come back.
pub(crate) struct Needles(Vec<Needle>);

/// One form of a secret. Wiped when dropped.
struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    /// Looks for the two bytes of it that are seldom, and holds no others.
    pair: Pair,
}

impl Needles {
    /// All forms of the secrets of a key.
    pub(crate) fn of(provider: &Provider, auth: &Auth, fields: Option<&Fields>) -> Self {
        let mut needles: Vec<Needle> = Vec::new();
        let mut add = |bytes: Vec<u8>| {
            let bytes = Zeroizing::new(bytes);
            let is_new = bytes.len() >= NEEDLE_BYTES_MIN && needles.iter().all(|known| known.bytes != bytes);
            if let Some(pair) = Pair::new(&bytes).filter(|_| is_new) {
                needles.push(Needle { bytes, pair });
            }
        };
        let secret = |name: &str| provider.field(name).is_none_or(|field| field.secret);
        for (_, value) in fields.into_iter().flatten().filter(|(name, _)| secret(name)) {
            let value = value.expose();
            add(value.as_bytes().to_vec());
            if value.len() >= NEEDLE_BYTES_MIN {
                add(utf8_percent_encode(value, NON_ALPHANUMERIC).to_string().into_bytes());
                let encoded = utf8_percent_encode(value, RESERVED).to_string();
                add(encoded.clone().into_bytes());
                // The same with the small letters of some, and as members of JSON by those that escape more than must be.
                add(small(&encoded).into_bytes());
                add(value.replace('/', "\\/").into_bytes());
                add(escaped(value).into_bytes());
                add(STANDARD_NO_PAD.encode(value).into_bytes());
            }
        }
        if let (Auth::Basic { username_field, password_field }, Some(fields)) = (auth, fields)
            && let (Some(user), Some(password)) = (fields.get(username_field), fields.get(password_field))
        {
            let pair = Zeroizing::new(format!("{}:{}", user.expose(), password.expose()));
            add(STANDARD.encode(pair.as_bytes()).into_bytes());
        }
        Self(needles)
    }

    /// Whether bytes hold one.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|needle| needle.position(bytes, 0).is_some())
    }

    /// How many of the last bytes one could begin with.
    fn begun(&self, bytes: &[u8]) -> usize {
        self.0.iter().map(|needle| needle.begun(bytes)).max().unwrap_or_default()
    }

    /// Whether a compressed body may go on, of which all is here.
    ///
    /// # Errors
    /// Why it must not.
    pub(crate) fn look_into(key: &Arc<Ready>, coding: Coding, body: &[u8]) -> Result<(), Unfit> {
        opened::Opened::new(coding, key).look(body)
    }

    /// Drops headers that hold one, and says how many.
    pub(crate) fn drop_from(&self, headers: &mut HeaderMap) -> u64 {
        let holding = headers.iter().filter(|(_, value)| self.is_in(value.as_bytes()));
        let names: Vec<HeaderName> = holding.map(|(name, _)| name.clone()).collect();
        for name in &names {
            headers.remove(name);
        }
        names.len() as u64
    }

    /// Masks them in a body, and says how many there were.
    pub(crate) fn mask(&self, body: Bytes) -> (Bytes, u64) {
        if !self.is_in(&body) {
            return (body, 0);
        }
        let (mut bytes, mut found) = (BytesMut::from(&body[..]), 0);
        for needle in &self.0 {
            let mut from = 0;
            while let Some(at) = needle.position(&bytes, from) {
                from = at + needle.bytes.len();
                bytes[at..from].fill(b'*');
                found += 1;
            }
        }
        (bytes.freeze(), found)
    }
}

/// A percent-encoded text with small letters in its numbers.
fn small(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (number, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text + "%" + &number.to_ascii_lowercase() + rest
    })
}

/// A text in JSON as .NET and others that think of HTML write it.
fn escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut text, c| {
        match c {
            '+' | '&' | '<' | '>' | '\'' => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
        text
    })
}

impl Needle {
    /// How many of the last bytes it could begin with.
    fn begun(&self, bytes: &[u8]) -> usize {
        let end = &bytes[bytes.len().saturating_sub(self.bytes.len() - 1)..];
        let Some(first) = self.bytes.first() else { return 0 };
        let from = memchr::memchr_iter(*first, end).find(|at| self.bytes.starts_with(&end[*at..]));
        from.map_or(0, |from| end.len() - from)
    }

    /// Where it stands next.
    fn position(&self, bytes: &[u8], mut from: usize) -> Option<usize> {
        loop {
            let rest = bytes.get(from..).filter(|rest| rest.len() >= self.bytes.len())?;
            let at = from + self.pair.find_prefilter(rest)?;
            if bytes[at..].starts_with(&self.bytes) {
                return Some(at);
            }
            from = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use model::Secret;

    use super::*;

    const KEY: &str = "AKEY/12+34=se-cret";

    fn needles() -> Needles {
        let fields = Fields::from([
            ("api_key".to_owned(), Secret::new(KEY.to_owned())),
            ("short".to_owned(), Secret::new("abc".to_owned())),
        ]);
        Needles::of(Provider::custom(), &Auth::None {}, Some(&fields))
    }

    #[test]
    fn every_form_of_a_key_is_masked() {
        for form in [
            KEY,
            "AKEY%2F12%2B34%3Dse%2Dcret",
            "AKEY%2F12%2B34%3Dse-cret",
            "AKEY%2f12%2b34%3dse-cret",
            "AKEY\\/12+34=se-cret",
            "AKEY/12\\u002B34=se-cret",
            STANDARD.encode(KEY).as_str(),
        ] {
            let (masked, found) = needles().mask(Bytes::from(format!("<{form}> and <{form}>")));
            let text = String::from_utf8(masked.to_vec()).expect("text");
            assert_eq!((found, text.contains("cret"), text.contains("QUtFW")), (2, false, false), "{text}");
            assert_eq!(text.len(), 2 * form.len() + 9);
        }
        assert_eq!(needles().mask(Bytes::from_static(b"abc")), (Bytes::from_static(b"abc"), 0));
    }

    #[test]
    fn headers_with_a_key_are_dropped() {
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_str(&format!("https://a/?key={KEY}")).expect("a value"));
        headers.insert("x-ok", HeaderValue::from_static("fine"));
        assert_eq!(needles().drop_from(&mut headers), 1);
        assert_eq!(headers.len(), 1);
    }
}
