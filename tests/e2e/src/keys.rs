//! Keys: what may be done with them in each state, what is refused, and what is heard before they expire.

use std::process::Command;

use harness::{Client, House, until};
use reqwest::Method;
use reqwest::header::IF_MATCH;
use serde_json::{Value, json};

const VALUE: &str = "a-value-that-is-shown-to-nobody-0123456789";

async fn house_with_key() -> House {
    let house = House::start().await;
    house.admin.make("/keys", key("k", VALUE)).await;
    house
}

fn key(id: &str, value: &str) -> Value {
    json!({"id": id, "provider": "polygon", "fields": {"api_key": value}})
}

/// What the database is told behind the program's back.
fn sql(directory: &std::path::Path, script: &str) {
    let run = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], timeout=20); d.executescript(sys.argv[2]); d.close()";
    let database = directory.join("data/signalbox.db");
    let done = Command::new("python3").args(["-c", run]).arg(database).arg(script).output();
    let done = done.expect("python3 is there");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn fingerprints(admin: &Client, id: &str) -> Vec<String> {
    let (_, versions) = admin.get(&format!("/keys/{id}/versions")).await;
    let items = versions["items"].as_array().expect("a list").iter();
    items.map(|version| version["fingerprint"].as_str().expect("a text").to_owned()).collect()
}

