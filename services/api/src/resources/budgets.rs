//! `/budgets`: money allowed in a calendar window, and what was spent of it.
//!
//! A budget tells, by the rule `budget`; it stops nobody. Where it stands is asked of the meter, and null while no meter runs.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::Timestamp;
use model::audit::Verb;
use model::budget::{Budget, BudgetNow, BudgetsNow, Scope};
use model::config::Kind;
use model::id::Slug;
use model::integration::Window;
use model::token::Permission;
use runtime::Problem;
use runtime::json::{Json, Query};
use serde::Serialize;
use store::Write;
use utoipa::ToSchema;

use super::rules::{faulty, unknown};
use super::{Patch, keeps_id, matching, patched, stored, tagged};
use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept};
use crate::page::{Page, Paging};
use crate::problems::{exists, missing};
use crate::state::Api;
use crate::validate;

/// Budgets at most.
const BUDGETS_MAX: usize = 500;

/// A budget and where it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetView)]
pub(crate) struct View {
    #[serde(flatten)]
    kept: Kept<Budget>,
    /// Its current window; null while no meter answers.
    now: Option<BudgetNow>,
}

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<Budget>, Problem> {
    config.budgets.get(id).ok_or_else(|| missing(Kind::Budget, id, config.budgets.keys().map(Slug::as_str)))
}

/// Whether a budget can be, with all that is configured.
fn check(config: &Config, budget: &Budget) -> Result<(), Problem> {
    budget.check().map_err(|fault| faulty("", &fault))?;
    validate::zone("/timezone", &budget.timezone)?;
    match &budget.scope {
        Scope::Integration(id) if !config.integrations.contains_key(id) => {
            let there = config.integrations.keys().map(model::IntegrationId::as_str);
            Err(unknown("/scope/integration".to_owned(), Kind::Integration, id.as_str(), there))
        }
        Scope::Route(id) if !config.routes.contains_key(id) => {
            let there = config.routes.keys().map(model::RouteId::as_str);
            Err(unknown("/scope/route".to_owned(), Kind::Route, id.as_str(), there))
        }
        Scope::Caller(actor) => {
            let users = config.users.keys().map(|user| format!("user:{user}"));
            let tokens = config.tokens.values().map(|kept| kept.body.actor.to_string());
            let known: BTreeSet<String> = users.chain(tokens).collect();
            let known: Vec<String> = known.into_iter().collect();
            if known.iter().any(|known| known == actor.as_str()) {
                Ok(())
            } else {
                let near = Problem::not_found("caller", actor.as_str(), &known).detail.clone();
                Err(Problem::validation(
                    "/scope/caller",
                    format!("{near}; callers are the actors of tokens, and users"),
                ))
            }
        }
        Scope::Integration(_) | Scope::Route(_) => Ok(()),
    }?;
    let others = config.budgets.values().map(|kept| &kept.body);
    others
        .filter(|other| other.id != budget.id && other.scope == budget.scope)
        .try_for_each(|other| fit(budget, other))
}

/// Whether a budget can be beside another one of its scope.
fn fit(budget: &Budget, other: &Budget) -> Result<(), Problem> {
    let (id, scope, per) = (&other.id, budget.scope.describe(), other.per.as_str());
    if other.per == budget.per {
        let why =
            format!("overlaps the budget `{id}`, which is for the same {scope} and window; change that one");
        return Err(Problem::validation("/scope", why));
    }
    // Days lie within weeks and months of their zone; weeks do not lie within months.
    let same_zone = other.timezone == budget.timezone;
    let why = match (budget.per, other.per) {
        (Window::Day, _) if same_zone && budget.amount_micros > other.amount_micros => {
            format!(
                "is more than `{id}` allows the same {scope} in a whole {per}: it would never be reached before"
            )
        }
        (_, Window::Day) if same_zone && budget.amount_micros < other.amount_micros => {
            format!(
                "is less than `{id}` allows the same {scope} in a single day: that would never be reached before"
            )
        }
        _ => return Ok(()),
    };
    Err(Problem::validation("/amount_micros", why))
}

/// Whether a caller may change a budget of this scope.
fn bound(caller: &Caller, scope: &Scope) -> Result<(), Problem> {
    let bounds = &caller.bounds;
    match scope {
        Scope::Integration(id) => caller.bound_to_integration(id),
        Scope::Route(id) => caller.bound_to_route(id),
        Scope::Caller(_) if bounds.integrations.is_empty() && bounds.routes.is_empty() => Ok(()),
        Scope::Caller(_) => {
            Err(Problem::out_of_bounds("your token is bound to some integrations or routes, a caller is not"))
        }
    }
}

