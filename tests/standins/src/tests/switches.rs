//! The switches, seen from a client.

use std::time::{Duration, Instant};

use super::{World, header, open, told};
use crate::{InstanceConfig, Mode, Switch};

const PATH: &str = "/v1/marketstatus/now";

async fn world() -> World {
    World::with(open("massive").key("api_key", "k")).await
}

#[tokio::test]
async fn a_status_is_sent_bare_with_its_wait() {
    let world = world().await;
    world
        .standins
        .instance("massive")
        .switch(Mode::Status { status: 503, retry_after_secs: Some(7), body: None })
        .await;
    let answer = world.get("massive", PATH).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (503, "7".to_owned()));
}

#[tokio::test]
async fn a_refusing_instance_closes_its_port_and_kept_connections_and_comes_back_on_it() {
    let world = world().await;
    let (instance, base) = (world.standins.instance("massive"), world.standins.provider_base("massive"));
    let get = || world.get("massive", PATH).bearer_auth("k");
    assert_eq!(told(get()).await.0, 200);
    instance.switch(Mode::Refuse).await;
    let error = get().send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    instance.switch(Mode::Ok).await;
    assert_eq!(world.standins.provider_base("massive"), base);
    assert_eq!(told(get()).await.0, 200);
    assert_eq!(instance.counts().total, 2);
}

#[tokio::test]
async fn a_hanging_instance_never_answers_but_remembers() {
    let world = world().await;
    let instance = world.standins.instance("massive");
    instance.switch(Mode::Hang).await;
    let asked = world.get("massive", PATH).timeout(Duration::from_millis(200)).send().await.unwrap_err();
    assert!(asked.is_timeout());
    let seen = instance.request_after(0, super::SOON).await.unwrap();
    assert_eq!((seen.status, seen.mode), (None, "hang"));
}

#[tokio::test]
async fn a_slow_instance_answers_late() {
    let world = world().await;
    world.standins.instance("massive").switch(Mode::Slow { ms: 150 }).await;
    let begun = Instant::now();
    assert_eq!(told(world.get("massive", PATH).bearer_auth("k")).await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_reset_breaks_off_in_the_body() {
    let world = world().await;
    world.standins.instance("massive").switch(Mode::Reset).await;
    let answer = world.get("massive", PATH).bearer_auth("k").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn garbage_is_a_200_with_html() {
    let world = world().await;
    world.standins.instance("massive").switch(Mode::Garbage).await;
    let answer = world.get("massive", PATH).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(header(&answer, "content-type").starts_with("text/html"));
}

#[tokio::test]
async fn throttle_and_bad_key_speak_the_providers_language() {
    let world =
        World::of(crate::Config::default().with(open("kraken")).with(open("openai")).with(open("fred")))
            .await;
    for name in ["kraken", "openai", "fred"] {
        world.standins.instance(name).switch(Mode::Throttle { retry_after_secs: Some(3) }).await;
    }
    let (status, kraken) = told(world.get("kraken", "/0/public/Time")).await;
    assert_eq!((status, kraken["error"][0].as_str()), (200, Some("EGeneral:Too many requests")));
    let openai = world.get("openai", "/models").bearer_auth("k").send().await.unwrap();
    assert_eq!((openai.status().as_u16(), header(&openai, "retry-after")), (429, "3".to_owned()));
    assert_eq!(told(world.get("fred", "/series?file_type=json&api_key=k")).await.1["error_code"], 429);
    world.standins.instance("kraken").switch(Mode::BadKey).await;
    world.standins.instance("fred").switch(Mode::BadKey).await;
    assert_eq!(told(world.get("kraken", "/0/public/Time")).await.1["error"][0], "EAPI:Invalid key");
    assert_eq!(told(world.get("fred", "/series?file_type=json&api_key=k")).await.0, 400);
}

#[tokio::test]
async fn a_switch_can_hold_for_some_requests_only() {
    let world = world().await;
    let instance = world.standins.instance("massive");
    instance.switch(Switch { times: Some(2), ..Mode::from(500).into() }).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(world.get("massive", PATH).bearer_auth("k").send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 200, 200]);
}

#[tokio::test]
async fn chance_is_the_same_each_time() {
    let mut rows = Vec::new();
    for _ in 0..2 {
        let world = world().await;
        world
            .standins
            .instance("massive")
            .switch(Switch { probability: Some(0.5), ..Mode::from(500).into() })
            .await;
        let mut row = Vec::new();
        for _ in 0..20 {
            row.push(world.get("massive", PATH).bearer_auth("k").send().await.unwrap().status().as_u16());
        }
        rows.push(row);
    }
    assert_eq!(rows[0], rows[1]);
    assert!(rows[0].contains(&500) && rows[0].contains(&200));
}

#[tokio::test]
async fn requests_are_remembered_with_their_credential() {
    let world = World::with(InstanceConfig::new("p", "polygon").key("api_key", "k")).await;
    told(world.get("p", "/v2/aggs/ticker/AAPL/prev?adjusted=true").bearer_auth("k").header("x-trace", "7"))
        .await;
    told(world.get("p", "/v2/aggs/ticker/AAPL/prev?apiKey=other")).await;
    let seen = world.standins.instance("p").requests();
    assert_eq!((seen[0].credential.as_deref(), seen[0].headers["x-trace"].as_str()), (Some("k"), "7"));
    assert_eq!((seen[0].query.as_str(), seen[0].status), ("adjusted=true", Some(200)));
    assert_eq!((seen[1].credential.as_deref(), seen[1].status), (Some("other"), Some(401)));
    assert_eq!(world.standins.instance("p").counts().by_path["/v2/aggs/ticker/AAPL/prev"], 2);
}

#[tokio::test]
async fn dropping_the_standins_frees_the_ports() {
    let World { standins, http } = world().await;
    let url = format!("{}{PATH}", standins.provider_base("massive"));
    drop(standins);
    let refused = async {
        while http.get(&url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::SOON, refused).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_in_the_date_and_checked_by() {
    let world = World::with(open("coinbase_exchange")).await;
    let instance = world.standins.instance("coinbase_exchange");
    let apart = async || {
        let answer = world.get("coinbase_exchange", "/time").send().await.unwrap();
        let date = jiff::fmt::rfc2822::parse(&header(&answer, "date")).unwrap().timestamp().as_second();
        let told = answer.json::<serde_json::Value>().await.unwrap()["epoch"].as_f64().unwrap();
        assert!((told - date as f64).abs() < 1.0, "the body tells the same time");
        date - jiff::Timestamp::now().as_second()
    };
    assert!((-2..=0).contains(&apart().await));
    instance.switch(Mode::Skew { ms: 40_000 }).await;
    assert!((38..=40).contains(&apart().await));
    instance.switch(Mode::Skew { ms: -40_000 }).await;
    assert!((-42..=-40).contains(&apart().await));
}
