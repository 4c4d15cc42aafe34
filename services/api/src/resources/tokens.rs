//! `/tokens`: callers' credentials. The value is shown once, in the answer that makes it.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ipnet::IpNet;
use model::audit::Verb;
use model::config::Kind;
use model::token::{Actor, Bounds, Permission, Priority, Role, Token};
use model::{Timestamp, TokenId};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use store::Write;
use utoipa::ToSchema;

use super::{Patch, matching, patched, stored, tagged};
use crate::access::{Caller, token};
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept};
use crate::idempotency::SHOWN_ONCE;
use crate::page::{Page, Paging};
use crate::problems::{exists, missing};
use crate::state::Api;

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenInput)]
pub(crate) struct Input {
    id: TokenId,
    /// `user:<name>` or `agent:<persona>`; the caller when absent.
    #[serde(default)]
    actor: Option<Actor>,
    role: Role,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    bounds: Bounds,
    /// Who goes first where calls wait for a limit.
    #[serde(default)]
    priority: Priority,
}

/// What may be changed of a token that is in use. What it may do stays as it was made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenChanges)]
struct Editable {
    #[serde(default)]
    priority: Priority,
}

/// A token, without its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenView)]
pub(crate) struct View {
    #[serde(flatten)]
    kept: Kept<Token>,
    /// The value; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

fn view(mut kept: Kept<Token>) -> View {
    kept.body.hash.clear();
    View { kept, token: None }
}

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<Token>, Problem> {
    config.tokens.get(id).ok_or_else(|| missing(Kind::Token, id, config.tokens.keys().map(TokenId::as_str)))
}

/// All tokens.
#[utoipa::path(get, path = "/tokens", tag = "access", params(Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Token, "*", "token.list", Verb::View);
    caller.may(&api, Permission::Tokens, &deed).await?;
    let after = paging.after("")?.unwrap_or_default();
    let config = api.config().await?;
    let items: Vec<View> = config
        .tokens
        .into_values()
        .filter(|kept| kept.body.id.as_str() > after.as_str())
        .take(paging.size() as usize + 1)
        .map(view)
        .collect();
    Ok(axum::Json(paging.page("/api/v1/tokens", "", items, |view| view.kept.body.id.to_string()))
        .into_response())
}

/// One token.
#[utoipa::path(get, path = "/tokens/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Token, &id, "token.view", Verb::View);
    caller.may(&api, Permission::Tokens, &deed).await?;
    let config = api.config().await?;
    let kept = find(&config, &id)?.clone();
    Ok(tagged(StatusCode::OK, kept.revision, &view(kept)))
}

/// Makes a token. Its value is in this answer and nowhere else.
#[utoipa::path(post, path = "/tokens", tag = "access", request_body = Input,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(input): Json<Input>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Token, &input.id, "token.create", Verb::Create);
    caller.may(&api, Permission::Tokens, &deed).await?;
    for (i, net) in input.bounds.addresses.iter().enumerate() {
        net.parse::<IpNet>().map_err(|_| {
            Problem::validation(
                format!("/bounds/addresses/{i}"),
                format!("`{}` is not a network such as 10.0.0.0/8", net.escape_debug()),
            )
        })?;
    }
    if input.expires_at.is_some_and(|at| at <= Timestamp::now()) {
        return Err(Problem::validation("/expires_at", "lies in the past"));
    }
    if input.actor.as_ref().is_some_and(|actor| actor.as_str().starts_with("system:")) {
        return Err(Problem::validation("/actor", "must be `user:<name>` or `agent:<persona>`"));
    }
    let value = token::make(&input.id);
    let kept = Token {
        id: input.id.clone(),
        actor: input.actor.clone().unwrap_or_else(|| caller.actor.clone()),
        role: input.role,
        hash: token::hash(value.expose()),
        created_at: Timestamp::now(),
        expires_at: input.expires_at,
        revoked_at: None,
        bounds: input.bounds.clone(),
        priority: input.priority,
    };
    let body = stored(&kept)?;
    api.change(&caller, |config, _| {
        if config.tokens.contains_key(&input.id) {
            return Err(exists("token", input.id.as_str()));
        }
        for (i, id) in input.bounds.integrations.iter().enumerate() {
            if !config.integrations.contains_key(id) {
                return Err(Problem::validation(
                    format!("/bounds/integrations/{i}"),
                    format!("there is no integration `{id}`"),
                ));
            }
        }
        for (i, id) in input.bounds.routes.iter().enumerate() {
            if !config.routes.contains_key(id) {
                return Err(Problem::validation(
                    format!("/bounds/routes/{i}"),
                    format!("there is no route `{id}`"),
                ));
            }
        }
        let write = Write::Create { kind: Kind::Token, id: input.id.to_string(), body: body.clone() };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    let config = api.config().await?;
    let kept = find(&config, input.id.as_str())?.clone();
    let revision = kept.revision;
    let mut view = view(kept);
    view.token = Some(value.expose().to_owned());
    let mut response = tagged(StatusCode::CREATED, revision, &view);
    response.headers_mut().insert(SHOWN_ONCE, HeaderValue::from_static("1"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Changes a token's priority (JSON merge patch). Its value, role and bounds stay as they were made: make another one.
#[utoipa::path(patch, path = "/tokens/{id}", tag = "access", params(("id" = String, Path)), request_body = Editable,
    responses((status = 200, body = View), (status = 404, body = Problem), (status = 412, body = Problem),
        (status = 422, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Patch,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Token, &id, "token.update", Verb::Update);
    caller.may(&api, Permission::Tokens, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        matching(&headers, kept.revision)?;
        let Editable { priority } = patched(&Editable { priority: kept.body.priority }, &patch)?;
        let body = stored(&Token { priority, ..kept.body.clone() })?;
        let write = Write::Update { kind: Kind::Token, id: id.clone(), body, expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    let config = api.config().await?;
    let kept = find(&config, &id)?.clone();
    Ok(tagged(StatusCode::OK, kept.revision, &view(kept)))
}

/// Revokes a token: it is refused from the next request on.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Token, &id, "token.revoke", Verb::Delete);
    caller.may(&api, Permission::Tokens, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        if headers.contains_key(header::IF_MATCH) {
            matching(&headers, kept.revision)?;
        }
        let write = Write::Delete { kind: Kind::Token, id: id.clone(), expected: None };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
