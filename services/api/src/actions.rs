//! Verbs behind a colon: `POST /keys/{id}:reveal`.
//!
//! The router's paths cannot hold a parameter and a word in one segment, so outside of the router the last
//! segment `id:verb` becomes the two segments `id` and `~verb`. In the OpenAPI document `/~` becomes `:` again.

use axum::extract::Request;
use http::Uri;

/// What stands for the colon in the router's paths.
pub(crate) const MARK: &str = "/~";

/// Rewrites the last segment, if it has a verb.
pub(crate) fn split_verb(mut request: Request) -> Request {
    if let Some(uri) = rewritten(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn rewritten(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let (before, last) = path.rsplit_once('/')?;
    let (id, verb) = last.split_once(':')?;
    if verb.is_empty() || !verb.bytes().all(|c| c.is_ascii_lowercase() || c == b'-') {
        return None;
    }
    // `/api/v1/integrations:test` has its verb on the collection, `/keys/x:reveal` on the thing.
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{before}/{id}{MARK}{verb}{query}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_becomes_a_segment() {
        let check = |from: &str, to: Option<&str>| {
            let uri: Uri = from.parse().expect("a path");
            assert_eq!(rewritten(&uri).map(|uri| uri.to_string()).as_deref(), to, "{from}");
        };
        check("/api/v1/keys/a-b:reveal?x=1", Some("/api/v1/keys/a-b/~reveal?x=1"));
        check("/api/v1/integrations:test", Some("/api/v1/integrations/~test"));
        check("/api/v1/integrations/a:invalidate-cache", Some("/api/v1/integrations/a/~invalidate-cache"));
        check("/api/v1/keys/a", None);
        check("/api/v1/keys/a:", None);
        check("/api/v1/keys/a:B", None);
    }
}
