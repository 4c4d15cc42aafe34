//! The control API: switches, memories, and a way back to the beginning.
//!
//! JSON in and out; an error names what was asked for and what there is. It never touches what a
//! stand-in answers except through its switch.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};
use http::StatusCode;
use serde_json::{Value, json};

use crate::house::House;
use crate::instance::{Instance, lock};
use crate::switches::Switch;
use crate::targets::{Kind, Target};

type Shared = State<Arc<House>>;

/// Why a control request cannot be carried out.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, axum::Json(json!({ "error": self.1 }))).into_response()
    }
}

type Told = Result<axum::Json<Value>, Problem>;

/// The API's routes, and `/i/{instance}/…`, where every instance answers too.
pub(crate) fn routes(house: Arc<House>) -> Router {
    Router::new()
        .route("/control/health", get(health))
        .route("/control/reset", post(reset))
        .route("/control/instances", get(instances))
        .route("/control/instances/{name}", get(instance).post(switch_instance))
        .route("/control/instances/{name}/requests", get(requests).delete(forget_requests))
        .route("/control/targets", get(targets))
        .route("/control/targets/{kind}", get(target).post(switch_target))
        .route("/control/targets/{kind}/messages", get(messages).delete(forget_messages))
        .route("/control/targets/pagerduty/alerts", get(alerts))
        .route("/control/targets/http/secrets/{hook}", put(set_secret))
        .route("/control/targets/http/secrets/{hook}", delete(drop_secret))
        .route("/i/{name}/{*path}", any(play))
        .fallback(async |request: Request| {
            Problem(
                StatusCode::NOT_FOUND,
                format!("nothing at {} {}", request.method(), request.uri().path()),
            )
        })
        .method_not_allowed_fallback(async |request: Request| {
            Problem(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{} does not take {}", request.uri().path(), request.method()),
            )
        })
        .with_state(house)
}

async fn health(State(house): Shared) -> Told {
    Ok(axum::Json(
        json!({ "status": "ok", "instances": house.instances.len(), "targets": house.targets.len() }),
    ))
}

async fn reset(State(house): Shared) -> Told {
    for instance in house.instances.iter() {
        instance.switch(Switch::default()).await.map_err(broken)?;
        instance.forget();
    }
    for target in house.targets.iter() {
        target.switch(Switch::default()).await.map_err(broken)?;
        target.forget();
    }
    Ok(axum::Json(json!({ "reset": true })))
}

fn show_instance(instance: &Instance) -> Value {
    let root = instance.door.get().map(|door| format!("http://{}", door.addr()));
    json!({
        "name": instance.config.name, "provider": instance.provider.id(),
        "root_url": root, "base_url": root.map(|root| format!("{root}{}", instance.provider.base_path())),
        "key_fields": instance.provider.fields(), "switch": instance.switches.get(), "counts": instance.counts()
    })
}

fn show_target(house: &House, target: &Target) -> Value {
    json!({
        "kind": target.kind, "base_url": target.door.get().map(|door| format!("http://{}", door.addr())),
        "shared_url": house.shared.get().map(|door| format!("http://{}", door.addr())),
        "switch": target.switches.get(), "received": target.ledger.total()
    })
}

async fn instances(State(house): Shared) -> Told {
    Ok(axum::Json(
        json!({ "items": house.instances.iter().map(|one| show_instance(one)).collect::<Vec<_>>() }),
    ))
}

async fn instance(State(house): Shared, Path(name): Path<String>) -> Told {
    Ok(axum::Json(show_instance(find(&house, &name)?)))
}

async fn switch_instance(State(house): Shared, Path(name): Path<String>, body: Bytes) -> Told {
    let instance = find(&house, &name)?;
    instance.switch(read(&body)?).await.map_err(unfit)?;
    Ok(axum::Json(show_instance(instance)))
}

async fn requests(State(house): Shared, Path(name): Path<String>) -> Told {
    let instance = find(&house, &name)?;
    Ok(axum::Json(json!({ "counts": instance.counts(), "items": instance.ledger.all() })))
}

