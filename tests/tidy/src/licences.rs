//! Licences of everything that is built, as cargo knows them, against what `.cargo/deny.toml` lets in.
//!
//! Reads the packages that cargo has already fetched and asks no network. `cargo deny` reads the same rules, and the
//! licence files too; here is what can be held at every run of the tests.

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::fault::Fault;

const DENY: &str = ".cargo/deny.toml";
/// How deep a licence expression may be nested.
const DEPTH_MAX: usize = 8;

/// A package, as `cargo metadata` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence in SPDX words; absent when it only has a file.
    pub licence: Option<String>,
}

/// The packages in an answer of `cargo metadata`. None when it is not such an answer.
pub fn packages(metadata: &str) -> Option<Vec<Package>> {
    let metadata: Json = serde_json::from_str(metadata).ok()?;
    let text = |package: &Json, key: &str| package.get(key).and_then(Json::as_str).map(str::to_owned);
    metadata
        .get("packages")?
        .as_array()?
        .iter()
        .map(|package| {
            let licence = text(package, "license");
            Some(Package { name: text(package, "name")?, version: text(package, "version")?, licence })
        })
        .collect()
}

/// Packages that come with a licence that the rules do not let in.
pub fn check(deny: &str, packages: &[Package]) -> Vec<Fault> {
    let rules = match deny.parse::<Table>() {
        Ok(rules) => Value::Table(rules),
        Err(error) => return vec![Fault::of(DENY, format!("is not TOML: {error}"))],
    };
    let licences = rules.get("licenses");
    let list = |table: Option<&Value>, key: &str| -> Vec<Value> {
        table.and_then(|table| table.get(key)).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let allowed = list(licences, "allow");
    let exceptions = list(licences, "exceptions");
    let mut faults = Vec::new();
    for Package { name, version, licence } in packages {
        let own = exceptions.iter().find(|it| it.get("crate").and_then(Value::as_str) == Some(name));
        let also = list(own, "allow");
        let lets_in = |id: &str| allowed.iter().chain(&also).any(|one| one.as_str() == Some(id));
        match licence {
            None => faults.push(Fault::of("Cargo.lock", format!("has `{name}` {version} without a licence"))),
            Some(licence) => match admits(licence, &lets_in) {
                Some(true) => {}
                Some(false) => faults.push(Fault::of(
                    "Cargo.lock",
                    format!("has `{name}` {version} under `{licence}`, which {DENY} does not let in"),
                )),
                None => faults.push(Fault::of(
                    "Cargo.lock",
                    format!("has `{name}` {version} under `{licence}`, which cannot be read"),
                )),
            },
        }
    }
    faults
}

/// Whether a licence expression can be kept with what is let in. None when it is not one.
///
/// `OR` leaves the choice, `AND` binds tighter, `WITH` belongs to the name before it; a slash is an old `OR`.
fn admits(expression: &str, lets_in: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let admitted = any(&mut rest, lets_in, 0)?;
    rest.is_empty().then_some(admitted)
}

fn any(rest: &mut &[&str], lets_in: &dyn Fn(&str) -> bool, depth: usize) -> Option<bool> {
    let mut admitted = all(rest, lets_in, depth)?;
    while rest.first() == Some(&"OR") {
        *rest = &rest[1..];
        // Read also when it cannot change the answer: what follows must be an expression.
        admitted |= all(rest, lets_in, depth)?;
    }
    Some(admitted)
}

fn all(rest: &mut &[&str], lets_in: &dyn Fn(&str) -> bool, depth: usize) -> Option<bool> {
    let mut admitted = one(rest, lets_in, depth)?;
    while rest.first() == Some(&"AND") {
        *rest = &rest[1..];
        admitted &= one(rest, lets_in, depth)?;
    }
    Some(admitted)
}

fn one(rest: &mut &[&str], lets_in: &dyn Fn(&str) -> bool, depth: usize) -> Option<bool> {
    let (&word, after) = rest.split_first()?;
    *rest = after;
    match word {
        "(" if depth < DEPTH_MAX => {
            let inner = any(rest, lets_in, depth + 1)?;
            let (&end, after) = rest.split_first()?;
            *rest = after;
            (end == ")").then_some(inner)
        }
        "(" | ")" | "OR" | "AND" | "WITH" => None,
        name => match rest {
            ["WITH", exception, after @ ..] => {
                *rest = after;
                Some(lets_in(&format!("{name} WITH {exception}")))
            }
            _ => Some(lets_in(name)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::fault::none;
    use crate::tree;

    const RULES: &str = "[licenses]\nallow = [\"MIT\", \"ISC\", \"Apache-2.0 WITH LLVM-exception\"]\n\
        exceptions = [{ crate = \"odd\", allow = [\"MPL-2.0\"] }]";

    fn package(name: &str, licence: Option<&str>) -> Package {
        Package { name: name.to_owned(), version: "1.0.0".to_owned(), licence: licence.map(str::to_owned) }
    }

    fn faults(licence: &str) -> usize {
        check(RULES, &[package("a", Some(licence))]).len()
    }

    /// The packages of this machine's builds; those for other systems need not be there.
    fn built() -> Vec<Package> {
        let output = |program: &str, variable: &str, arguments: &[&str]| {
            let program = std::env::var(variable).unwrap_or_else(|_| program.to_owned());
            let output = Command::new(&program).args(arguments).current_dir(tree::root()).output();
            let output = output.unwrap_or_else(|error| panic!("run {program}: {error}"));
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("it answers in text")
        };
        let about = output("rustc", "RUSTC", &["-vV"]);
        let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc has a host");
        let metadata = output(
            "cargo",
            "CARGO",
            &["metadata", "--offline", "--locked", "--format-version=1", "--filter-platform", host],
        );
        packages(&metadata).expect("cargo describes its packages")
    }

    #[test]
    fn everything_that_is_built_has_a_licence_that_is_let_in() {
        let built = built();
        assert!(built.len() > 200, "{} packages are not all of them", built.len());
        none(check(&tree::text(DENY), &built));
        let mut planted = built;
        planted.push(package("planted", Some("AGPL-3.0-only")));
        assert_eq!(check(&tree::text(DENY), &planted).len(), 1, "the real rules refuse a wrong one");
    }

    #[test]
    fn expressions_are_kept_as_they_are_meant() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "MIT AND ISC",
            "GPL-3.0 AND BSD OR MIT",
            "(MIT OR GPL-3.0) AND ISC",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0",
        ] {
            assert_eq!(faults(good), 0, "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "MIT WITH something",
            "(MIT OR ISC) AND GPL-3.0",
            "",
            "MIT OR",
            "MIT ISC",
            "(MIT",
            "MIT OR (GPL-3.0",
            &format!("{}MIT{}", "(".repeat(20), ")".repeat(20)),
        ] {
            assert_eq!(faults(bad), 1, "{bad}");
        }
    }

    #[test]
    fn exceptions_are_for_one_crate_and_no_licence_is_a_fault() {
        assert_eq!(check(RULES, &[package("odd", Some("MPL-2.0"))]), []);
        assert_eq!(check(RULES, &[package("a", Some("MPL-2.0"))]).len(), 1);
        assert_eq!(check(RULES, &[package("a", None)]).len(), 1);
        assert_eq!(check("=", &[]).len(), 1);
        assert_eq!(check("", &[package("a", Some("MIT"))]).len(), 1);
    }

    #[test]
    fn packages_are_read_from_what_cargo_says() {
        let said = r#"{"packages":[{"name":"a","version":"1.0.0","license":"MIT"},{"name":"b","version":"1.0.0","license":null}]}"#;
        assert_eq!(packages(said), Some(vec![package("a", Some("MIT")), package("b", None)]));
        assert_eq!(packages("{}"), None);
    }
}
