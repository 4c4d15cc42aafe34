//! Carries the notices of [`super::expiry`] out: the event, the alert, and its end.
//!
//! Every replica looks. A notice's row and its events are one transaction, so of many replicas and restarts one says it.
//! An alert is resolved once for each event that last changed it.

use std::time::Duration;

use anyhow::Context;
use model::Timestamp;
use model::alert::{AlertResolved, Phase};
use model::event::KeyExpiring;
use store::AlertFilter;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::expiry::{self, ALERT_TYPE, WATCH};
use crate::config::Config;
use crate::state::Api;

/// How often all keys are looked at when nothing changes.
const EVERY: Duration = Duration::from_secs(60);
/// How often the revision is looked at, to see a change soon, whoever made it.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Alerts that are looked at in one round; the rest waits for the next.
const ALERTS_MAX: u32 = 1_000;

/// Watches until told to stop.
pub(crate) async fn watch(api: Api, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut seen: Option<(u64, tokio::time::Instant)> = None;
    loop {
        match round(&api, &mut seen).await {
            Ok(()) => {}
            Err(error) => {
                warn!(error = format!("{error:#}"), "Keys' expiry could not be looked at; trying again.");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Looks when the configuration changed or it is time.
async fn round(api: &Api, seen: &mut Option<(u64, tokio::time::Instant)>) -> anyhow::Result<()> {
    let revision = api.store.revision().await.context("read the revision")?;
    if seen.is_some_and(|(before, at)| before == revision && at.elapsed() < EVERY) {
        return Ok(());
    }
    look(api, Timestamp::now()).await?;
    *seen = Some((revision, tokio::time::Instant::now()));
    Ok(())
}

/// Says what is due at a moment, and ends what is over.
async fn look(api: &Api, now: Timestamp) -> anyhow::Result<()> {
    let config = Config::of(api.store.everything().await.context("read the configuration")?)?;
    for key in config.keys.values() {
        let Some(notice) = expiry::notice(&key.body, now) else { continue };
        let title = notice.alert.title.clone();
        let events = [
            api.bus.envelope(KeyExpiring(notice.fact)).to_bytes()?,
            api.bus.envelope(notice.alert).to_bytes()?,
        ];
        if api.store.notice_once(&notice.once, &events, now).await.context("say that a key expires")? {
            info!(key.id = %key.body.id, "{title}.");
        }
    }
    resolve(api, &config, now).await
}

async fn resolve(api: &Api, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    for phase in [Phase::Raised, Phase::Acknowledged] {
        let open = AlertFilter {
            alert_type: Some(ALERT_TYPE.to_owned()),
            phase: Some(phase),
            ..AlertFilter::default()
        };
        for row in api.store.alerts_page(&open, None, ALERTS_MAX).await.context("read alerts of keys")? {
            let id = row.raised.data.get("key").and_then(serde_json::Value::as_str).unwrap_or_default();
            // Somebody else's alert of the same type is theirs to end.
            let ours = row.raised.fingerprint == expiry::fingerprint(id);
            if !ours || !expiry::is_over(config.keys.get(id).map(|kept| &kept.body), now) {
                continue;
            }
            let once = format!("{}/resolved/{}", row.raised.fingerprint, row.last_event);
            let resolved =
                AlertResolved { raised: row.raised, resolved_at: now, resolved_by: WATCH.to_owned() };
            let event = api.bus.envelope(resolved).to_bytes()?;
            api.store.notice_once(&once, &[event], now).await.context("end an alert of a key")?;
        }
    }
    Ok(())
}
