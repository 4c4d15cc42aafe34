//! The headers of a kept answer, packed: their names in one list, and all values in one text.
//!
//! A table of headers takes four times as much, and each kept answer would have one that is looked into once or never.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Packed headers, in their order. They share no memory with what they were copied from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Names, and where in the text their values end.
    names: Box<[(HeaderName, u32)]>,
    text: Bytes,
}

impl Lines {
    /// Copies headers, without one.
    pub(super) fn without(headers: &HeaderMap, left_out: &HeaderName) -> Self {
        let wanted = || headers.iter().filter(|(name, _)| *name != left_out);
        let mut text = Vec::with_capacity(wanted().map(|(_, value)| value.len()).sum());
        let mut names = Vec::with_capacity(headers.len());
        for (name, value) in wanted() {
            text.extend_from_slice(value.as_bytes());
            // A head that was read is far smaller than that.
            let Ok(end) = u32::try_from(text.len()) else { break };
            names.push((name.clone(), end));
        }
        Self { names: names.into(), text: text.into() }
    }

    /// One after the other. Values share the text.
    fn iter(&self) -> impl Iterator<Item = (&HeaderName, HeaderValue)> {
        let mut from = 0;
        self.names.iter().filter_map(move |(name, end)| {
            let end = *end as usize;
            let value = self.text.slice(std::mem::replace(&mut from, end)..end);
            // They were values before: none is left out.
            Some((name, HeaderValue::from_maybe_shared(value).ok()?))
        })
    }

    /// The first of a name.
    pub(crate) fn get(&self, name: &HeaderName) -> Option<HeaderValue> {
        let place = self.names.iter().position(|(known, _)| known == name)?;
        self.iter().nth(place).map(|(_, value)| value)
    }

    /// A table of them, with room for some more.
    pub(crate) fn table(&self, more: usize) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.names.len() + more);
        for (name, value) in self.iter() {
            headers.append(name, value);
        }
        headers
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Bytes of their texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len() + self.names.iter().map(|(name, _)| name.as_str().len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AGE, VIA};

    use super::*;

    #[test]
    fn what_was_packed_is_there_again_and_shares_nothing_with_what_was_read() {
        let read = Bytes::from(vec![b'x'; 64 * 1024]);
        let value = |from: usize, to| HeaderValue::from_maybe_shared(read.slice(from..to)).expect("text");
        let mut headers = HeaderMap::new();
        headers.insert("x-a", value(10, 20));
        headers.append("x-a", value(30, 35));
        headers.insert(AGE, value(0, 1));
        headers.insert(VIA, value(0, 0));
        let packed = Lines::without(&headers, &AGE);
        headers.remove(AGE);
        assert_eq!((packed.table(3), packed.len()), (headers.clone(), 3));
        let of = |name: &HeaderName| packed.get(name).map(|value| value.len());
        assert_eq!([of(&HeaderName::from_static("x-a")), of(&VIA), of(&AGE)], [Some(10), Some(0), None]);
        drop(headers);
        assert!(read.try_into_mut().is_ok(), "nobody else holds it");
    }
}
