//! The service with a real NATS server, a real database and the sealed key store, for one test.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, ServerSettings, Supervised};
use egress::Egress;
use model::alert::AlertRaised;
use model::config::Kind;
use model::delivery::{Attempt, Delivery, DeliveryState};
use model::secret::Fields;
use model::webhook::Webhook;
use model::{Event, Secret, Timestamp, WebhookId};
use serde_json::{Value, json};
use store::{Change, Store, Write};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vault::{Answer, Record, Shelf, ShelfError, Vault};

use super::DEADLINE;
use crate::{Doors, Settings, run};

/// A room in which the service works.
pub(crate) struct Room {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    egress: Egress,
    settings: Settings,
    server: Supervised,
    running: Option<(JoinHandle<anyhow::Result<()>>, CancellationToken)>,
    _data: TempDir,
}

impl Room {
    /// A room with short pauses, in which the service runs.
    pub(crate) async fn open() -> Self {
        Self::with(Settings {
            pauses_secs: vec![0, 1, 1, 1],
            poll_ms: 200,
            deadline_ms: 2_000,
            ..Settings::default()
        })
        .await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        // Another test of this process may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binary = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER").map(PathBuf::from);
        assert!(binary.is_some(), "SIGNALBOX_TEST_NATS_SERVER must name a nats-server");
        let data = tempfile::tempdir().expect("a directory");
        let server = Supervised::start(ServerSettings {
            binary,
            data_dir: data.path().to_owned(),
            port: 0,
            guests: true,
            version_min: ServerSettings::VERSION_MIN,
        })
        .await
        .expect("a NATS server");
        let bus = Bus::connect(&server.settings("webhooks/test")).await.expect("connects");
        bus.declare().await.expect("streams");
        let url = format!("sqlite://{}", data.path().join("test.db").display());
        let store = Store::open(&url).await.expect("a database");
        let vault = Vault::sealed(Arc::new(OnStore(store.clone())), &data.path().join("master.key"))
            .await
            .expect("a key store");
        let allow = vec!["127.0.0.0/8".parse().expect("a network")];
        let egress =
            Egress::new(&egress::Settings { allow, ..egress::Settings::default() }).expect("a way out");
        let mut room = Self { bus, store, vault, egress, settings, server, running: None, _data: data };
        room.start();
        room
    }

    pub(crate) fn start(&mut self) {
        let doors = Doors {
            bus: self.bus.clone(),
            store: self.store.clone(),
            vault: self.vault.clone(),
            egress: self.egress.clone(),
            renderer: Some(crate::render::helpers::tests::renderer()),
        };
        let stopping = CancellationToken::new();
        let task = tokio::spawn(run(self.settings.clone(), doors, stopping.clone()));
        self.running = Some((task, stopping));
    }

    /// Ends the service at whatever it does, as a kill would.
    pub(crate) async fn kill(&mut self) {
        let (task, _) = self.running.take().expect("it runs");
        task.abort();
        assert!(task.await.expect_err("it was killed").is_cancelled());
    }

    /// Lets the service finish, and closes everything.
    pub(crate) async fn close(mut self) {
        let (task, stopping) = self.running.take().expect("it runs");
        stopping.cancel();
        let ended = tokio::time::timeout(DEADLINE, task).await.expect("it stops in time");
        ended.expect("it does not panic").expect("it stops without an error");
        self.bus.drain().await;
        self.store.close().await;
        self.server.stop().await;
    }

    /// Configures a webhook with its secrets.
    pub(crate) async fn webhook(
        &self,
        id: &str,
        kind: &str,
        fields: &[(&str, String)],
        more: Value,
    ) -> WebhookId {
        let id = WebhookId::new(id).expect("a slug");
        let secrets: Fields =
            fields.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(value.clone()))).collect();
        self.vault.write(&vault::Path::webhook(&id), &secrets, vault::Expected::Any).await.expect("kept");
        let mut body = json!({ "id": id, "kind": kind, "url": "http://127.0.0.1", "enabled": true });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        self.document(Kind::Webhook, id.as_str(), body).await;
        id
    }

    pub(crate) async fn document(&self, kind: Kind, id: &str, body: Value) {
        let write = Write::Create { kind, id: id.to_owned(), body };
        let change = Change { writes: vec![write], ..Change::default() };
        self.store.commit(change, Timestamp::now()).await.expect("configured");
    }

    pub(crate) async fn configured(&self, id: &WebhookId) -> Webhook {
        let document =
            self.store.document(Kind::Webhook, id.as_str()).await.expect("a read").expect("it is there");
        serde_json::from_value(document.body).expect("a webhook")
    }

    pub(crate) async fn publish<T: Event>(&self, fact: T) {
        self.bus.publish(&self.bus.envelope(fact)).await.expect("published");
    }

    pub(crate) async fn raise(&self, alert: &AlertRaised) {
        self.publish(alert.clone()).await;
    }

    /// Waits until a webhook has so many deliveries in a state, and gives them with their attempts, oldest first.
    pub(crate) async fn deliveries(
        &self,
        webhook: &WebhookId,
        state: DeliveryState,
        count: usize,
    ) -> Vec<(Delivery, Vec<Attempt>)> {
        let looked = tokio::time::timeout(DEADLINE, async {
            loop {
                let mut page =
                    self.store.deliveries_page(Some(webhook), Some(state), None, 100).await.expect("a page");
                if page.len() >= count {
                    page.reverse();
                    return page;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let Ok(page) = looked.await else {
            let all = self.store.deliveries_page(Some(webhook), None, None, 100).await;
            panic!("{count} deliveries should be {state:?}: {all:?}");
        };
        let mut with_attempts = Vec::new();
        for delivery in page {
            let (delivery, _, attempts) =
                self.store.delivery(&delivery.id).await.expect("a read").expect("it is there");
            with_attempts.push((delivery, attempts));
        }
        with_attempts
    }

    /// The types of the events that wait in the outbox.
    pub(crate) async fn told(&self) -> Vec<String> {
        let pending = self.store.outbox_pending(1_000).await.expect("a read");
        pending.into_iter().map(|(_, event)| event.kind.replace("dev.signalbox.", "")).collect()
    }
}

/// The sealed records of the database, as the program has them.
struct OnStore(Store);

fn failed(error: store::Error) -> ShelfError {
    match error {
        store::Error::Exists { .. } => ShelfError::Exists,
        other => ShelfError::Other(Box::new(other)),
    }
}

impl Shelf for OnStore {
    fn get<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, Option<Record>> {
        Box::pin(async move {
            let found = self.0.sealed_get(path, version).await.map_err(failed)?;
            Ok(found.map(|(version, sealed)| Record { version, sealed }))
        })
    }

    fn put<'a>(&'a self, path: &'a str, version: u32, sealed: Vec<u8>) -> Answer<'a, ()> {
        Box::pin(async move { self.0.sealed_put(path, version, &sealed).await.map_err(failed) })
    }

    fn versions<'a>(&'a self, path: &'a str) -> Answer<'a, Vec<u32>> {
        Box::pin(async move { self.0.sealed_versions(path).await.map_err(failed) })
    }

    fn erase<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, ()> {
        Box::pin(async move { self.0.sealed_erase(path, version).await.map_err(failed) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move { self.0.sealed_list(prefix).await.map_err(failed) })
    }
}
