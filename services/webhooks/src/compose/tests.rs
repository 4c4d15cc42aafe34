//! What channels get: their shapes, and their limits for any alert.

use super::*;
use crate::examples;
use proptest::prelude::*;
use serde_json::json;

fn told(kind: WebhookKind, alert: &AlertRaised, phase: Phase, text: Option<&str>) -> Message {
    let follow_up = match phase {
        Phase::Raised => FollowUp::default(),
        _ => FollowUp { by: Some("user:ada".to_owned()), at: Some(alert.at), note: None },
    };
    compose(kind, &Notice { alert, phase, follow_up: &follow_up }, text)
}

fn raised(kind: WebhookKind, text: Option<&str>) -> Value {
    told(kind, &examples::price(), Phase::Raised, text).body
}

#[test]
fn slack_gets_a_text_and_blocks() {
    let body = raised(WebhookKind::Slack, None);
    assert_eq!(body["text"], "🚨 [critical] IBM crossed 190 (screener)");
    assert_eq!(body["blocks"][0]["text"]["text"], "🚨 IBM crossed 190");
    assert_eq!(body["blocks"][1]["text"]["text"], "IBM traded above its 50 day high.");
    assert_eq!(body["blocks"][2]["fields"][4]["text"], "*ticker*\nIBM");
    assert!(
        body["blocks"][3]["elements"][0]["text"]
            .as_str()
            .is_some_and(|said| said.contains("<!date^1795228200^"))
    );
}

#[test]
fn slack_alerts_call_nobody() {
    let mut alert = examples::price();
    alert.title = "<!channel> fire".to_owned();
    alert.data.insert("who".to_owned(), json!("<@U1>"));
    let body = told(WebhookKind::Slack, &alert, Phase::Raised, None).body;
    assert!(body["text"].as_str().is_some_and(|text| text.contains("&lt;!channel&gt; fire")));
    assert!(body["blocks"].to_string().contains("&lt;@U1&gt;"));
}

#[test]
fn discord_gets_an_embed_in_the_severitys_colour_and_mentions_nobody() {
    let body = raised(WebhookKind::Discord, None);
    assert_eq!(body["embeds"][0]["color"], 0xE7_4C_3C);
    assert_eq!(body["embeds"][0]["title"], "🚨 IBM crossed 190");
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    assert_eq!(raised(WebhookKind::Discord, Some("@everyone hi"))["content"], "@everyone hi");
    assert_eq!(
        raised(WebhookKind::Discord, Some("@everyone hi"))["allowed_mentions"],
        json!({ "parse": [] })
    );
}

#[test]
fn pagerduty_gets_a_trigger_and_later_its_resolve_under_one_key() {
    let body = raised(WebhookKind::Pagerduty, None);
    assert_eq!(body["event_action"], "trigger");
    assert_eq!(body["payload"]["summary"], "IBM crossed 190");
    assert_eq!(body["payload"]["severity"], "critical");
    assert_eq!(body["payload"]["custom_details"]["ticker"], "IBM");
    let key = body["dedup_key"].as_str().expect("a key").to_owned();
    assert_eq!(key.len(), 64);
    assert_eq!(key, super::pagerduty::dedup_key("screener/price/IBM"));
    let resolve = told(WebhookKind::Pagerduty, &examples::price(), Phase::Resolved, Some("ignored")).body;
    assert_eq!(resolve, json!({ "event_action": "resolve", "dedup_key": key }));
    assert_eq!(raised(WebhookKind::Pagerduty, Some("mine"))["payload"]["summary"], "mine");
}

#[test]
fn other_targets_get_type_time_and_data() {
    let body = told(WebhookKind::Http, &examples::price(), Phase::Resolved, None).body;
    assert_eq!(body["type"], "alert.resolved");
    assert_eq!(body["data"]["data"]["price"], 190.2);
    assert_eq!(body["data"]["resolved_by"], "user:ada");
    assert_eq!(raised(WebhookKind::Http, Some("hello"))["text"], "hello");
}

