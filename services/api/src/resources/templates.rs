//! `/templates:render`: the engine that delivers, for trying things out.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use model::ask::{Render, Rendered};
use runtime::Problem;
use runtime::json::Json;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::resources::webhooks;
use crate::state::Api;

/// A template and what it may name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateInput)]
pub(crate) struct Input {
    /// Liquid.
    template: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
    /// Partials by name, for `include` and `render`.
    #[serde(default)]
    #[schema(value_type = Object)]
    partials: Map<String, Value>,
    /// Unknown variables are empty instead of an error.
    #[serde(default)]
    lenient: bool,
}

/// Renders a template; a fault comes back with its line and column.
#[utoipa::path(post, path = "/templates/~render", tag = "webhooks", request_body = Input,
    responses((status = 200, body = Rendered), (status = 422, body = Problem)))]
pub(crate) async fn render(
    State(api): State<Api>,
    caller: Caller,
    Json(input): Json<Input>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let Input { template, variables, partials, lenient } = input;
    let rendered = webhooks::render(&api, &Render { template, variables, partials, lenient }).await?;
    Ok(axum::Json(rendered).into_response())
}
