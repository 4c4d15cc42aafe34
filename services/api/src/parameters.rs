//! Refuses parameters of the query string that a path does not have: `?windw=month` would else answer for a day.
//!
//! Which there are says the OpenAPI document, so that what is described is what is taken. Repeats names, never values.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use runtime::Problem;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, Paths, RefOr};

/// The parameters of every path and method, as the router writes paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Arc<BTreeMap<String, Methods>>);

/// The parameters of each method of a path.
type Methods = Vec<(Method, Vec<String>)>;

impl Parameters {
    /// Those of a document.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let Paths { paths, .. } = &document.paths;
        Self(Arc::new(paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()))
    }

    fn known(&self, path: &str, method: &Method) -> Option<&[String]> {
        // What may be read may be asked for its head.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let methods = self.0.get(path)?;
        methods.iter().find(|(one, _)| one == method).map(|(_, names)| names.as_slice())
    }

    /// The first parameter that the path does not have.
    fn check(&self, path: &str, method: &Method, query: &str) -> Result<(), Problem> {
        let Some(known) = self.known(path, method) else { return Ok(()) };
        let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        match names.find(|name| !known.iter().any(|known| known == name.as_ref())) {
            Some(name) => Err(Problem::unknown_parameter(&name, known)),
            None => Ok(()),
        }
    }
}

fn methods(item: &PathItem) -> Methods {
    let all = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, names(operation.as_ref()?)))).collect()
}

fn names(operation: &Operation) -> Vec<String> {
    let all = operation.parameters.iter().flatten();
    let query = all.filter_map(|one| match one {
        RefOr::T(one) if matches!(one.parameter_in, ParameterIn::Query) => Some(one.name.clone()),
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    query.collect()
}

/// Lets a request pass whose parameters its path has.
pub(crate) async fn layer(
    State(parameters): State<Parameters>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(query) = request.uri().query().filter(|query| !query.is_empty()) {
        parameters.check(path.as_str(), request.method(), query)?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::described;

    fn check(path: &str, query: &str, detail: Option<&str>) {
        let outcome = Parameters::of(&described()).check(path, &Method::GET, query);
        let told = outcome.as_ref().err().map(|problem| problem.detail.as_str());
        assert_eq!(told, detail, "{path}?{query}");
        assert!(outcome.err().is_none_or(|problem| problem.status == 422));
    }

    #[test]
    fn a_parameter_that_a_path_does_not_have_is_refused_with_the_one_that_was_meant() {
        let usage = "/api/v1/integrations/{id}/usage";
        check(usage, "window=day&step=hour", None);
        check(
            usage,
            "windw=day",
            Some("windw: unknown parameter of the query string; did you mean `window`?"),
        );
        check("/api/v1/rules", "page_size=5&cursor=x", None);
        check(
            "/api/v1/rules",
            "q=5",
            Some("q: unknown parameter of the query string; there are `page_size`, `cursor`"),
        );
        check("/api/v1/me", "a=1", Some("a: unknown parameter of the query string; there is none here"));
        check("/api/v1/deliveries/{id}", "", None);
        check("/nowhere", "a=1", None);
    }
}
