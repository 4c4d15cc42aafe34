//! Every query of every dashboard returns data from a real Prometheus that scrapes a house at work.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{Client, House, key_of, outside, until};
use reqwest::Method;
use serde_json::{Value, json};
use standins::{Kind, Mode};
use tokio::process::{Child, Command};

/// How long series may take: some need two scrapes after something happened.
const PATIENCE: Duration = Duration::from_secs(90);

/// A Prometheus that scrapes one address each second.
struct Prometheus {
    _child: Child,
    url: String,
}

async fn prometheus(directory: &Path, target: &str) -> Prometheus {
    let program = std::env::var_os("SIGNALBOX_TEST_PROMETHEUS")
        .expect("SIGNALBOX_TEST_PROMETHEUS names a prometheus; ./tests/run sets it");
    let config = directory.join("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: signalbox\n  static_configs: [{{ targets: [\"{target}\"] }}]\n"
    );
    std::fs::write(&config, text).expect("the configuration is written");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let child = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus starts");
    Prometheus { _child: child, url: format!("http://127.0.0.1:{port}") }
}

/// Title and query of every target of every panel, rows opened.
fn queries(panels: &Value, found: &mut Vec<(String, String)>) {
    for panel in panels.as_array().into_iter().flatten() {
        let title = panel["title"].as_str().unwrap_or_default();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a target has a query");
            found.push((title.to_owned(), filled(query)));
        }
        queries(&panel["panels"], found);
    }
}

fn filled(query: &str) -> String {
    let mut query = query.replace("$__rate_interval", "20s");
    for variable in ["$job", "$instance", "$integration", "$route"] {
        query = query.replace(variable, ".+");
    }
    assert!(!query.contains('$'), "an unknown variable stands in {query}");
    query
}

fn boards() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grafana/dashboards/Signalbox");
    let files = std::fs::read_dir(directory).expect("there are dashboards");
    let mut found = Vec::new();
    for file in files {
        let path: PathBuf = file.expect("a file").path();
        let board: Value =
            serde_json::from_slice(&std::fs::read(path).expect("it can be read")).expect("it is JSON");
        queries(&board["panels"], &mut found);
    }
    assert!(found.len() > 20, "the dashboards have queries");
    found
}

/// Whether a query gives a sample that is a number.
async fn answers(http: &reqwest::Client, url: &str, query: &str) -> bool {
    let Ok(answer) = http.get(format!("{url}/api/v1/query")).query(&[("query", query)]).send().await else {
        return false;
    };
    let body: Value = answer.json().await.unwrap_or_default();
    let number = |sample: &Value| sample["value"][1].as_str().is_some_and(|value| value != "NaN");
    body["data"]["result"].as_array().is_some_and(|samples| samples.iter().any(number))
}

/// Whether a call of the route that no cache may answer is answered by the first member.
async fn served_by_main(admin: &Client) -> bool {
    let call =
        admin.call(Method::GET, "/r/quotes/v2/aggs/ticker/IBM/prev").header("cache-control", "no-cache");
    let answer = call.send().await.expect("the gateway answers");
    answer.headers().get("x-signalbox-integration").is_some_and(|name| name == "poly-main")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_a_dashboard_returns_data() {
    let outside = outside(&[("poly-main", "polygon"), ("poly-backup", "polygon")]).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    admin.integrate(&outside, "poly-backup", "polygon").await;
    let key = json!({"id": "poly-main", "provider": "polygon", "fields": {"api_key": key_of("poly-main")}, "expires_at": "2099-01-01T00:00:00Z"});
    admin.make("/keys", key).await;
    let base_url = outside.instance("poly-main").base_url();
    let main = json!({"id": "poly-main", "provider": "polygon", "key": "poly-main", "base_url": base_url,
        "probe": {"every_secs": 1}, "quotas": [{"name": "day", "requests": 100_000, "per": "day", "timezone": "UTC"}]});
    admin.make("/integrations", main).await;
    let route =
        json!({"id": "quotes", "integrations": ["poly-main", "poly-backup"], "cache": {"ttl_secs": 1}});
    admin.make("/routes", route).await;
    let url = format!("{}/services/T0/B0/abc", outside.target(Kind::Slack).base_url());
    admin.make("/webhooks", json!({"id": "slack", "kind": "slack", "url": url})).await;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let prometheus = prometheus(directory.path(), &house.addresses().admin.to_string()).await;

    // Calls and outages go on for as long as somebody looks.
    let stop = Arc::new(AtomicBool::new(false));
    let (client, ended) = (admin.clone(), stop.clone());
    let calls = tokio::spawn(async move {
        let mut number = 0;
        while !ended.load(Ordering::Relaxed) {
            number += 1;
            if number % 20 == 0 {
                let title = format!("alert number {number}");
                client
                    .post(
                        "/alerts",
                        json!({"severity": "info", "alert_type": "test", "title": title, "source": "test"}),
                    )
                    .await;
            }
            // Every other call passes the cache by, or an outage could be over before a call meets it.
            let caching = if number % 2 == 0 { "no-cache" } else { "max-age=60" };
            let call = client
                .call(Method::GET, "/r/quotes/v2/aggs/ticker/IBM/prev")
                .header("cache-control", caching);
            drop(call.send().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let http = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    let begun = std::time::Instant::now();
    let mut waiting = boards();
    let mut off = false;
    while !waiting.is_empty() {
        let wanted = if off { "up" } else { "down" };
        if !off {
            // Only an outage that meets calls shows what failed calls show.
            until("traffic is on poly-main", || async { served_by_main(&admin).await.then_some(()) }).await;
        }
        outside.instance("poly-main").switch(if off { Mode::Ok } else { Mode::from(503) }).await;
        off = !off;
        until(&format!("poly-main is {wanted}"), || async {
            let (_, it) = admin.get("/integrations/poly-main").await;
            (it["health"] == wanted).then_some(())
        })
        .await;
        let mut still = Vec::new();
        for (title, query) in waiting {
            if !answers(&http, &prometheus.url, &query).await {
                still.push((title, query));
            }
        }
        waiting = still;
        assert!(begun.elapsed() < PATIENCE, "no data for {waiting:#?}");
    }
    stop.store(true, Ordering::Relaxed);
    calls.await.expect("the caller ends");
    house.stop().await;
}
