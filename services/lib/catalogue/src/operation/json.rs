//! JSON level by level: a value is looked into only where it is asked for, and its numbers stay as they are written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value in an answer, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a>(&'a RawValue);

/// A name or text, borrowed where nothing is escaped in it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object, in order.
struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Node<'a> {
    /// The whole of an answer; nothing when it is not JSON in UTF-8.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        serde_json::from_str::<&RawValue>(text).ok().map(Self)
    }

    /// The value as it is written: a part of what was read.
    pub fn raw(self) -> &'a str {
        self.0.get()
    }

    /// The members of an object, in order; nothing when it is none.
    pub fn members(self) -> Option<Vec<(Cow<'a, str>, Self)>> {
        if !self.0.get().starts_with('{') {
            return None;
        }
        serde_json::from_str::<Members<'a>>(self.0.get()).ok().map(|members| members.0)
    }

    /// The elements of a list; nothing when it is none.
    pub fn elements(self) -> Option<Vec<Self>> {
        if !self.0.get().starts_with('[') {
            return None;
        }
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.0.get()).ok()?;
        Some(elements.into_iter().map(Node).collect())
    }

    /// Whether it is a list or an object.
    pub fn is_container(self) -> bool {
        self.0.get().starts_with(['[', '{'])
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0.get() == "null"
    }

    /// A text's content; a number, `true`, `false` and `null` as they are written; nothing for lists and objects.
    pub fn scalar(self) -> Option<Cow<'a, str>> {
        let raw = self.0.get();
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str::<Text<'a>>(raw).ok().map(|text| text.0),
            b'[' | b'{' => None,
            _ => Some(Cow::Borrowed(raw)),
        }
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
                    members.push((name.0, Node(value)));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Reader)
    }
}
