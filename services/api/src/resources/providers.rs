//! `/providers`: the catalogue, read only.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use catalogue::{Category, Provider};
use model::ProviderId;
use runtime::Problem;
use runtime::json::Query;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::page::{Page, Paging};
use crate::state::Api;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only this category: `financial`, `llm`, `trading`, `other`.
    category: Option<Category>,
    /// Also those that no longer exist.
    #[serde(default)]
    defunct: bool,
}

/// All providers of the catalogue.
#[utoipa::path(get, path = "/providers", tag = "providers", params(Which, Paging),
    responses((status = 200, body = Page<Provider>), (status = 401, body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let mut filter =
        which.category.map(|category| format!("category={}", word(category))).unwrap_or_default();
    if which.defunct {
        filter.push_str("&defunct=true");
    }
    let after = paging.after(&filter)?.unwrap_or_default();
    let wanted = |provider: &&Provider| {
        (which.defunct || !provider.is_defunct())
            && which.category.is_none_or(|category| provider.category == category)
            && provider.id.as_str() > after.as_str()
    };
    let items: Vec<&Provider> = api.catalogue.all().filter(wanted).take(paging.size() as usize + 1).collect();
    let page = paging.page("/api/v1/providers", &filter, items, |provider| provider.id.to_string());
    Ok(axum::Json(page).into_response())
}

/// The word of a category, as in answers.
fn word(category: Category) -> String {
    serde_json::to_value(category).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// One provider, by id or alias.
#[utoipa::path(get, path = "/providers/{id}", tag = "providers", params(("id" = String, Path)),
    responses((status = 200, body = Provider), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let provider =
        find(&api, &id).ok_or_else(|| Problem::not_found("provider", &id, api.catalogue.near(&id)))?;
    Ok(axum::Json(provider).into_response())
}

pub(crate) fn find<'a>(api: &'a Api, id: &str) -> Option<&'a Provider> {
    api.catalogue.get(id)
}

/// A provider as a field of something else: unknown and defunct ones are refused with what to do.
pub(crate) fn named<'a>(api: &'a Api, id: &str, pointer: &str) -> Result<&'a Provider, Problem> {
    let Some(provider) = find(api, id) else {
        let near = api.catalogue.near(id);
        let hint =
            if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(", ")) };
        return Err(Problem::validation(
            pointer,
            format!(
                "there is no provider `{id}`; {hint}GET /api/v1/providers lists them; `custom` brings its own address"
            ),
        ));
    };
    if provider.is_defunct() {
        let others =
            provider.lifecycle.alternatives.iter().map(ProviderId::as_str).collect::<Vec<_>>().join(", ");
        return Err(Problem::validation(
            pointer,
            format!("{} no longer exists; alternatives: {others}", provider.name),
        )
        .with_code("provider_defunct"));
    }
    Ok(provider)
}
