//! Tests of every provider's mappings: what is sent, and what its documented answers become.

mod pages;
mod quotes;
mod requests;
mod rows;
mod wrong;

use std::collections::BTreeMap;

use model::Timestamp;
use serde_json::Value;

use super::*;
use crate::{Catalogue, Operation};

/// 2026-11-21T02:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_226_400_000);

pub(super) fn operation(provider: &str, kind: Kind) -> &'static Operation {
    let provider = Catalogue::builtin().get(provider).expect("a provider of the catalogue");
    provider.operations.get(kind.as_str()).unwrap_or_else(|| panic!("{} has {}", provider.id, kind.as_str()))
}

pub(super) fn asked(kind: Kind, query: &str) -> Asked {
    Asked::read(kind, query).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// What a provider's answer becomes; it fits its schema.
#[track_caller]
pub(super) fn read(provider: &str, kind: Kind, query: &str, body: &str) -> Result<Value, Unreadable> {
    let by = By { provider, integration: None };
    let document = normalise(operation(provider, kind), by, &asked(kind, query), NOW, body.as_bytes())?;
    let document: Value = serde_json::from_slice(&document).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema(kind)).expect("the schema is one");
    let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{provider}: {errors:?} in {document}");
    Ok(document)
}

/// What is sent to a provider, as method-less target.
pub(super) fn sent(provider: &str, kind: Kind, query: &str) -> Result<String, Unfit> {
    let planned = plan(operation(provider, kind), &asked(kind, query), NOW)?;
    assert_eq!(planned.method, "GET");
    Ok(planned.query.map_or(planned.path.clone(), |query| format!("{}?{query}", planned.path)))
}

#[test]
fn every_financial_and_trading_provider_takes_part() {
    let mut count = BTreeMap::new();
    for provider in Catalogue::builtin().all() {
        for kind in Kind::ALL {
            let mapped = provider.operations.get(kind.as_str()).is_some_and(|o| o.answer.is_some());
            *count.entry(kind).or_insert(0) += usize::from(mapped);
            assert_eq!(mapped, provider.operations.contains_key(kind.as_str()), "{}", provider.id);
        }
    }
    assert_eq!((count[&Kind::Quote], count[&Kind::Candles], count[&Kind::Series]), (15, 14, 3));
}
