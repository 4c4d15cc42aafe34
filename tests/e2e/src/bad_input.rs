//! Bad input gets a problem that says where and what to change, and nothing is half saved.

use std::os::unix::fs::PermissionsExt;

use harness::{House, Program, outside};
use reqwest::Method;
use reqwest::header::IF_MATCH;
use serde_json::{Value, json};

fn pointer(problem: &Value) -> &str {
    problem["errors"][0]["pointer"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_what_to_change() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    admin.integrate(&outside, "poly", "polygon").await;

    let (status, problem) = admin.post("/integrations", json!({"id": "x", "provider": "poligon"})).await;
    assert_eq!((status, pointer(&problem)), (422, "/provider"), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("polygon")), "{problem}");

    let (status, problem) = admin.post("/integrations", json!({"id": "x", "provider": "ftx"})).await;
    assert_eq!((status, &problem["code"]), (422, &json!("provider_defunct")), "{problem}");

    let (status, problem) =
        admin.post("/integrations", json!({"id": "x", "provider": "polygon", "timeout": 5})).await;
    assert_eq!((status, pointer(&problem)), (422, "/timeout"), "{problem}");

    let body = json!({"id": "x", "provider": "polygon", "settings": {"plan": "nonsense"}});
    let (status, problem) = admin.post("/integrations", body).await;
    assert_eq!((status, pointer(&problem)), (422, "/settings/plan"), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("`basic`")), "{problem}");

    let (status, problem) = admin.post("/integrations", json!({"id": "poly", "provider": "polygon"})).await;
    assert_eq!(status, 409, "{problem}");

    let inward = json!({"id": "w", "kind": "http", "url": "http://169.254.169.254/latest"});
    let (status, problem) = admin.post("/webhooks", inward).await;
    assert_eq!((status, pointer(&problem)), (422, "/url"), "{problem}");
    assert_eq!(admin.get("/webhooks").await.1["items"], json!([]), "nothing was saved");

    let patch = admin.api(Method::PATCH, "/integrations/poly").json(&json!({"timeout_ms": 3000}));
    let (status, problem) = harness::client::body(patch.send().await.expect("the api answers")).await;
    assert_eq!(status, 428, "{problem}");
    let patch = admin.api(Method::PATCH, "/integrations/poly").json(&json!({"timeout_ms": 3000}));
    let stale = patch.header(IF_MATCH, "\"1\"").send().await.expect("the api answers");
    assert_eq!(harness::client::body(stale).await.0, 412);

    let template = json!({"template": "line one\n{{ nothing }}", "variables": {}});
    let (status, problem) = admin.post("/templates:render", template).await;
    assert_eq!((status, &problem["line"], &problem["column"]), (422, &json!(2), &json!(4)), "{problem}");

    let (status, problem) = admin.get("/integrations/pol").await;
    assert_eq!(status, 404, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("poly")), "{problem}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_and_changes_nothing_and_a_secret_is_shown_nowhere() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    admin.integrate(&outside, "poly", "polygon").await;
    let made =
        admin.make("/tokens", json!({"id": "reader", "role": "viewer", "actor": "agent:reader"})).await;
    let viewer = admin.with_token(made["token"].as_str().expect("the token is shown once"));

    assert_eq!(viewer.get("/integrations").await.0, 200);
    for (path, body) in [
        ("/keys/poly:reveal", json!({"reason": "curious"})),
        ("/keys/poly:rotate", json!({"fields": {"api_key": "x"}})),
        ("/routes", json!({"id": "r", "integrations": ["poly"]})),
        ("/tokens", json!({"id": "t", "role": "admin"})),
    ] {
        let (status, problem) = viewer.post(path, body).await;
        assert_eq!(status, 403, "{path}: {problem}");
    }
    let secret = harness::key_of("poly");
    let mut texts = vec![admin.metrics().await];
    for path in
        ["/keys", "/keys/poly", "/keys/poly/versions", "/integrations", "/audit", "/tokens", "/webhooks"]
    {
        texts.push(admin.get(path).await.1.to_string());
    }
    assert!(texts.iter().all(|text| !text.contains(&secret)), "the key is shown nowhere");
    let (status, revealed) = admin.post("/keys/poly:reveal", json!({"reason": "rotation drill"})).await;
    assert_eq!((status, &revealed["fields"]["api_key"]), (200, &json!(secret)));
    let (_, log) = admin.get("/audit?action=key.reveal").await;
    let outcomes: Vec<&str> =
        log["items"].as_array().expect("a list").iter().filter_map(|e| e["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["ok", "intent", "denied"], "newest first");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokens_priority_is_given_and_changed_and_nothing_else_of_it() {
    let house = House::start().await;
    let admin = &house.admin;
    let body = |priority: &str| json!({"id": "night", "role": "operator", "priority": priority});
    let (status, problem) = admin.post("/tokens", body("urgent")).await;
    assert_eq!((status, pointer(&problem)), (422, "/priority"), "{problem}");
    assert!(problem.to_string().contains("normal"), "it names what there is: {problem}");
    let made = admin.make("/tokens", body("low")).await;
    assert_eq!(made["priority"], json!("low"));
    let usual = admin.make("/tokens", json!({"id": "usual", "role": "viewer"})).await;
    assert_eq!(usual["priority"], json!("normal"));

    let (status, changed) = admin.patch("/tokens/night", json!({"priority": "high"})).await;
    assert_eq!((status, &changed["priority"], &changed["role"]), (200, &json!("high"), &json!("operator")));
    assert_eq!((&changed["hash"], &changed["token"]), (&Value::Null, &Value::Null), "{changed}");
    let night = admin.with_token(made["token"].as_str().expect("shown once"));
    assert_eq!(night.get("/integrations").await.0, 200, "it is the same token");
    assert_eq!(admin.get("/tokens/night").await.1["priority"], json!("high"));
    for (patch, wanted) in [
        (json!({"priority": "urgent"}), "/priority"),
        (json!({"priority": 7}), "/priority"),
        (json!({"role": "admin"}), "/role"),
    ] {
        let (status, problem) = admin.patch("/tokens/night", patch).await;
        assert_eq!((status, pointer(&problem)), (422, wanted), "{problem}");
    }
    let patch = night.api(Method::PATCH, "/tokens/night").json(&json!({"priority": "high"}));
    assert_eq!(patch.header(IF_MATCH, "*").send().await.expect("the api answers").status(), 403);
    let bare = admin.api(Method::PATCH, "/tokens/night").json(&json!({"priority": "low"}));
    assert_eq!(bare.send().await.expect("the api answers").status(), 428);
    let (_, log) = admin.get("/audit?action=token.update").await;
    let outcomes: Vec<&str> =
        log["items"].as_array().expect("a list").iter().filter_map(|e| e["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["denied", "ok"], "newest first");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_work_says_why_in_one_line_and_ends_with_2() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let check = |(code, text): (Option<i32>, String), wanted: &str| {
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(wanted) && text.trim().lines().count() == 1, "`{wanted}` in one line: {text}");
    };
    check(Program::refused(&data, &[("SIGNALBOX_API_ADRR", "x")]).await, "SIGNALBOX_API_ADDR");
    check(Program::refused(&data, &[("SIGNALBOX_EGRESS_ALLOW", "everything")]).await, "everything");
    check(Program::refused(&data, &[("SIGNALBOX_EGRESS_ROOTS", "/nowhere.pem")]).await, "/nowhere.pem");
    check(Program::refused(&data, &[("SIGNALBOX_ADMIN_TOKEN", "short")]).await, "32 characters");
    check(Program::refused(&data, &[("DATABASE_URL", "mysql://x")]).await, "sqlite");
    check(Program::refused(&data, &[("VAULT_ADDR", "http://127.0.0.1:1")]).await, "VAULT_TOKEN");

    check(Program::refused(std::path::Path::new("/proc/nowhere"), &[]).await, "/proc/nowhere");

    let key = data.join("vault/master.key");
    std::fs::create_dir_all(data.join("vault")).expect("the folder is made");
    std::fs::set_permissions(data.join("vault"), std::fs::Permissions::from_mode(0o700))
        .expect("for its owner only");
    std::fs::write(&key, "x").expect("a file is there");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("for everybody");
    check(Program::refused(&data, &[]).await, "master.key");
}
