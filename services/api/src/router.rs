//! The paths, and what every request passes through.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderValue, Method, header};
use runtime::Problem;
use runtime::problem::name_requests;
use tower::ServiceExt;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::parameters::Parameters;
use crate::resources::{
    alerts, audit, budgets, caches, deliveries, integrations, keys, providers, routes as route, rules,
    sessions, silences, stream, templates, tokens, uptime, usage, users, webhooks,
};
use crate::state::Api;
use crate::{actions, idempotency, parameters};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Signalbox",
        description = "Configures what a team's third-party APIs are, how they are watched, and who hears of it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    security(("token" = []), ("session" = [])),
    tags(
        (name = "providers", description = "The catalogue."),
        (name = "integrations", description = "Configured uses of providers."),
        (name = "routes", description = "Ordered integrations behind one name."),
        (name = "keys", description = "Providers' credentials."),
        (name = "webhooks", description = "Where alerts go."),
        (name = "alerts", description = "What people should hear of."),
        (name = "audit", description = "Who did what."),
        (name = "access", description = "Tokens, users, sessions."),
        (name = "events", description = "The bus."),
    )
)]
struct Document;

fn resources() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi()).nest(
        "/api/v1",
        OpenApiRouter::new()
            .routes(routes!(providers::list))
            .routes(routes!(providers::get))
            .routes(routes!(integrations::list, integrations::create))
            .routes(routes!(integrations::get, integrations::put, integrations::patch, integrations::delete))
            .routes(routes!(integrations::test))
            .routes(routes!(integrations::enable))
            .routes(routes!(integrations::disable))
            .routes(routes!(integrations::ping))
            .routes(routes!(caches::invalidate))
            .routes(routes!(usage::get))
            .routes(routes!(usage::export))
            .routes(routes!(usage::all))
            .routes(routes!(uptime::uptime))
            .routes(routes!(route::list, route::create))
            .routes(routes!(route::get, route::put, route::patch, route::delete))
            .routes(routes!(route::pin))
            .routes(routes!(route::unpin))
            .routes(routes!(route::drain))
            .routes(routes!(route::undrain))
            .routes(routes!(keys::list, keys::create))
            .routes(routes!(keys::get, keys::patch, keys::delete))
            .routes(routes!(keys::versions))
            .routes(routes!(keys::secrets::rotate))
            .routes(routes!(keys::secrets::revoke))
            .routes(routes!(keys::secrets::reveal))
            .routes(routes!(keys::secrets::test))
            .routes(routes!(webhooks::list, webhooks::create))
            .routes(routes!(webhooks::get, webhooks::put, webhooks::patch, webhooks::delete))
            .routes(routes!(webhooks::enable))
            .routes(routes!(webhooks::test))
            .routes(routes!(webhooks::preview))
            .routes(routes!(templates::render))
            .routes(routes!(deliveries::list))
            .routes(routes!(deliveries::get))
            .routes(routes!(deliveries::replay))
            .routes(routes!(deliveries::replay_range))
            .routes(routes!(alerts::list, alerts::create))
            .routes(routes!(alerts::get))
            .routes(routes!(alerts::acknowledge))
            .routes(routes!(alerts::resolve))
            .routes(routes!(silences::list, silences::create))
            .routes(routes!(silences::get, silences::delete))
            .routes(routes!(rules::list, rules::create))
            .routes(routes!(rules::get, rules::put, rules::patch, rules::delete))
            .routes(routes!(rules::test))
            .routes(routes!(budgets::list, budgets::create))
            .routes(routes!(budgets::get, budgets::put, budgets::patch, budgets::delete))
            .routes(routes!(audit::list))
            .routes(routes!(audit::export))
            .routes(routes!(audit::verify))
            .routes(routes!(tokens::list, tokens::create))
            .routes(routes!(tokens::get, tokens::patch, tokens::delete))
            .routes(routes!(users::list, users::create))
            .routes(routes!(users::get, users::patch, users::delete))
            .routes(routes!(sessions::create, sessions::delete))
            .routes(routes!(sessions::reauthenticate))
            .routes(routes!(sessions::me))
            .routes(routes!(stream::get)),
    )
}

/// What is served, described with the router's own paths.
#[cfg(test)]
pub(crate) fn described() -> utoipa::openapi::OpenApi {
    resources().split_for_parts().1
}

/// The OpenAPI 3.1 document of everything that is served.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut document) = resources().split_for_parts();
    document.paths.paths = std::mem::take(&mut document.paths.paths)
        .into_iter()
        .map(|(path, item)| (path.replace(actions::MARK, ":"), item))
        .collect();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("sbt_…").build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let cookie = ApiKey::Cookie(ApiKeyValue::new(crate::access::SESSION_COOKIE));
    components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    document
}

/// Everything that is served on the api's port.
pub fn router(api: Api) -> Router {
    let (resources, described) = resources().split_for_parts();
    let parameters = Parameters::of(&described);
    let document = serde_json::to_value(openapi()).unwrap_or_default();
    let served = document.clone();
    let inner = resources
        .route_layer(middleware::from_fn_with_state(parameters, parameters::layer))
        .route("/api/v2/alerts", post(alerts::from_prometheus))
        .route("/openapi.json", get(move || async move { axum::Json(document) }))
        .route("/api/v1/openapi.json", get(move || async move { axum::Json(served) }))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), idempotency::layer))
        .layer(DefaultBodyLimit::max(api.settings.body_bytes_max))
        .with_state(api);
    outside(inner)
}

/// What stands around the router. Verbs are split from ids before it looks at the path, and requests are named
/// before that, so that problems show the path that was asked.
fn outside(inner: Router) -> Router {
    Router::new()
        .fallback_service(inner.map_request(actions::split_verb))
        .layer(middleware::from_fn(name_requests))
        .layer(middleware::from_fn(edge))
}

async fn nothing(State(_): State<Api>, request: Request) -> Problem {
    Problem::not_found("path", &request.uri().path().replace(actions::MARK, ":"), [] as [&str; 0])
}

async fn wrong_method(method: Method, request: Request) -> Problem {
    Problem::method_not_allowed(method.as_str(), &request.uri().path().replace(actions::MARK, ":"))
}

/// Answers that no browser guesses at or keeps.
async fn edge(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use runtime::problem::REQUEST_ID;

    use super::*;

    #[tokio::test]
    async fn a_problem_shows_the_path_that_was_asked_and_the_request() {
        let refuse = post(async || Problem::conflict("it is revoked"));
        let router = outside(Router::new().route("/keys/{id}/~reveal", refuse));
        let request = Request::post("/keys/a:reveal").body(Body::empty()).expect("a request");
        let (head, body) = router.oneshot(request).await.expect("never fails").into_parts();
        let body = to_bytes(body, 1 << 16).await.expect("a body");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
        let id = head.headers[REQUEST_ID].to_str().expect("ASCII");
        assert_eq!((head.status.as_u16(), &problem["instance"]), (409, &"/keys/a:reveal".into()));
        assert_eq!(problem["request_id"], id);
        assert_eq!(head.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(head.headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(head.headers[header::CACHE_CONTROL], "no-cache");
    }
}
