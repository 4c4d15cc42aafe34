//! Fields as JSON text and back, in buffers that are wiped.
//!
//! Written by hand, because `Secret` cannot be serialised and a general JSON library leaves copies of
//! unescaped text in memory. It reads what it writes: one object of text values, names in order, no white
//! space. Anything else is refused.

use model::Secret;
use model::secret::Fields;
use zeroize::Zeroizing;

/// The most that one credential may hold, in bytes of its JSON text.
pub const FIELDS_BYTES_MAX: usize = 64 * 1024;

/// The fields as one JSON object. `None`: longer than [`FIELDS_BYTES_MAX`].
pub(crate) fn write(fields: &Fields) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = fields.iter().fold(2, |sum: usize, (name, value)| {
        sum.saturating_add(escaped_len(name)).saturating_add(escaped_len(value.expose())).saturating_add(6)
    });
    if bytes > FIELDS_BYTES_MAX {
        return None;
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(bytes));
    out.push(b'{');
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        quote(&mut out, name);
        out.push(b':');
        quote(&mut out, value.expose());
    }
    out.push(b'}');
    Some(out)
}

/// The fields of a text that [`write`] made. `None`: it is none.
pub(crate) fn read(text: &[u8]) -> Option<Fields> {
    let mut rest = text.strip_prefix(b"{")?;
    let mut fields = Fields::new();
    while rest != b"}" {
        if !fields.is_empty() {
            rest = rest.strip_prefix(b",")?;
        }
        let (name, after) = unquote(rest)?;
        let (value, after) = unquote(after.strip_prefix(b":")?)?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let value = String::from(std::str::from_utf8(&value).ok()?);
        if fields.insert(name, Secret::new(value)).is_some() {
            return None;
        }
        rest = after;
    }
    Some(fields)
}

fn escaped_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}

fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0..0x20 => {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).map_or(b'0', |c| c as u8);
                out.extend([b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn unquote(text: &[u8]) -> Option<(Zeroizing<Vec<u8>>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut out = Zeroizing::new(Vec::with_capacity(rest.len()));
    loop {
        match rest {
            [b'"', after @ ..] => return Some((out, after)),
            [b'\\', byte @ (b'"' | b'\\'), after @ ..] => {
                out.push(*byte);
                rest = after;
            }
            [b'\\', b'u', b'0', b'0', high, low, after @ ..] => {
                let value = char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?;
                out.push(u8::try_from(value).ok().filter(|byte| *byte < 0x20)?);
                rest = after;
            }
            [b'\\', ..] | [0..0x20, ..] | [] => return None,
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn plain(fields: &Fields) -> BTreeMap<String, String> {
        fields.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    }

    proptest! {
        #[test]
        fn any_fields_come_back_and_are_json(given in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6)) {
            let fields = given.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
            let text = write(&fields).unwrap();
            prop_assert_eq!(&plain(&read(&text).unwrap()), &given);
            let json: BTreeMap<String, String> = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(json, given);
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&text);
        }
    }

    #[test]
    fn what_it_did_not_write_is_refused() {
        for bad in [
            "",
            "{",
            "[]",
            "{}x",
            "{\"a\"}",
            "{\"a\":1}",
            "{\"a\":\"b\"",
            "{\"a\":\"b\",}",
            "{,}",
            "{\"a\" :\"b\"}",
            "{\"a\":\"b\",\"a\":\"c\"}",
            "{\"a\":\"\\n\"}",
            "{\"a\":\"\\u0041\"}",
            "{\"a\":\"\\u00zz\"}",
            "{\"a\":\"\n\"}",
        ] {
            assert!(read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(read(b"{\"a\":\"\xff\"}").is_none());
        assert!(read(b"{\"\xff\":\"a\"}").is_none());
    }

    #[test]
    fn the_room_is_counted_before_anything_is_written() {
        let fields = |len: usize| Fields::from([("a".to_owned(), Secret::new("\n".repeat(len)))]);
        assert!(write(&fields(FIELDS_BYTES_MAX / 6)).is_none());
        let text = write(&fields(10_000)).unwrap();
        assert!(text.len() <= text.capacity() && text.len() < FIELDS_BYTES_MAX);
    }
}
