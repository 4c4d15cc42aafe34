//! How files of Rust are: a head, one thing each, no half-done work, no panics where work is done.
//!
//! What the compiler's own lints see (`missing_docs`, `unsafe_code`) is theirs. Code is looked at without comments
//! and texts; tests may unwrap and print.

use regex::Regex;

use crate::fault::{Fault, line_of};
use crate::rust::Rust;
use crate::tree::File;

/// The most lines of a file. About 120 is what is liked; beyond this it is two files.
const LINES_MAX: usize = 500;
/// Longer files, each with the reason why it is better whole.
pub const LONG: &[(&str, &str)] = &[];
/// Where programs speak to a terminal. There each place has an `#[expect]` with a reason.
const PRINTING: &[&str] = &["services/signalbox/", "services/lib/runtime/src/exit.rs", "tests/standins/"];
/// Commands whose figures go to standard output, as the head of each says once.
const MEASURING: &str = "tests/bench/";
/// The fewest words that say something.
const HEAD_WORDS_MIN: usize = 3;

/// Whether each file begins with a head of a sentence, is no `mod.rs`, and is not too long.
pub fn heads(files: &[Rust], long: &[(&str, &str)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files {
        if let Err(what) = head(&file.text) {
            faults.push(Fault::at(&file.path, 1, what));
        }
        if file.path.ends_with("/mod.rs") {
            faults.push(Fault::of(&file.path, "is named for its folder: `name.rs` beside `name/`"));
        }
        let lines = file.text.lines().count();
        match long.iter().find(|(path, _)| *path == file.path) {
            None if lines > LINES_MAX => {
                faults.push(Fault::of(&file.path, format!("has {lines} lines, over {LINES_MAX}")));
            }
            Some(_) if lines <= LINES_MAX => {
                faults.push(Fault::of(&file.path, "is listed as long, and is not"));
            }
            Some((_, "")) => {
                faults.push(Fault::of(&file.path, "is listed as long without a reason"));
            }
            _ => {}
        }
    }
    faults
}

/// Whether code is finished, refuses instead of panicking, and lets lints speak.
pub fn code(files: &[Rust]) -> Vec<Fault> {
    let rules = [
        (true, r"\.unwrap\s*\(\s*\)", "unwraps; `expect` says why it cannot fail, or it is an error"),
        (true, r"\b(?:todo|unimplemented)\s*!", "is not finished"),
        (false, r"#!?\s*\[\s*allow\s*\(", "allows a lint; `#[expect(…, reason)]` ends when the reason does"),
    ];
    let rules = rules.map(|(work_only, pattern, what)| (work_only, regex(pattern), what));
    let prints = regex(r"\be?print(?:ln)?\s*!");
    let mut faults = Vec::new();
    for file in files {
        for (work_only, pattern, what) in &rules {
            let text = if *work_only { &file.work } else { &file.code };
            faults.extend(
                pattern.find_iter(text).map(|hit| Fault::at(&file.path, line_of(text, hit.start()), *what)),
            );
        }
        let speaks = PRINTING.iter().any(|place| file.path.starts_with(place));
        let expected = file.code.contains("expect(clippy::print_std");
        if file.path.ends_with("/build.rs") || (speaks && expected) || file.path.starts_with(MEASURING) {
            continue;
        }
        faults.extend(prints.find_iter(&file.work).map(|hit| {
            Fault::at(
                &file.path,
                line_of(&file.work, hit.start()),
                "prints; log it, or let the program say it",
            )
        }));
    }
    faults
}

/// Whether no file puts work off: an issue, or do it.
pub fn put_off(files: &[File]) -> Vec<Fault> {
    let words = regex(concat!(r"\b(?:TO", "DO|FIX", "ME|XX", r"X)\b"));
    let hit = |file: &File| {
        let hits = words.find_iter(&file.text);
        let fault = |hit: regex::Match<'_>| {
            let what = format!("puts something off: `{}`", hit.as_str());
            Fault::at(&file.path, line_of(&file.text, hit.start()), what)
        };
        hits.map(fault).collect::<Vec<_>>()
    };
    files.iter().filter(|file| file.path != "Cargo.lock").flat_map(hit).collect()
}

