//! Keys: put on as each scheme wants it, never the caller's, never shown.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{iter, unfold};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::house::{House, TOKEN, integration, route};
use super::provider::{Provider, answer};

pub(super) const KEY: &str = "pk-live-0123456789-secret";

/// A provider that takes [`KEY`], and keeps its answers as `cache` says.
pub(super) async fn bearer(cache: Value) -> (House, Provider) {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.key("main", &[("api_key", KEY)]).await;
    let body = json!({ "key": "main", "auth": { "scheme": "bearer" }, "cache": cache });
    house.configure(|s| integration(s, "a", &provider.url(), body)).await;
    (house, provider)
}

#[tokio::test]
async fn each_scheme_shows_our_key_and_nothing_of_the_caller() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.key("main", &[("api_key", KEY), ("username", "ada"), ("password", "pass-word-1")]).await;
    house
        .configure(|s| {
            for (id, auth) in [
                ("header", json!({ "scheme": "header", "name": "X-Api-Key" })),
                ("bearer", json!({ "scheme": "bearer" })),
                ("basic", json!({ "scheme": "basic" })),
                ("query", json!({ "scheme": "query", "name": "apikey" })),
            ] {
                integration(s, id, &provider.url(), json!({ "key": "main", "auth": auth }));
            }
        })
        .await;
    for (id, header, wanted, query) in [
        ("header", "x-api-key", KEY, ""),
        ("bearer", "authorization", "Bearer pk-live-0123456789-secret", ""),
        ("basic", "authorization", "Basic YWRhOnBhc3Mtd29yZC0x", ""),
        ("query", "", "", "&apikey=pk-live-0123456789-secret"),
    ] {
        let request = house
            .request("GET", &format!("/p/{id}/x?a=1{}", if id == "query" { "&ApiKey=theirs" } else { "" }))
            .header("x-api-key", "theirs")
            .header("api-key", "theirs")
            .header("x-goog-api-key", "theirs")
            .header("proxy-authorization", "theirs");
        assert_eq!(house.call(request, "").await.status, 200);
        let seen = provider.last();
        let whole = format!("{seen:?}");
        assert!(!whole.contains("theirs") && !whole.contains(TOKEN), "{whole}");
        assert_eq!(seen.target, format!("/x?a=1{query}"), "{id}");
        for name in ["x-api-key", "authorization"] {
            let wanted = (name == header).then(|| wanted.to_owned());
            assert_eq!(seen.header(name), wanted, "{id} {name}");
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_used_fails_its_member_only() {
    let (house, provider) = (House::start().await, Provider::start("good").await);
    house.key("good", &[("api_key", KEY)]).await;
    house
        .configure(|s| {
            let key = |version, expires| {
                serde_json::from_value(json!({ "version": version, "expires_at": expires })).expect("a key")
            };
            for (id, version, expires) in [
                ("expired", json!(1), json!("2020-01-01T00:00:00Z")),
                ("revoked", json!(null), json!(null)),
                ("unknown", json!(7), json!(null)),
            ] {
                s.keys.insert(model::KeyId::new(id).expect("a slug"), key(version, expires));
                integration(s, id, &provider.url(), json!({ "key": id, "auth": { "scheme": "bearer" } }));
            }
            integration(s, "good", &provider.url(), json!({ "key": "good", "auth": { "scheme": "bearer" } }));
            route(s, "all", &["expired", "revoked", "unknown", "good"], json!({}));
            route(s, "bad", &["expired", "revoked", "unknown"], json!({}));
        })
        .await;
    for (id, reason) in
        [("expired", "key_expired"), ("revoked", "key_revoked"), ("unknown", "key_unavailable")]
    {
        let got = house.get(&format!("/p/{id}/x")).await;
        assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (502, Some(reason)), "{}", got.text());
    }
    let bad = house.get("/r/bad/x").await;
    let reasons: Vec<_> =
        bad.json()["attempts"].as_array().expect("attempts").iter().map(|a| a["reason"].clone()).collect();
    assert_eq!(reasons, ["key_expired", "key_revoked", "key_unavailable"]);
    assert_eq!(provider.count(), 0);
    // Even a request that is not safe to repeat: nothing was sent.
    let got = house.call(house.request("POST", "/r/all/x"), "order").await;
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-attempts")), (200, "4"));
    house.stop().await;
}

#[tokio::test]
async fn a_key_that_comes_back_is_hidden() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.key("main", &[("api_key", KEY)]).await;
    house
        .configure(|s| {
            let auth = json!({ "scheme": "query", "name": "apikey" });
            integration(s, "a", &provider.url(), json!({ "key": "main", "auth": auth }));
        })
        .await;
    provider.will(|seen| async move {
        let location = format!("https://example.com{}", seen.target);
        answer(403, &[("location", &location), ("x-fine", "1")], &format!("no access for {KEY}!"))
    });
    let got = house.get("/p/a/x").await;
    assert_eq!((got.status.as_u16(), got.header("location"), got.header("x-fine")), (403, "", "1"));
    assert_eq!(got.text(), format!("no access for {}!", "*".repeat(KEY.len())));
    house.stop().await;
}

