//! What only HashiCorp Vault or OpenBao does, asked of a real OpenBao.

use std::time::{Duration, Instant};

use model::{KeyId, Secret};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::bao::{Bao, answer, stand_in};
use super::{CANARY, fields, shows_nothing, suite, value};
use crate::{Error, Expected, Folder, Login, Path, Vault, VaultSettings};

/// How long a fact may take to come true.
const FACT_MAX: Duration = Duration::from_secs(30);

fn path() -> Path {
    Path::key(&KeyId::new("polygon-prod").unwrap())
}

async fn refusal(settings: &VaultSettings) -> Error {
    let error = Vault::connect(settings).await.err().expect("it is refused");
    shows_nothing(&error);
    error
}

#[tokio::test]
async fn openbao_keeps_the_promises_with_a_role_of_few_rights() {
    let bao = Bao::start().await;
    let vault = Vault::connect(&bao.with_role(3_600, 7_200).await).await.unwrap();
    suite::run(&vault).await;
    let kept = bao.operate("GET", "secret/data/signalbox/keys/steady", Value::Null).await;
    assert_eq!(kept["data"]["data"], json!({"api_key": "two"}), "it lies where the head says");
}

#[tokio::test]
async fn a_version_that_an_operator_deleted_is_missing() {
    let bao = Bao::start().await;
    let vault = Vault::connect(&bao.with_token(CANARY)).await.unwrap();
    vault.write(&path(), &fields("x"), Expected::New).await.unwrap();
    bao.operate("DELETE", "secret/data/signalbox/keys/polygon-prod", Value::Null).await;
    let error = vault.read(&path(), None).await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    bao.operate("POST", "secret/data/signalbox/keys/polygon-prod", json!({"data": {"n": 1}})).await;
    let error = vault.read(&path(), None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the credential at `keys/polygon-prod` cannot be opened: one of its fields is not a text"
    );
    bao.operate("POST", "secret/data/signalbox/keys/below/deep", json!({"data": {"n": "1"}})).await;
    assert_eq!(vault.list(Folder::Keys).await.unwrap(), ["polygon-prod"]);
}

#[tokio::test]
async fn a_wrong_login_is_refused_and_not_shown() {
    let bao = Bao::start().await;
    let error = refusal(&bao.with_token(&format!("{CANARY}-wrong"))).await;
    assert_eq!(
        (error.to_string().as_str(), error.is_transient()),
        ("vault does not accept our token", false)
    );
    let mut settings = bao.with_role(60, 60).await;
    if let Login::AppRole { secret_id, .. } = &mut settings.login {
        *secret_id = Secret::new(CANARY.to_owned());
    }
    let error = refusal(&settings).await;
    assert_eq!(error.to_string(), "vault does not accept our role id and secret id");
}

#[tokio::test]
async fn a_token_that_was_revoked_costs_one_login_and_no_failure() {
    let bao = Bao::start().await;
    let vault = Vault::connect(&bao.with_role(3_600, 7_200).await).await.unwrap();
    vault.write(&path(), &fields("x"), Expected::New).await.unwrap();
    bao.revoke_tokens().await;
    assert!(bao.tokens().await.is_empty());
    let place = path();
    let reads = futures_util::future::join_all((0..20).map(|_| vault.read(&place, None))).await;
    for read in reads {
        assert_eq!(value(&read.unwrap().fields), "x");
    }
    assert_eq!(bao.tokens().await.len(), 1);
}

