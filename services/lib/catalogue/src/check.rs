//! What a type cannot say of a provider: names are unique, patterns compile, what is used is declared, and a
//! defunct provider has nothing that could be called.

use std::collections::BTreeSet;

use model::auth::Auth;

use crate::provider::placeholders;
use crate::{BodyTest, ErrorRule, LifecycleState, Limit, Operation, Probe, Provider};

/// One step of the way to what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: Vec<Step>,
    pub(crate) reason: String,
}

type Checked = Result<(), Problem>;

/// Checks one provider by itself.
pub(crate) fn check(provider: &Provider) -> Checked {
    if provider.id.as_str() == model::integration::CUSTOM_PROVIDER {
        return wrong(&["id"], "`custom` is no provider of the catalogue");
    }
    lifecycle(provider)?;
    credentials(provider)?;
    environments(provider)?;
    probes(provider)?;
    for (i, limit) in provider.limits.iter().enumerate() {
        named("limits", i, limit_is_whole(provider, limit))?;
    }
    unique("limits", provider.limits.iter().map(|l| l.name.as_str()))?;
    for (i, headers) in provider.usage_headers.iter().enumerate() {
        let whole = headers.reset.is_some() == headers.reset_unit.is_some();
        named("usage_headers", i, must(whole, "`reset` and `reset_unit` go together"))?;
    }
    for (i, rule) in provider.error_rules.iter().enumerate() {
        named("error_rules", i, rule_is_whole(rule))?;
    }
    unique("error_rules", provider.error_rules.iter().map(|r| r.name.as_str()))?;
    operations(provider)?;
    merges(provider)?;
    paths(provider)?;
    prices(provider)
}

fn lifecycle(provider: &Provider) -> Checked {
    let life = &provider.lifecycle;
    if life.since.as_deref().is_some_and(|day| !is_day(day)) {
        return wrong(&["lifecycle", "since"], "must be a day such as 2026-11-21");
    }
    for (key, url) in [("docs_url", &provider.docs_url), ("status_page", &provider.status_page)] {
        if let Some(url) = url {
            url_is_https(url).map_err(|reason| problem(&[key], reason))?;
        }
    }
    if life.state != LifecycleState::Defunct {
        must(provider.docs_url.is_some(), "`docs_url` is missing").map_err(|r| problem(&["id"], r))?;
        return must(!provider.environments.is_empty(), "`environments` is missing")
            .map_err(|r| problem(&["id"], r));
    }
    let callable = [
        ("docs_url", provider.docs_url.is_some()),
        ("status_page", provider.status_page.is_some()),
        ("environments", !provider.environments.is_empty()),
        ("fields", !provider.fields.is_empty()),
        ("auth", provider.auth != Auth::None {}),
        ("headers", !provider.headers.is_empty()),
        ("query", !provider.query.is_empty()),
        ("probe", provider.probe.is_some()),
        ("key_probe", provider.key_probe.is_some()),
        ("limits", !provider.limits.is_empty()),
        ("usage_headers", !provider.usage_headers.is_empty()),
        ("public_paths", !provider.public_paths.is_empty()),
        ("dialect", provider.dialect.is_some()),
        ("operations", !provider.operations.is_empty()),
        ("merges", !provider.merges.is_empty()),
        ("endpoints", !provider.endpoints.is_empty()),
    ];
    match callable.iter().find(|(_, given)| *given) {
        Some((key, _)) => {
            wrong(&[key], &format!("a defunct provider has no `{key}`: nothing is ever sent to it"))
        }
        None => Ok(()),
    }
}

fn credentials(provider: &Provider) -> Checked {
    unique("fields", provider.fields.iter().map(|f| f.name.as_str()))?;
    for (i, field) in provider.fields.iter().enumerate() {
        if let Some(Err(error)) = field.pattern.as_deref().map(regex::Regex::new) {
            return named("fields", i, Err(format!("`pattern` is no regular expression: {error}")));
        }
        let header = field.header.as_deref().is_none_or(is_header_name);
        named("fields", i, must(header, "`header` is no header name"))?;
    }
    for (name, value) in &provider.headers {
        let sendable = value.bytes().all(|b| (b' '..=b'~').contains(&b));
        let ok = is_header_name(name) && sendable;
        must(ok, "is no header that can be sent").map_err(|r| problem(&["headers", name], r))?;
    }
    auth_is_declared(provider, &provider.auth).map_err(|reason| problem(&["auth"], reason))
}

fn auth_is_declared(provider: &Provider, auth: &Auth) -> Result<(), String> {
    auth.check().map_err(|fault| format!("`auth`: {fault}"))?;
    match auth.fields().into_iter().find(|field| provider.field(field).is_none()) {
        Some(missing) => Err(format!("`auth` uses the field `{missing}`, which `fields` does not declare")),
        None => Ok(()),
    }
}

