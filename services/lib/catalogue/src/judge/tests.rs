//! Tests of judging: the providers' documented bodies, and what follows from them.

use proptest::prelude::*;

use super::*;
use crate::Catalogue;
use Reason::{
    BadCredentials, BadRequest, Banned, ClockSkew, Forbidden, Maintenance, QuotaExhausted, Restricted,
    ThrottledBurst, UpstreamError,
};

mod financial;
mod llm;
mod trading;

fn provider(id: &str) -> &'static Provider {
    Catalogue::builtin().get(id).unwrap_or_else(|| panic!("`{id}` is in the catalogue"))
}

#[track_caller]
fn check(id: &str, status: u16, body: &str, wanted: impl Into<Option<Reason>>) {
    check_wait(id, status, &[], body, wanted, None, false);
}

#[track_caller]
fn check_wait(
    id: &str,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
    wanted: impl Into<Option<Reason>>,
    wait_secs: Option<u64>,
    wait_matters: bool,
) {
    let verdict = judge(provider(id), &Answer { status, headers, body: body.as_bytes() });
    assert_eq!(verdict.reason, wanted.into(), "{id} {status} {body}");
    assert_eq!(verdict.reason.is_some(), verdict.detail.is_some());
    if wait_matters {
        assert_eq!(verdict.retry_after.map(|wait| wait.as_secs()), wait_secs, "{id} {status} {body}");
    }
}

#[track_caller]
fn probe(id: &str, status: u16, body: &str, wanted: impl Into<Option<Reason>>) {
    let provider = provider(id);
    let probe = provider.probe_in("production").expect("a probe");
    let verdict = judge_probe(provider, probe, &Answer { status, headers: &[], body: body.as_bytes() });
    assert_eq!(verdict.reason, wanted.into(), "{id} {status} {body}");
}

#[test]
fn without_rules_the_status_decides() {
    let table = [
        (200, None),
        (204, None),
        (302, Some(UpstreamError)),
        (400, Some(BadRequest)),
        (401, Some(BadCredentials)),
        (402, Some(QuotaExhausted)),
        (403, Some(Forbidden)),
        (404, Some(BadRequest)),
        (408, Some(UpstreamError)),
        (418, Some(Banned)),
        (429, Some(ThrottledBurst)),
        (500, Some(UpstreamError)),
        (599, Some(UpstreamError)),
    ];
    for (status, reason) in table {
        assert_eq!(judge_status(status), reason, "{status}");
        let answer = Answer { status, headers: &[], body: b"{}" };
        assert_eq!(judge(Provider::custom(), &answer).reason, reason, "{status}");
    }
}

#[test]
fn a_wait_is_taken_from_header_body_or_rule_in_this_order() {
    check_wait("binance", 429, &[("Retry-After", "17")], "", ThrottledBurst, Some(17), true);
    check_wait("binance", 429, &[], "", ThrottledBurst, Some(60), true);
    let body = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"x"},{"retryDelay":"46s"}]}}"#;
    check_wait("gemini", 429, &[], body, ThrottledBurst, Some(46), true);
    let headers = [("date", "Tue, 14 Nov 2023 22:13:20 GMT")];
    let body = r#"{"error":["EService: Throttled: 1700000030"]}"#;
    check_wait("kraken", 200, &headers, body, ThrottledBurst, Some(30), true);
    check_wait("kraken", 200, &[], body, ThrottledBurst, None, true);
    check_wait("custom", 503, &[("retry-after", "2")], "", UpstreamError, Some(2), true);
}

#[test]
fn a_detail_names_the_rule_and_nothing_of_the_body() {
    let body = r#"{"Information":"We have detected your API key as SECRETKEY123 and our standard API rate limit is 25 requests per day."}"#;
    let verdict =
        judge(provider("alpha_vantage"), &Answer { status: 200, headers: &[], body: body.as_bytes() });
    assert_eq!(verdict.detail.as_deref(), Some("Alpha Vantage: daily limit (status 200)"));
}

#[test]
fn bodies_that_are_no_json_or_too_large_are_judged_by_status_and_header() {
    check("kraken", 200, "<html>EAPI:Invalid key</html>", None);
    let large = format!(r#"{{"error":["EAPI:Invalid key"],"pad":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    check("kraken", 200, &large, None);
    check("kraken", 520, &large, UpstreamError);
    probe("kraken", 200, "<html>", UpstreamError);
}

#[test]
fn what_needs_no_reading_is_not_read() {
    assert!(!provider("openai").reads_body(200) && provider("openai").reads_body(429));
    assert!(provider("kraken").reads_body(200));
    assert!(!Provider::custom().reads_body(500));
}

fn any_json() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "error",
        "code",
        "retCode",
        "status",
        "message",
        "Information",
        "Note",
        "Error Message",
        "details",
        "result",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into)
    ];
    let json = leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((keys.clone(), inner), 0..4).prop_map(|pairs| pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    });
    json.prop_map(|json| json.to_string())
}

fn judge_with_all(status: u16, header: &str, body: &[u8]) {
    let headers = [("retry-after", header), ("date", header), ("x-ratelimit-reset", header)];
    let answer = Answer { status, headers: &headers, body };
    for provider in Catalogue::builtin().all() {
        let verdict = judge(provider, &answer);
        let detail = verdict.detail.unwrap_or_default();
        assert!(detail.chars().count() <= DETAIL_CHARS_MAX);
        assert!(verdict.retry_after.is_none_or(|wait| wait <= crate::RETRY_AFTER_MAX));
        let _ = crate::hints(provider, &answer);
        if let Some(probe) = &provider.probe {
            let _ = judge_probe(provider, probe, &answer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_panic(status: u16, header in ".{0,40}", body: Vec<u8>) {
        judge_with_all(status, &header, &body);
    }

    #[test]
    fn no_json_makes_it_panic(status: u16, header in "[0-9a-z.]{0,20}", body in any_json()) {
        judge_with_all(status, &header, body.as_bytes());
    }
}
