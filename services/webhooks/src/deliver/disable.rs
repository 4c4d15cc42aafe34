//! Disables a webhook whose channel is gone, as a change of the configuration like any other: with its revision, its event
//! and its audit entry.

use model::Timestamp;
use model::WebhookId;
use model::audit::{AuditRecorded, Verb};
use model::config::{Change as What, ConfigChanged, Kind};
use model::token::Actor;
use serde_json::Value;
use store::{Change, Error, Write};
use tracing::warn;

use crate::desk::Desk;

/// How often the change is tried when others change the configuration at the same time.
const TRIES: usize = 5;

/// Disables a webhook. False when there is nothing to disable any more.
pub(super) async fn disable(desk: &Desk, webhook: &WebhookId, reason: &str) -> store::Result<bool> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_once(desk, webhook, reason).await {
            Err(Error::Moved | Error::Stale { .. }) if tries < TRIES => {}
            Err(Error::Missing { .. }) => return Ok(false),
            Ok(disabled) => {
                if disabled {
                    warn!(webhook.id = %webhook, "Webhook {webhook} is disabled: its channel is gone. A person must look at it.");
                }
                return Ok(disabled);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn try_once(desk: &Desk, webhook: &WebhookId, reason: &str) -> store::Result<bool> {
    let based_on = desk.store.revision().await?;
    let Some(document) = desk.store.document(Kind::Webhook, webhook.as_str()).await? else {
        return Ok(false);
    };
    let Value::Object(mut body) = document.body else { return Ok(false) };
    if body.get("enabled").and_then(Value::as_bool) == Some(false) {
        return Ok(false);
    }
    body.insert("enabled".to_owned(), Value::Bool(false));
    body.insert("disabled_reason".to_owned(), Value::String(reason.to_owned()));
    let (at, actor) = (Timestamp::now(), Actor::system("webhooks"));
    let changed = desk.bus.envelope(ConfigChanged {
        kind: Kind::Webhook,
        id: webhook.to_string(),
        change: What::Updated,
        revision: based_on + 1,
        actor: actor.to_string(),
        at,
    });
    let audited = desk.bus.envelope(AuditRecorded {
        at,
        actor,
        method: "none".to_owned(),
        source_ip: None,
        action: "webhook.disable".to_owned(),
        verb: Verb::Update,
        target: format!("webhook/{webhook}"),
        outcome: "ok".to_owned(),
        reason: Some(reason.to_owned()),
        request_id: None,
    });
    let events = [changed.to_bytes(), audited.to_bytes()].into_iter().flatten().collect();
    let write = Write::Update {
        kind: Kind::Webhook,
        id: webhook.to_string(),
        body: Value::Object(body),
        expected: Some(document.revision),
    };
    let change = Change { based_on: Some(based_on), writes: vec![write], events, ..Change::default() };
    desk.store.commit(change, at).await?;
    Ok(true)
}
