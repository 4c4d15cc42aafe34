//! OpenAI's own Python client, pointed at chat routes that Anthropic and Google answer: `../openai_sdk.py` asks as an
//! application would, and this plays the providers.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use harness::{ADMIN_TOKEN, House, outside, until};
use reqwest::Method;
use serde_json::json;
use standins::Mode;

const SCRIPT: &str = "openai_sdk.py";
/// How long the script may take, in seconds.
const SCRIPT_SECS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_openai_chats_with_anthropic_and_google() {
    let python = std::env::var("SIGNALBOX_TEST_PYTHON")
        .expect("SIGNALBOX_TEST_PYTHON names a Python that has the package `openai`; ./tests/run sets it");
    let members = [
        ("anthropic", "anthropic", "claude-sonnet-4-6"),
        ("gemini", "google_gemini", "gemini-2.5-flash"),
        ("busy", "anthropic", "claude-sonnet-4-6"),
        ("off", "google_gemini", "gemini-2.5-flash"),
    ];
    let outside = outside(&members.map(|(name, provider, _)| (name, provider))).await;
    let house = House::start().await;
    let admin = &house.admin;
    for (name, provider, model) in members {
        admin.integrate(&outside, name, provider).await;
        let patch = json!({"models": {"gpt-4o": model}, "probe": {"every_secs": 3600}});
        assert_eq!(admin.patch(&format!("/integrations/{name}"), patch).await.0, 200);
        admin.make("/routes", json!({"id": name, "failover": true, "integrations": [name]})).await;
    }
    until("the last route is served", || async {
        let models = admin.call(Method::GET, "/r/off/v1/models").send().await.ok()?;
        (models.status() == 200).then_some(())
    })
    .await;
    outside.instance("busy").switch(Mode::Throttle { retry_after_secs: Some(7) }).await;
    outside.instance("off").switch(Mode::from(503)).await;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
    let gateway = house.addresses().gateway.expect("it runs a gateway");
    let run = tokio::process::Command::new(&python)
        .arg(script)
        .arg(format!("http://{gateway}"))
        .args(["anthropic", "gemini"])
        .env("SIGNALBOX_TOKEN", ADMIN_TOKEN)
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(Duration::from_secs(SCRIPT_SECS), run).await;
    let done = done.expect("the script ends in time").expect("SIGNALBOX_TEST_PYTHON runs");
    let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && told.starts_with("ok"), "{SCRIPT}: {}\n{told}", done.status);

    let asked = outside.instance("gemini").requests();
    let shown = asked.iter().filter(|asked| asked.body.contains("functionResponse"));
    assert!(shown.clone().count() > 0, "a tool's answer came to Google");
    for request in shown {
        assert!(
            request.body.contains("thoughtSignature"),
            "with the signature of its call: {}",
            request.body
        );
    }
    house.stop().await;
}
