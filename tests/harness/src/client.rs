//! A caller with a token: the REST API, the gateway, the metrics.

use reqwest::header::{ETAG, IF_MATCH};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use signalbox::Addresses;
use standins::Standins;

use crate::key_of;

/// A caller with a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    api: String,
    gateway: String,
    admin: String,
    token: String,
}

impl Client {
    /// A caller of the house at these addresses.
    pub fn new(addresses: &Addresses, token: &str) -> Self {
        let url = |address: Option<std::net::SocketAddr>| {
            address.map(|a| format!("http://{a}")).unwrap_or_default()
        };
        Self::at(&url(addresses.api), &url(addresses.gateway), &url(Some(addresses.admin)), token)
    }

    /// A caller of the house at these URLs.
    pub fn at(api: &str, gateway: &str, admin: &str, token: &str) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().build().expect("a plain client");
        Self {
            http,
            api: api.to_owned(),
            gateway: gateway.to_owned(),
            admin: admin.to_owned(),
            token: token.to_owned(),
        }
    }

    /// The same caller with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// A request to the REST API, below `/api/v1`.
    pub fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.api)).bearer_auth(&self.token)
    }

    /// A request through the gateway.
    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.gateway)).header("x-signalbox-token", &self.token)
    }

    /// Status and body of a read.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        body(self.api(Method::GET, path).send().await.expect("the api answers")).await
    }

    /// Status and body of a POST.
    pub async fn post(&self, path: &str, sent: Value) -> (u16, Value) {
        body(self.api(Method::POST, path).json(&sent).send().await.expect("the api answers")).await
    }

    /// Status and body of a change of what is there now.
    pub async fn patch(&self, path: &str, sent: Value) -> (u16, Value) {
        let now = self.api(Method::GET, path).send().await.expect("the api answers");
        let etag = now.headers().get(ETAG).expect("a single resource has an ETag").clone();
        body(
            self.api(Method::PATCH, path)
                .header(IF_MATCH, etag)
                .json(&sent)
                .send()
                .await
                .expect("the api answers"),
        )
        .await
    }

    /// Makes something; it must work.
    pub async fn make(&self, path: &str, sent: Value) -> Value {
        let (status, made) = self.post(path, sent).await;
        assert_eq!(status, 201, "{path}: {made}");
        made
    }

    /// A key and an integration for the stand-in of this name, probed every second.
    pub async fn integrate(&self, outside: &Standins, name: &str, provider: &str) {
        let key = json!({"id": name, "provider": provider, "fields": {"api_key": key_of(name)}});
        self.make("/keys", key).await;
        let base_url = outside.instance(name).base_url();
        let integration = json!({"id": name, "provider": provider, "key": name, "base_url": base_url,
            "timeout_ms": 2000, "probe": {"every_secs": 1, "timeout_ms": 1000}});
        self.make("/integrations", integration).await;
    }

    /// The metrics as Prometheus reads them.
    pub async fn metrics(&self) -> String {
        let answer =
            self.http.get(format!("{}/metrics", self.admin)).send().await.expect("the admin port answers");
        answer.text().await.expect("text")
    }
}

/// Status and JSON body of an answer; null when it has none.
pub async fn body(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}