fn days_from_now(days: u64) -> String {
    let day = std::time::Duration::from_secs(24 * 3600);
    model::Timestamp::now().plus(day * u32::try_from(days).expect("few")).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_changes_only_in_ways_that_its_state_allows() {
    let house = house_with_key().await;
    let admin = &house.admin;
    let missing = "/keys/other";
    for (method, path, body, status, says) in [
        ("POST", "/keys", key("k", "x"), 409, "there already"),
        ("POST", "/keys", key("K!", "x"), 422, "id"),
        ("POST", "/keys", json!({"id": "n", "provider": "polygon", "fields": {}}), 422, "fields"),
        (
            "POST",
            "/keys",
            json!({"id": "n", "provider": "polygon", "fields": {"api_key": ""}}),
            422,
            "api_key",
        ),
        (
            "POST",
            "/keys",
            json!({"id": "n", "provider": "polygon", "fields": {"api_key": "a\u{0}b"}}),
            422,
            "NUL",
        ),
        (
            "POST",
            "/keys",
            json!({"id": "n", "provider": "polygon", "fields": {"api_key": "a".repeat(16_385)}}),
            422,
            "16384",
        ),
        (
            "POST",
            "/keys",
            json!({"id": "n", "provider": "polygon", "fields": {"other": "x"}}),
            422,
            "api_key",
        ),
        (
            "POST",
            "/keys",
            json!({"id": "n", "provider": "poligon", "fields": {"api_key": "x"}}),
            422,
            "polygon",
        ),
        ("GET", missing, Value::Null, 404, "there is no key `other`"),
        ("GET", "/keys/other/versions", Value::Null, 404, "there is no key `other`"),
        ("POST", "/keys/other:rotate", json!({"fields": {"api_key": "x"}}), 404, "there is no key"),
        ("POST", "/keys/other:revoke", json!({}), 404, "there is no key"),
        ("POST", "/keys/other:reveal", json!({"reason": "a drill"}), 404, "there is no key"),
        ("POST", "/keys/other:test", json!({}), 404, "there is no key"),
        ("POST", "/keys/k:reveal", json!({"reason": "  a  "}), 422, "say why"),
        ("POST", "/keys/k:reveal", json!({"reason": "a".repeat(501)}), 422, "say why"),
        ("POST", "/keys/k:reveal", json!({}), 422, "reason"),
        ("POST", "/keys/k:reveal", json!({"reason": "a drill", "version": 9}), 409, "revoked"),
        ("POST", "/keys/k:revoke", json!({"version": 9}), 422, "no version 9"),
        ("POST", "/keys/k:rotate", json!({"fields": {}}), 422, "fields"),
        ("PATCH", "/keys/k", json!({"fields": {"api_key": "x"}}), 422, ":rotate"),
        ("PATCH", "/keys/k", json!({"labels": {"a": "b"}}), 428, "If-Match"),
        ("DELETE", "/keys/k", Value::Null, 428, "If-Match"),
    ] {
        let request = admin.api(Method::from_bytes(method.as_bytes()).expect("a method"), path);
        let answer = request.json(&body).send().await.expect("the api answers");
        let (found, problem) = harness::client::body(answer).await;
        assert_eq!(found, status, "{method} {path}: {problem}");
        assert!(problem.to_string().contains(says), "{method} {path} says `{says}`: {problem}");
        assert!(problem["request_id"].is_string() && problem["instance"].is_string(), "{problem}");
    }
    for method in [Method::PATCH, Method::DELETE] {
        let stale = admin.api(method, "/keys/k").header(IF_MATCH, "\"0\"").json(&json!({})).send().await;
        assert_eq!(harness::client::body(stale.expect("the api answers")).await.0, 412);
    }
    let (status, patched) = admin.patch("/keys/k", json!({"labels": {"owner": "quant"}})).await;
    assert_eq!((status, &patched["labels"]["owner"]), (200, &json!("quant")), "{patched}");
    assert_eq!(
        admin.get("/keys").await.1["items"].as_array().map(Vec::len),
        Some(1),
        "nothing else was saved"
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_come_and_go_and_what_is_revoked_is_gone() {
    let house = house_with_key().await;
    let admin = &house.admin;
    let states = async || {
        let (_, versions) = admin.get("/keys/k/versions").await;
        let items = versions["items"].as_array().expect("a list").clone();
        items
            .iter()
            .map(|v| format!("{}:{}", v["version"], v["state"].as_str().unwrap_or("?")))
            .collect::<Vec<_>>()
    };
    let reveal = async |body: Value| {
        let (status, shown) = admin.post("/keys/k:reveal", body).await;
        (status, shown["fields"]["api_key"].as_str().unwrap_or("-").to_owned())
    };
    let (status, _) = admin.post("/keys/k:rotate", json!({"fields": {"api_key": "the-second-value"}})).await;
    assert_eq!(status, 200);
    assert_eq!(states().await, ["2:active", "1:retiring"], "newest first");
    assert_eq!(reveal(json!({"reason": "a drill"})).await, (200, "the-second-value".to_owned()));
    assert_eq!(reveal(json!({"reason": "a drill", "version": 1})).await, (200, VALUE.to_owned()));

    let (status, view) = admin.post("/keys/k:revoke", json!({"version": 1, "reason": "replaced"})).await;
    assert_eq!((status, &view["version"]), (200, &json!(2)), "{view}");
    assert_eq!(states().await, ["2:active", "1:revoked"]);
    assert_eq!(reveal(json!({"reason": "a drill", "version": 1})).await.0, 409);
    assert_eq!(admin.post("/keys/k:revoke", json!({"version": 1})).await.0, 422, "twice is once");

    let (status, view) = admin.post("/keys/k:revoke", json!({})).await;
    assert_eq!((status, &view["state"], &view["version"]), (200, &json!("revoked"), &Value::Null), "{view}");
    assert_eq!(states().await, ["2:revoked", "1:revoked"]);
    assert_eq!(reveal(json!({"reason": "a drill"})).await.0, 409);
    let (status, _) = admin.post("/keys/k:rotate", json!({"fields": {"api_key": "the-third-value"}})).await;
    assert_eq!(status, 200);
    assert_eq!(states().await, ["3:active", "2:revoked", "1:revoked"], "a revoked key may live again");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_shown_before_its_audit_entry_or_to_a_session_that_is_not_fresh() {
    let house = House::start_with(&["--api-reveal-fresh-secs=0"]).await;
    let admin = house.admin.clone();
    admin.make("/keys", key("k", VALUE)).await;
    admin
        .make("/users", json!({"id": "ada", "role": "admin", "password": "a-long-enough-pass-phrase"}))
        .await;
    let login = json!({"user": "ada", "password": "a-long-enough-pass-phrase"});
    let begun = admin.api(Method::POST, "/sessions").json(&login).send().await.expect("the api answers");
    let cookie = begun.headers()["set-cookie"]
        .to_str()
        .expect("ASCII")
        .split(';')
        .next()
        .expect("a cookie")
        .to_owned();
    let begun: Value = begun.json().await.expect("JSON");
    let url = format!("http://{}/api/v1/keys/k:reveal", house.addresses().api.expect("the api is here"));
    let request = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a plain client")
        .post(url)
        .header("cookie", cookie);
    let request = request.header("x-csrf-token", begun["csrf_token"].as_str().expect("a token"));
    let stale = request.json(&json!({"reason": "a drill"})).send().await.expect("the api answers");
    let (status, problem) = harness::client::body(stale).await;
    assert_eq!((status, &problem["code"]), (403, &json!("reauthentication_required")), "{problem}");
    let log = until("the refusal is written down", || async {
        let (_, log) = admin.get("/audit?action=key.reveal").await;
        (log["items"].as_array().is_some_and(|items| !items.is_empty())).then_some(log)
    })
    .await;
    assert_eq!(
        (&log["items"][0]["outcome"], &log["items"][0]["actor"]),
        (&json!("denied"), &json!("user:ada"))
    );

    let directory = house.stop().await;
    let refuse = "CREATE TRIGGER no_audit BEFORE INSERT ON outbox WHEN NEW.event_type LIKE '%audit%'
        BEGIN SELECT RAISE(ABORT, 'nowhere to write'); END;";
    let house = House::in_directory(directory).await;
    sql(house.directory(), refuse);
    let (status, problem) = house.admin.post("/keys/k:reveal", json!({"reason": "a drill"})).await;
    assert!(status >= 500, "{problem}");
    assert!(!problem.to_string().contains(VALUE), "no entry, no value: {problem}");
    sql(house.directory(), "DROP TRIGGER no_audit;");
    let (status, shown) = house.admin.post("/keys/k:reveal", json!({"reason": "a drill"})).await;
    assert_eq!((status, &shown["fields"]["api_key"]), (200, &json!(VALUE)));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprints_are_keyed_and_old_ones_become_so() {
    let house = house_with_key().await;
    let admin = &house.admin;
    admin.make("/keys", key("same", VALUE)).await;
    admin.make("/keys", key("other", "another-value-0123456789")).await;
    admin.post("/keys/other:rotate", json!({"fields": {"api_key": VALUE}})).await;
    admin.post("/keys/other:revoke", json!({"version": 1})).await;
    let first = fingerprints(admin, "k").await.remove(0);
    assert!(first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_eq!(fingerprints(admin, "same").await, std::slice::from_ref(&first), "the same values are told");
    let other = fingerprints(admin, "other").await;
    assert!(other[0] == first && other[1] != first, "{other:?}");

    let directory = house.stop().await;
    let old = |print: &str| {
        format!(
            "UPDATE documents SET body = replace(body, '{print}', '0123456789abcdef') WHERE kind = 'key';"
        )
    };
    sql(directory.path(), &format!("{}{}", old(&first), old(&other[1])));
    let house = House::in_directory(directory).await;
    until("old fingerprints are renewed", || async {
        let all = [fingerprints(&house.admin, "k").await, fingerprints(&house.admin, "other").await];
        (all == [vec![first.clone()], vec![first.clone(), String::new()]]).then_some(())
    })
    .await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_expires_is_said_once_and_is_over_when_it_is_renewed() {
    let house = House::start().await;
    let admin = &house.admin;
    let mut tail = house
        .bus()
        .tail(vec!["sb.v1.key.*.expiring".to_owned()], bus::Start::New)
        .await
        .expect("the bus can be listened to");
    for (id, expires_at) in [
        ("week", Some(days_from_now(5))),
        ("gone", Some("2020-01-01T00:00:00Z".to_owned())),
        ("today", Some(days_from_now(0))),
        ("far", Some(days_from_now(300))),
        ("never", None),
    ] {
        let mut key = key(id, VALUE);
        key["expires_at"] = json!(expires_at);
        admin.make("/keys", key).await;
    }
    let alert = async |admin: &Client, id: &str| {
        let (_, alerts) = admin.get("/alerts").await;
        let found =
            alerts["items"].as_array().expect("a list").iter().find(|alert| alert["data"]["key"] == id);
        found.map(|alert| (alert["severity"].clone(), alert["state"].clone(), alert["count"].clone()))
    };
    let raised = |severity: &str| Some((json!(severity), json!("raised"), json!(1)));
    for (id, severity) in [("week", "warning"), ("today", "critical")] {
        until("an alert of the key", || async { (alert(admin, id).await == raised(severity)).then_some(()) })
            .await;
    }
    let mut told = Vec::new();
    for _ in 0..2 {
        let event = futures_util::StreamExt::next(&mut tail).await.expect("the bus goes on");
        let fact: Value = serde_json::from_slice(&event.envelope.data).expect("JSON");
        assert_eq!(fact["actor"], "vault-watch");
        told.push(fact["key"].as_str().expect("a key").to_owned());
    }
    told.sort();
    assert_eq!(told, ["today", "week"]);

    // A start looks at all keys at once, so whatever it would say again is said before the next key is.
    let house = House::in_directory(house.stop().await).await;
    let admin = &house.admin;
    let mut late = key("late", VALUE);
    late["expires_at"] = json!(days_from_now(1));
    admin.make("/keys", late).await;
    until("the new key's alert", || async { (alert(admin, "late").await == raised("error")).then_some(()) })
        .await;
    assert_eq!(alert(admin, "week").await, raised("warning"), "said once, also across a start");

    let renewed = json!({"fields": {"api_key": "new"}, "expires_at": days_from_now(365)});
    assert_eq!(admin.post("/keys/week:rotate", renewed).await.0, 200);
    assert_eq!(admin.post("/keys/today:revoke", json!({})).await.0, 200);
    for id in ["week", "today"] {
        let over = async || alert(admin, id).await.is_some_and(|(_, phase, _)| phase == "resolved");
        until("the alert is over", || async { over().await.then_some(()) }).await;
    }
    for id in ["gone", "far", "never"] {
        assert_eq!(alert(admin, id).await, None, "{id}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_gets_its_answer_again() {
    let house = House::start().await;
    let admin = &house.admin;
    let send = async |name: &str, body: &Value| {
        let request = admin.api(Method::POST, "/keys").header("idempotency-key", name).json(body);
        let answer = request.send().await.expect("the api answers");
        let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().expect("ASCII").to_owned());
        let (replayed, id) = (header("idempotency-replayed"), header("x-request-id").expect("is named"));
        (answer.status().as_u16(), replayed.is_some(), id, answer.text().await.expect("a text"))
    };
    let (status, replayed, first_id, first) = send("one", &key("k", VALUE)).await;
    assert_eq!((status, replayed), (201, false), "{first}");
    let (status, replayed, id, again) = send("one", &key("k", VALUE)).await;
    assert_eq!((status, replayed, &again), (201, true, &first), "byte for byte");
    assert_ne!(id, first_id, "it is another request");

    let (status, replayed, _, problem) = send("one", &key("l", VALUE)).await;
    assert_eq!((status, replayed), (422, false), "{problem}");
    assert!(problem.contains("used for another request"), "{problem}");

    for replay in [false, true] {
        let (status, replayed, id, problem) = send("two", &key("k", VALUE)).await;
        assert_eq!((status, replayed), (409, replay), "{problem}");
        let problem: Value = serde_json::from_str(&problem).expect("JSON");
        assert_eq!((&problem["instance"], &problem["request_id"]), (&json!("/api/v1/keys"), &json!(id)));
    }
    house.stop().await;
}
