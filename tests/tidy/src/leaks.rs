//! What must be in no file: paths of somebody's machine, private keys, tokens of ours.
//!
//! A private key may be a test's fixture; a token may not, because scanners that look for ours could not tell.

use regex::Regex;

use crate::fault::{Fault, line_of};
use crate::rust::Rust;
use crate::tree::File;

/// Everything that leaks, in all files. `sources` are the Rust files among them, which know their tests.
pub fn check(files: &[File], sources: &[Rust]) -> Vec<Fault> {
    let paths = regex(concat!(
        r"(?m)(?:^|[^\w./$}-])(?:/wo",
        r"rk/|\.\./sha",
        r"red\b|/ho",
        r"me/[a-z]+/|/ro",
        r"ot/)"
    ));
    let tokens = regex(concat!("sb", r"t_[a-z0-9-]+_[A-Za-z0-9_-]{43,}"));
    let keys = regex(concat!("BEG", r"IN (?:[A-Z0-9]+ )*PRIV", "ATE KEY"));
    let mut faults = Vec::new();
    for file in files {
        let source = sources.iter().find(|source| source.path == file.path);
        let mut find = |pattern: &Regex, what: &str, in_tests: bool| {
            for hit in pattern.find_iter(&file.text) {
                if in_tests && is_fixture(file, source, hit.start()) {
                    continue;
                }
                faults.push(Fault::at(&file.path, line_of(&file.text, hit.start()), what));
            }
        };
        find(&paths, "names a path of one machine", false);
        find(&tokens, "holds a token; tests make theirs when they run", false);
        find(&keys, "holds a private key outside of a test", true);
    }
    faults
}

/// Whether the place is part of a test: a file below a folder of tests, or a literal in test code.
fn is_fixture(file: &File, source: Option<&Rust>, at: usize) -> bool {
    let inside =
        |literal: &crate::rust::Literal| literal.at <= at && at <= literal.at + literal.text.len() + 1;
    match source {
        Some(source) => source.literals.iter().any(|literal| inside(literal) && source.is_test(literal.at)),
        None => file.path.split('/').any(|folder| folder == "tests"),
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of ours")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::{rust, tree};

    fn count(path: &str, text: &str) -> usize {
        let files = [File::new(path, text)];
        check(&files, &rust::read(&files)).len()
    }

    #[test]
    fn nothing_leaks() {
        let files = tree::files();
        none(check(&files, &rust::read(&files)));
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for path in [
            concat!("/wo", "rk/x"),
            concat!("../sha", "red/x"),
            concat!("/ho", "me/ann/x"),
            concat!("/ro", "ot/.x"),
        ] {
            assert_eq!(count("deploy/x.sh", &format!("cat {path}")), 1, "{path}");
            assert_eq!(count("services/a/src/a.rs", &format!("// {path}")), 1, "{path}");
        }
        assert_eq!(count("deploy/x.sh", "cd \"$work/x\"; cat network/x; ls /homes/; ls ../shares"), 0);
    }

    #[test]
    fn tokens_are_found_also_in_tests() {
        let token = format!("{}_ci-reader_{}", concat!("sb", "t"), "aB3-_".repeat(10));
        assert_eq!(count("README.md", &format!("Bearer {token}")), 1);
        assert_eq!(
            count(
                "services/a/src/a.rs",
                &format!("#[cfg(test)]\nmod tests {{ const T: &str = \"{token}\"; }}")
            ),
            1
        );
        assert_eq!(
            count("README.md", concat!("Bearer sb", "t_…; sb", "t_caller; sb", "t_<id>_<43 characters>")),
            0
        );
    }

    #[test]
    fn private_keys_are_found_but_as_fixtures_of_tests() {
        for kind in ["", "EC ", "RSA ", "OPENSSH "] {
            let key = format!("-----{}IN {kind}PRIVATE KEY-----", "BEG");
            assert_eq!(count("deploy/x.pem", &key), 1, "{kind}");
            assert_eq!(count("tests/e2e/x.pem", &key), 0, "{kind}");
            assert_eq!(count("services/a/src/a.rs", &format!("const K: &str = \"{key}\";")), 1, "{kind}");
            let test = format!("#[cfg(test)]\nmod tests {{ const K: &str = \"{key}\"; }}");
            assert_eq!(count("services/a/src/a.rs", &test), 0, "{kind}");
        }
    }
}
