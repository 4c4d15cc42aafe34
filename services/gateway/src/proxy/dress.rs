//! Dresses a request for its provider: takes off what is the caller's or one connection's, adds what is configured.
//!
//! Pure but for the key, which `key` fetches. The provider sees exactly our credential, never the caller's token, its
//! cookies or who it is (T11); `credential::apply` does the last step and has the last word.

use egress::credential;
use http::header::{ACCEPT_ENCODING, CONNECTION, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri, Version};
use model::auth::Auth;
use model::secret::Fields;

use crate::snapshot::Integration;

/// Headers of one connection (RFC 9110, section 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
/// What says who the caller is, or is between it and us.
const CALLERS_OWN: [&str; 11] = [
    "host",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "content-length",
];
/// The same by how they begin.
const CALLERS_OWN_PREFIXES: [&str; 3] = ["x-signalbox-", "x-forwarded-", "proxy-"];
/// What an answer says to one connection or about the provider's own host and sessions. A cookie of the session of our
/// key is a credential.
const PROVIDERS_OWN: [&str; 4] = ["alt-svc", "set-cookie", "set-cookie2", "content-length"];

/// Takes off a request what must not go on. `Content-Length` is said anew from the body.
pub(crate) fn undress(headers: &mut HeaderMap) {
    strip_connection(headers);
    for name in CALLERS_OWN {
        headers.remove(name);
    }
    remove_prefixed(headers, &CALLERS_OWN_PREFIXES);
    credential::strip(headers);
}

/// Takes off an answer what must not go on.
pub(crate) fn undress_answer(headers: &mut HeaderMap) {
    strip_connection(headers);
    for name in PROVIDERS_OWN {
        headers.remove(name);
    }
    remove_prefixed(headers, &["x-signalbox-"]);
}

fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn remove_prefixed(headers: &mut HeaderMap, prefixes: &[&str]) {
    let found: Vec<HeaderName> = headers
        .keys()
        .filter(|name| prefixes.iter().any(|prefix| name.as_str().starts_with(prefix)))
        .cloned()
        .collect();
    for name in found {
        headers.remove(name);
    }
}

/// Why a request cannot be dressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undressed {
    /// It must be signed, which this version does not do.
    MustBeSigned,
    /// The key does not fit the scheme.
    Key(credential::CredentialError),
}

/// The head to send: the caller's undressed headers, the integration's own, and the key. Without fields the request
/// goes as it is: an integration without a key has what its provider offers to everybody.
pub(crate) fn dress(
    integration: &Integration,
    method: &Method,
    headers: &HeaderMap,
    target: PathAndQuery,
    is_public: bool,
    fields: Option<&Fields>,
) -> Result<Parts, Undressed> {
    let mut head = Request::new(()).into_parts().0;
    head.method = method.clone();
    head.version = Version::HTTP_11;
    head.uri = absolute(&integration.scheme, &integration.authority, target);
    head.headers.clone_from(headers);
    for (name, value) in &integration.headers {
        head.headers.insert(name, value.clone());
    }
    for (name, field) in &integration.field_headers {
        if let Some(value) = fields
            .and_then(|fields| fields.get(field))
            .and_then(|value| HeaderValue::from_str(value.expose()).ok())
        {
            head.headers.insert(name, value);
        }
    }
    if integration.reads_good_bodies {
        // An error inside of a 200 can only be seen in a body that is not compressed.
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    match (&integration.auth, fields) {
        (Auth::Signed { .. }, _) if !is_public => return Err(Undressed::MustBeSigned),
        (Auth::Signed { .. }, _) | (_, None) => credential::strip(&mut head.headers),
        (auth, Some(fields)) => credential::apply(auth, fields, &mut head).map_err(Undressed::Key)?,
    }
    Ok(head)
}

fn absolute(scheme: &Scheme, authority: &Authority, target: PathAndQuery) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).expect("scheme, authority and path are all there")
}