#[tokio::test]
async fn what_must_be_signed_is_not_sent_unsigned() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            let url = provider.url();
            integration(s, "exchange", &url, json!({ "provider": "binance", "auth": null }));
            integration(s, "other", &url, json!({}));
            route(s, "both", &["exchange", "other"], json!({}));
        })
        .await;
    let public = house.get("/p/exchange/api/v3/ping").await;
    assert_eq!(public.status, 200, "{}", public.text());
    let private = house.get("/p/exchange/api/v3/account").await;
    assert_eq!((private.status.as_u16(), private.json()["code"].as_str()), (502, Some("key_missing")));
    assert_eq!(provider.count(), 1);
    let other = house.get("/r/both/api/v3/account").await;
    assert_eq!((other.status.as_u16(), other.header("x-signalbox-integration")), (200, "other"));
    house.stop().await;
}

const KRAKEN_SECRET: &str =
    "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";

#[tokio::test]
async fn a_request_is_signed_as_it_is_sent() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.key("main", &[("api_key", "a-kraken-key"), ("api_secret", KRAKEN_SECRET)]).await;
    house
        .configure(|s| {
            let of = json!({ "provider": "kraken", "auth": null, "key": "main" });
            integration(s, "kraken", &provider.url(), of);
        })
        .await;
    // The exchange's own example (docs.kraken.com, spot REST authentication).
    let order = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25";
    let form = "application/x-www-form-urlencoded";
    let request = house
        .request("POST", "/p/kraken/0/private/AddOrder")
        .header("content-type", form)
        .header("api-sign", "a caller's own");
    let got = house.call(request, order).await;
    assert_eq!(got.status, 200, "{}", got.text());
    let seen = provider.last();
    let signature =
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==";
    assert_eq!(seen.header("api-sign").as_deref(), Some(signature));
    assert_eq!(seen.header("api-key").as_deref(), Some("a-kraken-key"));
    assert_eq!((&seen.body[..], seen.header("authorization")), (order.as_bytes(), None));

    // Without a nonce of the caller's each call has one, and it grows.
    let mut nonces = Vec::new();
    for _ in 0..3 {
        let request = house.request("POST", "/p/kraken/0/private/Balance").header("content-type", form);
        assert_eq!(house.call(request, "").await.status, 200);
        let body = String::from_utf8(provider.last().body.to_vec()).expect("text");
        let nonce = body.strip_prefix("nonce=").expect("it has a nonce").parse::<u64>().expect("a number");
        assert_eq!(provider.last().header("content-length"), Some(body.len().to_string()));
        nonces.push(nonce);
    }
    assert!(nonces.is_sorted_by(|a, b| a < b), "{nonces:?}");

    // A public path shows no key at all.
    assert_eq!(house.get("/p/kraken/0/public/Time").await.status, 200);
    assert_eq!((provider.last().header("api-key"), provider.last().header("api-sign")), (None, None));
    house.stop().await;
}

