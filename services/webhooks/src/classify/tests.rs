//! The tables of answers, one line a case.

use super::*;
use http::HeaderValue;
use proptest::prelude::*;

fn seen(kind: WebhookKind, status: u16, headers: &[(&'static str, &str)], body: &str) -> Verdict {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).expect("a header value"));
    }
    let at = Timestamp::from_millis(1_767_225_600_000);
    classify(kind, &Seen { status, headers: &map, body: body.as_bytes(), at })
}

fn check(kind: WebhookKind, table: &[(u16, &str, Meaning)]) {
    for (status, body, expected) in table {
        assert_eq!(seen(kind, *status, &[], body).meaning, *expected, "{kind:?} {status} {body}");
    }
}

use Meaning::{Delivered, Gone, Permanent, Retry};

#[test]
fn slack_is_read_by_its_word_first() {
    check(
        WebhookKind::Slack,
        &[
            (200, "ok", Delivered),
            (200, "ok\n", Delivered),
            (200, "<html>", Permanent),
            (200, "", Permanent),
            (400, "invalid_payload", Permanent),
            (400, "no_text", Permanent),
            (400, "too_many_attachments", Permanent),
            (400, "invalid_token", Gone),
            (403, "invalid_token", Gone),
            (400, "user_not_found", Gone),
            (403, "action_prohibited", Gone),
            (404, "channel_not_found", Gone),
            (404, "no_service", Gone),
            (404, "no_team", Gone),
            (410, "channel_is_archived", Gone),
            (410, "", Gone),
            (418, "what", Permanent),
            (429, r#"{"retry_after":1,"ok":false,"error":"rate_limited"}"#, Retry),
            (500, "rollup_error", Retry),
            (503, "", Retry),
            (200, r#"{"ok":false,"error":"no_service"}"#, Gone),
        ],
    );
    assert!(seen(WebhookKind::Slack, 400, &[], "invalid_blocks").plainer);
    let slow = seen(WebhookKind::Slack, 429, &[("retry-after", "7")], "");
    assert_eq!(slow.pause, Some(Duration::from_secs(7)));
    assert_eq!(seen(WebhookKind::Slack, 429, &[], "").pause, Some(THROTTLED_WAIT));
}

#[test]
fn discord_is_read_by_its_code_first() {
    check(
        WebhookKind::Discord,
        &[
            (200, r#"{"id":"1"}"#, Delivered),
            (204, "", Delivered),
            (400, r#"{"code":50035,"errors":{},"message":"Invalid Form Body"}"#, Permanent),
            (400, r#"{"embeds":["0"]}"#, Permanent),
            (401, r#"{"code":50027}"#, Gone),
            (403, "", Gone),
            (404, r#"{"code":10015,"message":"Unknown Webhook"}"#, Gone),
            (404, r#"{"code":10003}"#, Gone),
            (404, "", Permanent),
            (429, r#"{"retry_after":0.3,"global":false}"#, Retry),
            (502, "<html>", Retry),
        ],
    );
    let body = r#"{"code":50035,"errors":{"embeds":{"0":{"title":{"_errors":[{"code":"X"}]}}}}}"#;
    let wrong = seen(WebhookKind::Discord, 400, &[], body);
    assert!(wrong.detail.expect("a detail").ends_with("(at `embeds.0.title`)"));
}

#[test]
fn discord_waits_are_seconds_of_the_body_then_of_the_header() {
    let body = r#"{"message":"You are being rate limited.","retry_after":64.57,"global":true}"#;
    let slow = seen(WebhookKind::Discord, 429, &[("retry-after", "65")], body);
    assert_eq!((slow.pause, slow.everywhere), (Some(Duration::from_millis(64_570)), true));
    let blocked = seen(WebhookKind::Discord, 429, &[("retry-after", "9")], "<html>");
    assert_eq!((blocked.pause, blocked.everywhere), (Some(Duration::from_secs(9)), false));
    assert_eq!(seen(WebhookKind::Discord, 429, &[], "<html>").pause, Some(BLOCKED));
    let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-after", "1.5")];
    let last = seen(WebhookKind::Discord, 204, &used_up, "");
    assert_eq!((last.meaning, last.pause), (Delivered, Some(Duration::from_millis(1_500))));
    assert_eq!(seen(WebhookKind::Discord, 204, &[("x-ratelimit-remaining", "3")], "").pause, None);
}

const BLOCKED: Duration = Duration::from_secs(60);

#[test]
fn pagerduty_names_a_wrong_routing_key() {
    let wrong = r#"{"status":"invalid event","message":"Event object is invalid","errors":["'payload.summary' is missing or blank"]}"#;
    let key =
        r#"{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing_key"]}"#;
    check(
        WebhookKind::Pagerduty,
        &[
            (202, r#"{"status":"success"}"#, Delivered),
            (400, wrong, Permanent),
            (400, key, Gone),
            (429, "", Retry),
            (500, "", Retry),
            (403, "", Gone),
        ],
    );
    assert_eq!(seen(WebhookKind::Pagerduty, 429, &[], "").pause, Some(Duration::from_secs(30)));
}

#[test]
fn other_targets_are_read_by_their_status() {
    for (statuses, expected) in [
        (&[200_u16, 201, 204, 299][..], Delivered),
        (&[408, 409, 421, 425, 429, 500, 502, 503, 504, 599], Retry),
        (&[300, 301, 307, 400, 401, 403, 404, 413, 422, 501, 505], Permanent),
        (&[410], Gone),
    ] {
        for status in statuses {
            assert_eq!(seen(WebhookKind::Http, *status, &[], "").meaning, expected, "{status}");
        }
    }
    let date = [("retry-after", "Thu, 01 Jan 2026 00:02:00 GMT")];
    assert_eq!(seen(WebhookKind::Http, 503, &date, "").pause, Some(Duration::from_secs(120)));
}

proptest! {
    #[test]
    fn no_answer_breaks_it_and_no_detail_is_long(
        kind in prop::sample::select(&WebhookKind::ALL[..]), status in 100_u16..1000, body in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let verdict = classify(kind, &Seen { status, headers: &HeaderMap::new(), body: &body, at: Timestamp::from_millis(0) });
        prop_assert!(verdict.detail.is_none_or(|text| text.chars().count() < DETAIL_CHARS_MAX + 100));
        prop_assert!(verdict.meaning != Delivered || (200..300).contains(&status));
    }
}
