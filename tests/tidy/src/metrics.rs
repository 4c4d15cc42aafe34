//! Metrics: each name is spelled and described in one place, and ends as Prometheus expects.
//!
//! Read from the code, not from a running program: a name that was built at run time would not be seen, and none
//! may be. Tests may make up names.

use std::collections::BTreeMap;

use regex::Regex;

use crate::fault::{Fault, line_of};
use crate::rust::{Literal, Rust};

/// Texts that look like metrics and are none.
const OTHERS: &[(&str, &str)] = &[("signalbox_session", "the name of the console's cookie")];
/// Files beside `telemetry.rs` that may name metrics, each with the reason.
const HOMES: &[(&str, &str)] =
    &[("services/signalbox/src/relay.rs", "the executable has one metric, of its one loop")];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Counts samples in buckets.
    Histogram,
}

/// Every metric of the code by name, and what is wrong with them.
pub fn check(files: &[Rust]) -> (BTreeMap<String, Kind>, Vec<Fault>) {
    let name = regex(r"^signalbox_[a-z0-9_]+$");
    let mut metrics = BTreeMap::new();
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("services/")) {
        for literal in file.work_literals().filter(|literal| name.is_match(&literal.text)) {
            let text = literal.text.as_str();
            if OTHERS.iter().any(|(other, _)| *other == text) {
                continue;
            }
            let mut fault =
                |what: String| faults.push(Fault::at(&file.path, line_of(&file.text, literal.at), what));
            if !file.path.ends_with("/telemetry.rs") && !HOMES.iter().any(|(home, _)| *home == file.path) {
                fault(format!("names the metric `{text}` outside of a `telemetry.rs`"));
            }
            if let Some(other) = homes.insert(text, &file.path) {
                if other != file.path {
                    fault(format!("names the metric `{text}`, as {other} does"));
                }
                if metrics.contains_key(text) {
                    continue;
                }
            }
            match described(file, literal).as_slice() {
                [(kind, unit)] => {
                    if let Some(what) = ending(text, *kind, unit) {
                        fault(format!("`{text}` {what}"));
                    }
                    metrics.insert(text.to_owned(), *kind);
                }
                [] => fault(format!("does not describe `{text}`")),
                _ => fault(format!("describes `{text}` more than once")),
            }
        }
    }
    faults.extend(misused(files));
    (metrics, faults)
}

/// How a file describes a name: by its constant, or by the text itself. The unit is empty when none is said.
fn described(file: &Rust, literal: &Literal) -> Vec<(Kind, String)> {
    let call = regex(r"describe_(counter|gauge|histogram)!\s*\(\s*");
    let unit = regex(r"^\s*,\s*(?:\w+::)*Unit::(\w+)");
    let constant = constant(file, literal);
    let mut all = Vec::new();
    for hit in call.captures_iter(&file.work) {
        let end = hit.get(0).expect("the whole match").end();
        let rest = &file.work[end..];
        let is_text = file.literals.iter().any(|other| other.at == end && other.text == literal.text);
        let argument = match constant {
            Some(constant) if rest.starts_with(constant) => constant.len(),
            _ if is_text => literal.text.len() + 2,
            _ => continue,
        };
        let rest = &rest[argument..];
        if rest.trim_start().starts_with(',') {
            let unit = unit.captures(rest).map_or_else(String::new, |hit| hit[1].to_owned());
            all.push((kind(&hit[1]), unit));
        }
    }
    all
}

/// The constant that a literal is the value of.
fn constant<'a>(file: &'a Rust, literal: &Literal) -> Option<&'a str> {
    let line = file.code[..literal.at].rsplit(['\n', ';']).next()?;
    let name = line.split_once("const ")?.1.split_once(':')?.0;
    Some(name.trim())
}

/// What is wrong with how a name ends.
fn ending(name: &str, kind: Kind, unit: &str) -> Option<&'static str> {
    let total = name.ends_with("_total");
    let base = name.strip_suffix("_total").unwrap_or(name);
    let parts = ["_ms", "_millis", "_milliseconds", "_minutes", "_kb", "_kilobytes", "_percent"];
    match kind {
        Kind::Counter if !total => Some("is a counter and must end in `_total`"),
        Kind::Gauge | Kind::Histogram if total => Some("is no counter and must not end in `_total`"),
        Kind::Histogram if !base.ends_with("_seconds") && !base.ends_with("_bytes") => {
            Some("is a histogram and must end in `_seconds` or `_bytes`")
        }
        _ if parts.iter().any(|part| base.ends_with(part)) => Some("must be in seconds, bytes or a ratio"),
        _ if unit == "Seconds" && !base.ends_with("_seconds") => {
            Some("is in seconds and must say so at its end")
        }
        _ if unit == "Bytes" && !base.ends_with("_bytes") => Some("is in bytes and must say so at its end"),
        _ if base.ends_with("_seconds") && !matches!(unit, "" | "Seconds") => {
            Some("says seconds and has another unit")
        }
        _ if base.ends_with("_bytes") && !matches!(unit, "" | "Bytes") => {
            Some("says bytes and has another unit")
        }
        _ => None,
    }
}

