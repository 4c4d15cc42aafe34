//! The answer: takes the answer for several symbols apart, so that each caller sees what a single call would have said.
//! Pure.
//!
//! Parts are copied as they are written: no number passes through a float, no text is written anew. A symbol that is not
//! there, or is there twice, has no part; nor has any when the answer is not what the form says.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use catalogue::operation::Node;
use model::merge::{Form, Single};

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

impl<'a> Parts<'a> {
    /// Reads an answer; nothing when it is not what the form says.
    pub(crate) fn read(form: &Form, body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut at = Node::read(body)?;
        for step in form.at.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            at = at.members()?.into_iter().find(|(name, _)| *name == step)?.1;
        }
        let raw = at.raw();
        let parts: Vec<Part<'a>> = match &form.symbol {
            None => {
                let named = |(symbol, part): (Cow<'a, str>, Node<'a>)| Part { symbol, raw: part.raw() };
                at.members()?.into_iter().map(named).collect()
            }
            Some(field) => {
                let part = |element: Node<'a>| {
                    let found = element.members()?.into_iter().find(|(name, _)| name == field)?;
                    Some(Part { symbol: symbol(found.1)?, raw: element.raw() })
                };
                at.elements()?.into_iter().filter_map(part).collect()
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

/// A text's content, or a number as it is written.
fn symbol(node: Node<'_>) -> Option<Cow<'_, str>> {
    node.scalar().filter(|_| node.raw().starts_with(|c: char| c == '"' || c.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
