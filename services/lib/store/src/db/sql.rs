//! The text of a statement. Texts that are put together at run time are made of fixed pieces and numbered
//! places only: a value can never become part of a text.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::Value;

/// The text of a statement.
#[derive(Clone)]
pub(crate) enum Sql {
    /// Written in the source; prepared once a connection.
    Fixed(&'static str),
    /// Put together by [`Statement`]; not kept prepared, because there are many.
    Built(Built),
    /// Put together alike again and again; prepared once a connection.
    Kept(Built),
}

/// A text that was put together.
#[derive(Clone)]
pub(crate) struct Built {
    /// With numbered places.
    numbered: String,
    /// With nameless places, where each value has one place and all are in order. SQLite takes `$1` for a name, and looks
    /// for it among all names: a statement of some thousand places would take a fraction of a second to prepare.
    nameless: Option<String>,
}

impl Built {
    fn without_names(self) -> Self {
        let Self { numbered, nameless } = self;
        Self { numbered: nameless.unwrap_or(numbered), nameless: None }
    }
}

impl Sql {
    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Fixed(_) | Self::Kept(_))
    }

    /// The same with nameless places where that is the same.
    pub(super) fn without_names(self) -> Self {
        match self {
            Self::Built(built) => Self::Built(built.without_names()),
            Self::Kept(built) => Self::Kept(built.without_names()),
            as_it_is @ Self::Fixed(_) => as_it_is,
        }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl SqlSafeStr for Sql {
    fn into_sql_str(self) -> SqlStr {
        match self {
            Self::Fixed(text) => text.into_sql_str(),
            // Safe: `Statement` takes fixed pieces only and numbers the places itself.
            Self::Built(built) | Self::Kept(built) => AssertSqlSafe(built.numbered).into_sql_str(),
        }
    }
}

/// A statement that is put together at run time, with its values.
pub(crate) struct Statement {
    text: Built,
    values: Vec<Value>,
    filtered: bool,
}

impl Statement {
    pub(crate) fn new(text: &'static str) -> Self {
        Self::with(text, &[])
    }

    /// A statement whose first pieces have their values already: `$1` to `$n`.
    pub(crate) fn with(text: &'static str, values: &[Value]) -> Self {
        let nameless = values.is_empty().then(|| text.to_owned());
        let text = Built { numbered: text.to_owned(), nameless };
        Self { text, values: values.to_vec(), filtered: false }
    }

    /// Adds a fixed piece.
    pub(crate) fn push(&mut self, piece: &'static str) -> &mut Self {
        self.text.numbered.push_str(piece);
        if let Some(nameless) = &mut self.text.nameless {
            nameless.push_str(piece);
        }
        self
    }

    /// Adds a numbered place and the value for it.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        write!(self.text.numbered, "${}", self.values.len()).expect("writing to a String cannot fail");
        if let Some(nameless) = &mut self.text.nameless {
            nameless.push('?');
        }
        self
    }

    /// Adds places in parentheses: `($1, $2)`.
    pub(crate) fn bind_all(&mut self, values: impl IntoIterator<Item = Value>) -> &mut Self {
        self.push("(");
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self.push(")")
    }

    /// Adds a condition: `piece` and a place, after `WHERE` the first time and `AND` then.
    pub(crate) fn filter(&mut self, piece: &'static str, value: impl Into<Value>) -> &mut Self {
        self.and().push(piece).bind(value)
    }

    /// The same when there is a value.
    pub(crate) fn filter_some(&mut self, piece: &'static str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.filter(piece, value);
        }
        self
    }

    /// Begins a condition.
    pub(crate) fn and(&mut self) -> &mut Self {
        let word = if self.filtered { " AND " } else { " WHERE " };
        self.filtered = true;
        self.push(word)
    }

    /// The text alone of `rows` times `columns` places, `(…), (…)`, between two pieces: prepared once a connection, so it must
    /// be one of few.
    pub(crate) fn rows(head: &'static str, rows: usize, columns: usize, tail: &'static str) -> Sql {
        let mut statement = Self::new(head);
        for row in 0..rows {
            statement.push(if row == 0 { "" } else { ", " });
            statement.bind_all((0..columns).map(|_| Value::Int(None)));
        }
        statement.push(tail);
        Sql::Kept(statement.text)
    }

    pub(crate) fn finish(self) -> (Sql, Vec<Value>) {
        (Sql::Built(self.text), self.values)
    }
}
