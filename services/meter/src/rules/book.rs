//! The configuration as rules need it, read whole when its revision moves.
//!
//! The database is asked for its revision each time, which is one small read. A document that cannot be read is left
//! out with a warning; the others still hold.

use std::collections::BTreeMap;

use model::budget::Budget;
use model::config::Kind;
use model::id::Slug;
use model::integration::Integration;
use model::rule::{Rule, built_ins};
use model::snapshot::PinnedRoute;
use model::{IntegrationId, RouteId};
use serde::de::DeserializeOwned;
use store::{Document, Everything};
use tracing::warn;

/// What rules are about, at one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) revision: u64,
    /// Built-in rules as they are or as somebody changed them, and people's own; their values filled in.
    pub(crate) rules: BTreeMap<Slug, Rule>,
    pub(crate) budgets: BTreeMap<Slug, Budget>,
    pub(crate) integrations: BTreeMap<IntegrationId, Integration>,
    pub(crate) routes: BTreeMap<RouteId, PinnedRoute>,
}

impl Book {
    /// Reads what is configured.
    pub(crate) fn of(all: Everything) -> Self {
        let rules = built_ins().map(|rule| (rule.id.clone(), rule)).collect();
        let mut book = Self { revision: all.revision, rules, ..Self::default() };
        for document in all.documents {
            match document.kind {
                Kind::Rule => {
                    if let Some(rule) = read::<Rule>(document) {
                        book.rules.insert(rule.id.clone(), rule.filled());
                    }
                }
                Kind::Budget => {
                    if let Some(budget) = read::<Budget>(document) {
                        book.budgets.insert(budget.id.clone(), budget);
                    }
                }
                Kind::Integration => {
                    if let Some(integration) = read::<Integration>(document) {
                        book.integrations.insert(integration.id.clone(), integration);
                    }
                }
                Kind::Route => {
                    if let Some(route) = read::<PinnedRoute>(document) {
                        book.routes.insert(route.route.id.clone(), route);
                    }
                }
                Kind::Key | Kind::Webhook | Kind::Token | Kind::User | Kind::Silence => {}
            }
        }
        book
    }

    /// Whether an integration is a member of a route.
    pub(crate) fn is_member(&self, integration: &IntegrationId, route: &RouteId) -> bool {
        self.routes.get(route).is_some_and(|kept| kept.route.integrations.contains(integration))
    }
}

fn read<T: DeserializeOwned>(document: Document) -> Option<T> {
    let (kind, id) = (document.kind.as_str(), document.id);
    match serde_json::from_value(document.body) {
        Ok(read) => Some(read),
        Err(error) => {
            warn!(kind, id, %error, "The {kind} {id} cannot be read; rules leave it out.");
            None
        }
    }
}
