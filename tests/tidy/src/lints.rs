//! The house rules that the compiler checks: each entry of `.clippy.toml` has a path and a reason.

use toml::{Table, Value};

use crate::fault::Fault;

const PATH: &str = ".clippy.toml";

/// Entries that say nothing of why.
pub fn check(text: &str) -> Vec<Fault> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![Fault::of(PATH, format!("is not TOML: {error}"))],
    };
    let mut faults = Vec::new();
    for (section, value) in table.iter().filter(|(section, _)| section.starts_with("disallowed-")) {
        let entries = value.as_array().map_or(&[][..], Vec::as_slice);
        if entries.is_empty() {
            faults.push(Fault::of(PATH, format!("`{section}` is empty")));
        }
        for entry in entries {
            let says = |key: &str| {
                entry.get(key).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
            };
            if !says("path") || !says("reason") {
                faults.push(Fault::of(
                    PATH,
                    format!("`{section}` has an entry without path or reason: {entry}"),
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::tree;

    #[test]
    fn every_rule_has_a_reason() {
        none(check(&tree::text(PATH)));
    }

    #[test]
    fn a_rule_without_a_reason_is_found() {
        assert_eq!(
            check("disallowed-methods = [{ path = \"a::b\", reason = \"c\" }]\nallow-unwrap-in-tests = true"),
            []
        );
        for entry in [
            "\"a::b\"",
            "{ path = \"a::b\" }",
            "{ path = \"a::b\", reason = \" \" }",
            "{ reason = \"c\" }",
            "",
        ] {
            assert_eq!(check(&format!("disallowed-types = [{entry}]")).len(), 1, "{entry}");
        }
        assert_eq!(check("=").len(), 1);
    }
}
