//! What people hear of a rule: one alert from raised to resolved, with one id and one fingerprint.
//!
//! Pure. The fingerprint is the rule and what it looks at; the id is that and when it began, so that raising it twice is
//! raising it once.

use model::alert::{AlertRaised, AlertResolved};
use model::id::{InvalidId, Slug, stable_hash};
use model::{AlertId, Timestamp};
use serde_json::{Map, Value, json};

use super::plan::Check;
use model::rule::RuleKind;

/// Who resolves.
const RESOLVED_BY: &str = "meter";

/// The alert of a check that fires in a band since a moment.
pub(crate) fn raised(
    check: &Check,
    since: Timestamp,
    band: usize,
    value: f64,
    at: Timestamp,
) -> Result<AlertRaised, InvalidId> {
    let fingerprint = fingerprint(check);
    let alert = AlertId::parse(format!("rule-{:016x}{:016x}", stable_hash(&fingerprint), since.as_millis()))?;
    let source = match (&check.target.integration, &check.target.budget) {
        (Some(integration), _) => Slug::of(integration.as_str()),
        (None, Some(budget)) => budget.clone(),
        (None, None) => check.rule.id.clone(),
    };
    Ok(AlertRaised {
        alert,
        severity: check.severities.get(band).copied().unwrap_or(check.rule.severity()),
        alert_type: check.rule.kind.alert_type().to_owned(),
        title: title(check, value),
        persona: None,
        source,
        fingerprint,
        at,
        labels: check.target.labels.clone(),
        data: data(check, band, since, value, at),
    })
}

/// The same alert, over.
pub(crate) fn resolved(raised: AlertRaised, at: Timestamp) -> AlertResolved {
    AlertResolved { raised, resolved_at: at, resolved_by: RESOLVED_BY.to_owned() }
}

fn fingerprint(check: &Check) -> String {
    format!("rule/{}/{}", check.rule.id, check.target.key)
}

fn title(check: &Check, value: f64) -> String {
    let (name, rule) = (&check.target.name, &check.rule);
    let window = rule.window.unwrap_or_default();
    let threshold = rule.threshold.unwrap_or_default();
    match rule.kind {
        RuleKind::NearLimit | RuleKind::Exhausted => {
            let (quota, whole) = (check.target.quota.as_deref().unwrap_or_default(), whole(check));
            let used = (value * whole).round();
            if rule.kind == RuleKind::Exhausted {
                return format!("{name} has used up its quota `{quota}` ({used} of {whole})");
            }
            format!("{name} has used {} of its quota `{quota}` ({used} of {whole})", percent(value))
        }
        RuleKind::Budget => {
            let (spent, whole) = money(value * whole(check), whole(check));
            format!("{} of {name} is spent ({spent} of {whole})", percent(value))
        }
        RuleKind::ErrorRate => {
            format!("{} of the calls to {name} failed in the last {window}", percent(value))
        }
        RuleKind::ResponseTime => format!(
            "{name} answers slowly: 95 % within {} ms in the last {window} (limit {threshold} ms)",
            value.round()
        ),
        RuleKind::Availability => {
            format!("{name} fails {value:.1} times faster than {} allows, over {window}", percent(threshold))
        }
        RuleKind::Uptime => format!("{name} was up {} of the last {window}", percent(value)),
        RuleKind::ForecastBreach => match &check.target.quota {
            Some(quota) => format!(
                "{name} is expected to use {} of its quota `{quota}` ({:.0} of {})",
                percent(value),
                value * whole(check),
                whole(check)
            ),
            None => {
                let (expected, whole) = money(value * whole(check), whole(check));
                format!("{} of {name} is expected to be spent ({expected} of {whole})", percent(value))
            }
        },
        RuleKind::Anomaly => format!("{name}: {} is {value:.2}", rule.kind.as_str()),
    }
}

fn data(check: &Check, band: usize, since: Timestamp, value: f64, at: Timestamp) -> Map<String, Value> {
    let rule = &check.rule;
    let mut data = json!({
        "rule": rule.id, "rule_name": rule.name, "kind": rule.kind, "since": since, "value": rounded(value),
        "threshold": check.terms.bands.get(band), "resolve_at": check.terms.resolve_at, "name": check.target.name,
    });
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            data[name] = value;
        }
    };
    put("integration", json!(check.target.integration));
    put("provider", json!(check.target.provider));
    put("window", json!(rule.window));
    put("resets_at", json!(check.figure.resets_at(at)));
    match rule.kind {
        RuleKind::NearLimit | RuleKind::Exhausted => {
            put("quota", json!(check.target.quota));
            put("part", json!(check.target.part));
            put("used", json!((value * whole(check)).round()));
            put("limit", json!(check.target.whole));
            put("percent", json!((value * 100.0).floor()));
        }
        RuleKind::Budget => {
            put("budget", json!(check.target.budget));
            put("spent_micros", json!((value * whole(check)).round()));
            put("amount_micros", json!(check.target.whole));
            put("percent", json!((value * 100.0).floor()));
        }
        RuleKind::ForecastBreach => {
            let money = check.target.budget.is_some();
            let (expected, all) =
                if money { ("expected_micros", "amount_micros") } else { ("expected", "limit") };
            put("quota", json!(check.target.quota));
            put("budget", json!(check.target.budget));
            put(expected, json!((value * whole(check)).round()));
            put(all, json!(check.target.whole));
            put("percent", json!((value * 100.0).floor()));
        }
        _ => {}
    }
    match data {
        Value::Object(data) => data,
        _ => Map::new(),
    }
}

fn whole(check: &Check) -> f64 {
    super::figure::whole(check.target.whole.unwrap_or_default())
}

/// Whole below ten in a hundred is too coarse.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 10.0 || (90.0..100.0).contains(&percent) {
        return format!("{} %", (percent * 10.0).floor() / 10.0);
    }
    format!("{} %", percent.floor())
}

/// Two amounts of millionths as dollars: with as many digits as it takes that they differ where they do, and that neither is
/// nothing which is something.
fn money(part: f64, whole: f64) -> (String, String) {
    let (part, whole) = (part.round(), whole.round());
    let shown = |digits: usize| [part, whole].map(|micros| format!("${:.digits$}", micros / 1e6));
    let nothing = |text: &str| text.bytes().all(|byte| matches!(byte, b'$' | b'0' | b'.'));
    let is_enough = |shown: &[String; 2]| {
        let something = (part > 0.0 && nothing(&shown[0])) || (whole > 0.0 && nothing(&shown[1]));
        !something && (shown[0] != shown[1] || part == whole)
    };
    let [part, whole] = (2..6).map(shown).find(is_enough).unwrap_or_else(|| shown(6));
    (part, whole)
}

/// Six digits after the point are enough.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::money;

    #[test]
    fn amounts_that_differ_look_different() {
        let check = |part, whole, told: (&str, &str)| {
            assert_eq!(money(part, whole), (told.0.to_owned(), told.1.to_owned()), "{part} of {whole}");
        };
        check(5_000.0, 10_000.0, ("$0.005", "$0.010"));
        check(9_999.0, 10_000.0, ("$0.009999", "$0.010000"));
        check(10_000.0, 10_000.0, ("$0.01", "$0.01"));
        check(1.0, 3.0, ("$0.000001", "$0.000003"));
        check(40_000_000.0, 50_000_000.0, ("$40.00", "$50.00"));
        check(49_999_000.0, 50_000_000.0, ("$49.999", "$50.000"));
        check(0.0, 50_000_000.0, ("$0.00", "$50.00"));
    }
}
