//! `/webhooks`: where alerts go. Addresses and secrets of channels are in the key store, not in the document.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode};
use model::ask::{Admit, Admitted, Preview, Previewed, Refused, Render, Rendered, TestWebhook, Tested};
use model::audit::Verb;
use model::config::Kind;
use model::secret::Fields;
use model::token::Permission;
use model::webhook::{Filter, Rate, Schedule, Webhook, WebhookKind, WebhookState};
use model::{Secret, WebhookId};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use store::Write;
use utoipa::ToSchema;
use vault::Expected;

use super::{keeps_id, matching, merge, stored, tagged, trial, typed};
use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept};
use crate::idempotency::SHOWN_ONCE;
use crate::page::{Page, Paging};
use crate::problems::{exists, missing, of_vault};
use crate::state::Api;
use crate::validate;

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// A webhook as it is sent to the api.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookInput)]
pub(crate) struct Input {
    id: WebhookId,
    kind: WebhookKind,
    /// The address. For Slack and Discord it is the credential. For PagerDuty only to use another region.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    url: Option<Secret>,
    #[serde(default = "yes")]
    enabled: bool,
    /// Liquid; the kind's own default when absent.
    #[serde(default)]
    template: Option<String>,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    schedule: Option<Schedule>,
    #[serde(default)]
    rate: Option<Rate>,
    /// PagerDuty's integration key.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    routing_key: Option<Secret>,
    /// For `http`: signs deliveries (Standard Webhooks, `whsec_…`). Made, and shown once, when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
}

const fn yes() -> bool {
    true
}

/// A webhook with its state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookView)]
pub(crate) struct View {
    #[serde(flatten)]
    kept: Kept<Webhook>,
    /// What its owner should know.
    deliveries: WebhookState,
    /// The signing secret that was made; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<Webhook>, Problem> {
    config
        .webhooks
        .get(id)
        .ok_or_else(|| missing(Kind::Webhook, id, config.webhooks.keys().map(WebhookId::as_str)))
}

async fn view(api: &Api, kept: Kept<Webhook>) -> Result<View, Problem> {
    let deliveries = api.store.webhook_state(&kept.body.id).await.map_err(crate::problems::of_store)?;
    Ok(View { kept, deliveries, secret: None })
}

/// What may be shown of an address: scheme and host where the rest is the credential, all but the query elsewhere.
fn shown(kind: WebhookKind, url: &str) -> Result<String, Problem> {
    let parsed = url::Url::parse(url)
        .map_err(|_| Problem::validation("/url", "is not an address such as https://example.com/hook"))?;
    let host = parsed.host_str().unwrap_or_default();
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = match kind {
        WebhookKind::Slack | WebhookKind::Discord => "/…",
        WebhookKind::Pagerduty | WebhookKind::Http => parsed.path(),
    };
    Ok(format!("{}://{host}{port}{path}", parsed.scheme()))
}

/// The document and the secrets of an input; `held` are the secrets that there already are.
fn split(
    input: &Input,
    held: Option<(&Webhook, &Fields)>,
) -> Result<(Webhook, Fields, Option<Secret>), Problem> {
    let mut fields = held.map(|(_, fields)| fields.clone()).unwrap_or_default();
    let mut made = None;
    // What a GET showed may come back in a PUT: it stands for the value that is there.
    let same = |url: &Secret| held.is_some_and(|(webhook, _)| webhook.url == url.expose());
    if let Some(url) = input.url.as_ref().filter(|url| !same(url)) {
        fields.insert("url".to_owned(), url.clone());
    }
    match input.kind {
        WebhookKind::Pagerduty => {
            if let Some(key) = &input.routing_key {
                fields.insert("routing_key".to_owned(), key.clone());
            }
            let key = fields.get("routing_key").ok_or_else(|| {
                Problem::validation(
                    "/routing_key",
                    "PagerDuty needs the integration key of a service (Events API v2)",
                )
            })?;
            if key.expose().chars().count() != 32 {
                return Err(Problem::validation("/routing_key", "must have 32 characters"));
            }
        }
        WebhookKind::Http => {
            if let Some(secret) = &input.secret {
                check_secret(secret)?;
                fields.insert("secret".to_owned(), secret.clone());
            } else if !fields.contains_key("secret") {
                let secret = signing_secret();
                fields.insert("secret".to_owned(), secret.clone());
                made = Some(secret);
            }
        }
        WebhookKind::Slack | WebhookKind::Discord => {}
    }
    let url = match fields.get("url") {
        Some(url) => shown(input.kind, url.expose())?,
        None if input.kind == WebhookKind::Pagerduty => PAGERDUTY.to_owned(),
        None => return Err(Problem::validation("/url", "is missing")),
    };
    let webhook = Webhook {
        id: input.id.clone(),
        kind: input.kind,
        url,
        enabled: input.enabled,
        disabled_reason: None,
        template: input.template.clone(),
        filter: input.filter.clone(),
        schedule: input.schedule.clone(),
        rate: input.rate,
    };
    Ok((webhook, fields, made))
}