#[tokio::test]
async fn a_revoked_token_of_somebody_else_is_an_error_that_says_so() {
    let bao = Bao::start().await;
    let made = bao.operate("POST", "auth/token/create", json!({"policies": ["root"], "ttl": "1h"})).await;
    let vault =
        Vault::connect(&bao.with_token(made["auth"]["client_token"].as_str().unwrap())).await.unwrap();
    vault.check().await.unwrap();
    bao.revoke_tokens().await;
    let error = vault.check().await.unwrap_err();
    shows_nothing(&error);
    assert!(matches!(error, Error::Denied { .. }) && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn what_the_policy_forbids_is_denied_without_a_new_login() {
    let bao = Bao::start().await;
    let mut settings = bao.with_role(3_600, 7_200).await;
    settings.prefix = "elsewhere".to_owned();
    let vault = Vault::connect(&settings).await.unwrap();
    for _ in 0..3 {
        let error = vault.write(&path(), &fields(CANARY), Expected::Any).await.unwrap_err();
        shows_nothing(&error);
        assert_eq!(
            error.to_string(),
            "vault does not let us write `keys/polygon-prod`: look at the token's policy"
        );
    }
    assert_eq!(bao.tokens().await.len(), 1);
}

#[tokio::test]
async fn a_short_lease_is_renewed_and_after_its_maximum_there_is_a_new_token() {
    let bao = Bao::start().await;
    let vault = Vault::connect(&bao.with_role(2, 4).await).await.unwrap();
    vault.write(&path(), &fields("x"), Expected::New).await.unwrap();
    let first = bao.tokens().await;
    let begin = Instant::now();
    let mut renewed = false;
    // The first token lives 2 s without a renewal, 4 s with all of them.
    while begin.elapsed() < Duration::from_secs(7) {
        assert_eq!(value(&vault.read(&path(), None).await.unwrap().fields), "x");
        let alive = bao.tokens().await.iter().any(|token| first.contains(token));
        renewed |= alive && begin.elapsed() > Duration::from_millis(2_300);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(renewed, "the first token was renewed");
    assert!(!bao.tokens().await.iter().any(|token| first.contains(token)), "it ended at its maximum");
}

#[tokio::test]
async fn a_token_given_to_us_is_renewed_too() {
    let bao = Bao::start().await;
    let made = bao.operate("POST", "auth/token/create", json!({"policies": ["root"], "ttl": "2s"})).await;
    let vault =
        Vault::connect(&bao.with_token(made["auth"]["client_token"].as_str().unwrap())).await.unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        vault.check().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn nothing_is_renewed_once_the_last_clone_is_dropped() {
    let bao = Bao::start().await;
    let vault = Vault::connect(&bao.with_role(2, 3_600).await).await.unwrap();
    let clone = vault.clone();
    drop(vault);
    clone.check().await.unwrap();
    drop(clone);
    let begin = Instant::now();
    while !bao.tokens().await.is_empty() {
        assert!(begin.elapsed() < FACT_MAX, "its token lives on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_sealed_vault_is_said_to_be_sealed() {
    let bao = Bao::start().await;
    let vault = Vault::connect(&bao.with_token(CANARY)).await.unwrap();
    bao.operate("PUT", "sys/seal", Value::Null).await;
    let error = vault.check().await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.is_transient()), ("vault is sealed", true));
    assert!(matches!(refusal(&bao.with_token(CANARY)).await, Error::Sealed));
}

#[tokio::test]
async fn a_vault_that_died_is_away() {
    let mut bao = Bao::start().await;
    let vault = Vault::connect(&bao.with_token(CANARY)).await.unwrap();
    bao.kill();
    for error in [vault.check().await.unwrap_err(), vault.list(Folder::Keys).await.unwrap_err()] {
        shows_nothing(&error);
        assert!(error.is_transient() && error.to_string().contains("does not answer"), "{error}");
    }
    let error = refusal(&bao.with_token(CANARY)).await;
    assert_eq!(error.to_string(), "vault does not answer (look up `auth/token`)");
}

#[tokio::test]
async fn after_an_outage_longer_than_its_lease_it_is_logged_in_again() {
    let bao = Bao::start().await;
    let mut settings = bao.with_role(2, 3_600).await;
    settings.timeout_ms = 300;
    let vault = Vault::connect(&settings).await.unwrap();
    bao.freeze(true);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        assert!(vault.check().await.unwrap_err().is_transient());
    }
    bao.freeze(false);
    let begin = Instant::now();
    while let Err(error) = vault.check().await {
        assert!(begin.elapsed() < FACT_MAX, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_vault_that_hangs_is_given_up_after_the_timeout() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = format!("http://{}", silent.local_addr().unwrap());
    let mut settings = VaultSettings::new(addr, Login::Token(Secret::new(CANARY.to_owned())));
    settings.timeout_ms = 200;
    let begin = Instant::now();
    assert!(refusal(&settings).await.is_transient());
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn no_answer_of_a_vault_comes_through_in_an_error() {
    let errors = json!({ "errors": [CANARY] });
    let odd_fields = answer(&json!({"data": [CANARY], "metadata": {
        "created_time": "", "deletion_time": "", "custom_metadata": null, "destroyed": false, "version": 1}}));
    let table = [
        (500, errors.clone(), "refuses requests (status 500)", true),
        (502, json!(CANARY), "refuses requests (status 502)", true),
        (503, errors.clone(), "vault is sealed", true),
        (429, errors.clone(), "asks to come back later", true),
        (412, json!({"errors": []}), "asks to come back later", true),
        (403, errors.clone(), "does not let us read", false),
        (400, errors.clone(), "refuses to read `keys/polygon-prod` (status 400)", false),
        (405, json!({ "data": CANARY }), "refuses to read `keys/polygon-prod` (status 405)", false),
        (404, json!({ "data": CANARY }), "no credential", false),
        (200, json!({ "data": CANARY }), "not those of a vault", true),
        (200, answer(&json!({ "data": CANARY })), "not those of a vault", true),
        (200, json!(null), "not those of a vault", true),
        (200, odd_fields, "its content is not fields", false),
    ];
    for (status, body, says, transient) in table {
        let vault = Vault::connect(&stand_in(status, body).await).await.unwrap();
        let error = vault.read(&path(), None).await.unwrap_err();
        shows_nothing(&error);
        assert!(error.to_string().contains(says), "{status}: {error}");
        assert_eq!(error.is_transient(), transient, "{status}: {error}");
    }
}

#[tokio::test]
async fn a_vault_whose_health_is_fine_and_that_refuses_requests_is_not_ready() {
    // As OpenBao does when the disk of its audit log is full.
    let settings = stand_in(500, json!({ "errors": ["1 error occurred"] })).await;
    let vault = Vault::connect(&settings).await.unwrap();
    let error = vault.check().await.unwrap_err();
    assert_eq!(error.to_string(), "vault refuses requests (status 500) (read `probe`)");
    assert!(error.is_transient());
}
