//! `/keys`: providers' credentials. Values go in and, but for an audited reveal, never out.

pub(crate) mod secrets;
mod values;

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::audit::Verb;
use model::config::Kind;
use model::event::KeyCreated;
use model::key::{Key, KeyFact, KeyState, KeyVersion};
use model::secret::Fields;
use model::token::Permission;
use model::{KeyId, ProviderId, Timestamp};
use runtime::Problem;
use runtime::json::{Json, Query};
use serde::{Deserialize, Serialize};
use store::Write;
use utoipa::ToSchema;
use vault::Expected;

use super::{Patch, matching, patched, stored, tagged};
use crate::access::{Caller, viewing};
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept};
use crate::page::{Page, Paging};
use crate::problems::{exists, missing, of_vault};
use crate::state::Api;

/// A key, masked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyView)]
pub(crate) struct View {
    #[serde(flatten)]
    kept: Kept<Key>,
    /// The active version's number; null when the key is revoked.
    version: Option<u32>,
    /// The active version's state, or `revoked`.
    state: KeyState,
    /// Each field with all but its last characters hidden.
    fields: BTreeMap<String, String>,
    /// Hints about values that do not look as the provider's usually do. Never a refusal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn view(kept: Kept<Key>, warnings: Vec<String>) -> View {
    let active = kept.body.active().cloned();
    View {
        version: active.as_ref().map(|version| version.version),
        state: active.as_ref().map_or(KeyState::Revoked, |version| version.state),
        fields: active.map(|version| version.fields).unwrap_or_default(),
        warnings,
        kept,
    }
}

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<Key>, Problem> {
    config.keys.get(id).ok_or_else(|| missing(Kind::Key, id, config.keys.keys().map(KeyId::as_str)))
}

/// A key to store.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    id: KeyId,
    /// A provider of the catalogue, or `custom`.
    provider: ProviderId,
    #[serde(default)]
    environment: Option<String>,
    /// The values, by the names that the provider's catalogue entry gives.
    #[schema(value_type = BTreeMap<String, String>)]
    fields: Fields,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

fn fact(key: &Key, version: u32, caller: &Caller, at: Timestamp) -> KeyFact {
    KeyFact {
        key: key.id.clone(),
        provider: key.provider.clone(),
        version,
        at,
        actor: caller.actor.to_string(),
        expires_at: key.expires_at,
    }
}

/// All keys, masked.
#[utoipa::path(get, path = "/keys", tag = "keys", params(Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let after = paging.after("")?.unwrap_or_default();
    let items: Vec<View> = api
        .config()
        .await?
        .keys
        .into_values()
        .filter(|kept| kept.body.id.as_str() > after.as_str())
        .map(|kept| view(kept, Vec::new()))
        .take(paging.size() as usize + 1)
        .collect();
    Ok(axum::Json(paging.page("/api/v1/keys", "", items, |view| view.kept.body.id.to_string()))
        .into_response())
}

/// One key, masked.
#[utoipa::path(get, path = "/keys/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    api.audit(&caller, &viewing(Kind::Key, &id, "key.view"), "ok").await?;
    Ok(tagged(StatusCode::OK, kept.revision, &view(kept.clone(), Vec::new())))
}

/// All versions of a key, masked, newest first.
#[utoipa::path(get, path = "/keys/{id}/versions", tag = "keys", params(("id" = String, Path)),
    responses((status = 200, body = Page<KeyVersion>), (status = 404, body = Problem)))]
pub(crate) async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let mut items = find(&config, &id)?.body.versions.clone();
    items.reverse();
    api.audit(&caller, &viewing(Kind::Key, &id, "key.view"), "ok").await?;
    Ok(axum::Json(Page { items, next: None }).into_response())
}

