//! What becomes of quotas as they are set, and what is refused.

use super::*;

fn quota(json: &str) -> Quota {
    serde_json::from_str(json).expect("a quota")
}

/// A quota as a limit as `amount/span` or its faults.
fn check(json: &str, wanted: &str) {
    let got = match compile(&[quota(json)], 2) {
        Ok(limits) => match &limits[0].span {
            Span::Rolling { millis } => format!("{} in {millis} ms", limits[0].amount),
            Span::Bucket { millis } => format!("{} filled in {millis} ms", limits[0].amount),
            Span::Concurrent => format!("{} at a time", limits[0].amount),
            Span::Calendar { per, .. } => format!("{} per {per:?}", limits[0].amount),
        },
        Err(faults) => faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "),
    };
    assert_eq!(got, wanted, "{json}");
}

#[test]
fn a_quota_becomes_one_of_four_spans() {
    check(r#"{"name":"a","requests":5,"per":"minute"}"#, "5 in 60000 ms");
    check(r#"{"name":"a","requests":5,"per":"minute","kind":"calendar"}"#, "5 per Minute");
    check(r#"{"name":"a","requests":5,"per":"month","timezone":"UTC"}"#, "5 per Month");
    check(r#"{"name":"a","requests":60,"per":"hour"}"#, "60 per Hour");
    check(r#"{"name":"a","requests":60,"per":"hour","kind":"rolling"}"#, "60 in 3600000 ms");
    check(r#"{"name":"a","requests":6000,"window_secs":300}"#, "6000 in 300000 ms");
    check(r#"{"name":"a","requests":7,"kind":"concurrent"}"#, "7 at a time");
    // A bucket of 10 that refills 100 a minute is full after 6 seconds.
    check(r#"{"name":"a","requests":100,"per":"minute","kind":"bucket","burst":10}"#, "10 filled in 6000 ms");
    check(r#"{"name":"a","requests":7,"per":"second","kind":"bucket","burst":3}"#, "3 filled in 429 ms");
    check(r#"{"name":"a","requests":10,"per":"second","kind":"bucket","burst":40}"#, "40 filled in 4000 ms");
    check(r#"{"name":"a","requests":100,"per":"minute","burst":30}"#, "30 in 20000 ms");
}

#[test]
fn what_can_never_work_is_refused_where_it_stands() {
    check(
        r#"{"name":"a","requests":0,"per":"minute"}"#,
        "/0/requests: a limit of 0 can never be met; disable the integration instead",
    );
    check(
        r#"{"name":"a","requests":5,"per":"minute","weights":[{"path":"/a","units":5},{"path":"/b","units":6}]}"#,
        "/0/weights/1/units: a call of 6 units can never be made where 5 are allowed at once",
    );
    check(
        r#"{"name":"a","requests":5,"per":"day"}"#,
        "/0/timezone: days, weeks and months begin at midnight of a zone: say which, such as `UTC`",
    );
    check(
        r#"{"name":"a","requests":5,"per":"day","timezone":"Mars/Base"}"#,
        "/0/timezone: `Mars/Base` is no zone of the IANA database",
    );
    check(
        r#"{"name":"a","requests":5,"window_secs":300,"kind":"calendar"}"#,
        "/0/per: a calendar window is named: `minute`, `hour`, `day`, `week` or `month`; one of another length is `rolling`",
    );
    check(r#"{"name":"a","requests":5,"window_secs":0}"#, "/0/window_secs: a window has a second at least");
    check(
        r#"{"name":"a","requests":5,"per":"hour","burst":2}"#,
        "/0/burst: only what comes again bit by bit has bursts",
    );
    check(
        r#"{"name":"a","requests":5,"window_secs":10,"burst":6}"#,
        "/0/burst: no stretch of the window has more than `requests`: only a `bucket` can hold more",
    );
    check(
        r#"{"name":"a","requests":1,"per":"minute","kind":"bucket","burst":2000}"#,
        "/0/burst: a bucket is full again after a day at most",
    );
    check(r#"{"name":"a","requests":5}"#, "/0/per: it has no window: say `per` or `window_secs`");
    check(
        r#"{"name":"a","requests":5,"per":"month","kind":"rolling"}"#,
        "/0/per: a rolling window has at most a day: use a calendar",
    );
    check(
        r#"{"name":"a","requests":1,"per":"minute","away":"local_estimate"}"#,
        "/0/away: an equal share of 1 for 2 gateways is nothing: use `fail_closed`",
    );
    check(
        r#"{"name":"a","requests":9,"per":"day","timezone":"UTC","away":"local_estimate"}"#,
        "/0/away: a calendar window cannot be estimated: what others spent of it does not come again; use `fail_closed`",
    );
}

#[test]
fn two_limits_of_one_name_are_refused() {
    let one = quota(r#"{"name":"a","requests":5,"per":"minute"}"#);
    let faults = compile(&[one.clone(), one], 1).expect_err("one name twice");
    assert_eq!((faults[0].pointer.as_str(), &faults[0].why), ("/1/name", &Why::NameTaken));
}

#[test]
fn short_windows_are_estimated_and_calendars_are_not() {
    let of = |json: &str| compile(&[quota(json)], 4).expect("a limit")[0].estimate();
    assert_eq!(of(r#"{"name":"a","requests":100,"per":"minute"}"#), 25);
    assert_eq!(of(r#"{"name":"a","requests":100,"per":"minute","away":"fail_closed"}"#), 0);
    assert_eq!(of(r#"{"name":"a","requests":100,"per":"hour"}"#), 0);
}
