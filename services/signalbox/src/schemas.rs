//! The promises as files, made from the code: events, the snapshot, providers, AsyncAPI, OpenAPI.
//!
//! `signalbox schemas DIR` writes them; a test holds `schemas/` against this.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use bus::table;
use model::event::{CATALOGUE, SCHEMA_BASE, TYPE_PREFIX, schema_address, schema_file};
use model::snapshot::Snapshot;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Every file by its path below `schemas/`.
pub fn files() -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for event in CATALOGUE {
        let mut schema = SchemaSettings::draft2020_12().into_generator();
        let body = (event.schema)(&mut schema);
        let definitions = schema.take_definitions(true);
        let file = schema_file(event.kind);
        let mut document = headed(&schema_address(event.kind), event.kind, event.summary);
        document.extend(Value::from(body).as_object().cloned().unwrap_or_default());
        document.insert("title".to_owned(), event.kind.into());
        document.insert("description".to_owned(), event.summary.into());
        if !definitions.is_empty() {
            document.insert("$defs".to_owned(), Value::Object(definitions));
        }
        files.insert(format!("events/{file}"), text(&Value::Object(document))?);
    }
    let mut snapshot: Value =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Snapshot>().into();
    if let Some(object) = snapshot.as_object_mut() {
        object.insert("$id".to_owned(), format!("{SCHEMA_BASE}snapshot.v1.json").into());
    }
    files.insert("snapshot.v1.json".to_owned(), text(&snapshot)?);
    files.insert("provider.v1.json".to_owned(), text(&catalogue::schema())?);
    for kind in catalogue::operation::Kind::ALL {
        let schema = catalogue::operation::schema(kind);
        files.insert(format!("operations/{}.json", kind.as_str()), text(&schema)?);
    }
    files.insert("operations/chat.json".to_owned(), text(&catalogue::chat_schema())?);
    files.insert("openapi.json".to_owned(), text(&serde_json::to_value(api::openapi())?)?);
    files.insert("asyncapi.yaml".to_owned(), asyncapi()?);
    Ok(files)
}

/// Writes every file below a directory.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    for (name, text) in files()? {
        let path = directory.join(&name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn headed(id: &str, title: &str, summary: &str) -> Map<String, Value> {
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": id, "title": title, "description": summary,
    });
    head.as_object().cloned().unwrap_or_default()
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// AsyncAPI 3.0 as JSON, which is YAML too. Definitions are moved to components: the parser refuses `#/$defs`.
fn asyncapi() -> anyhow::Result<String> {
    let mut schemas = Map::new();
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for event in CATALOGUE {
        let mut settings = SchemaSettings::draft07();
        settings.definitions_path = "/components/schemas".into();
        let mut generator = settings.into_generator();
        let body = Value::from((event.schema)(&mut generator));
        schemas.extend(generator.take_definitions(true));
        let name = event.kind.replace('.', "-");
        let parameters: Map<String, Value> = event
            .subject
            .split('.')
            .filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'))
            .map(|token| (token.to_owned(), json!({ "description": format!("The {token}'s id, a slug.") })))
            .collect();
        let stream = table::STREAMS
            .iter()
            .find(|stream| stream.name == event.stream)
            .context("the event's stream is in the table")?;
        messages.insert(
            name.clone(),
            json!({
                "name": format!("{TYPE_PREFIX}{}", event.kind), "summary": event.summary, "contentType": "application/json",
                "headers": { "$ref": "#/components/schemas/CloudEventsHeaders" }, "payload": body,
            }),
        );
        channels.insert(
            name.clone(),
            json!({
                "address": event.subject, "description": event.summary, "parameters": parameters,
                "messages": { name.clone(): { "$ref": format!("#/components/messages/{name}") } },
                "x-signalbox-jetstream": { "stream": stream.name, "max_age_secs": stream.max_age.as_secs() },
            }),
        );
        operations.insert(
            format!("receive-{name}"),
            json!({
                "action": "receive", "channel": { "$ref": format!("#/channels/{name}") }, "summary": event.summary,
                "bindings": { "nats": { "bindingVersion": "0.1.0" } },
            }),
        );
    }
    let header = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    schemas.insert(
        "CloudEventsHeaders".to_owned(),
        json!({
            "type": "object",
            "description": "CloudEvents 1.0, binary mode. Values are percent-encoded.",
            "required": ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-datacontenttype", "ce-dataschema"],
            "properties": {
                "ce-specversion": { "const": "1.0" }, "ce-id": header("^.+$"), "ce-source": header("^.+$"),
                "ce-type": header("^dev\\.signalbox\\."), "ce-time": header("Z$"),
                "ce-datacontenttype": { "const": "application/json" }, "ce-dataschema": header("^https://"),
            },
        }),
    );
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Signalbox events", "version": env!("CARGO_PKG_VERSION"),
            "description": "Everything that happens, as CloudEvents 1.0 in binary mode on NATS JetStream.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas },
    });
    text(&document)
}
