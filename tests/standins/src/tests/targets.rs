//! The targets: what they take, what they refuse, what they remember.

use serde_json::{Value, json};

use super::{SOON, World, header, told};
use crate::signing::{base64, hmac_sha256};
use crate::{Config, Kind, Mode};

const SLACK: &str = "/services/T000/B000/XXXX";
const DISCORD: &str = "/api/v10/webhooks/123456789012345678/token?wait=true";
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Stand-ins whose targets take any number of messages.
async fn world() -> World {
    let mut config = Config::default().hook_secret("orders", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMDE=");
    (config.targets.slack_per_sec, config.targets.discord_per_2_secs) = (0, 0);
    World::of(config).await
}

impl World {
    fn tell(&self, kind: Kind, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.standins.target(kind).base_url())).json(body)
    }
}

async fn said(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn slack_says_ok_and_gives_the_message() {
    let world = world().await;
    assert_eq!(
        said(world.tell(Kind::Slack, SLACK, &json!({ "text": "IBM crossed 190" }))).await,
        (200, "ok".to_owned())
    );
    let message = world.standins.target(Kind::Slack).next_message(SOON).await.unwrap();
    assert_eq!((message.json["text"].as_str(), message.accepted), (Some("IBM crossed 190"), true));
}

#[tokio::test]
async fn slack_names_what_is_wrong() {
    let world = world().await;
    let tell = |body: Value| said(world.tell(Kind::Slack, SLACK, &body));
    let section = |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    assert_eq!(tell(json!({})).await, (400, "no_text".to_owned()));
    assert_eq!(tell(json!([1])).await, (400, "invalid_payload".to_owned()));
    assert_eq!(
        tell(json!({ "text": "t", "blocks": vec![section("x".into()); 51] })).await,
        (400, "invalid_blocks".to_owned())
    );
    assert_eq!(
        tell(json!({ "text": "t", "blocks": [section("x".repeat(3001))] })).await,
        (400, "invalid_blocks".to_owned())
    );
    assert_eq!(
        tell(json!({ "text": "t", "blocks": [section("x".repeat(3000))] })).await,
        (200, "ok".to_owned())
    );
    let url = format!("{}{SLACK}", world.standins.target(Kind::Slack).base_url());
    let form = world.http.post(url).header("content-type", "text/plain").body("{\"text\":\"t\"}");
    assert_eq!(said(form).await.1, "invalid_payload");
    assert_eq!(said(world.tell(Kind::Slack, "/services/nonsense", &json!({ "text": "t" }))).await.0, 404);
    let note = world.standins.target(Kind::Slack).messages()[2].note.clone().unwrap();
    assert_eq!(note, "invalid_blocks: 51 blocks");
}

#[tokio::test]
async fn slack_takes_one_message_a_second() {
    let world = World::of(Config::default()).await;
    let tell = || world.tell(Kind::Slack, SLACK, &json!({ "text": "t" })).send();
    assert_eq!(tell().await.unwrap().status(), 200);
    let over = tell().await.unwrap();
    assert_eq!((over.status().as_u16(), header(&over, "retry-after")), (429, "1".to_owned()));
    assert_eq!(over.json::<Value>().await.unwrap()["error"], "rate_limited");
    let other =
        world.tell(Kind::Slack, "/services/T000/B000/OTHER", &json!({ "text": "t" })).send().await.unwrap();
    assert_eq!(other.status(), 200, "each webhook has a limit of its own");
}

#[tokio::test]
async fn discord_names_the_path_of_what_is_too_long() {
    let world = world().await;
    let (status, taken) = told(world.tell(
        Kind::Discord,
        DISCORD,
        &json!({ "content": "hi", "allowed_mentions": { "parse": [] } }),
    ))
    .await;
    assert_eq!((status, taken["content"].as_str()), (200, Some("hi")));
    let (status, refused) =
        told(world.tell(Kind::Discord, DISCORD, &json!({ "embeds": [{ "title": "x".repeat(257) }] }))).await;
    assert_eq!((status, refused["code"].as_u64()), (400, Some(50_035)));
    assert_eq!(refused["errors"]["embeds"]["0"]["title"]["_errors"][0]["code"], "BASE_TYPE_MAX_LENGTH");
    assert_eq!(told(world.tell(Kind::Discord, DISCORD, &json!({}))).await.1["code"], 50_006);
    let many = json!({ "embeds": vec![json!({ "description": "x".repeat(4000) }); 2] });
    assert_eq!(told(world.tell(Kind::Discord, DISCORD, &many)).await.0, 400);
    let quiet = world.tell(Kind::Discord, "/api/v10/webhooks/1/token", &json!({ "content": "@everyone" }));
    assert_eq!(said(quiet).await.0, 204);
    assert!(
        world
            .standins
            .target(Kind::Discord)
            .messages()
            .last()
            .unwrap()
            .note
            .as_ref()
            .unwrap()
            .contains("pings everyone")
    );
}

#[tokio::test]
async fn discord_takes_five_in_two_seconds_and_tells_its_bucket() {
    let world = World::of(Config::default()).await;
    let mut left = Vec::new();
    for _ in 0..5 {
        let answer = world.tell(Kind::Discord, DISCORD, &json!({ "content": "x" })).send().await.unwrap();
        left.push(header(&answer, "x-ratelimit-remaining"));
    }
    assert_eq!(left, ["4", "3", "2", "1", "0"]);
    let over = world.tell(Kind::Discord, DISCORD, &json!({ "content": "x" })).send().await.unwrap();
    assert_eq!(over.status(), 429);
    let body: Value = over.json().await.unwrap();
    assert!(body["retry_after"].as_f64().unwrap() <= 2.0 && body["global"] == false);
    let old = world.tell(Kind::Discord, "/api/webhooks/123456789012345678/token", &json!({ "content": "x" }));
    assert!(told(old).await.1["retry_after"].as_f64().unwrap() > 2.0, "without a version: milliseconds");
}

#[tokio::test]
async fn pagerduty_keeps_an_alert_by_its_key() {
    let world = world().await;
    let event = |action: &str| {
        json!({ "routing_key": ROUTING_KEY, "event_action": action, "dedup_key": "d",
                                       "payload": { "summary": "down", "source": "s", "severity": "critical" } })
    };
    for (action, state, triggers) in [
        ("trigger", "triggered", 1),
        ("trigger", "triggered", 2),
        ("acknowledge", "acknowledged", 2),
        ("resolve", "resolved", 2),
        ("trigger", "triggered", 1),
    ] {
        let (status, taken) = told(world.tell(Kind::Pagerduty, "/v2/enqueue", &event(action))).await;
        assert_eq!((status, taken["dedup_key"].as_str()), (202, Some("d")));
        let alerts = world.standins.target(Kind::Pagerduty).alerts();
        assert_eq!((alerts.len(), alerts[0].state, alerts[0].triggers), (1, state, triggers), "{action}");
    }
}

#[tokio::test]
async fn pagerduty_lists_what_is_wrong() {
    let world = world().await;
    let bad = json!({ "routing_key": "short", "event_action": "trigger", "payload": { "summary": "s", "severity": "fatal" } });
    let (status, refused) = told(world.tell(Kind::Pagerduty, "/v2/enqueue", &bad)).await;
    assert_eq!((status, refused["status"].as_str()), (400, Some("invalid event")));
    assert_eq!(refused["errors"].as_array().unwrap().len(), 3);
    let keyless = json!({ "routing_key": ROUTING_KEY, "event_action": "resolve" });
    assert_eq!(told(world.tell(Kind::Pagerduty, "/v2/enqueue", &keyless)).await.0, 400);
}

#[tokio::test]
async fn the_receiver_verifies_signature_and_time_and_sees_repetitions() {
    let world = world().await;
    let now = jiff::Timestamp::now().as_second();
    let post = |id: &str, at: i64, body: &'static str, signed: &str| {
        let text = format!("{id}.{at}.{signed}");
        let signature =
            format!("v1,AAAA v1,{}", base64(&hmac_sha256(b"secret-secret-secret-01", text.as_bytes())));
        let url = format!("{}/hooks/orders", world.standins.target(Kind::Http).base_url());
        world
            .http
            .post(url)
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature)
            .body(body)
            .send()
    };
    assert_eq!(post("a", now, "{}", "{}").await.unwrap().status(), 200);
    assert_eq!(post("a", now, "{}", "{}").await.unwrap().status(), 200);
    assert_eq!(post("b", now, "{}", "{ }").await.unwrap().status(), 401);
    assert_eq!(post("c", now - 400, "{}", "{}").await.unwrap().status(), 401);
    let seen = world.standins.target(Kind::Http).messages();
    assert_eq!(
        seen.iter().map(|message| message.verified).collect::<Vec<_>>(),
        [Some(true), Some(true), Some(false), Some(false)]
    );
    assert_eq!(seen.iter().map(|message| message.duplicate).collect::<Vec<_>>(), [false, true, false, false]);
    let open = world.tell(Kind::Http, "/hooks/without-secret", &json!({})).send().await.unwrap();
    assert_eq!(open.status(), 200);
    assert_eq!(world.standins.target(Kind::Http).messages()[4].verified, None);
}