fn environments(provider: &Provider) -> Checked {
    unique("environments", provider.environments.iter().map(|e| e.name.as_str()))?;
    for (i, environment) in provider.environments.iter().enumerate() {
        if i == 0 {
            named(
                "environments",
                i,
                must(environment.name == "production", "the first must be `production`"),
            )?;
        }
        let url = environment.base_url.as_str();
        named("environments", i, url_is_https(url))?;
        named("environments", i, must(!url.ends_with('/'), "`base_url` must not end with `/`"))?;
        if let Some(auth) = &environment.auth {
            named("environments", i, auth_is_declared(provider, auth))?;
        }
        if let Some(probe) = &environment.probe {
            named("environments", i, probe_is_whole(probe))?;
        }
    }
    Ok(())
}

fn probes(provider: &Provider) -> Checked {
    for (key, probe) in [("probe", &provider.probe), ("key_probe", &provider.key_probe)] {
        if let Some(probe) = probe {
            probe_is_whole(probe).map_err(|reason| problem(&[key], reason))?;
        }
    }
    let without_key = provider.key_probe.as_ref().is_some_and(|probe| !probe.needs_key);
    must(!without_key, "must have `needs_key = true`").map_err(|r| problem(&["key_probe"], r))
}

fn probe_is_whole(probe: &Probe) -> Result<(), String> {
    must(matches!(probe.method.as_str(), "GET" | "HEAD" | "POST"), "a probe's method is GET, HEAD or POST")?;
    must(
        probe.path.starts_with('/') && !probe.path.contains(['?', '#']),
        "a probe's path begins with `/` and has no query",
    )?;
    must((1..=86_400).contains(&probe.every_secs), "`every_secs` is 1 to 86400")?;
    must((50..=60_000).contains(&probe.timeout_ms), "`timeout_ms` is 50 to 60000")?;
    must(probe.slow_ms <= probe.timeout_ms, "`slow_ms` must not be above `timeout_ms`")?;
    probe.healthy.iter().try_for_each(test_is_whole)?;
    probe.state.as_ref().map_or(Ok(()), |state| pointer_is_one(&state.pointer))
}

fn limit_is_whole(provider: &Provider, limit: &Limit) -> Result<(), String> {
    must(limit.requests.is_some() != limit.weight.is_some(), "exactly one of `requests` and `weight`")?;
    must(limit.per.is_some() != limit.window_secs.is_some(), "exactly one of `per` and `window_secs`")?;
    must(limit.amount() > 0 && limit.window_secs() > 0, "a limit and its window are above 0")?;
    must(
        limit.paths.iter().chain(limit.weights.iter().map(|w| &w.path)).all(|p| p.starts_with('/')),
        "paths begin with `/`",
    )?;
    let planned = limit.plan.as_deref().is_none_or(|plan| provider.cost.plans.iter().any(|p| p.name == plan));
    must(planned, "`plan` is none of `cost.plans`")?;
    let zone = limit.timezone.as_deref().is_none_or(|zone| zone == "UTC" || zone.contains('/'));
    must(zone, "`timezone` is an IANA name such as America/New_York")
}

fn rule_is_whole(rule: &ErrorRule) -> Result<(), String> {
    must(rule.reason.is_some() != rule.fine, "exactly one of `reason` and `fine = true`")?;
    let nothing = rule.status.is_empty() && rule.header.is_none() && !rule.reads_body();
    must(!nothing, "a rule that looks at nothing fits every answer")?;
    for (first, last) in rule.status.iter().map(|s| s.ends()) {
        must((100..=599).contains(&first) && first <= last && last <= 599, "statuses are 100 to 599")?;
    }
    let loud = !rule.status.is_empty() && rule.status.iter().all(|s| s.ends().0 >= 400);
    must(rule.body_contains.is_empty() || loud, "`body_contains` is only for statuses of 400 and more")?;
    must(!rule.body_contains.iter().any(String::is_empty), "an empty text is in every body")?;
    rule.body.iter().try_for_each(test_is_whole)?;
    rule.retry_from.as_ref().map_or(Ok(()), |from| pointer_is_one(&from.pointer))
}

fn test_is_whole(test: &BodyTest) -> Result<(), String> {
    pointer_is_one(&test.pointer)?;
    let BodyTest { pointer: _, one_of, none_of, contains, starts_with, exists, empty } = test;
    let said = !one_of.is_empty() || !none_of.is_empty() || !contains.is_empty() || !starts_with.is_empty();
    must(said || exists.is_some() || empty.is_some(), "a test of the body says nothing")?;
    must(!(said || empty.is_some()) || *exists != Some(false), "what must not exist has nothing else to test")
}

fn pointer_is_one(pointer: &str) -> Result<(), String> {
    must(pointer.is_empty() || pointer.starts_with('/'), "a JSON pointer is empty or begins with `/`")
}

fn operations(provider: &Provider) -> Checked {
    for (name, operation) in &provider.operations {
        operation_is_whole(provider, operation).map_err(|reason| problem(&["operations", name], reason))?;
        crate::operation::check(name, operation).map_err(|wrong| {
            let list = |n: usize| n > 0 && wrong.at[n - 1] == "parameters";
            let step = |(n, key): (usize, &String)| match key.parse() {
                Ok(index) if list(n) => Step::Index(index),
                _ => Step::Key(key.clone()),
            };
            let way = ["operations", name].map(|key| Step::Key(key.to_owned()));
            Problem {
                at: way.into_iter().chain(wrong.at.iter().enumerate().map(step)).collect(),
                reason: wrong.reason.clone(),
            }
        })?;
    }
    Ok(())
}