#[test]
fn a_template_that_writes_json_writes_the_whole_body() {
    assert_eq!(raised(WebhookKind::Http, Some(r#"{"a": 1}"#)), json!({ "a": 1 }));
    assert_eq!(raised(WebhookKind::Slack, Some(r#"{"text": "x"}"#)), json!({ "text": "x" }));
    assert_eq!(raised(WebhookKind::Slack, Some(r#"{"a": 1}"#)), json!({ "text": r#"{"a": 1}"# }));
    let discord =
        raised(WebhookKind::Discord, Some(r#"{"content": "x", "allowed_mentions": {"parse": ["users"]}}"#));
    assert_eq!(discord["allowed_mentions"]["parse"], json!(["users"]));
    let duty = raised(
        WebhookKind::Pagerduty,
        Some(r#"{"event_action": "resolve", "payload": {"summary": "s", "severity": "bad"}}"#),
    );
    assert_eq!(
        (&duty["event_action"], &duty["payload"]["severity"]),
        (&json!("trigger"), &json!("critical"))
    );
    assert_eq!(duty["payload"]["source"], "screener");
}

#[test]
fn an_empty_text_is_not_sent() {
    let message = told(WebhookKind::Slack, &examples::price(), Phase::Raised, Some("  \n"));
    assert!(message.body["blocks"].is_array());
    assert_eq!(message.warnings.len(), 1);
}

/// Every text of a value, with the path's last name.
fn texts<'a>(name: &'a str, value: &'a Value, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::String(text) => found.push((name, text)),
        Value::Array(items) => items.iter().for_each(|item| texts(name, item, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, item)| texts(name, item, found)),
        _ => {}
    }
}

fn discord_total(body: &Value) -> usize {
    let mut found = Vec::new();
    texts("", &body["embeds"], &mut found);
    let counted =
        found.iter().filter(|(name, _)| matches!(*name, "title" | "description" | "name" | "value" | "text"));
    counted.map(|(_, text)| text::length(text)).sum()
}

#[test]
fn users_bodies_are_cut_to_the_channels_limits() {
    let long = "y".repeat(50_000);
    let blocks: Vec<Value> = (0..60).map(|_| json!({"type": "section", "text": {"type": "mrkdwn", "text": long}, "fields": vec![json!({"text": long}); 12]})).collect();
    let slack = told(
        WebhookKind::Slack,
        &examples::price(),
        Phase::Raised,
        Some(&json!({ "blocks": blocks }).to_string()),
    );
    assert_eq!(slack.body["blocks"].as_array().map(Vec::len), Some(50));
    assert_eq!(slack.body["blocks"][0]["text"]["text"].as_str().map(text::length), Some(3_000));
    assert_eq!(slack.body["blocks"][0]["fields"].as_array().map(Vec::len), Some(10));
    assert!(!slack.warnings.is_empty() && slack.plainer.is_some());
    let embeds: Vec<Value> = (0..12).map(|_| json!({"title": long, "description": long, "fields": vec![json!({"name": long, "value": long}); 30]})).collect();
    let discord = told(
        WebhookKind::Discord,
        &examples::price(),
        Phase::Raised,
        Some(&json!({ "embeds": embeds }).to_string()),
    );
    assert!(discord_total(&discord.body) <= 6_000);
    let text = told(WebhookKind::Discord, &examples::price(), Phase::Raised, Some(&long)).body;
    assert_eq!(text["content"].as_str().map(text::length), Some(2_000));
}

proptest! {
    #[test]
    fn any_alert_fits_every_channel(
        title in ".{0,3000}", story in ".{0,5000}", names in prop::collection::vec(".{0,400}", 0..40), value in ".{0,1500}",
        phase in prop::sample::select(&[Phase::Raised, Phase::Acknowledged, Phase::Resolved][..]),
    ) {
        let mut alert = examples::price();
        alert.title = title;
        alert.data.insert("description".to_owned(), json!(story));
        for name in names {
            alert.data.insert(name, json!(value));
        }
        let slack = told(WebhookKind::Slack, &alert, phase, None).body;
        let blocks = slack["blocks"].as_array().expect("blocks");
        prop_assert!(text::length(blocks[0]["text"]["text"].as_str().expect("a header")) <= 150);
        let mut found = Vec::new();
        texts("", &slack["blocks"], &mut found);
        prop_assert!(found.iter().all(|(_, text)| text::length(text) <= 3_000));
        prop_assert!(found.iter().map(|(_, text)| text::length(text)).sum::<usize>() <= 10_000);
        let discord = told(WebhookKind::Discord, &alert, phase, None).body;
        prop_assert!(discord_total(&discord) <= 6_000);
        for field in discord["embeds"][0]["fields"].as_array().expect("fields") {
            prop_assert!(field["name"].as_str().is_some_and(|name| !name.trim().is_empty()));
            prop_assert!(field["value"].as_str().is_some_and(|value| !value.trim().is_empty() && text::length(value) <= 1_024));
        }
        let duty = told(WebhookKind::Pagerduty, &alert, phase, None).body;
        prop_assert!(duty["payload"]["summary"].as_str().is_none_or(|summary| text::length(summary) <= 1_024));
        prop_assert!(phase != Phase::Raised || duty["payload"]["summary"].as_str().is_some_and(|summary| !summary.trim().is_empty()));
    }
}
