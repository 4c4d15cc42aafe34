//! Finds the key of a call in what its provider sends back, so that it does not reach the caller (T10).
//!
//! Pure. Looks for every secret field as it is, percent-encoded and in base64, and for the pair of basic authentication.
//! Headers that hold one are dropped; bodies that are held whole are masked byte for byte, so that lengths stay.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::{Bytes, BytesMut};
use catalogue::Provider;
use http::HeaderMap;
use http::header::HeaderName;
use model::auth::Auth;
use model::secret::Fields;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

/// Shorter values are no secrets, and stand in answers by chance. In bytes.
const NEEDLE_BYTES_MIN: usize = 8;

/// What must not come back. Wiped when dropped.
pub(crate) struct Needles {
    all: Vec<Zeroizing<Vec<u8>>>,
    /// The bytes that they begin with, and how long the shortest is: most of what comes back is shorter.
    firsts: Vec<u8>,
    shortest: usize,
}

impl Needles {
    /// All forms of the secrets of a key.
    pub(crate) fn of(provider: &Provider, auth: &Auth, fields: Option<&Fields>) -> Self {
        let mut needles: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        let mut add = |bytes: Vec<u8>| {
            let bytes = Zeroizing::new(bytes);
            if bytes.len() >= NEEDLE_BYTES_MIN && !needles.contains(&bytes) {
                needles.push(bytes);
            }
        };
        let secret = |name: &str| provider.field(name).is_none_or(|field| field.secret);
        for (_, value) in fields.into_iter().flatten().filter(|(name, _)| secret(name)) {
            let value = value.expose();
            add(value.as_bytes().to_vec());
            if value.len() >= NEEDLE_BYTES_MIN {
                add(utf8_percent_encode(value, NON_ALPHANUMERIC).to_string().into_bytes());
                add(STANDARD_NO_PAD.encode(value).into_bytes());
            }
        }
        if let (Auth::Basic { username_field, password_field }, Some(fields)) = (auth, fields)
            && let (Some(user), Some(password)) = (fields.get(username_field), fields.get(password_field))
        {
            let pair = Zeroizing::new(format!("{}:{}", user.expose(), password.expose()));
            add(STANDARD.encode(pair.as_bytes()).into_bytes());
        }
        let mut firsts: Vec<u8> = needles.iter().filter_map(|needle| needle.first().copied()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        let shortest = needles.iter().map(|needle| needle.len()).min().unwrap_or(usize::MAX);
        Self { all: needles, firsts, shortest }
    }

    /// Whether bytes hold one.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let mut from = 0;
        while let Some(skip) = bytes.get(from..).and_then(|rest| self.first(rest)) {
            let at = from + skip;
            if self.all.iter().any(|needle| bytes[at..].starts_with(needle)) {
                return true;
            }
            from = at + 1;
        }
        false
    }

    /// Where one could begin.
    fn first(&self, bytes: &[u8]) -> Option<usize> {
        if bytes.len() < self.shortest {
            return None;
        }
        match *self.firsts {
            [one] => memchr::memchr(one, bytes),
            [one, two] => memchr::memchr2(one, two, bytes),
            [one, two, three] => memchr::memchr3(one, two, three, bytes),
            _ => bytes.iter().position(|byte| self.firsts.contains(byte)),
        }
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
        for needle in &self.all {
            while let Some(at) = position(&bytes, needle) {
                bytes[at..at + needle.len()].fill(b'*');
                found += 1;
            }
        }
        (bytes.freeze(), found)
    }
}

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(skip) = memchr::memchr(first, bytes.get(from..)?) {
        let at = from + skip;
        if bytes[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use model::Secret;

    use super::*;

    const KEY: &str = "AKEY/12+34=secret";

    fn needles() -> Needles {
        let fields = Fields::from([
            ("api_key".to_owned(), Secret::new(KEY.to_owned())),
            ("short".to_owned(), Secret::new("abc".to_owned())),
        ]);
        Needles::of(Provider::custom(), &Auth::None {}, Some(&fields))
    }

    #[test]
    fn every_form_of_a_key_is_masked() {
        for form in [KEY, "AKEY%2F12%2B34%3Dsecret", STANDARD.encode(KEY).as_str()] {
            let (masked, found) = needles().mask(Bytes::from(format!("<{form}> and <{form}>")));
            let text = String::from_utf8(masked.to_vec()).expect("text");
            assert_eq!((found, text.contains("secret"), text.contains("QUtFW")), (2, false, false), "{text}");
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
