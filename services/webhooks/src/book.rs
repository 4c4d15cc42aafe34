//! The configuration as this service needs it: webhooks and silences, read whole when the revision moves.
//!
//! The database is asked for its revision each time, which is one small read; a change is seen at the next event.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::WebhookId;
use model::config::Kind;
use model::webhook::Webhook;
use store::Store;
use tokio::sync::Mutex;
use tracing::warn;

use crate::silence::{SILENCES_MAX, Silence};
use crate::telemetry;

/// The webhooks and silences of one revision.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// By their ids.
    pub(crate) webhooks: BTreeMap<WebhookId, Webhook>,
    /// In the order of their ids.
    pub(crate) silences: Vec<Silence>,
}

/// The last page that was read, and its revision.
#[derive(Debug, Default)]
pub(crate) struct Book {
    open: Mutex<Option<(u64, Arc<Page>)>>,
}

impl Book {
    /// The configuration of now.
    pub(crate) async fn page(&self, store: &Store) -> store::Result<Arc<Page>> {
        let mut open = self.open.lock().await;
        let revision = store.revision().await?;
        if let Some((read, page)) = open.as_ref()
            && *read == revision
        {
            return Ok(Arc::clone(page));
        }
        let everything = store.everything().await?;
        let mut page = Page::default();
        for document in everything.documents {
            match document.kind {
                Kind::Webhook => match serde_json::from_value::<Webhook>(document.body) {
                    Ok(webhook) => {
                        telemetry::announce(&webhook);
                        page.webhooks.insert(webhook.id.clone(), webhook);
                    }
                    Err(error) => {
                        warn!(webhook.id = %document.id, %error, "Webhook {} cannot be read; it gets nothing.", document.id);
                    }
                },
                Kind::Silence if page.silences.len() < SILENCES_MAX as usize => {
                    match serde_json::from_value(document.body) {
                        Ok(silence) => page.silences.push(silence),
                        Err(error) => {
                            warn!(silence.id = %document.id, %error, "Silence {} cannot be read; it silences nothing.", document.id);
                        }
                    }
                }
                _ => {}
            }
        }
        let page = Arc::new(page);
        *open = Some((everything.revision, Arc::clone(&page)));
        Ok(page)
    }
}
