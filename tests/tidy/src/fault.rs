//! What a check found: where, and what is wrong there. Says nothing of why; the check's head does.

use std::fmt;

/// One thing that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// The line, from 1; 0 means the whole file.
    pub line: usize,
    /// What is wrong, and where it helps what to do instead.
    pub what: String,
}

impl Fault {
    /// A fault of a whole file.
    pub fn of(path: &str, what: impl Into<String>) -> Self {
        Self::at(path, 0, what)
    }

    /// A fault of one line.
    pub fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// The line, from 1, that a byte of a text is on.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// Panics with every fault, one a line, unless there is none.
#[track_caller]
pub fn none(mut faults: Vec<Fault>) {
    faults.sort();
    faults.dedup();
    let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} faults:\n{}", list.len(), list.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a.rs:2: is odd")]
    fn a_fault_is_said_with_its_place() {
        none(vec![Fault::at("a.rs", line_of("x\ny", 2), "is odd")]);
    }
}
