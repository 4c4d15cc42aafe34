//! The rows of an answer and the fields of each: candles and observations, in whatever layout.

use std::borrow::Cow;

use super::json::Node;
use super::place::{Open, Source, find, find_in, sources};
use crate::Reading;

/// The most rows that are read.
pub const ROWS_MAX: usize = 100_000;

/// What fields are looked up with: what was sent, what was asked.
pub(super) struct Words<'w> {
    pub(super) sent: &'w dyn Fn(&str) -> Option<String>,
    pub(super) asked: &'w dyn Fn(&str) -> Option<String>,
}

/// One row.
pub(super) enum Row<'a, 'c> {
    /// A list or object, and the name under which it stands.
    Whole { key: Option<Cow<'a, str>>, open: Open<'a> },
    /// The same place of several lists.
    Across { columns: &'c [(String, Vec<Node<'a>>)], at: usize },
}

/// Where rows are.
pub(super) enum Rows<'a> {
    Whole(Vec<(Option<Cow<'a, str>>, Node<'a>)>),
    /// By the place of each field.
    Columns(Vec<(String, Vec<Node<'a>>)>),
}

impl<'a> Rows<'a> {
    /// The rows of an answer: none where the place holds `null`; nothing when it is not there, or too long.
    pub(super) fn find(root: Node<'a>, reading: &Reading, words: &Words<'_>) -> Option<Self> {
        let place = reading.rows.as_deref().unwrap_or_default();
        let at = find(root, place, words.sent)?;
        if at.is_null() {
            return Some(Self::Whole(Vec::new()));
        }
        let rows = if reading.columns {
            let lists = fields(reading).into_iter().flatten().flat_map(sources);
            let mut columns = Vec::new();
            for source in lists {
                if let Source::Place(place) = source
                    && let Some(list) = find(at, place, words.sent).and_then(Node::elements)
                {
                    columns.push((place.to_owned(), list));
                }
            }
            Self::Columns(columns)
        } else {
            match Open::of(at) {
                Open::List(rows) => Self::Whole(rows.into_iter().map(|row| (None, row)).collect()),
                Open::Object(rows) => {
                    Self::Whole(rows.into_iter().map(|(key, row)| (Some(key), row)).collect())
                }
                Open::Scalar => return None,
            }
        };
        (rows.len() <= ROWS_MAX).then_some(rows)
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(rows) => rows.len(),
            Self::Columns(columns) => columns.iter().map(|(_, list)| list.len()).max().unwrap_or(0),
        }
    }

    /// Each row, in the answer's order.
    pub(super) fn each(&self) -> impl Iterator<Item = Row<'a, '_>> {
        (0..self.len()).map(move |at| match self {
            Self::Whole(rows) => Row::Whole { key: rows[at].0.clone(), open: Open::of(rows[at].1) },
            Self::Columns(columns) => Row::Across { columns, at },
        })
    }
}

impl<'a> Row<'a, '_> {
    /// A field's text: the first alternative that is there and not one of those that stand for a missing value.
    pub(super) fn text(&self, field: &str, missing: &[String], words: &Words<'_>) -> Option<Cow<'a, str>> {
        sources(field).find_map(|source| {
            let text = match source {
                Source::Place(place) => self.place(place, words)?,
                Source::Key => match self {
                    Self::Whole { key, .. } => key.clone()?,
                    Self::Across { .. } => return None,
                },
                Source::Asked(name) => Cow::Owned((words.asked)(name)?),
                Source::Constant(text) => Cow::Owned(text.to_owned()),
            };
            (!missing.iter().any(|word| *word == text)).then_some(text)
        })
    }

    fn place(&self, place: &str, words: &Words<'_>) -> Option<Cow<'a, str>> {
        let node = match self {
            Self::Whole { open, .. } => find_in(open, place.strip_prefix('/')?, words.sent)?,
            Self::Across { columns, at } => {
                let (_, list) = columns.iter().find(|(name, _)| name == place)?;
                *list.get(*at)?
            }
        };
        if node.is_null() { None } else { node.scalar() }
    }
}

/// The fields of rows.
pub(super) fn fields(reading: &Reading) -> [Option<&str>; 8] {
    let Reading { start, open, high, low, close, volume, date, value, .. } = reading;
    [start, open, high, low, close, volume, date, value].map(Option::as_deref)
}
