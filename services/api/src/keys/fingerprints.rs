//! Gives keys that were stored by the first releases a keyed fingerprint, at the start.
//!
//! Their fingerprints were plain hashes. A value that is still there is read once and hashed again; one that was
//! destroyed loses its fingerprint, as a plain hash of it is worth guessing still. Done once a key: in the log of
//! audit, and found done at the next start.

use std::collections::BTreeMap;
use std::time::Duration;

use model::KeyId;
use model::audit::Verb;
use model::config::Kind;
use model::key::{Key, KeyState};
use runtime::Problem;
use store::Write;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vault::is_keyed;

use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::problems::of_vault;
use crate::resources::stored;
use crate::state::Api;

/// Pause before another try, when a store was away.
const AGAIN: Duration = Duration::from_secs(30);

/// Renews what is old, and tries again until it is done or told to stop.
pub(crate) async fn renew(api: Api, stopping: CancellationToken) -> anyhow::Result<()> {
    while let Err(problem) = once(&api).await {
        warn!(problem = %problem, "Old fingerprints of keys could not be renewed; trying again.");
        tokio::select! {
            () = stopping.cancelled() => break,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
    Ok(())
}

async fn once(api: &Api) -> Result<(), Problem> {
    let old: Vec<Key> = api.config().await?.keys.into_values().map(|kept| kept.body).filter(is_old).collect();
    if old.is_empty() {
        return Ok(());
    }
    let prints = api.vault.fingerprints().await.map_err(of_vault)?;
    for key in &old {
        let mut made = BTreeMap::new();
        for version in key.versions.iter().filter(|version| version.state != KeyState::Revoked) {
            let print = match api.vault.read(&vault::Path::key(&key.id), Some(version.version)).await {
                Ok(held) => prints.make(&held.fields),
                Err(vault::Error::Missing { .. }) => String::new(),
                Err(error) => return Err(of_vault(error)),
            };
            made.insert(version.version, print);
        }
        write(api, &key.id, &made).await?;
        info!(key.id = %key.id, "Renewed the fingerprints of key {}.", key.id);
    }
    Ok(())
}

/// Writes what was made; versions that came meanwhile have theirs.
async fn write(api: &Api, id: &KeyId, made: &BTreeMap<u32, String>) -> Result<(), Problem> {
    let deed = Deed::to(Kind::Key, id, "key.fingerprint", Verb::Update);
    let decide = |config: &crate::config::Config, _| {
        let kept = config.keys.get(id).ok_or_else(|| Problem::conflict("it was deleted meanwhile"))?;
        let body = stored(&renewed(kept.body.clone(), made))?;
        let write =
            Write::Update { kind: Kind::Key, id: id.to_string(), body, expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    };
    api.change(&Caller::system("api"), decide).await.map(drop)
}

/// Whether any version has a fingerprint of the first kind.
fn is_old(key: &Key) -> bool {
    key.versions.iter().any(|version| !version.fingerprint.is_empty() && !is_keyed(&version.fingerprint))
}

fn renewed(mut key: Key, made: &BTreeMap<u32, String>) -> Key {
    for version in key.versions.iter_mut().filter(|version| !is_keyed(&version.fingerprint)) {
        version.fingerprint = made.get(&version.version).cloned().unwrap_or_default();
    }
    key
}