#[tokio::test]
async fn the_published_example_of_standard_webhooks_verifies() {
    let text = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk.1649367553.{\"email\":\"test@example.com\",\"username\":\"test_user\"}";
    let key = crate::signing::unbase64("C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    assert_eq!(base64(&hmac_sha256(&key, text.as_bytes())), "tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}

#[tokio::test]
async fn each_target_fails_in_its_own_words() {
    let world = world().await;
    let slack = world.standins.target(Kind::Slack);
    slack.switch(Mode::BadKey).await;
    assert_eq!(
        said(world.tell(Kind::Slack, SLACK, &json!({ "text": "t" }))).await,
        (403, "invalid_token".to_owned())
    );
    slack.switch(Mode::Gone { status: Some(410) }).await;
    assert_eq!(
        said(world.tell(Kind::Slack, SLACK, &json!({ "text": "t" }))).await,
        (410, "channel_is_archived".to_owned())
    );
    let discord = world.standins.target(Kind::Discord);
    discord.switch(Mode::Gone { status: None }).await;
    assert_eq!(told(world.tell(Kind::Discord, DISCORD, &json!({ "content": "x" }))).await.1["code"], 10_015);
    discord.switch(Mode::Throttle { retry_after_secs: Some(4) }).await;
    assert_eq!(
        told(world.tell(Kind::Discord, DISCORD, &json!({ "content": "x" }))).await.1["retry_after"],
        4.0
    );
    world
        .standins
        .target(Kind::Pagerduty)
        .switch(Mode::Status { status: 429, retry_after_secs: Some(9), body: None })
        .await;
    let answer = world.tell(Kind::Pagerduty, "/v2/enqueue", &json!({})).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (429, "9".to_owned()));
    assert!(!slack.messages().iter().any(|message| message.accepted));
}

#[tokio::test]
async fn a_refusing_target_closes_its_own_port_and_hangs_up_on_the_shared_one() {
    let world = world().await;
    let slack = world.standins.target(Kind::Slack);
    slack.switch(Mode::Refuse).await;
    let body = json!({ "text": "t" });
    assert!(world.tell(Kind::Slack, SLACK, &body).send().await.unwrap_err().is_connect());
    let shared = || world.http.post(format!("{}{SLACK}", world.standins.targets_url())).json(&body).send();
    assert!(shared().await.is_err());
    slack.switch(Mode::Ok).await;
    assert_eq!(shared().await.unwrap().status(), 200);
    assert_eq!(slack.next_message(SOON).await.unwrap().status, Some(200));
}