fn signing_secret() -> Secret {
    let mut bits = [0u8; 32];
    getrandom::fill(&mut bits).expect("the operating system has randomness");
    Secret::new(format!("whsec_{}", STANDARD.encode(bits)))
}

/// Standard Webhooks 1.0.0: `whsec_` and base64 of 24 to 64 bytes.
fn check_secret(secret: &Secret) -> Result<(), Problem> {
    let bytes = secret.expose().strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
        return Ok(());
    }
    Err(Problem::validation(
        "/secret",
        "must be `whsec_` followed by base64 of 24 to 64 bytes; leave it out and one is made",
    ))
}

/// Checks what the types cannot: the address with the service that would call it, the template with the engine.
async fn check(api: &Api, input: &Input, webhook: &Webhook, fields: &Fields) -> Result<(), Problem> {
    webhook.schedule.as_ref().map_or(Ok(()), validate::schedule)?;
    webhook.rate.map_or(Ok(()), validate::rate)?;
    if let Some(url) = fields.get("url") {
        let only = Fields::from([("url".to_owned(), url.clone())]);
        let kept = trial::keep(api, &only).await?;
        let question = Admit { trial: kept.id.clone() };
        let answer = api.ask::<_, Admitted>("webhooks", "admit", &question).await;
        kept.forget(api).await?;
        answer?.map_err(|refused| Problem::validation("/url", refused.detail).with_code("target_refused"))?;
    }
    if let Some(template) = &input.template {
        let question = Preview { kind: input.kind, template: Some(template.clone()), alert: None };
        api.ask::<_, Previewed>("webhooks", "preview", &question)
            .await?
            .map_err(|refused| in_template("/template", &refused))?;
    }
    Ok(())
}

/// A template's fault, with its place.
pub(crate) fn in_template(pointer: &str, refused: &Refused) -> Problem {
    let place = match (refused.line, refused.column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        _ => String::new(),
    };
    Problem::validation(pointer, format!("{place}{}", refused.detail))
        .with_code(&refused.code)
        .with("line", refused.line)
        .with("column", refused.column)
}

/// All webhooks.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", params(Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let after = paging.after("")?.unwrap_or_default();
    let config = api.config().await?;
    let mut items = Vec::new();
    for kept in config
        .webhooks
        .into_values()
        .filter(|kept| kept.body.id.as_str() > after.as_str())
        .take(paging.size() as usize + 1)
    {
        items.push(view(&api, kept).await?);
    }
    Ok(axum::Json(paging.page("/api/v1/webhooks", "", items, |view| view.kept.body.id.to_string()))
        .into_response())
}

/// One webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    answer(&api, &id, StatusCode::OK, None).await
}

async fn answer(api: &Api, id: &str, status: StatusCode, made: Option<Secret>) -> Result<Response, Problem> {
    let config = api.config().await?;
    let kept = find(&config, id)?.clone();
    let revision = kept.revision;
    let mut view = view(api, kept).await?;
    view.secret = made.map(|secret| secret.expose().to_owned());
    let once = view.secret.is_some();
    let mut response = tagged(status, revision, &view);
    if once {
        response.headers_mut().insert(SHOWN_ONCE, HeaderValue::from_static("1"));
        response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// Configures a destination for alerts.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = Input,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(input): Json<Input>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Webhook, &input.id, "webhook.create", Verb::Create);
    caller.may(&api, Permission::Configure, &deed).await?;
    if api.config().await?.webhooks.contains_key(&input.id) {
        return Err(exists("webhook", input.id.as_str()));
    }
    let (webhook, fields, made) = split(&input, None)?;
    check(&api, &input, &webhook, &fields).await?;
    let path = vault::Path::webhook(&input.id);
    let number = api.vault.write(&path, &fields, Expected::Any).await.map_err(of_vault)?;
    let body = stored(&webhook)?;
    let changed = api
        .change(&caller, |config, _| {
            if config.webhooks.contains_key(&input.id) {
                return Err(exists("webhook", input.id.as_str()));
            }
            let write = Write::Create { kind: Kind::Webhook, id: input.id.to_string(), body: body.clone() };
            Ok(Decision::write(write, deed.clone(), ()))
        })
        .await;
    if changed.is_err() {
        api.vault.destroy(&path, number).await.map_err(of_vault)?;
    }
    changed?;
    answer(&api, input.id.as_str(), StatusCode::CREATED, made).await
}

async fn replace(
    api: &Api,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    next: impl Fn(&Webhook) -> Result<Input, Problem>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Webhook, id, "webhook.update", Verb::Update);
    caller.may(api, Permission::Configure, &deed).await?;
    let config = api.config().await?;
    let kept = find(&config, id)?;
    matching(headers, kept.revision)?;
    let input = next(&kept.body)?;
    keeps_id(id, input.id.as_str())?;
    let path = vault::Path::webhook(&kept.body.id);
    let held = api.vault.read(&path, None).await.map_err(of_vault)?;
    // A changed kind has other secrets: nothing of the old one is carried over.
    let before = (input.kind == kept.body.kind).then_some((&kept.body, &held.fields));
    let (webhook, fields, made) = split(&input, before)?;
    check(api, &input, &webhook, &fields).await?;
    let changed =
        input.url.is_some() || input.routing_key.is_some() || input.secret.is_some() || made.is_some();
    if changed {
        api.vault.write(&path, &fields, Expected::Version(held.version)).await.map_err(
            |error| match error {
                vault::Error::Conflict { .. } => Problem::stale(),
                error => of_vault(error),
            },
        )?;
    }
    api.change(caller, |config, _| {
        let kept = find(config, id)?;
        matching(headers, kept.revision)?;
        let write = Write::Update {
            kind: Kind::Webhook,
            id: id.to_owned(),
            body: stored(&webhook)?,
            expected: Some(kept.revision),
        };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(api, id, StatusCode::OK, made).await
}

/// Replaces a webhook; secrets that are left out stay.
#[utoipa::path(put, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), request_body = Input,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(input): Json<Input>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, &headers, |_| Ok(input.clone())).await
}

/// Changes parts of a webhook (JSON merge patch).
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), request_body = Object,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): super::Patch,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, &headers, |webhook| {
        let mut document = stored(webhook)?;
        if let Some(object) = document.as_object_mut() {
            object.remove("disabled_reason");
            object.remove("url");
        }
        merge(&mut document, serde_json::Value::Object(patch.clone()));
        typed(document)
    })
    .await
}

