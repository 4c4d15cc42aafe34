//! `/users`: people who log in to the console.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::audit::Verb;
use model::config::Kind;
use model::id::Slug;
use model::token::{Permission, Role};
use model::{Secret, Timestamp};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use store::Write;
use utoipa::ToSchema;

use super::{matching, stored, tagged};
use crate::access::{Caller, password};
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept, User};
use crate::page::{Page, Paging};
use crate::problems::{exists, missing, of_store};
use crate::state::Api;

/// A user to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserInput)]
pub(crate) struct Input {
    id: Slug,
    role: Role,
    /// 12 characters or more.
    #[schema(value_type = String)]
    password: Secret,
}

/// What may be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserChanges)]
pub(crate) struct Changes {
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
}

/// A user, without the password.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserView)]
pub(crate) struct View {
    id: Slug,
    role: Role,
    /// Whether the password was made by the program and should be changed.
    one_time_password: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    etag: String,
}

fn view(kept: &Kept<User>) -> View {
    View {
        id: kept.body.id.clone(),
        role: kept.body.role,
        one_time_password: kept.body.one_time_password,
        created_at: kept.created_at,
        updated_at: kept.updated_at,
        etag: kept.etag.clone(),
    }
}

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<User>, Problem> {
    config.users.get(id).ok_or_else(|| missing(Kind::User, id, config.users.keys().map(Slug::as_str)))
}

/// All users.
#[utoipa::path(get, path = "/users", tag = "access", params(Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Permission::Users, &Deed::to(Kind::User, "*", "user.list", Verb::View)).await?;
    let after = paging.after("")?.unwrap_or_default();
    let config = api.config().await?;
    let items: Vec<View> = config
        .users
        .values()
        .filter(|kept| kept.body.id.as_str() > after.as_str())
        .take(paging.size() as usize + 1)
        .map(view)
        .collect();
    Ok(axum::Json(paging.page("/api/v1/users", "", items, |view| view.id.to_string())).into_response())
}

/// One user.
#[utoipa::path(get, path = "/users/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may(&api, Permission::Users, &Deed::to(Kind::User, &id, "user.view", Verb::View)).await?;
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    Ok(tagged(StatusCode::OK, kept.revision, &view(kept)))
}

/// Makes a user.
#[utoipa::path(post, path = "/users", tag = "access", request_body = Input,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(input): Json<Input>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::User, &input.id, "user.create", Verb::Create);
    caller.may(&api, Permission::Users, &deed).await?;
    let password_hash = password::hash(&api, input.password).await?;
    let user = User { id: input.id, role: input.role, password_hash, one_time_password: false };
    let body = stored(&user)?;
    api.change(&caller, |config, _| {
        if config.users.contains_key(&user.id) {
            return Err(exists("user", user.id.as_str()));
        }
        let write = Write::Create { kind: Kind::User, id: user.id.to_string(), body: body.clone() };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    let config = api.config().await?;
    let kept = find(&config, user.id.as_str())?;
    Ok(tagged(StatusCode::CREATED, kept.revision, &view(kept)))
}

fn last_admin(config: &Config, id: &str) -> bool {
    config.users.values().filter(|kept| kept.body.role == Role::Admin).all(|kept| kept.body.id.as_str() == id)
}

/// Changes a user's role or password; with a new password all of the user's sessions end.
#[utoipa::path(patch, path = "/users/{id}", tag = "access", params(("id" = String, Path)), request_body = Changes,
    responses((status = 200, body = View), (status = 409, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(changes): Json<Changes>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::User, &id, "user.update", Verb::Update);
    caller.may(&api, Permission::Users, &deed).await?;
    find(&api.config().await?, &id)?;
    let hash = match changes.password {
        Some(password) => Some(password::hash(&api, password).await?),
        None => None,
    };
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        matching(&headers, kept.revision)?;
        let mut user = kept.body.clone();
        if let Some(role) = changes.role {
            if role != Role::Admin && last_admin(config, &id) {
                return Err(Problem::conflict("it is the last admin; make another one first"));
            }
            user.role = role;
        }
        if let Some(hash) = &hash {
            user.password_hash.clone_from(hash);
            user.one_time_password = false;
        }
        let write = Write::Update {
            kind: Kind::User,
            id: id.clone(),
            body: stored(&user)?,
            expected: Some(kept.revision),
        };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    if hash.is_some() {
        api.store.sessions_delete_of(&id).await.map_err(of_store)?;
    }
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    Ok(tagged(StatusCode::OK, kept.revision, &view(kept)))
}

/// Deletes a user; all of their sessions end.
#[utoipa::path(delete, path = "/users/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 204), (status = 409, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::User, &id, "user.delete", Verb::Delete);
    caller.may(&api, Permission::Users, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        matching(&headers, kept.revision)?;
        if last_admin(config, &id) {
            return Err(Problem::conflict("it is the last admin; make another one first"));
        }
        let write = Write::Delete { kind: Kind::User, id: id.clone(), expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    api.store.sessions_delete_of(&id).await.map_err(of_store)?;
    Ok(StatusCode::NO_CONTENT)
}
