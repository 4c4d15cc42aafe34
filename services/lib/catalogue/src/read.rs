//! Reads one provider's file: TOML to type, then the checks that a type cannot make. An error has line and column.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::check::{Problem, Step, check};
use crate::{Error, Provider};

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// The most files that a directory may hold.
pub const FILES_MAX: usize = 500;

/// Reads one file's text. `file` is its name, for errors only.
pub fn parse(file: &str, text: &str) -> Result<Provider, Error> {
    let provider: Provider =
        toml::from_str(text).map_err(|error| wrong(file, text, error.span(), error.message()))?;
    match check(&provider) {
        Ok(()) => Ok(provider),
        Err(Problem { at, reason }) => Err(wrong(file, text, place(text, &at), &reason)),
    }
}

/// An error at a place in a file.
pub(crate) fn wrong(file: &str, text: &str, span: Option<Range<usize>>, reason: &str) -> Error {
    let start = span.map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Error::Wrong { file: file.to_owned(), line, column, reason: reason.trim().replace('\n', " ") }
}

/// The place in a text of what a path names, as deep as the text has it.
pub(crate) fn place(text: &str, path: &[Step]) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut span = None;
    let mut value: Option<&DeValue<'_>> = None;
    for step in path {
        let table = value.map_or(Some(root.get_ref()), DeValue::as_table);
        let next = match step {
            Step::Key(key) => table.and_then(|t| t.get(key.as_str())),
            Step::Index(index) => value.and_then(DeValue::as_array).and_then(|a| a.get(*index)),
        };
        let Some(next) = next else { break };
        span = Some(next.span());
        value = Some(next.get_ref());
    }
    span
}

#[cfg(test)]
mod tests;