fn operation_is_whole(provider: &Provider, operation: &Operation) -> Result<(), String> {
    must(matches!(operation.method.as_str(), "GET" | "POST"), "an operation's method is GET or POST")?;
    must(operation.path.starts_with('/'), "an operation's path begins with `/`")?;
    let used =
        std::iter::once(&operation.path).chain(operation.query.values()).flat_map(|text| placeholders(text));
    for name in used {
        let declared = operation.parameters.iter().any(|p| p.name == name);
        must(declared, &format!("`{{{name}}}` is used but `parameters` does not declare it"))?;
    }
    let in_path = |name: &str| placeholders(&operation.path).any(|used| used == name);
    for parameter in &operation.parameters {
        let filled = parameter.required || parameter.default.is_some() || !in_path(&parameter.name);
        must(filled, &format!("`{}` stands in the path: it is required or has a default", parameter.name))?;
    }
    for name in &operation.environments {
        must(provider.environment(name).is_some(), &format!("there is no environment `{name}`"))?;
    }
    Ok(())
}

fn merges(provider: &Provider) -> Checked {
    for (path, form) in &provider.merges {
        crate::merge::check(path, form).map_err(|wrong| {
            let way = ["merges".to_owned(), path.clone()];
            Problem { at: way.into_iter().chain(wrong.at).map(Step::Key).collect(), reason: wrong.reason }
        })?;
    }
    Ok(())
}

fn paths(provider: &Provider) -> Checked {
    for (i, path) in provider.public_paths.iter().enumerate() {
        named("public_paths", i, must(path.starts_with('/'), "a path begins with `/`"))?;
    }
    for (i, endpoint) in provider.endpoints.iter().enumerate() {
        named("endpoints", i, must(endpoint.path.starts_with('/'), "a path begins with `/`"))?;
        let labelled = endpoint.query.is_empty() || endpoint.label.is_some();
        named("endpoints", i, must(labelled, "an endpoint with `query` needs a `label`"))?;
        let short = endpoint.label().chars().count() <= crate::ENDPOINT_CHARS_MAX;
        named("endpoints", i, must(short, "its name has more than 64 characters"))?;
    }
    Ok(())
}

fn prices(provider: &Provider) -> Checked {
    let cost = &provider.cost;
    let planned = cost.default_plan.as_deref().is_none_or(|plan| cost.plans.iter().any(|p| p.name == plan));
    must(planned, "is none of `plans`").map_err(|r| problem(&["cost", "default_plan"], r))?;
    let dated =
        cost.prices.is_empty() || (cost.as_of.as_deref().is_some_and(is_day) && cost.source.is_some());
    must(dated, "prices need a `source` and a day `as_of`").map_err(|r| problem(&["cost"], r))?;
    let mut seen = BTreeSet::new();
    for (i, price) in cost.prices.iter().enumerate() {
        let at = || vec![Step::Key("cost".to_owned()), Step::Key("prices".to_owned()), Step::Index(i)];
        let long = [price.long_above_tokens, price.long_input, price.long_output];
        let whole = long.iter().all(Option::is_some) || long.iter().all(Option::is_none);
        must(whole, "the three `long_…` go together").map_err(|reason| Problem { at: at(), reason })?;
        must(seen.insert(price.model.as_str()), &format!("`{}` is there twice", price.model))
            .map_err(|reason| Problem { at: at(), reason })?;
    }
    Ok(())
}

fn url_is_https(url: &str) -> Result<(), String> {
    let host = url.strip_prefix("https://").unwrap_or("");
    let authority = host.split(['/', '?', '#']).next().unwrap_or("");
    let ok = !authority.is_empty() && !authority.contains('@') && url.bytes().all(|b| b.is_ascii_graphic());
    must(ok, &format!("`{url}` is no https address"))
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn is_day(text: &str) -> bool {
    model::Timestamp::parse(&format!("{text}T00:00:00Z")).is_ok() && text.len() == 10
}

fn unique<'a>(list: &str, names: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = BTreeSet::new();
    for (i, name) in names.enumerate() {
        named(list, i, must(!name.is_empty(), "a name is empty"))?;
        named(list, i, must(seen.insert(name), &format!("`{name}` is there twice")))?;
    }
    Ok(())
}

fn must(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.to_owned()) }
}

fn named(list: &str, index: usize, result: Result<(), String>) -> Checked {
    result.map_err(|reason| Problem { at: vec![Step::Key(list.to_owned()), Step::Index(index)], reason })
}

fn problem(at: &[&str], reason: String) -> Problem {
    Problem { at: at.iter().map(|key| Step::Key((*key).to_owned())).collect(), reason }
}

fn wrong(at: &[&str], reason: &str) -> Checked {
    Err(problem(at, reason.to_owned()))
}