async fn forget_requests(State(house): Shared, Path(name): Path<String>) -> Told {
    find(&house, &name)?.forget();
    Ok(axum::Json(json!({ "forgotten": true })))
}

async fn targets(State(house): Shared) -> Told {
    Ok(axum::Json(
        json!({ "items": house.targets.iter().map(|target| show_target(&house, target)).collect::<Vec<_>>() }),
    ))
}

async fn target(State(house): Shared, Path(kind): Path<String>) -> Told {
    Ok(axum::Json(show_target(&house, find_target(&house, &kind)?)))
}

async fn switch_target(State(house): Shared, Path(kind): Path<String>, body: Bytes) -> Told {
    let target = find_target(&house, &kind)?;
    target.switch(read(&body)?).await.map_err(unfit)?;
    Ok(axum::Json(show_target(&house, target)))
}

async fn messages(State(house): Shared, Path(kind): Path<String>) -> Told {
    let target = find_target(&house, &kind)?;
    Ok(axum::Json(json!({ "total": target.ledger.total(), "items": target.ledger.all() })))
}

async fn forget_messages(State(house): Shared, Path(kind): Path<String>) -> Told {
    find_target(&house, &kind)?.forget();
    Ok(axum::Json(json!({ "forgotten": true })))
}

async fn alerts(State(house): Shared) -> Told {
    let state = lock(&house.target(Kind::Pagerduty).state);
    Ok(axum::Json(json!({ "items": state.alerts.values().collect::<Vec<_>>() })))
}

async fn set_secret(State(house): Shared, Path(hook): Path<String>, body: Bytes) -> Told {
    let body: Value = read(&body)?;
    let secret = body["secret"].as_str().ok_or_else(|| {
        Problem(StatusCode::UNPROCESSABLE_ENTITY, "the body has no string `secret`".to_owned())
    })?;
    house.set_hook_secret(&hook, secret);
    Ok(axum::Json(json!({ "hook": hook, "secret": "set" })))
}

async fn drop_secret(State(house): Shared, Path(hook): Path<String>) -> Told {
    let known = lock(&house.target(Kind::Http).config).hook_secrets.remove(&hook).is_some();
    Ok(axum::Json(json!({ "hook": hook, "secret": if known { "dropped" } else { "absent" } })))
}

async fn play(State(house): Shared, Path((name, _)): Path<(String, String)>, request: Request) -> Response {
    match find(&house, &name) {
        Err(problem) => problem.into_response(),
        Ok(instance) => match instance.serve(request, &format!("/i/{name}")).await {
            Ok(response) => response,
            // This listener serves everyone, so it can only say what the own port would do.
            Err(_) => Problem(
                StatusCode::BAD_GATEWAY,
                format!("`{name}` hangs up; its own port does so without an answer"),
            )
            .into_response(),
        },
    }
}

fn find<'a>(house: &'a House, name: &str) -> Result<&'a Instance, Problem> {
    house.instance(name).ok_or_else(|| {
        let known: Vec<&str> = house.instances.iter().map(|instance| instance.config.name.as_str()).collect();
        Problem(StatusCode::NOT_FOUND, format!("no instance `{name}`; there are: {}", known.join(", ")))
    })
}

fn find_target<'a>(house: &'a House, kind: &str) -> Result<&'a Target, Problem> {
    house.targets.iter().find(|target| target.kind.name() == kind).ok_or_else(|| {
        Problem(
            StatusCode::NOT_FOUND,
            format!("no target `{kind}`; there are: {}", Kind::ALL.map(Kind::name).join(", ")),
        )
    })
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

fn unfit(reason: String) -> Problem {
    Problem(StatusCode::UNPROCESSABLE_ENTITY, reason)
}

fn broken(reason: String) -> Problem {
    Problem(StatusCode::INTERNAL_SERVER_ERROR, reason)
}
