//! What a kept answer is an answer to: where the call went, path and query, the headers that matter, and the caller where
//! each has answers of its own. The method is always GET; HEAD asks for a part of the same.
//!
//! No secret of ours is in it. Each part is written with its length, so that no two calls that differ in one have the
//! same key (T16). Who may have the answer is not said here but checked at every look-up, against the integration.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

/// Which door a call came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door<'a> {
    /// Through this route.
    Route(&'a str),
    /// To this integration.
    Integration(&'a str),
}

/// What a kept answer is an answer to. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    text: Bytes,
    /// Where its path begins and ends, and where its query ends, if it has one.
    path: (u32, u32),
    query_end: Option<u32>,
}

/// Bytes before each part.
const PREFIX: usize = 4;
/// Stands for the end of the values of one header; no value is that long.
const END: [u8; PREFIX] = u32::MAX.to_le_bytes();

impl Key {
    /// What a call asks for; of `caller` alone, where one is named.
    pub(crate) fn new(
        door: Door<'_>,
        caller: Option<&str>,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        apart_by: &[HeaderName],
    ) -> Self {
        let (kind, id) = match door {
            Door::Route(id) => (b'r', id),
            Door::Integration(id) => (b'p', id),
        };
        let values = || apart_by.iter().flat_map(|name| headers.get_all(name));
        let varying: usize = values().map(|value| value.len() + PREFIX).sum();
        let optional: usize = caller.iter().chain(&query).map(|part| part.len() + PREFIX).sum();
        let fixed = 2 + id.len() + path.len() + 2 * PREFIX;
        // Exact, unless escapes go away: then nothing is moved to make it fit.
        let mut text = Vec::with_capacity(fixed + optional + varying + apart_by.len() * PREFIX);
        text.extend([kind, u8::from(query.is_some()) + 2 * u8::from(caller.is_some())]);
        put(&mut text, id.as_bytes());
        if let Some(caller) = caller {
            put(&mut text, caller.as_bytes());
        }
        let path = put_normal(&mut text, path);
        let query_end = query.map(|query| put_normal(&mut text, query).1);
        for name in apart_by {
            for value in headers.get_all(name) {
                put(&mut text, value.as_bytes());
            }
            text.extend(END);
        }
        text.shrink_to_fit();
        Self { text: text.into(), path, query_end }
    }

    /// The path.
    pub(crate) fn path(&self) -> &str {
        self.part(self.path.0, self.path.1)
    }

    /// The query, if there is one.
    pub(crate) fn query(&self) -> Option<&str> {
        let prefix = u32::try_from(PREFIX).expect("4");
        self.query_end.map(|end| self.part(self.path.1 + prefix, end))
    }

