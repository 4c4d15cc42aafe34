//! A whole gateway for a test, and a caller for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Bucket, Bus, ServerSettings, Supervised};
use bytes::Bytes;
use catalogue::Catalogue;
use egress::Egress;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::snapshot::{self, Snapshot};
use model::{KeyId, Secret};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vault::{Answer, Expected, Record, Shelf, ShelfError, Vault};

use crate::{Doors, Gateway, Settings};

/// How long a fact may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The token of an operator.
pub(crate) const TOKEN: &str = "sbt_0123456789abcdef0123456789abcdef0123456789a";

/// A gateway with all that it needs.
pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) bus: Bus,
    pub(crate) server: Supervised,
    pub(crate) vault: Vault,
    pub(crate) snapshot: Mutex<Snapshot>,
    stopping: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
}

/// An answer to a caller.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binary = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER")
            .expect("SIGNALBOX_TEST_NATS_SERVER must name a nats-server of 2.12 or later; tests/run sets it");
        let folder = tempfile::tempdir().expect("a folder");
        let server = Supervised::start(ServerSettings {
            binary: Some(PathBuf::from(binary)),
            data_dir: folder.path().to_path_buf(),
            port: 0,
            guests: true,
            version_min: ServerSettings::VERSION_MIN,
        })
        .await
        .expect("a server");
        let bus = Bus::connect(&server.settings("gateway/test")).await.expect("a connection");
        bus.declare().await.expect("streams and buckets");
        let key_file = folder.path().join("keys").join("master");
        let vault = Vault::sealed(Arc::new(Memory::default()), &key_file).await.expect("a key store");
        let egress = Egress::new(&egress::Settings {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            lanes: settings.lanes(),
            ..egress::Settings::default()
        })
        .expect("a way out");
        let doors = Doors { bus: bus.clone(), vault: vault.clone(), egress, catalogue: Catalogue::builtin() };
        let gateway = Gateway::new(settings, doors);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let stopping = CancellationToken::new();
        let (served, end) = (gateway.clone(), stopping.clone());
        let serving = tokio::spawn(async move { served.serve(listener, end).await });
        let snapshot = Snapshot { tokens: vec![token("admin", TOKEN, &json!({}))], ..Snapshot::default() };
        let snapshot = Mutex::new(snapshot);
        Self { gateway, address, bus, server, vault, snapshot, stopping, serving, _folder: folder }
    }

    /// Publishes a changed configuration and waits until it is served.
    pub(crate) async fn configure(&self, change: impl FnOnce(&mut Snapshot)) {
        let snapshot = {
            let mut snapshot = self.snapshot.lock().expect("not poisoned");
            change(&mut snapshot);
            snapshot.revision += 1;
            snapshot.clone()
        };
        self.publish(&snapshot).await;
        let revision = Some(snapshot.revision);
        eventually("the new configuration", || async { (self.gateway.revision() == revision).then_some(()) })
            .await;
    }

    pub(crate) async fn publish(&self, snapshot: &Snapshot) {
        let bucket = self.bus.bucket(Bucket::Config).await.expect("declared");
        bucket.put(snapshot::KEY, snapshot).await.expect("published");
    }

    /// Stores a key and tells the configuration.
    pub(crate) async fn key(&self, id: &str, fields: &[(&str, &str)]) {
        let id = KeyId::new(id).expect("a slug");
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), Secret::new((*v).to_owned()))).collect();
        let version = self.vault.write(&vault::Path::key(&id), &fields, Expected::Any).await.expect("stored");
        let key = serde_json::from_value(json!({ "version": version, "expires_at": null })).expect("a key");
        self.snapshot.lock().expect("not poisoned").keys.insert(id, key);
    }

    pub(crate) async fn call(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Got {
        let response = self.open(request, body).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Got { status: head.status, headers: head.headers, body }
    }

    /// Calls and gives the answer as soon as its head is there.
    pub(crate) async fn open(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> http::Response<hyper::body::Incoming> {
        let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = request.body(Full::new(body.into())).expect("a request");
        tokio::time::timeout(PATIENCE, client.request(request)).await.expect("in time").expect("an answer")
    }

    /// A request with the operator's token.
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {TOKEN}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.call(self.request("GET", path), "").await
    }

    /// Stops the gateway and waits until it has told everything. The bus stays while its server is held.
    pub(crate) async fn stop(self) -> (Bus, Supervised) {
        self.stopping.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.serving).await.expect("in time");
        ended.expect("no panic").expect("a good end");
        (self.bus, self.server)
    }
}

impl Got {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// An integration at a URL, by the body of the API.
pub(crate) fn integration(snapshot: &mut Snapshot, id: &str, url: &str, more: Value) {
    let mut body = json!({ "id": id, "provider": "custom", "base_url": url, "timeout_ms": 5_000,
        "auth": { "scheme": "none" }, "retry": { "attempts": 1, "backoff_ms": 1 } });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let integration: model::integration::Integration = serde_json::from_value(body).expect("an integration");
    snapshot.integrations.insert(integration.id.clone(), integration);
}

/// A route, by the body of the API.
pub(crate) fn route(snapshot: &mut Snapshot, id: &str, members: &[&str], more: Value) {
    let mut body = json!({ "id": id, "failover": true, "integrations": members });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let route: snapshot::PinnedRoute = serde_json::from_value(body).expect("a route");
    snapshot.routes.insert(route.route.id.clone(), route);
}

/// A token of an operator that is bound to something.
pub(crate) fn token(id: &str, text: &str, bounds: &Value) -> model::token::Token {
    let hash = hex::encode(Sha256::digest(text));
    serde_json::from_value(json!({ "id": id, "actor": format!("user:{id}"), "role": "operator", "hash": hash,
        "created_at": "2026-01-01T00:00:00Z", "bounds": bounds }))
    .expect("a token")
}

/// Asks until there is an answer, or fails after [`PATIENCE`].
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A shelf in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<(String, u32), Vec<u8>>>);

impl Memory {
    fn records(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, u32), Vec<u8>>> {
        self.0.lock().expect("not poisoned")
    }
}

impl Shelf for Memory {
    fn get<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, Option<Record>> {
        Box::pin(async move {
            let records = self.records();
            let of = |at: &(String, u32)| at.0 == path && version.is_none_or(|version| version == at.1);
            let found = records.iter().rev().find(|(at, _)| of(at));
            Ok(found.map(|((_, version), sealed)| Record { version: *version, sealed: sealed.clone() }))
        })
    }

    fn put<'a>(&'a self, path: &'a str, version: u32, sealed: Vec<u8>) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.records().entry((path.to_owned(), version)) {
                std::collections::btree_map::Entry::Occupied(_) => Err(ShelfError::Exists),
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(sealed);
                    Ok(())
                }
            }
        })
    }

    fn versions<'a>(&'a self, path: &'a str) -> Answer<'a, Vec<u32>> {
        Box::pin(async move {
            Ok(self.records().keys().filter(|(at, _)| at == path).map(|(_, version)| *version).collect())
        })
    }

    fn erase<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, ()> {
        Box::pin(async move {
            self.records().retain(|at, _| at.0 != path || version.is_some_and(|version| version != at.1));
            Ok(())
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let records = self.records();
            let mut paths: Vec<_> = records.keys().map(|(path, _)| path.clone()).collect();
            paths.retain(|path| path.starts_with(prefix));
            paths.dedup();
            Ok(paths)
        })
    }
}
