//! Rust files as the checks see them: code without comments and texts, the texts, and which parts are tests.
//!
//! A scanner, not a parser: it knows comments, string and character literals, attributes and braces. It never
//! looks at types or expands a macro.

mod scan;

use std::collections::BTreeSet;

use crate::tree::File;

pub use scan::Literal;

/// Crates that are tests from end to end.
const TEST_CRATES: &[&str] = &["tests/harness/", "tests/e2e/", "tests/tidy/"];

/// One Rust file.
#[derive(Clone, Debug)]
pub struct Rust {
    /// Below the repository's root.
    pub path: String,
    /// All of it.
    pub text: String,
    /// As long as `text`; comments and the insides of literals are blanks.
    pub code: String,
    /// As `code`; tests are blanks too.
    pub work: String,
    /// The string literals, in order.
    pub literals: Vec<Literal>,
}

impl Rust {
    /// Whether the byte is part of a test.
    pub fn is_test(&self, at: usize) -> bool {
        self.code.as_bytes().get(at) != self.work.as_bytes().get(at)
    }

    /// The string literals that are not in tests, with their places.
    pub fn work_literals(&self) -> impl Iterator<Item = &Literal> {
        self.literals.iter().filter(|literal| !self.is_test(literal.at))
    }
}

/// Reads the Rust files among `files`. A file is a test when a `#[cfg(test)] mod` of another one names it.
pub fn read(files: &[File]) -> Vec<Rust> {
    let mut tests = BTreeSet::new();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let (code, literals) = scan::split(&file.text);
        let (work, modules) = scan::without_tests(&code);
        tests.extend(modules.iter().map(|name| format!("{}{name}", children(&file.path))));
        all.push(Rust { path: file.path.clone(), text: file.text.clone(), code, work, literals });
    }
    for file in &mut all {
        if is_test_file(&file.path, &tests) {
            file.work = scan::blank(&file.code);
        }
    }
    all
}

fn is_test_file(path: &str, tests: &BTreeSet<String>) -> bool {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let named = |test: &String| {
        stem.strip_prefix(test.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    TEST_CRATES.iter().any(|folder| path.starts_with(folder)) || tests.iter().any(named)
}

/// The folder, with `/`, in which a file's modules lie.
fn children(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    match name {
        "lib.rs" | "main.rs" => format!("{folder}/"),
        _ => format!("{}/", path.strip_suffix(".rs").unwrap_or(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_for_tests_makes_its_file_and_what_is_below_a_test() {
        let files = [
            File::new("a/src/lib.rs", "mod work;\n#[cfg(test)]\nmod tests;\n"),
            File::new("a/src/tests.rs", "fn t() {}"),
            File::new("a/src/tests/more.rs", "fn t() {}"),
            File::new("a/src/testsuite.rs", "fn w() {}"),
            File::new("a/src/work.rs", "fn w() {}\n#[cfg(test)]\nmod tests;"),
            File::new("a/src/work/tests.rs", "fn t() {}"),
            File::new("tests/e2e/src/lib.rs", "fn t() {}"),
        ];
        let works: Vec<String> =
            read(&files).into_iter().filter(|file| file.work.contains("fn")).map(|file| file.path).collect();
        assert_eq!(works, ["a/src/testsuite.rs", "a/src/work.rs"]);
    }

    #[test]
    fn a_place_knows_whether_it_is_a_test() {
        let text = "const A: &str = \"one\";\n#[cfg(test)]\nmod tests { const B: &str = \"two\"; }";
        let file = read(&[File::new("a/src/a.rs", text)]).remove(0);
        let texts: Vec<&str> = file.work_literals().map(|literal| literal.text.as_str()).collect();
        assert_eq!((texts, file.literals.len()), (vec!["one"], 2));
    }
}