    /// Its size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    fn part(&self, from: u32, to: u32) -> &str {
        std::str::from_utf8(&self.text[from as usize..to as usize]).unwrap_or_default()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// A path as it stands in a key.
pub(super) fn normal(path: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(PREFIX + path.len());
    put_normal(&mut text, path);
    text
}

fn put(text: &mut Vec<u8>, part: &[u8]) {
    // A head is far below 4 GiB.
    text.extend(u32::try_from(part.len()).unwrap_or(u32::MAX - 1).to_le_bytes());
    text.extend_from_slice(part);
}

/// Puts a path or a query as RFC 3986 (6.2.2) has it: escapes of unreserved characters undone, the others in upper
/// case. The order of parameters stays: it may mean something.
fn put_normal(text: &mut Vec<u8>, part: &str) -> (u32, u32) {
    let at = text.len();
    text.extend([0; PREFIX]);
    let mut rest = part.as_bytes();
    while let Some(next) = rest.iter().position(|byte| *byte == b'%') {
        text.extend_from_slice(&rest[..next]);
        rest = &rest[next..];
        let digit = |at: usize| rest.get(at).and_then(|c| char::from(*c).to_digit(16));
        let (Some(high), Some(low)) = (digit(1), digit(2)) else {
            text.push(b'%');
            rest = &rest[1..];
            continue;
        };
        let byte = u8::try_from(high * 16 + low).expect("two digits");
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte);
        } else {
            text.push(b'%');
            text.extend(rest[1..3].iter().map(u8::to_ascii_uppercase));
        }
        rest = &rest[3..];
    }
    text.extend_from_slice(rest);
    let from = at + PREFIX;
    let len = u32::try_from(text.len() - from).unwrap_or(u32::MAX - 1);
    text[at..from].copy_from_slice(&len.to_le_bytes());
    let from = u32::try_from(from).unwrap_or(u32::MAX - 1);
    (from, from.saturating_add(len))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{ACCEPT, ACCEPT_ENCODING};
    use rand::Rng;

    use super::*;

    const APART_BY: [HeaderName; 2] = [ACCEPT, ACCEPT_ENCODING];

    fn key(door: Door<'_>, path: &str, query: Option<&str>) -> Key {
        Key::new(door, None, path, query, &HeaderMap::new(), &APART_BY)
    }

    #[test]
    fn equal_addresses_have_equal_keys() {
        let r = Door::Route("quotes");
        assert_eq!(key(r, "/%41%7e", Some("a=%2f")), key(r, "/A~", Some("a=%2F")));
        assert_ne!(key(r, "/a%2Fb", None), key(r, "/a/b", None));
        assert_ne!(key(r, "/a", Some("")), key(r, "/a", None));
        assert_ne!(key(r, "/a", Some("x&y")), key(r, "/a", Some("y&x")));
        assert_eq!(key(r, "/%zz%", None).path(), "/%zz%");
        let found = key(r, "/q%41", Some("s=%49BM"));
        assert_eq!((found.path(), found.query()), ("/qA", Some("s=IBM")));
        let own = Key::new(r, Some("user:ada"), "/q", Some("s=IBM"), &HeaderMap::new(), &APART_BY);
        assert_eq!((own.path(), own.query()), ("/q", Some("s=IBM")));
        assert_ne!(own, key(r, "/q", Some("s=IBM")));
    }

    /// Calls that differ in one part only never share a key: 100,000 pairs, from few letters so that parts often run
    /// into each other.
    #[test]
    fn calls_that_differ_in_one_part_have_different_keys() {
        let mut rng = rand::rng();
        let letters = ["", "a", "b", "ab", "ba", "a/b", "?", "a?b", "GET", "\0", "r", "p", ",", "a,b", "/"];
        for _ in 0..100_000 {
            let mut parts: Vec<&str> = (0..7).map(|_| letters[rng.random_range(0..letters.len())]).collect();
            let one = of(&parts);
            let changed = rng.random_range(0..7);
            let before = parts[changed];
            parts[changed] = letters[rng.random_range(0..letters.len())];
            let seen = |part: &str| match (changed, part) {
                (0, part) => part == "p",
                (_, _) => false,
            };
            let differs = match changed {
                0 => seen(before) != seen(parts[changed]),
                _ => before != parts[changed],
            };
            assert_eq!(one != of(&parts), differs, "{changed}: {before:?} {parts:?}");
        }
    }

    /// Door, id, caller (`?` for none), path, query (`?` for none), `accept` and `accept-encoding` (`?` for none).
    fn of(parts: &[&str]) -> Key {
        let door = if parts[0] == "p" { Door::Integration(parts[1]) } else { Door::Route(parts[1]) };
        let caller = Some(parts[2]).filter(|caller| *caller != "?");
        let mut headers = HeaderMap::new();
        for (name, value) in APART_BY.into_iter().zip(&parts[5..]) {
            match *value {
                "?" => {}
                // Twice the same is not once.
                "\0" => {
                    headers.append(name.clone(), HeaderValue::from_static("a"));
                    headers.append(name, HeaderValue::from_static("a"));
                }
                value => drop(headers.append(name, HeaderValue::from_str(value).expect("text"))),
            }
        }
        let query = Some(parts[4]).filter(|query| *query != "?");
        Key::new(door, caller, parts[3], query, &headers, &APART_BY)
    }
}