/// Stores a key.
#[utoipa::path(post, path = "/keys", tag = "keys", request_body = NewKey,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(new): Json<NewKey>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Key, &new.id, "key.create", Verb::Create);
    caller.may(&api, Permission::Keys, &deed).await?;
    let warnings = values::check(&api, new.provider.as_str(), &new.fields)?;
    if api.config().await?.keys.contains_key(&new.id) {
        return Err(exists("key", new.id.as_str()));
    }
    // What a crash between the two stores left behind belongs to no key: it is written over, never read.
    let path = vault::Path::key(&new.id);
    let prints = api.vault.fingerprints().await.map_err(of_vault)?;
    let number = api.vault.write(&path, &new.fields, Expected::Any).await.map_err(of_vault)?;
    let made = api
        .change(&caller, |config, at| {
            if config.keys.contains_key(&new.id) {
                return Err(exists("key", new.id.as_str()));
            }
            let key = Key {
                id: new.id.clone(),
                provider: new.provider.clone(),
                environment: new.environment.clone().unwrap_or_else(|| "production".to_owned()),
                labels: new.labels.clone(),
                expires_at: new.expires_at,
                versions: vec![values::version_of(number, &new.fields, &prints, at)],
            };
            let write = Write::Create { kind: Kind::Key, id: new.id.to_string(), body: stored(&key)? };
            let created = api.fact(KeyCreated(fact(&key, number, &caller, at)))?;
            Ok(Decision::write(write, deed.clone(), ()).and(created))
        })
        .await;
    if made.is_err() {
        api.vault.destroy(&path, number).await.map_err(of_vault)?;
    }
    made?;
    answer(&api, new.id.as_str(), StatusCode::CREATED, warnings).await
}

async fn answer(api: &Api, id: &str, status: StatusCode, warnings: Vec<String>) -> Result<Response, Problem> {
    let config = api.config().await?;
    let kept = find(&config, id)?;
    Ok(tagged(status, kept.revision, &view(kept.clone(), warnings)))
}

/// What may be changed of a key without its values.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Editable {
    environment: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// Changes labels, environment or expiry (JSON merge patch). Values change by `:rotate`.
#[utoipa::path(patch, path = "/keys/{id}", tag = "keys", params(("id" = String, Path)), request_body = Object,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Patch,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Key, &id, "key.update", Verb::Update);
    caller.may(&api, Permission::Keys, &deed).await?;
    if patch.contains_key("fields") {
        return Err(Problem::validation(
            "/fields",
            format!("values are changed by POST /api/v1/keys/{id}:rotate"),
        ));
    }
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        matching(&headers, kept.revision)?;
        let key = &kept.body;
        let editable = Editable {
            environment: key.environment.clone(),
            labels: key.labels.clone(),
            expires_at: key.expires_at,
        };
        let Editable { environment, labels, expires_at } = patched(&editable, &patch)?;
        let key = Key { environment, labels, expires_at, ..key.clone() };
        let write = Write::Update {
            kind: Kind::Key,
            id: id.clone(),
            body: stored(&key)?,
            expected: Some(kept.revision),
        };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(&api, &id, StatusCode::OK, Vec::new()).await
}

/// Deletes a key that no integration needs, with all its values.
#[utoipa::path(delete, path = "/keys/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 204), (status = 409, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Key, &id, "key.delete", Verb::Delete);
    caller.may(&api, Permission::Keys, &deed).await?;
    let (key, _) = api
        .change(&caller, |config, _| {
            let kept = find(config, &id)?;
            matching(&headers, kept.revision)?;
            let users: Vec<&str> = config
                .integrations
                .values()
                .filter(|it| it.body.key.as_ref() == Some(&kept.body.id))
                .map(|it| it.body.id.as_str())
                .collect();
            if !users.is_empty() {
                return Err(Problem::conflict(format!(
                    "it is used by {}; give them another key first",
                    users.join(", ")
                )));
            }
            let write = Write::Delete { kind: Kind::Key, id: id.clone(), expected: Some(kept.revision) };
            Ok(Decision::write(write, deed.clone(), kept.body.id.clone()))
        })
        .await?;
    api.vault.remove(&vault::Path::key(&key)).await.map_err(of_vault)?;
    Ok(StatusCode::NO_CONTENT)
}
