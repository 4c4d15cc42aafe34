//! What tests of the meter run on: a real nats-server with all streams and buckets, and an empty database.

use std::path::PathBuf;

use bus::{Bus, ServerSettings, Supervised};
use store::Store;

/// A server and a database, until it is dropped.
pub(crate) struct Town {
    pub(crate) server: Supervised,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    /// Where both keep their files.
    pub(crate) folder: tempfile::TempDir,
}

impl Town {
    /// Starts one, with a connection of this name.
    pub(crate) async fn start(name: &str) -> Self {
        let binary = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER")
            .expect("SIGNALBOX_TEST_NATS_SERVER must name a nats-server of 2.12 or later; tests/run sets it");
        let folder = tempfile::tempdir().expect("a folder for the server");
        let settings = ServerSettings {
            binary: Some(PathBuf::from(binary)),
            data_dir: folder.path().to_path_buf(),
            port: 0,
            guests: true,
            version_min: ServerSettings::VERSION_MIN,
        };
        let server = Supervised::start(settings).await.expect("a server");
        let bus = Bus::connect(&server.settings(name)).await.expect("a connection");
        bus.declare().await.expect("streams and buckets");
        let store = Store::open(&format!("sqlite://{}", folder.path().join("test.db").display())).await;
        Self { server, bus, store: store.expect("a database"), folder }
    }
}
