//! Who calls, and what they may do. Denied by default: every handler takes a [`Caller`] and names a permission.

pub(crate) mod guesses;
pub(crate) mod password;
pub(crate) mod token;

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::{HeaderMap, Method, header, request::Parts};
use ipnet::IpNet;
use model::audit::Verb;
use model::config::Kind;
use model::id::Slug;
use model::token::{Actor, Bounds, Permission, Role, Token};
use model::{IntegrationId, RouteId, Timestamp};
use runtime::Problem;
use runtime::problem::RequestId;

use crate::change::Deed;
use crate::config::User;
use crate::problems::{internal, of_store};
use crate::state::Api;

/// The name of the console's session cookie.
pub(crate) const SESSION_COOKIE: &str = "signalbox_session";
/// The header that proves that a change made with the cookie comes from the console's own page.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// A known caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// What they may do.
    pub role: Role,
    /// How they were known: `token:<id>` or `session`.
    pub method: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// The request.
    pub request_id: String,
    /// When they last proved a password; absent for tokens, which prove themselves each time.
    pub authenticated_at: Option<Timestamp>,
    /// The session's hash, for sessions.
    pub(crate) session: Option<String>,
    /// What they are bound to.
    pub(crate) bounds: Bounds,
}

impl Caller {
    /// The program itself, as in the first start.
    pub(crate) fn system(name: &'static str) -> Self {
        Self {
            actor: Actor::system(name),
            role: Role::Admin,
            method: "none".to_owned(),
            address: None,
            request_id: format!("{:032x}", crate::state::random()),
            authenticated_at: None,
            session: None,
            bounds: Bounds::default(),
        }
    }

    /// Refuses, and writes down the refusal, unless the caller has the permission.
    pub(crate) async fn may(&self, api: &Api, permission: Permission, deed: &Deed) -> Result<(), Problem> {
        if self.role.allows(permission) {
            return Ok(());
        }
        api.audit(self, deed, "denied").await?;
        Err(Problem::forbidden(permission.as_str()))
    }

    /// May read.
    pub(crate) fn may_read(&self) -> Result<(), Problem> {
        if self.role.allows(Permission::Read) {
            Ok(())
        } else {
            Err(Problem::forbidden(Permission::Read.as_str()))
        }
    }

    /// Refuses an integration that the token is not bound to.
    pub(crate) fn bound_to_integration(&self, id: &IntegrationId) -> Result<(), Problem> {
        let free = self.bounds.integrations.is_empty() || self.bounds.integrations.contains(id);
        if free { Ok(()) } else { Err(Problem::out_of_bounds("this token is bound to other integrations")) }
    }

    /// Refuses a route that the token is not bound to.
    pub(crate) fn bound_to_route(&self, id: &RouteId) -> Result<(), Problem> {
        let free = self.bounds.routes.is_empty() || self.bounds.routes.contains(id);
        if free { Ok(()) } else { Err(Problem::out_of_bounds("this token is bound to other routes")) }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let address = peer(parts);
        let request_id = parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.0.clone());
        if let Some(token) = bearer(&parts.headers) {
            return by_token(api, token, address, request_id).await;
        }
        if let Some(cookie) = cookie(&parts.headers, SESSION_COOKIE) {
            return by_session(api, &cookie, parts, address, request_id).await;
        }
        Err(Problem::unauthorized(
            "send a Signalbox token as `Authorization: Bearer …`, or log in with POST /api/v1/sessions",
        ))
    }
}

pub(crate) fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then(|| value.to_owned())
        })
}

async fn by_token(
    api: &Api,
    text: &str,
    address: Option<IpAddr>,
    request_id: String,
) -> Result<Caller, Problem> {
    let unknown = || Problem::unauthorized("the token is not known, revoked or expired");
    let document =
        api.store.document(Kind::Token, token::id_of(text)).await.map_err(of_store)?.ok_or_else(unknown)?;
    let kept: Token = serde_json::from_value(document.body).map_err(internal)?;
    let expired = kept.expires_at.is_some_and(|at| at <= Timestamp::now());
    if !token::matches(text, &kept.hash) || kept.revoked_at.is_some() || expired {
        return Err(unknown());
    }
    let nets: Vec<IpNet> = kept.bounds.addresses.iter().filter_map(|net| net.parse().ok()).collect();
    let inside = address.is_some_and(|address| nets.iter().any(|net| net.contains(&address)));
    if !kept.bounds.addresses.is_empty() && !inside {
        return Err(Problem::out_of_bounds("this token may not be used from your address"));
    }
    Ok(Caller {
        actor: kept.actor,
        role: kept.role,
        method: format!("token:{}", kept.id),
        address,
        request_id,
        authenticated_at: None,
        session: None,
        bounds: kept.bounds,
    })
}

async fn by_session(
    api: &Api,
    cookie: &str,
    parts: &Parts,
    address: Option<IpAddr>,
    request_id: String,
) -> Result<Caller, Problem> {
    let unknown = || Problem::unauthorized("the session has ended; log in again");
    let hash = token::hash(cookie);
    let session = api.store.session(&hash).await.map_err(of_store)?.ok_or_else(unknown)?;
    if session.expires_at <= Timestamp::now() {
        return Err(unknown());
    }
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let shown = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !token::matches(shown, &session.csrf_hash) {
            return Err(Problem::out_of_bounds(
                "changes with the session cookie need the session's `x-csrf-token`",
            )
            .with_code("csrf"));
        }
    }
    let user = user(api, &session.user).await?.ok_or_else(unknown)?;
    let actor = Actor::parse(&format!("user:{}", user.id)).ok_or_else(unknown)?;
    Ok(Caller {
        actor,
        role: user.role,
        method: "session".to_owned(),
        address,
        request_id,
        authenticated_at: Some(session.authenticated_at),
        session: Some(hash),
        bounds: Bounds::default(),
    })
}

/// A user by name.
pub(crate) async fn user(api: &Api, name: &str) -> Result<Option<User>, Problem> {
    if Slug::new(name).is_err() {
        return Ok(None);
    }
    let document = api.store.document(Kind::User, name).await.map_err(of_store)?;
    document.map(|document| serde_json::from_value(document.body).map_err(internal)).transpose()
}

/// Seeing one thing, for the audit log.
pub(crate) fn viewing(kind: Kind, id: impl std::fmt::Display, action: &'static str) -> Deed {
    Deed::to(kind, id, action, Verb::View)
}
