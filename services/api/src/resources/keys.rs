//! `/keys`: providers' credentials. Values go in and, but for an audited reveal, never out.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use metrics::counter;
use model::ask::{Pong, TestIntegration};
use model::audit::Verb;
use model::config::Kind;
use model::event::{KeyCreated, KeyRevoked, KeyRotated};
use model::integration::{CUSTOM_PROVIDER, Integration};
use model::key::{Key, KeyFact, KeyState, KeyVersion};
use model::secret::Fields;
use model::token::Permission;
use model::{KeyId, ProviderId, Timestamp};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::Write;
use utoipa::ToSchema;
use vault::Expected;

use super::{Patch, matching, merge, providers, stored, tagged, typed};
use crate::access::{Caller, viewing};
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept};
use crate::idempotency::SHOWN_ONCE;
use crate::page::{Page, Paging};
use crate::problems::{exists, missing, of_vault};
use crate::state::Api;
use crate::telemetry::KEY_REVEALS;

/// Fields of one key, and bytes of one value.
const FIELDS_MAX: usize = 16;
const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Versions that are remembered; the oldest revoked ones are forgotten first.
const VERSIONS_MAX: usize = 100;

/// A key, masked.
#[derive(Debug, Serialize, ToSchema)]
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

/// New values for a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewValues {
    /// All fields, new.
    #[schema(value_type = BTreeMap<String, String>)]
    fields: Fields,
    /// When the provider stops taking them.
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// Refuses what cannot be right; warns about what does not look right.
fn check_fields(api: &Api, provider: &str, fields: &Fields) -> Result<Vec<String>, Problem> {
    if fields.is_empty() || fields.len() > FIELDS_MAX {
        return Err(Problem::validation("/fields", format!("must hold 1 to {FIELDS_MAX} values")));
    }
    for (name, value) in fields {
        let pointer = format!("/fields/{}", name.replace('~', "~0").replace('/', "~1"));
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(Problem::validation(&pointer, format!("must have 1 to {VALUE_BYTES_MAX} bytes")));
        }
        if value.expose().contains('\0') {
            return Err(Problem::validation(&pointer, "must not hold a NUL"));
        }
    }
    if provider == CUSTOM_PROVIDER {
        return Ok(Vec::new());
    }
    let provider = providers::named(api, provider, "/provider")?;
    let mut warnings = Vec::new();
    for field in &provider.fields {
        match fields.get(&field.name) {
            Some(value) => warnings.extend(field.warn(value.expose())),
            None if field.required => {
                let detail = format!("{} needs it: {}", provider.name, field.label);
                return Err(Problem::validation(format!("/fields/{}", field.name), detail));
            }
            None => {}
        }
    }
    let known: Vec<&str> = provider.fields.iter().map(|field| field.name.as_str()).collect();
    if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Problem::validation(
            &format!("/fields/{unknown}"),
            format!("{} has no such field; it has {}", provider.name, known.join(", ")),
        ));
    }
    Ok(warnings)
}

