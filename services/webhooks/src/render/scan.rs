//! Looks a template over before it is parsed, because the parser itself can be made to abort the process. Pure.
//!
//! It counts what opens a block or a bracket anywhere in the text, whether or not it would be one, so that no quoting
//! can hide anything from it. The deepest nesting can then not be deeper than the count.

use std::sync::LazyLock;

use regex::Regex;

/// Bytes of a template, its partials included.
pub(crate) const SOURCE_BYTES_MAX: usize = 64 * 1024;
/// Openings of blocks in one template, and so the deepest nesting.
pub(crate) const BLOCKS_MAX: usize = 200;
/// Openings of square brackets in one template.
pub(crate) const BRACKETS_MAX: usize = 500;

static BLOCK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{%-?\s*(?:if|unless|for|case|capture|comment|raw)\b").expect("a constant pattern is valid")
});

/// Why a template is not even parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many bytes.
    #[error("the template is longer than {SOURCE_BYTES_MAX} bytes, its partials included")]
    Long,
    /// Too many blocks.
    #[error("the template has more than {BLOCKS_MAX} blocks")]
    Blocks,
    /// Too many brackets.
    #[error("the template has more than {BRACKETS_MAX} brackets")]
    Brackets,
}

/// Looks a template and its partials over.
pub(crate) fn scan<'a>(sources: impl Iterator<Item = &'a str>) -> Result<(), Refused> {
    let mut bytes = 0;
    for source in sources {
        bytes += source.len();
        if bytes > SOURCE_BYTES_MAX {
            return Err(Refused::Long);
        }
        if BLOCK.find_iter(source).count() > BLOCKS_MAX {
            return Err(Refused::Blocks);
        }
        if source.bytes().filter(|c| *c == b'[').count() > BRACKETS_MAX {
            return Err(Refused::Brackets);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: Result<(), Refused>) {
        assert_eq!(scan([source].into_iter()), expected);
    }

    #[test]
    fn what_could_overflow_the_stack_is_refused_unread() {
        check(&"x".repeat(SOURCE_BYTES_MAX), Ok(()));
        check(&"x".repeat(SOURCE_BYTES_MAX + 1), Err(Refused::Long));
        check(&"{% if a %}".repeat(5_000), Err(Refused::Blocks));
        check(&"{%-  for a in b %}{{ 'x' }}".repeat(201), Err(Refused::Blocks));
        check(&"[".repeat(501), Err(Refused::Brackets));
        assert_eq!(
            scan(["x".repeat(40_000).as_str(), "y".repeat(40_000).as_str()].into_iter()),
            Err(Refused::Long)
        );
    }
}
