//! The service as a whole, with real servers: what targets get, and what is written down.

mod room;
mod target;

use std::time::Duration;

use model::alert::{AlertAcknowledged, AlertRaised, AlertResolved};
use model::ask::{Admit, Admitted, Answer, Preview, Previewed, Render, Rendered, TestWebhook, Tested};
use model::config::Kind;
use model::delivery::DeliveryState::{Delivered, Failed, Pending};
use model::webhook::WebhookKind;
use model::{AlertId, Envelope, EventId, Secret, Timestamp, subject};
use serde_json::{Value, json};

use crate::{Settings, examples};
use room::Room;
use target::{Says, Target, says};

/// How long a test waits for a fact.
const DEADLINE: Duration = Duration::from_secs(20);
/// A signing secret: 24 bytes.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn alert(number: u128, title: &str) -> AlertRaised {
    AlertRaised {
        alert: AlertId::make(Timestamp::from_millis(1), number),
        title: title.to_owned(),
        fingerprint: format!("test/{number}"),
        ..examples::price()
    }
}

fn resolved(raised: &AlertRaised) -> AlertResolved {
    let resolved_at = Timestamp::from_millis(raised.at.as_millis() + 1);
    AlertResolved { raised: raised.clone(), resolved_at, resolved_by: "failover".to_owned() }
}