fn version_of(id: &KeyId, number: u32, fields: &Fields, at: Timestamp) -> KeyVersion {
    let mut digest = Sha256::new();
    for (name, value) in fields {
        for part in [id.as_str(), name, value.expose()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    let fingerprint = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    KeyVersion {
        version: number,
        state: KeyState::Active,
        created_at: at,
        revoked_at: None,
        fields: fields.iter().map(|(name, value)| (name.clone(), value.masked())).collect(),
        fingerprint,
    }
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
    let warnings = check_fields(&api, new.provider.as_str(), &new.fields)?;
    if api.config().await?.keys.contains_key(&new.id) {
        return Err(exists("key", new.id.as_str()));
    }
    // What a crash between the two stores left behind belongs to no key: it is written over, never read.
    let path = vault::Path::key(&new.id);
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
                versions: vec![version_of(&new.id, number, &new.fields, at)],
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
        let mut document = stored(&editable)?;
        merge(&mut document, serde_json::Value::Object(patch.clone()));
        let Editable { environment, labels, expires_at } = typed(document)?;
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

/// Stores new values; the old ones stay readable until they are revoked.
#[utoipa::path(post, path = "/keys/{id}/~rotate", tag = "keys", params(("id" = String, Path)), request_body = NewValues,
    responses((status = 200, body = View), (status = 422, body = Problem)))]
pub(crate) async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(new): Json<NewValues>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Key, &id, "key.rotate", Verb::Update);
    caller.may(&api, Permission::Keys, &deed).await?;
    let key = find(&api.config().await?, &id)?.body.clone();
    let warnings = check_fields(&api, key.provider.as_str(), &new.fields)?;
    let path = vault::Path::key(&key.id);
    let number = api.vault.write(&path, &new.fields, Expected::Any).await.map_err(of_vault)?;
    let made = api
        .change(&caller, |config, at| {
            let kept = find(config, &id)?;
            let mut key = kept.body.clone();
            for version in key.versions.iter_mut().filter(|version| version.state == KeyState::Active) {
                version.state = KeyState::Retiring;
            }
            key.versions.push(version_of(&key.id, number, &new.fields, at));
            if key.versions.len() > VERSIONS_MAX {
                if let Some(oldest) =
                    key.versions.iter().position(|version| version.state == KeyState::Revoked)
                {
                    key.versions.remove(oldest);
                }
            }
            key.expires_at = new.expires_at;
            let write =
                Write::Update { kind: Kind::Key, id: id.clone(), body: stored(&key)?, expected: None };
            let rotated = api.fact(KeyRotated(fact(&key, number, &caller, at)))?;
            Ok(Decision::write(write, deed.clone(), ()).and(rotated))
        })
        .await;
    if made.is_err() {
        api.vault.destroy(&path, number).await.map_err(of_vault)?;
    }
    made?;
    answer(&api, &id, StatusCode::OK, warnings).await
}

/// Which version to revoke.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// Only this version; all when absent.
    #[serde(default)]
    version: Option<u32>,
    /// Why, for the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// Revokes a key or one version of it: it is used no more, and its value is destroyed.
#[utoipa::path(post, path = "/keys/{id}/~revoke", tag = "keys", params(("id" = String, Path)), request_body = Revoke,
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Option<Json<Revoke>>,
) -> Result<Response, Problem> {
    let revoke = body.map(|Json(body)| body).unwrap_or_default();
    let mut deed = Deed::to(Kind::Key, &id, "key.revoke", Verb::Update);
    deed.reason.clone_from(&revoke.reason);
    caller.may(&api, Permission::Keys, &deed).await?;
    let ((key, numbers), _) = api
        .change(&caller, |config, at| {
            let kept = find(config, &id)?;
            let mut key = kept.body.clone();
            let mut numbers = Vec::new();
            for version in &mut key.versions {
                let meant = revoke.version.is_none_or(|number| number == version.version);
                if meant && version.state != KeyState::Revoked {
                    version.state = KeyState::Revoked;
                    version.revoked_at = Some(at);
                    numbers.push(version.version);
                }
            }
            if let (Some(number), true) = (revoke.version, numbers.is_empty()) {
                return Err(Problem::validation(
                    "/version",
                    format!("there is no version {number} that is not revoked yet"),
                ));
            }
            let write =
                Write::Update { kind: Kind::Key, id: id.clone(), body: stored(&key)?, expected: None };
            let mut decision = Decision::write(write, deed.clone(), (key.id.clone(), numbers.clone()));
            for number in &numbers {
                decision.facts.push(api.fact(KeyRevoked(fact(&key, *number, &caller, at)))?);
            }
            Ok(decision)
        })
        .await?;
    for number in numbers {
        api.vault.destroy(&vault::Path::key(&key), number).await.map_err(of_vault)?;
    }
    answer(&api, &id, StatusCode::OK, Vec::new()).await
}

/// Why a value should be shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reveal {
    /// For the audit log; 3 to 500 characters.
    reason: String,
    /// Which version; the active one when absent.
    #[serde(default)]
    version: Option<u32>,
}

