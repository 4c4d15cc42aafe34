//! What was used: as many calls as the provider itself counted, whatever is killed; and what they cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Client, House, Program, key_of, outside, until};
use reqwest::Method;
use serde_json::{Value, json};
use standins::Standins;

const PATH: &str = "/p/poly/v2/aggs/ticker/IBM/prev";
/// What a kill may cost of statistics: what was counted in the last second and had not left, and what was under way.
const LOST_WITHIN: Duration = Duration::from_secs(2);

async fn call(admin: &Client) -> bool {
    let answer = admin.call(Method::GET, PATH).header("cache-control", "no-store").send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// The month's calls as they are counted.
async fn counted(admin: &Client) -> Option<u64> {
    let (status, usage) = admin.get("/integrations/poly/usage?window=90d").await;
    (status == 200).then(|| usage["requests"].as_u64().expect("a number"))
}

fn sent(outside: &Standins) -> u64 {
    outside.instance("poly").counts().total
}

/// Waits until so many calls at most are missing.
async fn until_counted(what: &str, admin: &Client, outside: &Standins, missing_max: u64) {
    until(what, async || {
        let counted = counted(admin).await?;
        // Read after it, so that a probe between the two does not look like a call counted twice.
        let sent = sent(outside);
        assert!(counted <= sent, "{what}: {counted} were counted and {sent} were sent");
        (counted + missing_max >= sent).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_what_the_provider_counted_though_the_program_is_killed() {
    let outside = outside(&[("poly", "polygon")]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let program = Program::start(&data).await;
    program.admin.integrate(&outside, "poly", "polygon").await;
    until("the gateway to carry a call", async || call(&program.admin).await.then_some(())).await;
    for _ in 0..10 {
        join_all((0..20).map(|_| call(&program.admin))).await;
    }
    until_counted("every call is counted", &program.admin, &outside, 0).await;
    program.kill().await;

    // What was counted stays, and is not counted again.
    let program = Program::start(&data).await;
    until_counted("every call is still counted", &program.admin, &outside, 0).await;

    // Killed under load: nothing is counted twice, and no more is missing than was sent just before.
    let stopped = AtomicBool::new(false);
    let load = async || {
        let mut begun = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            begun.push(Instant::now());
            call(&program.admin).await;
        }
        begun
    };
    let begin = Instant::now();
    let kill = async {
        until("some seconds of load", async || (begin.elapsed() > 2 * LOST_WITHIN).then_some(())).await;
        stopped.store(true, Ordering::Relaxed);
        Instant::now()
    };
    let (loads, killed) = tokio::join!(join_all((0..4).map(|_| load())), kill);
    program.kill().await;
    let begun = loads.into_iter().flatten();
    // And two probes a second, of which each may have been asked again.
    let missing_max = begun.filter(|at| killed.duration_since(*at) < LOST_WITHIN).count() as u64 + 4;
    let program = Program::start(&data).await;
    until_counted("what was counted before the kill", &program.admin, &outside, missing_max).await;

    // A house that is asked to end loses nothing.
    join_all((0..50).map(|_| call(&program.admin))).await;
    assert_eq!(program.interrupt().await, Some(0), "it ends in order");
    let program = Program::start(&data).await;
    until_counted("what was counted before it ended", &program.admin, &outside, missing_max).await;
    let sum = |of: &Value| -> Option<u64> {
        Some(of.as_array()?.iter().filter_map(|one| one["requests"].as_u64()).sum())
    };
    // A probe may be counted while an answer is put together.
    until("what was told apart is the whole", async || {
        let usage = program.admin.get("/integrations/poly/usage?window=90d").await.1;
        let all = usage["requests"].as_u64();
        ["history", "endpoints", "callers"].iter().all(|part| sum(&usage[part]) == all).then_some(())
    })
    .await;
    assert_eq!(program.interrupt().await, Some(0), "it ends in order");
}

async fn chat(admin: &Client, model: &str) -> bool {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "What is a stock?"}]});
    let call = admin.call(Method::POST, "/p/llm/chat/completions").json(&body);
    call.send().await.is_ok_and(|answer| answer.status().is_success())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_cost_what_their_operator_says_and_an_unknown_model_is_told_of_once() {
    let outside = outside(&[("llm", "openai")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    admin
        .make("/keys", json!({"id": "llm", "provider": "openai", "fields": {"api_key": key_of("llm")}}))
        .await;
    let mut llm = json!({"id": "llm", "provider": "openai", "key": "llm",
        "base_url": outside.instance("llm").base_url(),
        "cost": {"prices": [{"model": "ours", "input": -1, "output": 2_000_000}]}});
    let (status, problem) = admin.post("/integrations", llm.clone()).await;
    let at = &problem["errors"][0]["pointer"];
    assert_eq!((status, at), (422, &json!("/cost/prices/0/input")), "{problem}");
    assert!(problem["errors"][0]["detail"].as_str().is_some_and(|why| why.contains("-1")), "{problem}");
    llm["cost"] = json!({"prices": [{"model": "ours", "input": 1_000_000, "output": 2_000_000}],
        "plan": {"per_month_micros": 20_000_000}});
    llm["cost"]["plan"]["included_requests"] = json!(1_000_000);
    admin.make("/integrations", llm).await;
    until("the gateway to carry a call", async || chat(admin, "ours").await.then_some(())).await;
    for _ in 0..3 {
        assert!(chat(admin, "someone-new").await);
    }
    let usage = until("four answers to be counted", async || {
        let (status, usage) = admin.get("/integrations/llm/usage").await;
        let answers = usage["models"].as_array()?.iter().filter_map(|model| model["answers"].as_u64());
        (status == 200 && answers.sum::<u64>() >= 4).then_some(usage)
    })
    .await;
    let model = |name: &str| {
        usage["models"].as_array().and_then(|all| all.iter().find(|one| one["model"] == name)).expect(name)
    };
    let (ours, other) = (model("ours"), model("other"));
    let tokens = |of: &Value, name: &str| of["tokens"][name].as_u64().expect("a number");
    let cost = tokens(ours, "input_tokens") + 2 * tokens(ours, "output_tokens");
    assert_eq!((ours["cost_micros"].as_u64(), tokens(ours, "unpriced_answers")), (Some(cost), 0), "{usage}");
    assert_eq!((&other["cost_micros"], tokens(other, "unpriced_answers")), (&Value::Null, 3), "{usage}");
    assert_eq!(usage["plan_micros"], 20_000_000, "{usage}");
    assert!(usage["latency"]["p99_ms"].as_f64() >= usage["latency"]["p50_ms"].as_f64(), "{usage}");
    let warned = async || {
        let alerts = admin.get("/alerts?page_size=500").await.1;
        let all = alerts["items"].as_array()?.clone();
        Some(all.into_iter().filter(|alert| alert["alert_type"] == "unpriced").collect::<Vec<_>>())
    };
    let alerts = until("a warning", async || warned().await.filter(|all| !all.is_empty())).await;
    assert_eq!((alerts.len(), &alerts[0]["data"]["model"]), (1, &json!("someone-new")), "{alerts:?}");

    // The same as a table, and of all integrations.
    let table =
        admin.api(Method::GET, "/integrations/llm/usage/export?by=model").send().await.expect("answers");
    assert_eq!(table.headers()["content-type"], "text/csv; charset=utf-8");
    let table = table.text().await.expect("text");
    assert!(table.starts_with("model,requests,errors,"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("other,3,")), "{table}");
    let (status, all) = admin.get("/usage?window=90d").await;
    assert_eq!((status, &all["integrations"][0]["integration"]), (200, &json!("llm")), "{all}");
    assert_eq!(all["cost_micros"], usage["cost_micros"], "{all}");
    for (query, at) in [("window=decade", "/window"), ("step=second", "/step"), ("at=noon", "/at")] {
        let (status, problem) = admin.get(&format!("/usage?{query}")).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(at)), "{problem}");
    }
    let (status, problem) = admin.get("/usage?window=90d&step=minute").await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/step")), "{problem}");
    house.stop().await;
}
