//! What happens to a key's values once they are stored: rotated, revoked, revealed, tested.
//!
//! Only `reveal` ever answers with a value, and never before its audit entry is durable.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use metrics::counter;
use model::Timestamp;
use model::ask::{Pong, TestIntegration};
use model::audit::Verb;
use model::config::Kind;
use model::event::{KeyRevoked, KeyRotated};
use model::integration::{CUSTOM_PROVIDER, Integration};
use model::key::KeyState;
use model::secret::Fields;
use model::token::Permission;
use runtime::Problem;
use runtime::json::Json;
use serde::Deserialize;
use store::Write;
use utoipa::ToSchema;
use vault::Expected;

use super::{View, answer, fact, find, values};
use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::idempotency::SHOWN_ONCE;
use crate::problems::of_vault;
use crate::resources::{stored, typed};
use crate::state::Api;
use crate::telemetry::KEY_REVEALS;

/// Versions that are remembered; the oldest revoked ones are forgotten first.
const VERSIONS_MAX: usize = 100;

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
    let warnings = values::check(&api, key.provider.as_str(), &new.fields)?;
    let path = vault::Path::key(&key.id);
    let prints = api.vault.fingerprints().await.map_err(of_vault)?;
    let number = api.vault.write(&path, &new.fields, Expected::Any).await.map_err(of_vault)?;
    let made = api
        .change(&caller, |config, at| {
            let kept = find(config, &id)?;
            let mut key = kept.body.clone();
            for version in key.versions.iter_mut().filter(|version| version.state == KeyState::Active) {
                version.state = KeyState::Retiring;
            }
            key.versions.push(values::version_of(number, &new.fields, &prints, at));
            if key.versions.len() > VERSIONS_MAX
                && let Some(oldest) =
                    key.versions.iter().position(|version| version.state == KeyState::Revoked)
            {
                key.versions.remove(oldest);
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
