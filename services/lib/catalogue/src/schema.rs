//! The schema of a provider's file and of `GET /api/v1/providers/{id}`, made from the types.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::Provider;

/// The schema's `$id`.
pub const SCHEMA_ID: &str = "https://signalbox.invalid/schemas/provider.v1.json";

/// JSON Schema (2020-12) of [`Provider`].
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Provider>();
    schema.insert("$id".to_owned(), SCHEMA_ID.into());
    schema.to_value()
}
