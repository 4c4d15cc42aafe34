//! Tests over real HTTP, and of the pure parts.

mod control;
mod data;
mod exchanges;
mod llm;
mod pure;
mod switches;
mod targets;
mod vectors;

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use crate::{Config, InstanceConfig, Standins};

/// How long a test waits for something that must happen.
const SOON: Duration = Duration::from_secs(10);

/// Stand-ins with a client.
struct World {
    standins: Standins,
    http: Client,
}

impl World {
    async fn of(config: Config) -> World {
        // A second call finds the provider installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().timeout(SOON).build().unwrap();
        World { standins: Standins::start(config).await.unwrap(), http }
    }

    /// One instance named for its provider.
    async fn with(instance: InstanceConfig) -> World {
        World::of(Config::default().with(instance)).await
    }

    /// A GET under the base URL of the first instance named so.
    fn get(&self, name: &str, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.standins.provider_base(name)))
    }

    fn post(&self, name: &str, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.standins.provider_base(name)))
    }
}

/// An instance named for its provider that takes everything.
fn open(provider: &str) -> InstanceConfig {
    InstanceConfig::new(provider, provider).unlimited()
}

/// Status and JSON of an answer.
async fn told(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}