/// Constants that are described as one kind and written as another, within one crate.
fn misused(files: &[Rust]) -> Vec<Fault> {
    let call = regex(r"(describe_)?\b(counter|gauge|histogram)!\s*\(\s*(?:\w+::)*([A-Z][A-Z0-9_]*)\b");
    let described = regex(r"describe_(counter|gauge|histogram)!\s*\(\s*(?:\w+::)*([A-Z][A-Z0-9_]*)\b");
    let mut kinds = BTreeMap::new();
    for file in files {
        for hit in described.captures_iter(&file.work) {
            kinds.insert((crate_of(&file.path), hit[2].to_owned()), kind(&hit[1]));
        }
    }
    let mut faults = Vec::new();
    for file in files {
        for hit in call.captures_iter(&file.work).filter(|hit| hit.get(1).is_none()) {
            let key = (crate_of(&file.path), hit[3].to_owned());
            if kinds.get(&key).is_some_and(|is| *is != kind(&hit[2])) {
                let at = hit.get(0).map_or(0, |whole| whole.start());
                let what = format!("writes `{}` as a {}, and it is described otherwise", &hit[3], &hit[2]);
                faults.push(Fault::at(&file.path, line_of(&file.text, at), what));
            }
        }
    }
    faults
}

fn crate_of(path: &str) -> String {
    path.split("/src/").next().unwrap_or_default().to_owned()
}

fn kind(word: &str) -> Kind {
    match word {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        _ => Kind::Histogram,
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of ours")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::tree::File;
    use crate::{rust, tree};

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&rust::read(&[File::new(path, text)])).1.into_iter().map(|fault| fault.what).collect()
    }

    fn one(name: &str, describe: &str) -> Vec<String> {
        let text = format!("pub(crate) const A: &str = \"{name}\";\nfn d() {{ {describe}; }}");
        found("services/x/src/telemetry.rs", &text)
    }

    #[test]
    fn every_metric_has_one_home_and_a_fitting_name() {
        let (metrics, faults) = check(&rust::read(&tree::files()));
        assert!(metrics.len() > 20, "the scan sees the metrics: {metrics:?}");
        none(faults);
    }

    #[test]
    fn a_metric_that_is_described_once_is_right() {
        assert_eq!(
            one("signalbox_x_total", "describe_counter!(A, Unit::Count, \"x\")"),
            Vec::<String>::new()
        );
        assert_eq!(
            one("signalbox_x_seconds", "metrics::describe_histogram!(\n A,\n Unit::Seconds, \"x\")"),
            Vec::<String>::new()
        );
        let text =
            "fn d() { describe_gauge!(\"signalbox_x_info\", \"x\"); gauge!(\"signalbox_x_info\").set(1.0); }";
        assert_eq!(found("services/x/src/telemetry.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_metric_without_description_or_with_two_is_found() {
        assert_eq!(one("signalbox_x_total", "f(A)"), ["does not describe `signalbox_x_total`"]);
        assert_eq!(one("signalbox_x_total", "describe_counter!(AB, \"x\")").len(), 1);
        let twice = "describe_counter!(A, \"x\"); describe_counter!(A, \"y\")";
        assert_eq!(one("signalbox_x_total", twice), ["describes `signalbox_x_total` more than once"]);
    }

    #[test]
    fn a_metric_in_the_wrong_place_or_in_two_is_found() {
        let text = "const A: &str = \"signalbox_x_total\"; fn d() { describe_counter!(A, \"x\"); }";
        assert_eq!(found("services/x/src/proxy.rs", text).len(), 1);
        assert_eq!(found("services/x/src/telemetry.rs", text).len(), 0);
        let files = ["x", "y"].map(|name| File::new(&format!("services/{name}/src/telemetry.rs"), text));
        assert_eq!(check(&rust::read(&files)).1.len(), 1);
        let test = "#[cfg(test)]\nmod tests { const A: &str = \"signalbox_x\"; }";
        assert_eq!(found("services/x/src/proxy.rs", test).len(), 0);
    }

    #[test]
    fn a_name_that_does_not_say_its_unit_is_found() {
        for (name, describe) in [
            ("signalbox_x", "describe_counter!(A, \"x\")"),
            ("signalbox_x_total", "describe_gauge!(A, \"x\")"),
            ("signalbox_x_duration", "describe_histogram!(A, \"x\")"),
            ("signalbox_x_duration_ms", "describe_gauge!(A, \"x\")"),
            ("signalbox_x_age", "describe_gauge!(A, Unit::Seconds, \"x\")"),
            ("signalbox_x_size", "describe_gauge!(A, Unit::Bytes, \"x\")"),
            ("signalbox_x_seconds", "describe_gauge!(A, Unit::Count, \"x\")"),
            ("signalbox_x_bytes_total", "describe_counter!(A, Unit::Count, \"x\")"),
        ] {
            assert_eq!(one(name, describe).len(), 1, "{name} {describe}");
        }
    }

    #[test]
    fn a_metric_that_is_written_as_another_kind_is_found() {
        let files = [
            File::new(
                "services/x/src/telemetry.rs",
                "const A: &str = \"signalbox_x_total\"; fn d() { describe_counter!(A, \"x\"); }",
            ),
            File::new(
                "services/x/src/a.rs",
                "fn f() { gauge!(telemetry::A, \"l\" => 1).set(1.0); counter!(telemetry::A); }",
            ),
            File::new("services/y/src/a.rs", "fn f() { gauge!(telemetry::A).set(1.0); }"),
        ];
        assert_eq!(check(&rust::read(&files)).1.len(), 1);
    }
}
