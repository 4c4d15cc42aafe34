//! `/integrations/{id}:invalidate-cache`: kept answers are not to be used any more, in any gateway.
//!
//! Nothing is deleted here: the word goes to every gateway as an event, and is accepted once it is durable.

use axum::extract::{Path, State};
use http::StatusCode;
use model::audit::Verb;
use model::cache::{CacheInvalidated, Caching, ENDPOINTS_MAX, HEADERS_MAX, PATTERN_BYTES_MAX, SECS_MAX};
use model::config::Kind;
use model::token::Permission;
use runtime::Problem;
use runtime::json::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::state::Api;

/// Headers that answers are never kept apart by: they are credentials, or no provider sees them.
const HEADERS_REFUSED: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-signalbox-token"];

/// Which kept answers. Without a word: all of the integration.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CacheInvalidation)]
pub(crate) struct Which {
    /// Only those of this path and of paths below it: `/v1/quote`.
    #[serde(default)]
    endpoint: Option<String>,
    /// Only those whose path with its query matches; `*` stands for any text: `*symbol=IBM*`.
    #[serde(default)]
    pattern: Option<String>,
}

/// Drops kept answers in all gateways.
#[utoipa::path(post, path = "/integrations/{id}/~invalidate-cache", tag = "integrations", params(("id" = String, Path)),
    request_body = Option<Which>,
    responses((status = 202, description = "Every gateway hears of it"), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn invalidate(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Option<Json<Which>>,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Integration, &id, "integration.invalidate-cache", Verb::Delete);
    caller.may(&api, Permission::Configure, &deed).await?;
    let Which { endpoint, pattern } = body.map(|Json(which)| which).unwrap_or_default();
    for (pointer, text) in [("/endpoint", &endpoint), ("/pattern", &pattern)] {
        text.as_ref().map_or(Ok(()), |text| path(pointer, text))?;
    }
    api.change(&caller, |config, at| {
        let integration = super::integrations::find(config, &id)?.body.id.clone();
        caller.bound_to_integration(&integration)?;
        let (endpoint, pattern, actor) = (endpoint.clone(), pattern.clone(), caller.actor.to_string());
        let fact = api.fact(CacheInvalidated { integration, endpoint, pattern, actor, at })?;
        let deed = deed.clone();
        Ok(Decision { writes: Vec::new(), facts: vec![fact], alerts: Vec::new(), deed, answer: () })
    })
    .await?;
    Ok(StatusCode::ACCEPTED)
}

fn path(pointer: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() || text.len() > PATTERN_BYTES_MAX || text.chars().any(char::is_control) {
        let detail = format!("must have 1 to {PATTERN_BYTES_MAX} bytes and no control characters");
        return Err(Problem::validation(pointer, detail));
    }
    Ok(())
}

/// Checks how answers are cached.
pub(crate) fn check(caching: &Caching) -> Result<(), Problem> {
    let secs = |pointer: String, secs: Option<u32>| match secs {
        Some(secs) if secs > SECS_MAX => {
            Err(Problem::validation(pointer, format!("must be at most {SECS_MAX}")))
        }
        _ => Ok(()),
    };
    secs("/cache/ttl_secs".to_owned(), Some(caching.ttl_secs))?;
    secs("/cache/stale_if_error_secs".to_owned(), Some(caching.stale_if_error_secs))?;
    secs("/cache/stale_while_revalidate_secs".to_owned(), Some(caching.stale_while_revalidate_secs))?;
    if caching.endpoints.len() > ENDPOINTS_MAX {
        return Err(Problem::validation("/cache/endpoints", format!("at most {ENDPOINTS_MAX}")));
    }
    for (endpoint, own) in &caching.endpoints {
        let pointer = format!("/cache/endpoints/{}", endpoint.replace('~', "~0").replace('/', "~1"));
        path(&pointer, endpoint)?;
        if endpoint.contains(['?', '*']) {
            return Err(Problem::validation(pointer, "is a path, without a query and without `*`"));
        }
        secs(format!("{pointer}/ttl_secs"), own.ttl_secs)?;
        secs(format!("{pointer}/stale_if_error_secs"), own.stale_if_error_secs)?;
        secs(format!("{pointer}/stale_while_revalidate_secs"), own.stale_while_revalidate_secs)?;
    }
    if caching.headers.len() > HEADERS_MAX {
        return Err(Problem::validation("/cache/headers", format!("at most {HEADERS_MAX}")));
    }
    for (i, name) in caching.headers.iter().enumerate() {
        let pointer = format!("/cache/headers/{i}");
        if http::HeaderName::try_from(name.as_str()).is_err() {
            return Err(Problem::validation(pointer, "is not the name of a header"));
        }
        if HEADERS_REFUSED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Problem::validation(pointer, "is a credential, which no answer is kept apart by"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, good) in [
            (r#"{}"#, true),
            (r#"{"ttl_secs":5,"endpoints":{"/v1/quote":{"ttl_secs":5}},"headers":["x-tenant"]}"#, true),
            (r#"{"ttl_secs":2592001}"#, false),
            (r#"{"endpoints":{"":{"ttl_secs":5}}}"#, false),
            (r#"{"endpoints":{"/q?x":{"ttl_secs":5}}}"#, false),
            (r#"{"endpoints":{"/q":{"stale_if_error_secs":2592001}}}"#, false),
            (r#"{"headers":["a b"]}"#, false),
            (r#"{"headers":["Authorization"]}"#, false),
        ] {
            let caching: Caching = serde_json::from_str(text).expect("settings");
            assert_eq!(check(&caching).is_ok(), good, "{text}");
        }
    }
}