/// Where budgets stand. Null when no meter says so: the budget itself is worth an answer.
async fn standing(api: &Api, kept: Vec<Kept<Budget>>) -> Vec<View> {
    let budgets: Vec<Budget> = kept.iter().map(|kept| kept.body.clone()).collect();
    let question = BudgetsNow { budgets, at: Timestamp::now() };
    let mut now = match question.budgets.is_empty() {
        true => Vec::new(),
        false => match api.ask::<_, Vec<BudgetNow>>("meter", "budgets", &question).await {
            Ok(Ok(now)) => now,
            Ok(Err(_)) | Err(_) => Vec::new(),
        },
    }
    .into_iter();
    kept.into_iter().map(|kept| View { kept, now: now.next() }).collect()
}

/// All budgets.
#[utoipa::path(get, path = "/budgets", tag = "alerts", params(Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let after = paging.after("")?.unwrap_or_default();
    let kept: Vec<Kept<Budget>> = api
        .config()
        .await?
        .budgets
        .into_values()
        .filter(|kept| kept.body.id.as_str() > after.as_str() && bound(&caller, &kept.body.scope).is_ok())
        .take(paging.size() as usize + 1)
        .collect();
    let items = standing(&api, kept).await;
    let page = paging.page("/api/v1/budgets", "", items, |view| view.kept.body.id.to_string());
    Ok(axum::Json(page).into_response())
}

/// One budget, and what was spent of it.
#[utoipa::path(get, path = "/budgets/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    bound(&caller, &find(&config, &id)?.body.scope)?;
    answer(&api, &id, StatusCode::OK).await
}

/// Allows so much money.
#[utoipa::path(post, path = "/budgets", tag = "alerts", request_body = Budget,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(budget): Json<Budget>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Budget, &budget.id, "budget.create", Verb::Create);
    caller.may(&api, Permission::Configure, &deed).await?;
    bound(&caller, &budget.scope)?;
    let body = stored(&budget)?;
    api.change(&caller, |config, _| {
        if config.budgets.contains_key(&budget.id) {
            return Err(exists("budget", budget.id.as_str()));
        }
        if config.budgets.len() >= BUDGETS_MAX {
            return Err(Problem::conflict(format!("there are {BUDGETS_MAX} budgets; delete one first")));
        }
        check(config, &budget)?;
        let write = Write::Create { kind: Kind::Budget, id: budget.id.to_string(), body: body.clone() };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(&api, budget.id.as_str(), StatusCode::CREATED).await
}

async fn answer(api: &Api, id: &str, status: StatusCode) -> Result<Response, Problem> {
    let config = api.config().await?;
    let kept = find(&config, id)?;
    let views = standing(api, vec![kept.clone()]).await;
    Ok(tagged(status, kept.revision, &views.first()))
}

async fn replace(
    api: &Api,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    next: impl Fn(&Budget) -> Result<Budget, Problem>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Budget, id, "budget.update", Verb::Update);
    caller.may(api, Permission::Configure, &deed).await?;
    api.change(caller, |config, _| {
        let kept = find(config, id)?;
        bound(caller, &kept.body.scope)?;
        matching(headers, kept.revision)?;
        let budget = next(&kept.body)?;
        keeps_id(id, budget.id.as_str())?;
        bound(caller, &budget.scope)?;
        check(config, &budget)?;
        let (kind, id, body) = (Kind::Budget, id.to_owned(), stored(&budget)?);
        let write = Write::Update { kind, id, body, expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(api, id, StatusCode::OK).await
}

/// Replaces a budget.
#[utoipa::path(put, path = "/budgets/{id}", tag = "alerts", params(("id" = String, Path)), request_body = Budget,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(budget): Json<Budget>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, &headers, |_| Ok(budget.clone())).await
}

/// Changes parts of a budget (JSON merge patch).
#[utoipa::path(patch, path = "/budgets/{id}", tag = "alerts", params(("id" = String, Path)), request_body = Object,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Patch,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, &headers, |old| patched(old, &patch)).await
}

/// Deletes a budget; an alert of it is resolved.
#[utoipa::path(delete, path = "/budgets/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Budget, &id, "budget.delete", Verb::Delete);
    caller.may(&api, Permission::Configure, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        bound(&caller, &kept.body.scope)?;
        matching(&headers, kept.revision)?;
        let write = Write::Delete { kind: Kind::Budget, id: id.clone(), expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