/// Deletes a webhook and its secrets. What waits for it is given up.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Webhook, &id, "webhook.delete", Verb::Delete);
    caller.may(&api, Permission::Configure, &deed).await?;
    let (webhook, _) = api
        .change(&caller, |config, _| {
            let kept = find(config, &id)?;
            matching(&headers, kept.revision)?;
            let write = Write::Delete { kind: Kind::Webhook, id: id.clone(), expected: Some(kept.revision) };
            Ok(Decision::write(write, deed.clone(), kept.body.id.clone()))
        })
        .await?;
    api.vault.remove(&vault::Path::webhook(&webhook)).await.map_err(of_vault)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enables a webhook again, also one that was disabled because its channel was gone.
#[utoipa::path(post, path = "/webhooks/{id}/~enable", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn enable(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Webhook, &id, "webhook.enable", Verb::Update);
    caller.may(&api, Permission::Configure, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        let webhook = Webhook { enabled: true, disabled_reason: None, ..kept.body.clone() };
        let write =
            Write::Update { kind: Kind::Webhook, id: id.clone(), body: stored(&webhook)?, expected: None };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(&api, &id, StatusCode::OK, None).await
}

/// Sends an example to the webhook now, once.
#[utoipa::path(post, path = "/webhooks/{id}/~test", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = Tested), (status = 404, body = Problem)))]
pub(crate) async fn test(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Webhook, &id, "webhook.test", Verb::Use);
    caller.may(&api, Permission::Configure, &deed).await?;
    let webhook = find(&api.config().await?, &id)?.body.id.clone();
    api.audit(&caller, &deed, "ok").await?;
    match api.ask::<_, Tested>("webhooks", "test", &TestWebhook { webhook }).await? {
        Ok(tested) => Ok(axum::Json(tested).into_response()),
        Err(refused) => Err(Problem::validation("", refused.detail)),
    }
}

/// A webhook's look before it is saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookPreviewInput)]
pub(crate) struct PreviewInput {
    kind: WebhookKind,
    #[serde(default)]
    template: Option<String>,
    /// An alert as in POST /alerts; an example when absent.
    #[serde(default)]
    alert: Option<serde_json::Value>,
}

/// Shows what would be sent, without sending it.
#[utoipa::path(post, path = "/webhooks/~preview", tag = "webhooks", request_body = PreviewInput,
    responses((status = 200, body = Previewed), (status = 422, body = Problem)))]
pub(crate) async fn preview(
    State(api): State<Api>,
    caller: Caller,
    Json(input): Json<PreviewInput>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let question = Preview { kind: input.kind, template: input.template, alert: input.alert };
    match api.ask::<_, Previewed>("webhooks", "preview", &question).await? {
        Ok(previewed) => Ok(axum::Json(previewed).into_response()),
        Err(refused) => Err(in_template("/template", &refused)),
    }
}

/// Asks the engine that delivers.
pub(crate) async fn render(api: &Api, question: &Render) -> Result<Rendered, Problem> {
    api.ask::<_, Rendered>("webhooks", "render", question)
        .await?
        .map_err(|refused| in_template("/template", &refused))
}
