//! Trials: values that are being tried are put into the key store for as long as the question takes.
//!
//! A question on the bus must not carry a secret. What a crash leaves behind is swept away.

use std::time::Duration;

use model::secret::Fields;
use runtime::Problem;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use vault::{Expected, Folder};

use crate::problems::of_vault;
use crate::state::{Api, random};

/// How long a trial may be there before it is swept away: far longer than any question.
const AGE_MAX: Duration = Duration::from_secs(600);

/// Values being tried.
pub(crate) struct Kept {
    /// Their id below `trials/`.
    pub(crate) id: String,
}

/// Puts values where the asked service can read them.
pub(crate) async fn keep(api: &Api, fields: &Fields) -> Result<Kept, Problem> {
    let at = u64::try_from(model::Timestamp::now().as_millis()).unwrap_or(0);
    let id = format!("{at:013}-{:016x}", random() as u64);
    let path = vault::Path::trial(&id).map_err(of_vault)?;
    api.vault.write(&path, fields, Expected::New).await.map_err(of_vault)?;
    Ok(Kept { id })
}

impl Kept {
    /// Takes them out again.
    pub(crate) async fn forget(self, api: &Api) -> Result<(), Problem> {
        let path = vault::Path::trial(&self.id).map_err(of_vault)?;
        api.vault.remove(&path).await.map_err(of_vault)
    }
}

/// Sweeps away what a crash left behind, now and then.
pub(crate) async fn sweep(api: Api, stopping: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(error) = once(&api).await {
            warn!(error = %error, "Old trials could not be swept away; trying again later.");
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = tokio::time::sleep(AGE_MAX) => {}
        }
    }
}

async fn once(api: &Api) -> Result<(), vault::Error> {
    let now = model::Timestamp::now();
    for id in api.vault.list(Folder::Trials).await? {
        let made = id.split('-').next().and_then(|millis| millis.parse().ok()).unwrap_or(0);
        if now.since(model::Timestamp::from_millis(made)) > AGE_MAX {
            api.vault.remove(&vault::Path::trial(&id)?).await?;
        }
    }
    Ok(())
}
