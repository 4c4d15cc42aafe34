//! People and their sessions: who logs in, what a stolen cookie cannot do, and that nobody locks everybody out.

use harness::House;
use reqwest::header::{COOKIE, IF_MATCH, SET_COOKIE};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

const PASSWORD: &str = "a-long-enough-password";

/// A caller without a token.
fn browser() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

/// The status of a change that is allowed on what the document is now.
async fn change(house: &House, method: Method, path: &str, sent: Value) -> (u16, Value) {
    let admin = &house.admin;
    let read = admin.api(Method::GET, path).send().await.expect("the api answers");
    let etag = read.headers().get("etag").cloned().expect("a document has a tag");
    let request = admin.api(method, path).header(IF_MATCH, etag).json(&sent);
    harness::client::body(request.send().await.expect("the api answers")).await
}

async fn log_in(house: &House, user: &str, password: &str) -> reqwest::Response {
    let url = format!("http://{}/api/v1/sessions", house.addresses().api.expect("it has an api"));
    let request = browser().post(url).json(&json!({"user": user, "password": password}));
    request.send().await.expect("the api answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_and_a_change_needs_more_than_the_cookie() {
    let house = House::start().await;
    let admin = &house.admin;
    let made = admin.make("/users", json!({"id": "eve", "role": "operator", "password": PASSWORD})).await;
    assert_eq!((&made["role"], &made["one_time_password"]), (&json!("operator"), &json!(false)), "{made}");
    assert!(!made.to_string().contains("argon2"), "{made}");
    assert_eq!(
        admin.post("/users", json!({"id": "eve", "role": "viewer", "password": PASSWORD})).await.0,
        409
    );
    let (status, problem) =
        admin.post("/users", json!({"id": "x", "role": "viewer", "password": "short"})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/password")), "{problem}");
    let listed = admin.get("/users").await.1;
    let ids: Vec<&str> =
        listed["items"].as_array().expect("items").iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids, ["admin", "eve"]);

    assert_eq!(log_in(&house, "eve", "another password").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&house, "nobody", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    let begun = log_in(&house, "eve", PASSWORD).await;
    assert_eq!(begun.status(), StatusCode::CREATED);
    let cookie = begun.headers()[SET_COOKIE].to_str().expect("text").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a name and a value").to_owned();
    let csrf = begun.json::<Value>().await.expect("JSON")["csrf_token"].as_str().expect("a text").to_owned();

    let base = format!("http://{}/api/v1", house.addresses().api.expect("it has an api"));
    let as_eve = |method: Method, path: &str| {
        browser().request(method, format!("{base}{path}")).header(COOKIE, &cookie)
    };
    let status = async |request: reqwest::RequestBuilder| {
        request.send().await.expect("the api answers").status().as_u16()
    };
    let me: Value = as_eve(Method::GET, "/me").send().await.expect("it answers").json().await.expect("JSON");
    assert_eq!((&me["actor"], &me["role"]), (&json!("user:eve"), &json!("operator")), "{me}");
    let silence = json!({"id": "night", "matchers": {}, "starts_at": "2026-01-01T00:00:00Z",
                         "ends_at": "2026-01-02T00:00:00Z", "comment": "asleep"});
    let with_cookie_only = as_eve(Method::POST, "/silences").json(&silence);
    assert_eq!(status(with_cookie_only).await, 403, "a page of somebody else may have sent it");
    let with_token = as_eve(Method::POST, "/silences").header("x-csrf-token", &csrf).json(&silence);
    assert_eq!(status(with_token).await, 201);
    assert_eq!(status(as_eve(Method::GET, "/users")).await, 403, "an operator does not see users");

    let (status_now, changed) =
        change(&house, Method::PATCH, "/users/eve", json!({"password": "another-long-password"})).await;
    assert_eq!(status_now, 200, "{changed}");
    assert_eq!(status(as_eve(Method::GET, "/me")).await, 401, "a new password ends every session");
    assert_eq!(log_in(&house, "eve", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);

    let begun = log_in(&house, "eve", "another-long-password").await;
    let cookie =
        begun.headers()[SET_COOKIE].to_str().expect("text").split(';').next().expect("one").to_owned();
    let csrf = begun.json::<Value>().await.expect("JSON")["csrf_token"].as_str().expect("a text").to_owned();
    let mine = |method: Method, path: &str| {
        let request = browser().request(method, format!("{base}{path}"));
        request.header(COOKIE, &cookie).header("x-csrf-token", &csrf)
    };
    let again = mine(Method::POST, "/sessions:reauthenticate");
    assert_eq!(status(again.json(&json!({"password": "wrong password"}))).await, 401);
    let again = mine(Method::POST, "/sessions:reauthenticate");
    let reauthenticated = status(again.json(&json!({"password": "another-long-password"}))).await;
    assert!((200..300).contains(&reauthenticated), "{reauthenticated}");
    assert_eq!(status(mine(Method::DELETE, "/sessions")).await, 204);
    assert_eq!(status(mine(Method::GET, "/me")).await, 401, "the session has ended");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_and_guessing_is_slowed() {
    let house = House::start().await;
    let (status, problem) = change(&house, Method::PATCH, "/users/admin", json!({"role": "viewer"})).await;
    assert_eq!(status, 409, "{problem}");
    let (status, problem) = change(&house, Method::DELETE, "/users/admin", json!({})).await;
    assert_eq!(status, 409, "{problem}");
    house.admin.make("/users", json!({"id": "second", "role": "admin", "password": PASSWORD})).await;
    assert_eq!(change(&house, Method::DELETE, "/users/admin", json!({})).await.0, 204);
    assert_eq!(house.admin.get("/users/admin").await.0, 404);

    let mut answers = Vec::new();
    for _ in 0..30 {
        let status = log_in(&house, "second", "a-wrong-password").await.status().as_u16();
        answers.push(status);
        if status == 429 {
            break;
        }
    }
    assert_eq!((answers.first(), answers.last()), (Some(&401), Some(&429)), "{answers:?}");
    let entries = house.admin.get("/audit?action=session.create").await.1;
    assert_eq!(entries["items"][0]["outcome"], "denied", "{entries}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_made_found_and_taken_back() {
    let house = House::start().await;
    let admin = &house.admin;
    let silence = |id: &str, ends: &str| {
        json!({"id": id, "matchers": {}, "comment": "asleep",
        "starts_at": "2026-01-02T00:00:00Z", "ends_at": ends})
    };
    let (status, problem) = admin.post("/silences", silence("a", "2026-01-01T00:00:00Z")).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/ends_at")), "{problem}");
    for id in ["a", "b", "c"] {
        admin.make("/silences", silence(id, "2026-01-03T00:00:00Z")).await;
    }
    assert_eq!(admin.post("/silences", silence("a", "2026-01-03T00:00:00Z")).await.0, 409);
    let page = admin.get("/silences?page_size=2").await.1;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2), "{page}");
    assert!(page["next"].is_string(), "{page}");
    assert_eq!(change(&house, Method::DELETE, "/silences/b", json!({})).await.0, 204);
    assert_eq!(admin.get("/silences/b").await.0, 404);
    assert_eq!(admin.get("/silences/c").await.1["comment"], "asleep");
    house.stop().await;
}
