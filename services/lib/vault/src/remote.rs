//! HashiCorp Vault or OpenBao: a KV engine of version 2.
//!
//! A credential is one secret at `<mount>/<prefix>/<folder>/<id>`, its fields the secret's; versions,
//! compare-and-set and destruction are the engine's own. The policy needs `create`, `update`, `read` on
//! `data/<prefix>/*`, `update` on `destroy/<prefix>/*`, `list`, `read` and `delete` on `metadata/<prefix>/*`;
//! a role that only reads needs the first `read`. The engine keeps as many versions as its mount says (10 by default).
//!
//! On the wire and in the client library's buffers the values are plain text: use https off the machine.

mod refusal;
mod session;
pub(crate) mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Secret;
use model::secret::Fields;
use tokio::task::JoinHandle;
use vaultrs::api;
use vaultrs::api::kv2::requests::{ReadSecretRequest, SetSecretRequestOptions};
use vaultrs::error::ClientError;
use vaultrs::kv2;

use self::refusal::Attempt;
use self::session::{Lent, Session};
use self::settings::VaultSettings;
use crate::{Error, Expected, FIELDS_BYTES_MAX, Folder, Path, Versioned, text};

/// The place that the readiness check reads. Nothing needs to be there: an answer that says so is an answer.
const PROBE: &str = "probe";

/// A login and the place of our secrets.
pub(crate) struct Remote {
    session: Arc<Session>,
    renewal: JoinHandle<()>,
    mount: String,
    prefix: String,
}

impl Remote {
    pub(crate) async fn connect(settings: &VaultSettings) -> Result<Self, Error> {
        let session = Arc::new(Session::open(settings).await?);
        let kept = session.clone();
        let renewal = tokio::spawn(async move { kept.keep_alive().await });
        Ok(Self { session, renewal, mount: settings.mount.clone(), prefix: settings.prefix.clone() })
    }

    pub(crate) async fn write(&self, path: &Path, fields: &Fields, expected: Expected) -> Result<u32, Error> {
        let at = path.to_string();
        // The same bound as in the sealed store, so that a credential can move from one to the other.
        if text::write(fields).is_none_or(|text| text.len() > FIELDS_BYTES_MAX) {
            return Err(Error::TooLarge { path: at, why: "is longer than 64 KiB" });
        }
        let cas = match expected {
            Expected::Any => None,
            Expected::New => Some(0),
            // To the engine 0 means "none yet", and no version has that number.
            Expected::Version(0) => return Err(Error::Conflict { path: at }),
            Expected::Version(version) => Some(version),
        };
        let plain: BTreeMap<&str, &str> =
            fields.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        let place = self.place(&at);
        let written = self.session.call(Attempt { doing: "write", path: &at }, |lent: Arc<Lent>| {
            let (mount, place, plain) = (&self.mount, &place, &plain);
            async move {
                match cas {
                    None => kv2::set(lent.client(), mount, place, plain).await,
                    Some(cas) => {
                        let options = SetSecretRequestOptions { cas };
                        kv2::set_with_options(lent.client(), mount, place, plain, options).await
                    }
                }
            }
        });
        number(&at, written.await?.version)
    }

    pub(crate) async fn read(&self, path: &Path, version: Option<u32>) -> Result<Versioned, Error> {
        let at = path.to_string();
        let place = self.place(&at);
        let answer = self.session.call(Attempt { doing: "read", path: &at }, |lent: Arc<Lent>| {
            let request = ReadSecretRequest::builder()
                .mount(&self.mount)
                .path(&place)
                .version(version.map(u64::from))
                .build();
            async move {
                let request = request.map_err(|_| ClientError::InvalidUpdateParameter)?;
                api::exec_with_result(lent.client(), request).await
            }
        });
        let answer = answer.await?;
        let refuse = |why| Error::Unreadable { path: at.clone(), why };
        let serde_json::Value::Object(values) = answer.data else {
            return Err(refuse("its content is not fields"));
        };
        let mut fields = Fields::new();
        for (name, value) in values {
            let serde_json::Value::String(value) = value else {
                return Err(refuse("one of its fields is not a text"));
            };
            fields.insert(name, Secret::new(value));
        }
        Ok(Versioned { version: number(&at, answer.metadata.version)?, fields })
    }

    pub(crate) async fn destroy(&self, path: &Path, version: u32) -> Result<(), Error> {
        let at = path.to_string();
        let place = self.place(&at);
        let done = self.session.call(Attempt { doing: "destroy", path: &at }, |lent: Arc<Lent>| {
            let (mount, place) = (&self.mount, &place);
            async move { kv2::destroy_versions(lent.client(), mount, place, vec![u64::from(version)]).await }
        });
        gone(done.await)
    }

    pub(crate) async fn remove(&self, path: &Path) -> Result<(), Error> {
        let at = path.to_string();
        let place = self.place(&at);
        let done = self.session.call(Attempt { doing: "remove", path: &at }, |lent: Arc<Lent>| {
            let (mount, place) = (&self.mount, &place);
            async move { kv2::delete_metadata(lent.client(), mount, place).await }
        });
        gone(done.await)
    }

    pub(crate) async fn list(&self, folder: Folder) -> Result<Vec<String>, Error> {
        let place = self.place(folder.as_str());
        let attempt = Attempt { doing: "list", path: folder.as_str() };
        let names = self.session.call(attempt, |lent: Arc<Lent>| {
            let (mount, place) = (&self.mount, &place);
            async move { kv2::list(lent.client(), mount, place).await }
        });
        let mut names = match names.await {
            Ok(names) => names,
            Err(Error::Missing { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        // A name that ends so is a folder: somebody else's, as ours have none.
        names.retain(|name| !name.ends_with('/'));
        names.sort();
        Ok(names)
    }

    pub(crate) async fn check(&self) -> Result<(), Error> {
        let place = self.place(PROBE);
        let read = self.session.call(Attempt { doing: "read", path: PROBE }, |lent: Arc<Lent>| {
            let (mount, place) = (&self.mount, &place);
            async move { kv2::read::<serde_json::Value>(lent.client(), mount, place).await.map(drop) }
        });
        gone(read.await)
    }

    fn place(&self, at: &str) -> String {
        format!("{}/{at}", self.prefix)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Nothing there is as good as done.
fn gone(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::Missing { .. }) => Ok(()),
        done => done,
    }
}

fn number(at: &str, version: u64) -> Result<u32, Error> {
    u32::try_from(version)
        .map_err(|_| Error::Unreadable { path: at.to_owned(), why: "its version is over 4,294,967,295" })
}
