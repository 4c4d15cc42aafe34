//! `/rules`: alert rules, built-in ones among them, and what a rule would have done.
//!
//! A built-in rule is in the list before anybody wrote it down; changing it writes it down, deleting it then is going back
//! to what it was. A dry run asks the meter, which looks at recorded figures as it looks at fresh ones.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::Timestamp;
use model::audit::Verb;
use model::config::Kind;
use model::id::Slug;
use model::period::Period;
use model::rule::{Fault, Rule, RuleKind, RuleTested, Select, TestRule, built_in, built_ins};
use model::token::Permission;
use runtime::Problem;
use runtime::json::{Json, Query};
use serde::{Deserialize, Serialize};
use store::Write;
use utoipa::ToSchema;

use super::{Patch, keeps_id, matching, patched, read, stored, tagged};
use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::config::{Config, etag};
use crate::page::{Page, Paging};
use crate::problems::{exists, missing};
use crate::state::Api;

/// Rules that somebody made.
const RULES_MAX: usize = 500;
/// How far back a dry run looks.
const TEST_WINDOW_MIN: Period = Period::hours(1);
const TEST_WINDOW_MAX: Period = Period::days(90);

/// A rule as it holds: with the values of its kind where it says none.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AlertRuleView)]
pub(crate) struct View {
    #[serde(flatten)]
    rule: Rule,
    /// Whether it is there from the start.
    built_in: bool,
    /// Whether somebody changed the built-in one.
    changed: bool,
    /// When somebody made it, or first changed the built-in one; null when nobody did.
    created_at: Option<Timestamp>,
    /// When it was last changed; null when it never was.
    updated_at: Option<Timestamp>,
    /// Its version, as in the `ETag` header.
    etag: String,
    #[serde(skip)]
    revision: u64,
}

/// The rules that hold, by id.
fn all(config: &Config) -> BTreeMap<Slug, View> {
    let mut all: BTreeMap<Slug, View> = built_ins()
        .map(|rule| {
            let (created_at, updated_at) = (None, None);
            let view = View {
                rule,
                built_in: true,
                changed: false,
                created_at,
                updated_at,
                etag: etag(0),
                revision: 0,
            };
            (view.rule.id.clone(), view)
        })
        .collect();
    for (id, kept) in &config.rules {
        let built_in = built_in(id.as_str()).is_some();
        let view = View {
            rule: kept.body.clone().filled(),
            built_in,
            changed: built_in,
            created_at: Some(kept.created_at),
            updated_at: Some(kept.updated_at),
            etag: kept.etag.clone(),
            revision: kept.revision,
        };
        all.insert(id.clone(), view);
    }
    all
}

fn find(config: &Config, id: &str) -> Result<View, Problem> {
    let mut all = all(config);
    let ids: Vec<Slug> = all.keys().cloned().collect();
    all.remove(id).ok_or_else(|| missing(Kind::Rule, id, ids.iter().map(Slug::as_str)))
}

/// A fault of the model as a problem, below a pointer.
pub(crate) fn faulty(below: &str, fault: &Fault) -> Problem {
    Problem::validation(format!("{below}{}", fault.pointer), fault.why.clone())
}

/// Something that is named and not there; those that look alike are suggested.
pub(crate) fn unknown<'a>(
    pointer: String,
    kind: Kind,
    id: &str,
    there: impl Iterator<Item = &'a str>,
) -> Problem {
    Problem::validation(pointer, missing(kind, id, there).detail.clone())
}

/// Whether a rule can be, with all that is configured.
fn check(config: &Config, rule: &Rule, below: &str) -> Result<(), Problem> {
    rule.check().map_err(|fault| faulty(below, &fault))?;
    let Select { integrations, routes, budgets, .. } = &rule.select;
    if let Some(id) = integrations.iter().find(|id| !config.integrations.contains_key(*id)) {
        let there = config.integrations.keys().map(model::IntegrationId::as_str);
        return Err(unknown(format!("{below}/select/integrations"), Kind::Integration, id.as_str(), there));
    }
    if let Some(id) = routes.iter().find(|id| !config.routes.contains_key(*id)) {
        let there = config.routes.keys().map(model::RouteId::as_str);
        return Err(unknown(format!("{below}/select/routes"), Kind::Route, id.as_str(), there));
    }
    if let Some(id) = budgets.iter().find(|id| !config.budgets.contains_key(*id)) {
        let there = config.budgets.keys().map(Slug::as_str);
        return Err(unknown(format!("{below}/select/budgets"), Kind::Budget, id.as_str(), there));
    }
    patient(config, rule, below)
}