async fn taken() -> Target {
    Target::that(|_, got| if got.uri.starts_with("/services/") { says(200, "ok") } else { says(202, "{}") })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_reaches_every_kind_of_channel_in_its_own_shape() {
    let room = Room::open().await;
    let target = taken().await;
    let url = |path: &str| vec![("url", target.url(path))];
    let slack = room
        .webhook(
            "slack",
            "slack",
            &url("/services/T/B/x"),
            json!({"template": "{{ title }}: {{ ticker }} at {{ price }}"}),
        )
        .await;
    let discord = room.webhook("discord", "discord", &url("/api/webhooks/1/tok"), json!({})).await;
    let duty_fields = [("url", target.url("/v2/enqueue")), ("routing_key", "r".repeat(32))];
    let duty = room.webhook("duty", "pagerduty", &duty_fields, json!({})).await;
    let http_fields = [("url", target.url("/hooks/a")), ("secret", SECRET.to_owned())];
    let http = room.webhook("http", "http", &http_fields, json!({})).await;
    let other =
        room.webhook("other", "http", &http_fields, json!({"filter": {"severities": ["info"]}})).await;

    room.raise(&alert(1, "IBM crossed 190")).await;
    for webhook in [&slack, &discord, &duty, &http] {
        let sent = room.deliveries(webhook, Delivered, 1).await;
        assert_eq!((sent[0].0.attempts, sent[0].1[0].outcome.as_str()), (1, "delivered"));
    }
    let got = target.messages(4).await;
    let at = |path: &str| got.iter().find(|got| got.uri.starts_with(path)).expect(path);
    assert_eq!(at("/services/").json, json!({"text": "IBM crossed 190: IBM at 190.2"}));
    assert_eq!(at("/api/v10/webhooks/1/tok?wait=true").json["allowed_mentions"], json!({"parse": []}));
    let trigger = &at("/v2/enqueue").json;
    assert_eq!(
        (&trigger["routing_key"], &trigger["event_action"]),
        (&json!("r".repeat(32)), &json!("trigger"))
    );
    let signed = at("/hooks/a");
    assert_eq!(signed.json["type"], "alert.raised");
    let seconds: i64 = signed.headers["webhook-timestamp"].parse().expect("seconds");
    let expected = crate::sign::signature(
        &Secret::new(SECRET.to_owned()),
        &signed.headers["webhook-id"],
        seconds,
        signed.text.as_bytes(),
    );
    assert_eq!(Ok(&signed.headers["webhook-signature"]), expected.as_ref());
    assert!(room.store.deliveries_page(Some(&other), None, None, 10).await.expect("a page").is_empty());
    let told = room.told().await;
    assert_eq!(told.iter().filter(|kind| *kind == "delivery.attempted.v1").count(), 4);
    assert_eq!(told.iter().filter(|kind| *kind == "delivery.due.v1").count(), 4);
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_alert_is_told_again_only_when_it_says_something_new() {
    let room = Room::open().await;
    let target = taken().await;
    let http = room.webhook("http", "http", &[("url", target.url("/hooks/a"))], json!({})).await;
    let first = alert(1, "up");
    room.raise(&first).await;
    room.deliveries(&http, Delivered, 1).await;
    room.raise(&first).await;
    room.raise(&AlertRaised { title: "higher".to_owned(), ..first.clone() }).await;
    room.deliveries(&http, Delivered, 2).await;
    let over = resolved(&first);
    room.publish(over.clone()).await;
    room.publish(over).await;
    room.deliveries(&http, Delivered, 3).await;
    // After its end the same alert is news.
    room.raise(&AlertRaised {
        alert: AlertId::make(Timestamp::from_millis(2), 9),
        at: Timestamp::now(),
        ..first
    })
    .await;
    room.deliveries(&http, Delivered, 4).await;
    let got = target.messages(4).await;
    let titles: Vec<_> =
        got.iter().map(|got| (got.json["type"].as_str(), got.json["data"]["title"].as_str())).collect();
    assert_eq!(titles[..2], [(Some("alert.raised"), Some("up")), (Some("alert.raised"), Some("higher"))]);
    assert_eq!(got[2].json["data"]["resolved_by"], "failover");
    assert_eq!(titles[3], (Some("alert.raised"), Some("up")));
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_the_api_stored_before_its_event_came_is_told_once() {
    let room = Room::open().await;
    let target = taken().await;
    let http = room.webhook("http", "http", &[("url", target.url("/hooks/a"))], json!({})).await;
    for (round, (title, expected)) in [("up", 1), ("up", 1), ("higher", 2)].into_iter().enumerate() {
        let raised = alert(1, title);
        let event = room.bus.envelope(raised.clone());
        let stored = event.to_bytes().expect("JSON");
        let write = store::AlertWrite::Raise(raised);
        let change = store::Change { events: vec![stored], alerts: vec![write], ..store::Change::default() };
        room.store.commit(change, Timestamp::now()).await.expect("committed");
        room.bus.publish(&event).await.expect("published");
        // Another alert through the same queue says that this one was handled.
        room.raise(&alert(100 + round as u128, &format!("marker {round}"))).await;
        let told = room.deliveries(&http, Delivered, expected + round + 1).await;
        let about: Vec<&str> =
            told.iter().map(|(told, _)| told.title.as_str()).filter(|t| !t.starts_with("marker")).collect();
        assert_eq!(about, ["up", "higher"][..expected], "round {round}");
        assert!(told.iter().any(|(told, _)| told.title == format!("marker {round}")), "round {round}");
    }
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_is_left_alone_as_long_as_it_asks_for() {
    let room = Room::open().await;
    let target = Target::that(|number, _| match number {
        0 => Says::Answer(429, vec![("retry-after", "2")], r#"{"ok":false,"error":"rate_limited"}"#),
        _ => says(200, "ok"),
    })
    .await;
    let slack = room.webhook("slack", "slack", &[("url", target.url("/services/x"))], json!({})).await;
    room.raise(&alert(1, "one")).await;
    room.raise(&alert(2, "two")).await;
    let sent = room.deliveries(&slack, Delivered, 2).await;
    let outcomes: Vec<&str> = sent[0].1.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["retry", "delivered"]);
    assert_eq!(sent[0].1[0].status_code, Some(429));
    let got = target.messages(3).await;
    assert!(got[1].at - got[0].at >= Duration::from_secs(2), "nothing is sent before");
    assert!(got[2].json["text"].as_str().is_some_and(|text| text.contains("two")), "and the order stays");
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_gone_is_disabled_and_says_so() {
    let room = Room::open().await;
    let target = Target::that(|_, _| says(410, "channel_is_archived")).await;
    let slack = room.webhook("slack", "slack", &[("url", target.url("/services/x"))], json!({})).await;
    room.raise(&alert(1, "one")).await;
    room.raise(&alert(2, "two")).await;
    let failed = room.deliveries(&slack, Failed, 1).await;
    assert_eq!(failed[0].1[0].outcome, "gone");
    let webhook = room.configured(&slack).await;
    assert!(!webhook.enabled);
    assert_eq!(webhook.disabled_reason.as_deref(), Some("answered 410: channel_is_archived"));
    let told = room.told().await;
    for kind in ["config.changed.v1", "audit.recorded.v1", "delivery.failed.v1"] {
        assert!(told.iter().any(|told| told == kind), "{kind}: {told:?}");
    }
    assert_eq!(target.count(), 1, "nothing more is sent");
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_slows_nobody_else() {
    let room = Room::open().await;
    let dead = Target::that(|_, _| Says::Nothing).await;
    let good = taken().await;
    let stuck = room.webhook("stuck", "http", &[("url", dead.url("/"))], json!({})).await;
    let fine = room.webhook("fine", "http", &[("url", good.url("/"))], json!({})).await;
    let begun = std::time::Instant::now();
    for number in 1..=20 {
        room.raise(&alert(number, "x")).await;
    }
    room.deliveries(&fine, Delivered, 20).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(dead.count() <= 6, "one at a time: {}", dead.count());
    assert!(!room.deliveries(&stuck, Pending, 10).await.is_empty());
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_attempt_and_record_repeats_the_message_under_its_id() {
    let mut room = Room::open().await;
    let target = Target::that(|_, _| Says::Nothing).await;
    let http = room.webhook("http", "http", &[("url", target.url("/"))], json!({})).await;
    room.raise(&alert(1, "one")).await;
    target.messages(1).await;
    room.kill().await;
    target.now(|_, _| says(204, ""));
    room.start();
    let sent = room.deliveries(&http, Delivered, 1).await;
    let outcomes: Vec<&str> = sent[0].1.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["unknown", "delivered"]);
    let got = target.messages(2).await;
    assert_eq!(got[0].headers["webhook-id"], got[1].headers["webhook-id"]);
    assert_eq!(got[0].headers["webhook-id"], sent[0].0.id.as_str());
    assert_eq!(got[0].text, got[1].text);
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_retried_still_comes_before_its_resolve() {
    let room = Room::open().await;
    let target = Target::that(|number, _| if number < 2 { says(503, "") } else { says(202, "{}") }).await;
    let fields = [("url", target.url("/v2/enqueue")), ("routing_key", "r".repeat(32))];
    let duty = room.webhook("duty", "pagerduty", &fields, json!({})).await;
    let raised = alert(1, "one");
    room.raise(&raised).await;
    room.publish(AlertAcknowledged {
        raised: raised.clone(),
        acknowledged_at: raised.at,
        acknowledged_by: "user:ada".to_owned(),
        note: None,
    })
    .await;
    room.publish(resolved(&raised)).await;
    room.deliveries(&duty, Delivered, 3).await;
    let got = target.messages(5).await;
    let actions: Vec<&str> = got.iter().filter_map(|got| got.json["event_action"].as_str()).collect();
    assert_eq!(actions, ["trigger", "trigger", "trigger", "acknowledge", "resolve"]);
    assert!(got.iter().all(|message| message.json["dedup_key"] == got[0].json["dedup_key"]));
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_given_up_after_its_last_pause_and_a_wrong_message_at_once() {
    let room = Room::open().await;
    let target =
        Target::that(|_, got| if got.text.contains("wrong") { says(422, "no") } else { says(500, "") }).await;
    let http = room.webhook("http", "http", &[("url", target.url("/"))], json!({})).await;
    room.raise(&alert(1, "one")).await;
    let failed = room.deliveries(&http, Failed, 1).await;
    let attempts = failed[0].1.len();
    assert!(attempts >= 4, "{attempts}");
    let why = format!("given up after {attempts} attempts: answered 500");
    assert_eq!(failed[0].0.failure.as_deref(), Some(why.as_str()));
    room.raise(&alert(2, "wrong")).await;
    let failed = room.deliveries(&http, Failed, 2).await;
    assert_eq!((failed[1].1.len(), failed[1].0.failure.as_deref()), (1, Some("answered 422: no")));
    assert!(room.configured(&http).await.enabled);
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_does_not_wait_for_hours_behind_one_that_failed() {
    let settings =
        Settings { pauses_secs: vec![0, 36_000, 36_000], hurry_ms: 200, poll_ms: 200, ..Settings::default() };
    let room = Room::with(settings).await;
    let target = Target::that(|number, _| if number == 0 { says(503, "") } else { says(200, "") }).await;
    let http = room.webhook("http", "http", &[("url", target.url("/"))], json!({})).await;
    room.raise(&alert(1, "one")).await;
    target.messages(1).await;
    room.raise(&alert(2, "two")).await;
    let sent = room.deliveries(&http, Delivered, 2).await;
    assert_eq!([sent[0].0.title.as_str(), sent[1].0.title.as_str()], ["one", "two"]);
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_write_alerts_by_hand_and_what_is_none_becomes_a_dead_letter() {
    let room = Room::open().await;
    let target = taken().await;
    let http = room.webhook("http", "http", &[("url", target.url("/"))], json!({})).await;
    let by_hand = |id: &str, body: &str| Envelope {
        id: EventId::parse(id).expect("an id"),
        source: "/application".to_owned(),
        kind: "dev.signalbox.alert.raised.v1".to_owned(),
        time: Timestamp::now(),
        subject: subject::alert(
            model::alert::Severity::Error,
            &model::id::Slug::of("screener"),
            model::alert::Phase::Raised,
        ),
        correlation: None,
        data: body.as_bytes().to_vec(),
    };
    room.bus.publish_bytes(&by_hand("broken", "not JSON")).await.expect("published");
    room.bus
        .publish_bytes(&by_hand("fine", r#"{"title": "hello", "ticker": "IBM"}"#))
        .await
        .expect("published");
    room.deliveries(&http, Delivered, 1).await;
    let got = target.messages(1).await;
    assert_eq!(got[0].json["data"]["data"], json!({"ticker": "IBM"}));
    assert_eq!(
        (&got[0].json["data"]["source"], &got[0].json["data"]["severity"]),
        (&json!("screener"), &json!("error"))
    );
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_keeps_the_alert_and_delivers_nothing() {
    let room = Room::open().await;
    let target = taken().await;
    let http = room.webhook("http", "http", &[("url", target.url("/"))], json!({})).await;
    room.document(Kind::Silence, "night", json!({"matchers": {"alert_types": ["price"]}, "comment": "x"}))
        .await;
    room.raise(&alert(1, "silent")).await;
    room.raise(&AlertRaised { alert_type: "health".to_owned(), ..alert(2, "heard") }).await;
    room.deliveries(&http, Delivered, 1).await;
    assert!(room.store.open_alert("test/1").await.expect("a read").is_some());
    assert_eq!(target.messages(1).await[0].json["data"]["title"], "heard");
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_by_the_code_that_delivers() {
    let room = Room::open().await;
    let target = taken().await;
    let ask = |question: &'static str| subject::ask("webhooks", question);
    let render = Render {
        template: "{{ a }}\n {{ b }}".to_owned(),
        variables: json!({"a": 1}).as_object().cloned().expect("an object"),
        partials: serde_json::Map::new(),
        lenient: false,
    };
    // The first question waits until the service listens.
    let answered = tokio::time::timeout(DEADLINE, async {
        loop {
            match room.bus.ask::<_, Answer<Rendered>>(&ask("render"), &render, DEADLINE).await {
                Ok(answer) => return answer,
                Err(bus::Error::NoResponders { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let Answer::Refused(refused) = answered.await.expect("an answer") else { panic!("`b` is unknown") };
    assert_eq!((refused.code.as_str(), refused.line, refused.column), ("unknown_variable", Some(2), Some(5)));
    let lenient = Render { lenient: true, ..render };
    let Answer::Ok(Rendered { output }) =
        room.bus.ask(&ask("render"), &lenient, DEADLINE).await.expect("an answer")
    else {
        panic!("it renders")
    };
    assert_eq!(output, "1\n ");

    let preview = Preview {
        kind: WebhookKind::Pagerduty,
        template: Some("{{ title }} {{ nothing }}".to_owned()),
        alert: None,
    };
    let Answer::Ok(shown) =
        room.bus.ask::<_, Answer<Previewed>>(&ask("preview"), &preview, DEADLINE).await.expect("an answer")
    else {
        panic!("it previews")
    };
    let body: Value = serde_json::from_str(&shown.body).expect("JSON");
    assert_eq!(body["payload"]["summary"], "IBM crossed 190");
    assert_eq!(shown.warnings, ["unknown variable `nothing` (line 1, column 16); it is empty"]);

    let http = room.webhook("http", "http", &[("url", target.url("/t"))], json!({"enabled": false})).await;
    let test = TestWebhook { webhook: http.clone() };
    let Answer::Ok(tested) =
        room.bus.ask::<_, Answer<Tested>>(&ask("test"), &test, DEADLINE).await.expect("an answer")
    else {
        panic!("it is tested")
    };
    assert_eq!((tested.delivered, tested.status_code), (true, Some(202)));
    assert!(room.store.deliveries_page(Some(&http), None, None, 10).await.expect("a page").is_empty());

    for (id, url, admitted) in
        [("good", target.url("/"), true), ("inward", "http://10.0.0.1/".to_owned(), false)]
    {
        let path = vault::Path::trial(id).expect("an id");
        let fields = [("url".to_owned(), Secret::new(url))].into();
        room.vault.write(&path, &fields, vault::Expected::New).await.expect("kept");
        let admit = Admit { trial: path.to_string() };
        let answer =
            room.bus.ask::<_, Answer<Admitted>>(&ask("admit"), &admit, DEADLINE).await.expect("an answer");
        assert_eq!(matches!(answer, Answer::Ok(_)), admitted, "{answer:?}");
    }
    room.close().await;
}