#[tokio::test]
async fn a_signer_learns_the_providers_clock() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.key("main", &[("api_key", "k"), ("api_secret", "s"), ("passphrase", "p")]).await;
    house
        .configure(|s| {
            let of = json!({ "provider": "kucoin", "auth": null, "key": "main" });
            integration(s, "kucoin", &provider.url(), of);
        })
        .await;
    let ahead = Arc::new(AtomicU64::new(3_600));
    let fast = ahead.clone();
    // How fast it is, in seconds. It refuses what does not say so, in its own way (a 200 with a code).
    provider.will(move |seen| {
        let ahead = Duration::from_secs(fast.load(Ordering::Relaxed));
        async move {
            let stamp: i64 = seen.header("kc-api-timestamp").expect("signed").parse().expect("a number");
            let theirs = model::Timestamp::now().plus(ahead).as_millis();
            let date = httpdate::fmt_http_date(std::time::SystemTime::now() + ahead);
            let json = ("content-type", "application/json");
            if (theirs - stamp).abs() > 5_000 {
                let code = r#"{"code":"400002","msg":"KC-API-TIMESTAMP Invalid"}"#;
                return answer(400, &[("date", &date), json], code);
            }
            answer(200, &[("date", &date), json], r#"{"code":"200000","data":[]}"#)
        }
    });
    // An hour fast, right, and a day fast: whoever calls after a jump does not notice.
    for ahead_secs in [3_600, 0, 86_400] {
        ahead.store(ahead_secs, Ordering::Relaxed);
        for attempts in ["2", "1"] {
            // One that is not safe to repeat: what was refused was not done.
            let got = house.call(house.request("POST", "/p/kucoin/api/v1/orders"), "{}").await;
            let found = (got.status.as_u16(), got.header("x-signalbox-attempts"));
            assert_eq!(found, (200, attempts), "{ahead_secs}: {}", got.text());
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn a_key_is_masked_wherever_an_answer_is_cut_and_what_else_comes_is_not_held_back() {
    let (house, provider) = bearer(json!({ "ttl_secs": 60 })).await;
    let stars = "*".repeat(KEY.len());
    for cut in [1, 2, KEY.len() / 2, KEY.len() - 1] {
        let (parts, told) = mpsc::channel::<Bytes>(8);
        let told = Mutex::new(Some(told));
        provider.will(move |_| {
            let told = told.lock().expect("not poisoned").take().expect("asked once");
            let frames = unfold(told, |mut told| async move {
                told.recv().await.map(|part| (Ok::<_, Infallible>(Frame::data(part)), told))
            });
            async move { http::Response::new(StreamBody::new(frames).boxed_unsync()) }
        });
        let say = |text: String| parts.try_send(text.into()).expect("somebody listens");
        say("begins ".to_owned());
        let mut answer = house.open(house.request("GET", &format!("/p/a/x?cut={cut}")), "").await.into_body();
        let mut next = async || {
            let frame = answer.frame().await.expect("more comes").expect("whole");
            String::from_utf8(frame.into_data().expect("bytes").to_vec()).expect("text")
        };
        assert_eq!(next().await, "begins ");
        say(format!("<{}", &KEY[..cut]));
        assert_eq!(next().await, "<");
        say(format!("{}>", &KEY[cut..]));
        assert_eq!(next().await, format!("{stars}>"));
        // What only begins like it comes with what follows, or at the end.
        say(KEY[..cut].to_owned());
        say(" no ".to_owned());
        assert_eq!(next().await, format!("{} no ", &KEY[..cut]));
        say(KEY[..cut].to_owned());
        drop(parts);
        assert_eq!(next().await, KEY[..cut]);
        // Nor is it in what is kept.
        let kept = house.get(&format!("/p/a/x?cut={cut}")).await;
        assert_eq!(kept.header("x-signalbox-cache"), "hit");
        assert!(kept.text().contains(&format!("<{stars}>")), "{}", kept.text());
    }
    house.stop().await;
}

#[tokio::test]
async fn what_waits_because_it_begins_like_a_key_is_not_lost_before_trailers() {
    let (house, provider) = bearer(json!({})).await;
    provider.will(|_| async {
        let data = |text: String| Frame::data(Bytes::from(text));
        let trailers = Frame::trailers([(CONTENT_TYPE, HeaderValue::from_static("x"))].into_iter().collect());
        let frames = [data("x".repeat(20_000)), data(KEY[..9].to_owned()), trailers].map(Ok::<_, Infallible>);
        let answer = http::Response::builder().header("trailer", "content-type");
        answer.body(StreamBody::new(iter(frames)).boxed_unsync()).expect("an answer")
    });
    let request = house.request("GET", "/p/a/x").header("te", "trailers");
    let got = house.call(request, "").await;
    assert_eq!(got.text(), "x".repeat(20_000) + &KEY[..9]);
    house.stop().await;
}

#[tokio::test]
async fn a_good_answer_that_repeats_the_key_is_masked() {
    let (house, provider) = bearer(json!({})).await;
    provider.will(|seen| async move {
        let said = seen.header("authorization").expect("our key");
        answer(
            200,
            &[("content-type", "application/json")],
            &format!(r#"{{"you said":"{said}","price":1.10}}"#),
        )
    });
    let got = house.get("/p/a/x").await;
    let stars = "*".repeat(KEY.len());
    assert_eq!(got.text(), format!(r#"{{"you said":"Bearer {stars}","price":1.10}}"#));
    house.stop().await;
}