/// Whether calls can take as long as a rule about their time says.
fn patient(config: &Config, rule: &Rule, below: &str) -> Result<(), Problem> {
    let named = rule.select.integrations.iter().filter_map(|id| config.integrations.get(id));
    let longest = named.map(|kept| kept.body.timeout_ms).max();
    match (rule.kind, rule.threshold, longest) {
        (RuleKind::ResponseTime, Some(threshold), Some(longest)) if threshold > f64::from(longest) => {
            Err(Problem::validation(
                format!("{below}/threshold"),
                format!("can never be reached: calls to what is selected are given up after {longest} ms"),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a caller may make a rule about what it is about.
fn bound(caller: &Caller, rule: &Rule) -> Result<(), Problem> {
    let Select { integrations, routes, .. } = &rule.select;
    let to_some = !caller.bounds.integrations.is_empty() || !caller.bounds.routes.is_empty();
    if to_some && integrations.is_empty() && routes.is_empty() {
        return Err(Problem::out_of_bounds(
            "your token is bound to some integrations or routes: name those in `select`",
        ));
    }
    integrations.iter().try_for_each(|id| caller.bound_to_integration(id))?;
    routes.iter().try_for_each(|id| caller.bound_to_route(id))
}

/// All rules, built-in ones too.
#[utoipa::path(get, path = "/rules", tag = "alerts", params(Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let after = paging.after("")?.unwrap_or_default();
    let items: Vec<View> = all(&api.config().await?)
        .into_values()
        .filter(|view| view.rule.id.as_str() > after.as_str())
        .take(paging.size() as usize + 1)
        .collect();
    Ok(axum::Json(paging.page("/api/v1/rules", "", items, |view| view.rule.id.to_string())).into_response())
}

/// One rule.
#[utoipa::path(get, path = "/rules/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 304), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let view = find(&api.config().await?, &id)?;
    Ok(read(&headers, view.revision, &view))
}

/// Makes a rule.
#[utoipa::path(post, path = "/rules", tag = "alerts", request_body = Rule,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(rule): Json<Rule>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Rule, &rule.id, "rule.create", Verb::Create);
    caller.may(&api, Permission::Configure, &deed).await?;
    bound(&caller, &rule)?;
    let body = stored(&rule)?;
    api.change(&caller, |config, _| {
        if config.rules.contains_key(&rule.id) || built_in(rule.id.as_str()).is_some() {
            return Err(exists("rule", rule.id.as_str()));
        }
        if config.rules.len() >= RULES_MAX {
            return Err(Problem::conflict(format!("there are {RULES_MAX} rules; delete one first")));
        }
        check(config, &rule, "")?;
        let write = Write::Create { kind: Kind::Rule, id: rule.id.to_string(), body: body.clone() };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(&api, rule.id.as_str(), StatusCode::CREATED).await
}

async fn answer(api: &Api, id: &str, status: StatusCode) -> Result<Response, Problem> {
    let view = find(&api.config().await?, id)?;
    Ok(tagged(status, view.revision, &view))
}

async fn replace(
    api: &Api,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    next: impl Fn(&Rule) -> Result<Rule, Problem>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Rule, id, "rule.update", Verb::Update);
    caller.may(api, Permission::Configure, &deed).await?;
    api.change(caller, |config, _| {
        let view = find(config, id)?;
        bound(caller, &view.rule)?;
        matching(headers, view.revision)?;
        let rule = next(&view.rule)?;
        keeps_id(id, rule.id.as_str())?;
        if view.built_in && rule.kind != view.rule.kind {
            return Err(Problem::validation(
                "/kind",
                "a built-in rule keeps its kind; switch it off and make another one",
            ));
        }
        bound(caller, &rule)?;
        check(config, &rule, "")?;
        let (kind, id, body) = (Kind::Rule, id.to_owned(), stored(&rule)?);
        let write = match view.updated_at {
            Some(_) => Write::Update { kind, id, body, expected: Some(view.revision) },
            None => Write::Create { kind, id, body },
        };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(api, id, StatusCode::OK).await
}

/// Replaces a rule.
#[utoipa::path(put, path = "/rules/{id}", tag = "alerts", params(("id" = String, Path)), request_body = Rule,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(rule): Json<Rule>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, &headers, |_| Ok(rule.clone())).await
}

/// Changes parts of a rule (JSON merge patch); `{"enabled": false}` switches it off.
#[utoipa::path(patch, path = "/rules/{id}", tag = "alerts", params(("id" = String, Path)), request_body = Object,
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

/// Deletes a rule; a built-in one goes back to what it was before it was changed.
#[utoipa::path(delete, path = "/rules/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Rule, &id, "rule.delete", Verb::Delete);
    caller.may(&api, Permission::Configure, &deed).await?;
    api.change(&caller, |config, _| {
        let view = find(config, &id)?;
        bound(&caller, &view.rule)?;
        matching(&headers, view.revision)?;
        if view.updated_at.is_none() {
            return Err(Problem::conflict(
                "it is built in and cannot be deleted; switch it off with PATCH {\"enabled\": false}",
            ));
        }
        let write = Write::Delete { kind: Kind::Rule, id: id.clone(), expected: Some(view.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A rule to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertRuleTest)]
pub(crate) struct Test {
    /// The rule; it need not be saved, nor enabled.
    rule: Rule,
    /// How far back: `1h` to `90d`.
    #[serde(default = "week")]
    window: Period,
}

const fn week() -> Period {
    Period::days(7)
}

/// Says when a rule would have fired, by what was recorded. Nothing is saved and nobody is told.
#[utoipa::path(post, path = "/rules/~test", tag = "alerts", request_body = Test,
    responses((status = 200, body = RuleTested), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn test(
    State(api): State<Api>,
    caller: Caller,
    Json(test): Json<Test>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    bound(&caller, &test.rule)?;
    if !(TEST_WINDOW_MIN..=TEST_WINDOW_MAX).contains(&test.window) {
        return Err(Problem::validation(
            "/window",
            format!("must be {TEST_WINDOW_MIN} to {TEST_WINDOW_MAX}"),
        ));
    }
    check(&api.config().await?, &test.rule, "/rule")?;
    let question = TestRule { rule: test.rule, window: test.window, at: Timestamp::now() };
    match api.ask::<_, RuleTested>("meter", "test-rule", &question).await? {
        Ok(tested) => Ok(axum::Json(tested).into_response()),
        Err(refused) => Err(Problem::unavailable(refused.detail, crate::problems::RETRY_SECS)),
    }
}
