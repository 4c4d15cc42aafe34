//! `NATS_URL`, `DATABASE_URL` and `VAULT_ADDR` switch each part by itself: `up` with one of them set.

use std::path::Path;

use harness::servers::{Bao, Database, Gate, Nats};
use harness::{Client, Launch, Program, outside, until};
use reqwest::Method;
use standins::Standins;

async fn answers(admin: &Client) {
    until("a call goes through the gateway", || async {
        let answer = admin.call(Method::GET, "/p/fred/series?series_id=GNPCA").send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

/// Makes a key and an integration, calls through the gateway, restarts, and calls again.
async fn works(outside: &Standins, environment: &[(&'static str, String)]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let launch = Launch::up(&data).with_all(environment);
    let program = Program::launch(launch.clone()).await;
    program.admin.integrate(outside, "fred", "fred").await;
    answers(&program.admin).await;
    kept_here(&data, environment);
    program.kill().await;

    let program = Program::launch(launch).await;
    answers(&program.admin).await;
    let key = program.admin.get("/keys/fred").await.1;
    assert_eq!(key["id"], "fred", "{key}");
    assert_eq!(program.interrupt().await, Some(0), "it ends in order");
}

/// What a part that lies elsewhere would have kept in the data directory is not there.
fn kept_here(data: &Path, environment: &[(&'static str, String)]) {
    let files = [("DATABASE_URL", "signalbox.db"), ("VAULT_ADDR", "vault/master.key"), ("NATS_URL", "nats")];
    for (name, file) in files {
        let elsewhere = environment.iter().any(|(set, _)| *set == name);
        assert_eq!(data.join(file).exists(), !elsewhere, "{file} with {environment:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_with_a_postgresql_only_keeps_its_state_there() {
    let (outside, database) = tokio::join!(outside(&[("fred", "fred")]), Database::make());
    works(&outside, &[("DATABASE_URL", database.url.clone())]).await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_with_a_vault_only_keeps_its_keys_there() {
    let (outside, bao) = tokio::join!(outside(&[("fred", "fred")]), Bao::start());
    works(&outside, &bao.environment()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_with_a_nats_only_starts_none() {
    let (outside, nats) = tokio::join!(outside(&[("fred", "fred")]), Nats::start(Gate::Token));
    works(&outside, &nats.environment()).await;
}
