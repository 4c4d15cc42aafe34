//! Places in an answer: JSON pointers that may say how a name begins or ends, and what was sent.

use std::borrow::Cow;

use super::json::Node;
use crate::provider::placeholders;

/// What stands between the alternatives of a field.
const OR: &str = " | ";
/// The name under which a row stands.
const KEY: &str = "@key";

/// One alternative of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source<'m> {
    /// A place in the answer or row.
    Place(&'m str),
    /// The name under which a row stands.
    Key,
    /// A parameter, as it was asked.
    Asked(&'m str),
    /// Itself.
    Constant(&'m str),
}

/// A list or object whose elements are at hand, so that several of them can be looked up.
pub(super) enum Open<'a> {
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    Scalar,
}

/// The alternatives of a field, in order.
pub(super) fn sources(field: &str) -> impl Iterator<Item = Source<'_>> {
    field.split(OR).map(|text| match text.trim() {
        KEY => Source::Key,
        text if text.starts_with('/') => Source::Place(text),
        text => match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => Source::Asked(name),
            None => Source::Constant(text),
        },
    })
}

/// The names of parameters that a place holds.
pub(super) fn parameters(place: &str) -> impl Iterator<Item = &str> {
    placeholders(place)
}

/// What is at a place.
pub(super) fn find<'a>(
    root: Node<'a>,
    place: &str,
    sent: &dyn Fn(&str) -> Option<String>,
) -> Option<Node<'a>> {
    let Some(place) = place.strip_prefix('/') else { return Some(root) };
    find_in(&Open::of(root), place, sent)
}

/// What is at a place below something open; `place` is without its first `/`.
pub(super) fn find_in<'a>(
    open: &Open<'a>,
    place: &str,
    sent: &dyn Fn(&str) -> Option<String>,
) -> Option<Node<'a>> {
    let (first, rest) = place.split_once('/').map_or((place, None), |(first, rest)| (first, Some(rest)));
    let at = open.step(&filled(first, sent)?)?;
    match rest {
        None => Some(at),
        Some(rest) => find_in(&Open::of(at), rest, sent),
    }
}

/// A segment with its escapes undone and what was sent put in.
fn filled<'m>(segment: &'m str, sent: &dyn Fn(&str) -> Option<String>) -> Option<Cow<'m, str>> {
    if !segment.contains(['~', '{']) {
        return Some(Cow::Borrowed(segment));
    }
    let mut text = segment.replace("~1", "/").replace("~0", "~");
    for name in parameters(segment) {
        text = text.replace(&format!("{{{name}}}"), &sent(name)?);
    }
    Some(Cow::Owned(text))
}

impl<'a> Open<'a> {
    pub(super) fn of(node: Node<'a>) -> Self {
        let list = || node.elements().map(Self::List);
        node.members().map(Self::Object).or_else(list).unwrap_or(Self::Scalar)
    }

    fn step(&self, segment: &str) -> Option<Node<'a>> {
        match self {
            Self::Scalar => None,
            Self::List(elements) if segment == "*" => {
                elements.iter().copied().find(|node| node.is_container())
            }
            Self::List(elements) => elements.get(segment.parse::<usize>().ok()?).copied(),
            Self::Object(members) => {
                let fits = |(name, node): &&(Cow<'a, str>, Node<'a>)| match segment.split_once('*') {
                    None => name == segment,
                    Some(("", "")) => node.is_container(),
                    Some((begin, end)) => {
                        name.len() >= begin.len() + end.len()
                            && name.starts_with(begin)
                            && name.ends_with(end)
                    }
                };
                members.iter().find(fits).map(|(_, node)| *node)
            }
        }
    }
}
