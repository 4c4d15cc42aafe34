//! The control API, and the demo's configuration.

use serde_json::{Value, json};

use super::{World, open, told};
use crate::{Config, ConfigError, InstanceConfig, Kind, LimitSetting, NoLimit, Standins, StartError};

async fn world() -> World {
    World::of(Config::default().with(open("massive").key("api_key", "k")).with(open("kraken"))).await
}

impl World {
    fn control(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}/control{path}", self.standins.control_url()))
    }
}

#[tokio::test]
async fn a_switch_is_set_and_shown() {
    let world = world().await;
    let (status, shown) = told(
        world
            .control("POST", "/instances/massive")
            .json(&json!({ "mode": "status", "status": 503, "probability": 1.0 })),
    )
    .await;
    assert_eq!((status, shown["switch"]["status"].as_u64()), (200, Some(503)));
    assert_eq!(world.get("massive", "/v1/marketstatus/now").send().await.unwrap().status(), 503);
    let (_, all) = told(world.control("GET", "/instances")).await;
    assert_eq!(all["items"][0]["counts"]["by_status"]["503"], 1);
    assert_eq!(all["items"][0]["base_url"], world.standins.provider_base("massive"));
}

#[tokio::test]
async fn errors_say_what_there_is() {
    let world = world().await;
    let error = |answer: (u16, Value)| (answer.0, answer.1["error"].as_str().unwrap().to_owned());
    let unknown = error(told(world.control("GET", "/instances/nope/requests")).await);
    assert_eq!(unknown, (404, "no instance `nope`; there are: massive, kraken".to_owned()));
    let wrong =
        error(told(world.control("POST", "/instances/massive").json(&json!({ "mode": "explode" }))).await);
    assert!(wrong.0 == 422 && wrong.1.contains("unknown variant `explode`"), "{wrong:?}");
    let chance = error(
        told(world.control("POST", "/instances/massive").json(&json!({ "mode": "hang", "probability": 2 })))
            .await,
    );
    assert_eq!(chance, (422, "probability 2 is not between 0 and 1".to_owned()));
    assert_eq!(told(world.control("POST", "/targets/teams").json(&json!({ "mode": "ok" }))).await.0, 404);
    assert_eq!(told(world.control("PUT", "/health")).await.0, 405);
    assert_eq!(told(world.control("GET", "/nothing")).await.0, 404);
}

#[tokio::test]
async fn requests_and_messages_are_shown_and_forgotten() {
    let world = world().await;
    told(world.get("massive", "/v1/marketstatus/now").bearer_auth("k")).await;
    let (_, seen) = told(world.control("GET", "/instances/massive/requests")).await;
    assert_eq!(
        (seen["items"][0]["credential"].as_str(), seen["counts"]["total"].as_u64()),
        (Some("k"), Some(1))
    );
    world
        .http
        .post(format!("{}/services/T1/B1/x", world.standins.targets_url()))
        .json(&json!({ "text": "t" }))
        .send()
        .await
        .unwrap();
    let (_, seen) = told(world.control("GET", "/targets/slack/messages")).await;
    assert_eq!(
        (seen["items"][0]["json"]["text"].as_str(), seen["items"][0]["accepted"].as_bool()),
        (Some("t"), Some(true))
    );
    told(world.control("DELETE", "/targets/slack/messages")).await;
    assert!(world.standins.target(Kind::Slack).messages().is_empty());
    told(world.control("POST", "/targets/slack").json(&json!({ "mode": "gone" }))).await;
    told(world.control("POST", "/reset")).await;
    assert_eq!(told(world.control("GET", "/targets/slack")).await.1["switch"], json!({ "mode": "ok" }));
    assert_eq!(world.standins.instance("massive").counts().total, 0);
}

#[tokio::test]
async fn an_instance_also_answers_under_its_name_on_the_control_port() {
    let world = world().await;
    let url = format!("{}/i/kraken/0/public/SystemStatus", world.standins.control_url());
    let (status, answer) = told(world.http.get(url)).await;
    assert_eq!((status, answer["result"]["status"].as_str()), (200, Some("online")));
    assert_eq!(world.standins.instance("kraken").requests()[0].path, "/0/public/SystemStatus");
}

#[tokio::test]
async fn a_hook_gets_its_secret_by_the_api() {
    let world = world().await;
    told(world.control("PUT", "/targets/http/secrets/orders").json(&json!({ "secret": "whsec_AAAA" }))).await;
    let unsigned =
        world.http.post(format!("{}/hooks/orders", world.standins.targets_url())).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
}

#[test]
fn a_configuration_is_read_from_toml() {
    let text = "seed = 7\n[[instances]]\nname = \"a\"\nprovider = \"fred\"\nlimit = \"none\"\nkey = { api_key = \"k\" }\n\
                [[instances]]\nname = \"b\"\nprovider = \"fred\"\nlimit = { requests = 5, per_secs = 60 }\n";
    let config: Config = toml::from_str(text).unwrap();
    assert_eq!(config.instances[0].limit, LimitSetting::Word(NoLimit::None));
    assert_eq!(config.instances[1].limit, LimitSetting::Window { requests: 5, per_secs: 60 });
    assert!(toml::from_str::<Config>("speed = 1").is_err());
}

#[tokio::test]
async fn an_unknown_provider_is_named() {
    let error = Standins::start(Config::default().with(InstanceConfig::new("x", "ftx"))).await.unwrap_err();
    assert!(
        matches!(&error, StartError::Config(ConfigError::Provider { provider, .. }) if provider == "ftx"),
        "{error}"
    );
}

#[test]
fn the_demo_can_be_played_and_has_a_port_for_everyone() {
    let demo = crate::demo();
    demo.check().unwrap();
    let ports: std::collections::BTreeSet<u16> =
        demo.instances.iter().map(|instance| instance.port).collect();
    assert_eq!(ports.len(), demo.instances.len());
    assert_eq!(ports.first(), Some(&crate::INSTANCES_PORT));
}