/// Shows a key's values. The audit entry is durable before they are read: no entry, no value.
#[utoipa::path(post, path = "/keys/{id}/~reveal", tag = "keys", params(("id" = String, Path)), request_body = Reveal,
    responses((status = 200, description = "`{\"id\", \"version\", \"fields\": {…}}`, never cached", body = Object), (status = 403, body = Problem)))]
pub(crate) async fn reveal(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(reveal): Json<Reveal>,
) -> Result<Response, Problem> {
    let mut deed = Deed::to(Kind::Key, &id, "key.reveal", Verb::View);
    deed.reason = Some(reveal.reason.chars().take(500).collect());
    caller.may(&api, Permission::Reveal, &deed).await?;
    if !(3..=500).contains(&reveal.reason.trim().chars().count()) {
        return Err(Problem::validation("/reason", "say why, in 3 to 500 characters"));
    }
    let fresh = std::time::Duration::from_secs(api.settings.reveal_fresh_secs);
    if caller.authenticated_at.is_some_and(|at| Timestamp::now().since(at) > fresh) {
        api.audit(&caller, &deed, "denied").await?;
        return Err(Problem::out_of_bounds(
            "prove your password again with POST /api/v1/sessions:reauthenticate",
        )
        .with_code("reauthentication_required"));
    }
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    let number = reveal.version.or_else(|| kept.body.active().map(|version| version.version));
    let live = |number: &u32| {
        kept.body.versions.iter().any(|v| v.version == *number && v.state != KeyState::Revoked)
    };
    let Some(number) = number.filter(live) else {
        return Err(Problem::conflict("this version is revoked and its value destroyed"));
    };
    api.audit(&caller, &deed, "intent").await?;
    let held = match api.vault.read(&vault::Path::key(&kept.body.id), Some(number)).await {
        Ok(held) => held,
        Err(error) => {
            api.audit(&caller, &deed, "failed").await?;
            return Err(of_vault(error));
        }
    };
    api.audit(&caller, &deed, "ok").await?;
    counter!(KEY_REVEALS, "provider" => kept.body.provider.to_string()).increment(1);
    let fields: serde_json::Map<String, serde_json::Value> =
        held.fields.iter().map(|(name, value)| (name.clone(), value.expose().into())).collect();
    let body = serde_json::json!({"id": id, "version": number, "fields": fields});
    let mut response = axum::Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(SHOWN_ONCE, HeaderValue::from_static("1"));
    Ok(response)
}

/// Which version to test.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// The active one when absent.
    #[serde(default)]
    version: Option<u32>,
}

/// Asks the provider whether it takes the key.
#[utoipa::path(post, path = "/keys/{id}/~test", tag = "keys", params(("id" = String, Path)), request_body = Test,
    responses((status = 200, body = Pong), (status = 422, body = Problem)))]
pub(crate) async fn test(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Option<Json<Test>>,
) -> Result<Response, Problem> {
    let version = body.and_then(|Json(body)| body.version);
    let deed = Deed::to(Kind::Key, &id, "key.test", Verb::Use);
    caller.may(&api, Permission::Keys, &deed).await?;
    let config = api.config().await?;
    let key = find(&config, &id)?.body.clone();
    // Where the key is used it is tried there: the address may be the team's own.
    let used = config
        .integrations
        .values()
        .find(|it| it.body.key.as_ref() == Some(&key.id))
        .map(|it| it.body.clone());
    let integration = match used {
        Some(integration) => integration,
        None if key.provider.as_str() == CUSTOM_PROVIDER => {
            return Err(Problem::conflict("no integration uses it yet, so there is no address to try it at"));
        }
        None => typed::<Integration>(serde_json::json!({
            "id": "trial", "provider": key.provider, "environment": key.environment, "key": key.id,
        }))?,
    };
    api.audit(&caller, &deed, "ok").await?;
    let question = TestIntegration { integration, trial: None, version };
    match api.ask::<_, Pong>("prober", "test", &question).await? {
        Ok(pong) => Ok(axum::Json(pong).into_response()),
        Err(refused) => Err(Problem::validation("", refused.detail)),
    }
}
