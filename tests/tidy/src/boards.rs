//! What dashboards and alert rules ask for exists: every metric of ours in a query is one that the code writes.
//!
//! Whether a query returns data is shown against a real Prometheus elsewhere; this finds the misspelt name at once.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use crate::fault::{Fault, line_of};
use crate::metrics::Kind;
use crate::tree::File;

/// Where a dashboard keeps its queries.
const QUERIES: &[&str] = &["expr", "query", "definition"];
/// What Prometheus adds to a histogram's name.
const SERIES: &[&str] = &["_bucket", "_sum", "_count"];

/// Names in dashboards and rules that are no metric of the code.
pub fn check(files: &[File], metrics: &BTreeMap<String, Kind>) -> Vec<Fault> {
    let name = Regex::new(r"([a-z0-9_]+:)?\bsignalbox_[a-z0-9_]+(:[a-z0-9_]+)?").expect("a pattern of ours");
    let record = Regex::new(r"(?m)^\s*-?\s*record:\s*(\S+)\s*$").expect("a pattern of ours");
    let recorded: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| record.captures_iter(&file.text))
        .filter_map(|hit| Some(hit.get(1)?.as_str()))
        .collect();
    let exists =
        |name: &str| if name.contains(':') { recorded.contains(name) } else { exists(name, metrics) };
    let mut faults = Vec::new();
    for file in files {
        let queries = match queries(file) {
            Ok(queries) => queries,
            Err(error) => {
                faults.push(Fault::of(&file.path, format!("is not JSON: {error}")));
                continue;
            }
        };
        for hit in queries.iter().flat_map(|query| name.find_iter(query)).filter(|hit| !exists(hit.as_str()))
        {
            let line = file.text.find(hit.as_str()).map_or(0, |at| line_of(&file.text, at));
            faults.push(Fault::at(
                &file.path,
                line,
                format!("asks for `{}`, which nothing writes", hit.as_str()),
            ));
        }
    }
    faults
}

fn exists(name: &str, metrics: &BTreeMap<String, Kind>) -> bool {
    let histogram = SERIES.iter().filter_map(|series| name.strip_suffix(series));
    match metrics.get(name) {
        Some(kind) => *kind != Kind::Histogram,
        None => histogram.into_iter().any(|base| metrics.get(base) == Some(&Kind::Histogram)),
    }
}

/// The queries of a dashboard, or the lines of a rule file without its comments; nothing of any other file.
fn queries(file: &File) -> Result<Vec<String>, serde_json::Error> {
    let mut all = Vec::new();
    let ends = |ending| file.path.ends_with(ending);
    if file.path.starts_with("grafana/") && ends(".json") {
        collect(&serde_json::from_str(&file.text)?, false, &mut all);
    } else if file.path.starts_with("deploy/prometheus/") && (ends(".yml") || ends(".yaml")) {
        let lines = file.text.lines().map(|line| line.split(" #").next().unwrap_or_default());
        all.extend(lines.filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned));
    }
    Ok(all)
}

fn collect(value: &Value, is_query: bool, all: &mut Vec<String>) {
    match value {
        Value::String(text) if is_query => all.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, is_query, all)),
        Value::Object(fields) => {
            for (key, field) in fields {
                collect(field, QUERIES.contains(&key.as_str()), all);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::{metrics, rust, tree};

    fn count(path: &str, text: &str) -> usize {
        let metrics = [("signalbox_x_total", Kind::Counter), ("signalbox_x_seconds", Kind::Histogram)];
        let metrics = metrics.map(|(name, kind)| (name.to_owned(), kind)).into();
        check(&[File::new(path, text)], &metrics).len()
    }

    #[test]
    fn what_a_rule_records_may_be_asked_for_and_nothing_like_it() {
        let rules = "- record: job:signalbox_x:rate5m\n  expr: rate(signalbox_x_total[5m])\n- expr: job:signalbox_x:rate5m > 1\n";
        assert_eq!(count("deploy/prometheus/rules.yml", rules), 0);
        let wrong = rules.replace("rate5m > 1", "rate1h > 1");
        assert_eq!(count("deploy/prometheus/rules.yml", &wrong), 1);
    }

    #[test]
    fn dashboards_and_rules_ask_for_what_there_is() {
        let files = tree::files();
        let (metrics, _) = metrics::check(&rust::read(&files));
        none(check(&files, &metrics));
    }

    #[test]
    fn a_query_for_what_nothing_writes_is_found() {
        let board = |query: &str| {
            format!("{{\"panels\":[{{\"title\":\"signalbox_y\",\"targets\":[{{\"expr\":\"{query}\"}}]}}]}}")
        };
        let of = |query| count("grafana/dashboards/a.json", &board(query));
        assert_eq!(of("rate(signalbox_x_total[5m]) / signalbox_x_seconds_count"), 0);
        assert_eq!(of("rate(signalbox_y_total[5m])"), 1);
        assert_eq!(of("signalbox_x_seconds"), 1, "a histogram has no series of its own name");
        assert_eq!(of("signalbox_x_total_bucket"), 1, "a counter has no buckets");
        let variable =
            "{\"templating\":{\"list\":[{\"query\":{\"query\":\"label_values(signalbox_y, a)\"}}]}}";
        assert_eq!(count("grafana/a.json", variable), 1);
        assert_eq!(count("grafana/a.json", "{"), 1, "a dashboard that cannot be read");
    }

    #[test]
    fn a_rule_for_what_nothing_writes_is_found() {
        let of = |text| count("deploy/prometheus/rules.yml", text);
        assert_eq!(of("# signalbox_y\nexpr: signalbox_x_total > 0 # not signalbox_z"), 0);
        assert_eq!(of("expr: >\n  histogram_quantile(0.9, signalbox_y_seconds_bucket)"), 1);
        assert_eq!(count("deploy/compose.yaml", "a: signalbox_y"), 0, "no rules");
    }
}