fn head(text: &str) -> Result<(), &'static str> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    if paragraph.is_empty() {
        return Err("begins with `//!`: what it is, and what it never does");
    }
    let words = paragraph.split_whitespace().count();
    if words < HEAD_WORDS_MIN || !paragraph.contains(['.', ':', '?']) {
        return Err("its head is no sentence");
    }
    Ok(())
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of ours")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::{rust, tree};

    fn sample(path: &str, text: &str) -> Vec<Rust> {
        rust::read(&[File::new(path, text)])
    }

    #[test]
    fn every_file_has_a_head_and_one_subject() {
        none(heads(&rust::read(&tree::files()), LONG));
    }

    #[test]
    fn code_is_finished_and_does_not_panic() {
        none(code(&rust::read(&tree::files())));
    }

    #[test]
    fn nothing_is_put_off() {
        none(put_off(&tree::files()));
    }

    #[test]
    fn a_missing_head_is_found() {
        let count = |text: &str| heads(&sample("services/a/src/a.rs", text), &[]).len();
        assert_eq!(count("//! Counts what is used.\nfn f() {}"), 0);
        for text in [
            "",
            "fn f() {}",
            "//!\n//! Late.",
            "// Not a head at all.\n",
            "//! Under construction.",
            "//! Counts what is used",
        ] {
            assert_eq!(count(text), 1, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_or_wrongly_named_is_found() {
        let long = format!("//! Is long, as a sample.\n{}", "\n".repeat(LINES_MAX));
        let short = "//! Is short, as a sample.";
        let count = |text, list: &[(&str, &str)]| heads(&sample("services/a/src/a.rs", text), list).len();
        assert_eq!(count(&long, &[]), 1);
        assert_eq!(count(&long, &[("services/a/src/a.rs", "a table")]), 0);
        assert_eq!(count(&long, &[("services/a/src/a.rs", "")]), 1);
        assert_eq!(count(short, &[("services/a/src/a.rs", "a table")]), 1);
        assert_eq!(heads(&sample("services/a/src/b/mod.rs", short), &[]).len(), 1);
    }

    #[test]
    fn panics_and_leftovers_in_work_are_found_and_in_tests_are_not() {
        let count = |text: &str| code(&sample("services/a/src/a.rs", text)).len();
        let bodies = [
            "x.unwrap();",
            "x\n.unwrap ( );",
            "todo!()",
            "unimplemented!(\"x\")",
            "println!(\"x\")",
            "eprint!(\"x\")",
        ];
        for body in bodies {
            assert_eq!(count(&format!("fn f() {{ {body} }}")), 1, "{body}");
            assert_eq!(count(&format!("#[cfg(test)]\nmod tests {{ fn f() {{ {body} }} }}")), 0, "{body}");
            assert_eq!(count(&format!("/* {body} */")), 0, "{body}");
        }
        assert_eq!(count("x.unwrap_or(1); x.expect(\"why\"); a(\".unwrap()\")"), 0);
    }

    #[test]
    fn a_lint_that_is_allowed_is_found_everywhere() {
        for text in [
            "#[allow(dead_code)]",
            "#![allow(dead_code)]",
            "#[cfg(test)]\nmod tests { #[ allow (x)] fn f() {} }",
        ] {
            assert_eq!(code(&sample("services/a/src/a.rs", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn only_programs_print_and_they_say_why() {
        let why =
            "#[expect(clippy::print_stdout, reason = \"said to the terminal\")]\nfn f() { println!(\"x\") }";
        assert_eq!(code(&sample("services/signalbox/src/a.rs", why)).len(), 0);
        assert_eq!(code(&sample("services/signalbox/src/a.rs", "fn f() { println!(\"x\") }")).len(), 1);
        assert_eq!(code(&sample("services/meter/src/a.rs", why)).len(), 1);
        assert_eq!(code(&sample("services/meter/build.rs", "fn main() { println!(\"x\") }")).len(), 0);
    }

    #[test]
    fn work_that_is_put_off_is_found_in_any_file() {
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
            assert_eq!(
                put_off(&[File::new("deploy/x.yaml", &format!("a: 1\n# {word}: later"))]).len(),
                1,
                "{word}"
            );
            assert_eq!(put_off(&[File::new("deploy/x.yaml", &format!("/tmp/x.{word}X"))]).len(), 0, "{word}");
        }
    }
}
