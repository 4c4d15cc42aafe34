//! `/sessions`, `/sessions:reauthenticate`, `/me`: logging in to the console, and who one is.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use model::audit::Verb;
use model::token::{Actor, Bounds, Permission, Role};
use model::{Secret, Timestamp};
use runtime::Problem;
use runtime::json::Json;
use runtime::problem::RequestId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Caller, SESSION_COOKIE, guesses, password, peer, token, user};
use crate::change::Deed;
use crate::idempotency::SHOWN_ONCE;
use crate::problems::of_store;
use crate::state::Api;

/// A name and a password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// `admin`
    user: String,
    #[schema(value_type = String)]
    password: Secret,
}

/// A session that began.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    actor: Actor,
    role: Role,
    /// To be sent as `x-csrf-token` with every change.
    csrf_token: String,
    expires_at: Timestamp,
    /// Whether the password was made by the program and should be changed.
    one_time_password: bool,
}

async fn proven(
    api: &Api,
    anonymous: &Caller,
    name: &str,
    given: Secret,
) -> Result<crate::config::User, Problem> {
    let now = Timestamp::now();
    if let Some(wait) = guesses::wait(name, anonymous.address, now) {
        return Err(Problem::too_many(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1)));
    }
    let user = user(api, name).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = password::verify(api, given, hash).await?;
    match user.filter(|_| right) {
        Some(user) => Ok(user),
        None => {
            guesses::wrong(name, anonymous.address, now);
            let shown: String = name.chars().filter(|c| !c.is_control()).take(63).collect();
            let deed = Deed {
                action: "session.create",
                verb: Verb::Create,
                target: format!("user/{shown}"),
                reason: None,
            };
            api.audit(anonymous, &deed, "denied").await?;
            Err(Problem::unauthorized("user or password is wrong"))
        }
    }
}

fn anonymous(parts: &Parts) -> Caller {
    Caller {
        actor: Actor::system("anonymous"),
        role: Role::Viewer,
        method: "password".to_owned(),
        address: peer(parts),
        request_id: parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.0.clone()),
        authenticated_at: None,
        session: None,
        bounds: Bounds::default(),
    }
}

/// Logs in; the answer sets the session's cookie.
#[utoipa::path(post, path = "/sessions", tag = "access", request_body = Login, security(()),
    responses((status = 201, body = Begun), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    parts: Parts,
    Json(login): Json<Login>,
) -> Result<Response, Problem> {
    let mut caller = anonymous(&parts);
    let user = proven(&api, &caller, &login.user, login.password).await?;
    let now = Timestamp::now();
    let (cookie, csrf) = (token::random_text(), token::random_text());
    let expires_at = now.plus(Duration::from_secs(api.settings.session_secs));
    let (hash, csrf_hash) = (token::hash(cookie.expose()), token::hash(csrf.expose()));
    api.store
        .session_put(&hash, user.id.as_str(), &csrf_hash, now, now, expires_at)
        .await
        .map_err(of_store)?;
    caller.actor = Actor::parse(&format!("user:{}", user.id)).unwrap_or(caller.actor);
    let deed = Deed {
        action: "session.create",
        verb: Verb::Create,
        target: format!("user/{}", user.id),
        reason: None,
    };
    api.audit(&caller, &deed, "ok").await?;
    let body = Begun {
        actor: caller.actor,
        role: user.role,
        csrf_token: csrf.expose().to_owned(),
        expires_at,
        one_time_password: user.one_time_password,
    };
    let secure = if parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https") {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{SESSION_COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        cookie.expose(),
        api.settings.session_secs
    );
    let mut response = (StatusCode::CREATED, axum::Json(body)).into_response();
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(SHOWN_ONCE, HeaderValue::from_static("1"));
    Ok(response)
}

/// Logs out.
#[utoipa::path(delete, path = "/sessions", tag = "access", responses((status = 204), (status = 401, body = Problem)))]
pub(crate) async fn delete(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    if let Some(session) = &caller.session {
        api.store.session_delete(session).await.map_err(of_store)?;
    }
    let over = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(value) = HeaderValue::from_str(&over) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// The password once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    #[schema(value_type = String)]
    password: Secret,
}

/// Proves the password again, as revealing a key needs.
#[utoipa::path(post, path = "/sessions/~reauthenticate", tag = "access", request_body = Again,
    responses((status = 204), (status = 401, body = Problem)))]
pub(crate) async fn reauthenticate(
    State(api): State<Api>,
    caller: Caller,
    Json(again): Json<Again>,
) -> Result<StatusCode, Problem> {
    let Some(session) = caller.session.clone() else {
        return Err(Problem::bad_request(
            "only a session can be authenticated again; a token proves itself each time",
        ));
    };
    let name = caller.actor.as_str().trim_start_matches("user:").to_owned();
    proven(&api, &caller, &name, again.password).await?;
    api.store.session_reauthenticated(&session, Timestamp::now()).await.map_err(of_store)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    actor: Actor,
    role: Role,
    permissions: Vec<Permission>,
    method: String,
    bounds: Bounds,
}

/// Who the caller is, and what they may do.
#[utoipa::path(get, path = "/me", tag = "access", responses((status = 200, body = Me), (status = 401, body = Problem)))]
pub(crate) async fn me(caller: Caller) -> Response {
    use Permission::{Alert, Audit, Call, Configure, Keys, Read, Reveal, Tokens, Users};
    let all = [Read, Call, Configure, Alert, Keys, Reveal, Tokens, Users, Audit];
    let permissions = all.into_iter().filter(|permission| caller.role.allows(*permission)).collect();
    let me = Me {
        actor: caller.actor,
        role: caller.role,
        permissions,
        method: caller.method,
        bounds: caller.bounds,
    };
    axum::Json(me).into_response()
}
