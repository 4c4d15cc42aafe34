//! The answer: takes the answer for several symbols apart, so that each caller sees what a single call would have said.
//! Pure.
//!
//! Parts are copied as they are written: no number passes through a float, no text is written anew. A symbol that is not
//! there, or is there twice, has no part; nor has any when the answer is not what the form says.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use model::merge::{Form, Single};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The parts of an answer.
pub(crate) struct Parts<'a> {
    text: &'a str,
    /// Where in the text the list or object of the parts is.
    place: Range<usize>,
    single: Single,
    /// Whether it is an object.
    named: bool,
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    symbol: Cow<'a, str>,
    raw: &'a str,
}

/// The members of an object, in order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name or text, borrowed where nothing is escaped in it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Parts<'a> {
    /// Reads an answer; nothing when it is not what the form says.
    pub(crate) fn read(form: &Form, body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut at: &RawValue = serde_json::from_str(text).ok()?;
        for step in form.at.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            at = members(at.get())?.into_iter().find(|(name, _)| *name == step)?.1;
        }
        let raw = at.get();
        let parts: Vec<Part<'a>> = match &form.symbol {
            None => {
                let named = |(symbol, part): (Cow<'a, str>, &'a RawValue)| Part { symbol, raw: part.get() };
                members(raw)?.into_iter().map(named).collect()
            }
            Some(field) => {
                let elements: Vec<&'a RawValue> = serde_json::from_str(raw).ok()?;
                let part = |element: &'a RawValue| {
                    let found = members(element.get())?.into_iter().find(|(name, _)| name == field)?;
                    Some(Part { symbol: scalar(found.1)?, raw: element.get() })
                };
                elements.into_iter().filter_map(part).collect()
            }
        };
        // It is a part of the text, so that their addresses say where.
        let start = raw.as_ptr().addr() - text.as_ptr().addr();
        let place = start..start + raw.len();
        Some(Self { text, place, single: form.single, named: form.symbol.is_none(), parts })
    }

    /// The answer to a single call for a symbol; nothing when this one does not say.
    pub(crate) fn of(&self, symbol: &str) -> Option<Bytes> {
        let part = self.find(symbol)?;
        let raw = part.raw;
        Some(match self.single {
            Single::Part => Bytes::copy_from_slice(raw.as_bytes()),
            Single::List => ["[", raw, "]"].concat().into(),
            Single::Same => {
                let (before, after) = (&self.text[..self.place.start], &self.text[self.place.end..]);
                if !self.named {
                    return Some([before, "[", raw, "]", after].concat().into());
                }
                let name = serde_json::to_string(&part.symbol).ok()?;
                [before, "{", &name, ":", raw, "}", after].concat().into()
            }
        })
    }

    /// The one part of a symbol: as it is written, else whatever the case.
    fn find(&self, symbol: &str) -> Option<&Part<'a>> {
        let exact = self.one(|known| known == symbol);
        let found = exact.or_else(|()| self.one(|known| known.eq_ignore_ascii_case(symbol)));
        found.ok().flatten().filter(|part| part.raw != "null")
    }

    /// The part whose symbol fits. An error where none does; nothing where several do.
    fn one(&self, fits: impl Fn(&str) -> bool) -> Result<Option<&Part<'a>>, ()> {
        let mut fitting = self.parts.iter().filter(|part| fits(&part.symbol));
        let first = fitting.next().ok_or(())?;
        Ok(fitting.next().is_none().then_some(first))
    }
}

fn members(raw: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    if !raw.starts_with('{') {
        return None;
    }
    serde_json::from_str::<Members<'_>>(raw).ok().map(|members| members.0)
}

/// A text's content, or a number as it is written.
fn scalar(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(raw).ok().map(|text| text.0),
        b'0'..=b'9' => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((name.0, value));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests;
