//! Dresses a request for its provider: takes off what is the caller's or one connection's, adds what is configured.
//!
//! Pure. The provider sees exactly our credential, never the caller's token, its cookies or who it is (T11); `key` does the
//! last step and has the last word.

use std::sync::LazyLock;

use egress::credential;
use egress::names::{Names, take_off};
use http::header::{ACCEPT_ENCODING, CONNECTION, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri, Version};

use super::encoding;
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
/// The same by how they begin.
const PROVIDERS_OWN_PREFIXES: [&str; 1] = ["x-signalbox-"];

/// Room for a few headers more than came: a map that grows is built anew. The answer's headers come into the same memory.
const ROOM: usize = 12;

/// Takes off a request what must not go on. `Content-Length` is said anew from the body.
pub(crate) fn undress(headers: &mut HeaderMap) {
    strip(headers, is_callers_own);
}

/// Whether a header of a caller goes to no provider.
pub(crate) fn is_callers_own(name: &HeaderName) -> bool {
    static GONE: LazyLock<Names> = LazyLock::new(|| Names::of(&[&CALLERS_OWN, &HOP_BY_HOP]));
    GONE.contains(name)
        || CALLERS_OWN_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
        || credential::is_credential(name)
}

/// Takes off an answer what must not go on.
pub(crate) fn undress_answer(headers: &mut HeaderMap) {
    static GONE: LazyLock<Names> = LazyLock::new(|| Names::of(&[&PROVIDERS_OWN, &HOP_BY_HOP]));
    strip(headers, |name| {
        GONE.contains(name) || PROVIDERS_OWN_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
    });
}

/// Takes off what is `gone`, and what `Connection` names.
fn strip(headers: &mut HeaderMap, gone: impl Fn(&HeaderName) -> bool) {
    if !headers.contains_key(CONNECTION) {
        return take_off(headers, gone);
    }
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        // What nearly all say names no field that is not gone anyway.
        .filter(|name| !["keep-alive", "close"].iter().any(|plain| name.eq_ignore_ascii_case(plain)))
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let named: Vec<HeaderName> = named.collect();
    take_off(headers, |name| gone(name) || named.contains(name));
}

/// The head to send, but for the key: the caller's undressed headers, and the integration's own.
pub(crate) fn dress(
    integration: &Integration,
    method: &Method,
    headers: &HeaderMap,
    target: PathAndQuery,
    further: &[(HeaderName, HeaderValue)],
) -> Parts {
    let mut head = Request::new(()).into_parts().0;
    head.method = method.clone();
    head.version = Version::HTTP_11;
    head.uri = absolute(&integration.scheme, &integration.authority, target);
    head.headers = HeaderMap::with_capacity(headers.len() + ROOM);
    head.headers.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    for (name, value) in integration.headers.iter().chain(further) {
        head.headers.insert(name, value.clone());
    }
    if integration.reads_good_bodies {
        // An error inside of a 200 can only be seen in a body that we can read.
        let readable = encoding::readable(&head.headers);
        head.headers.insert(ACCEPT_ENCODING, readable);
    }
    head
}

fn absolute(scheme: &Scheme, authority: &Authority, target: PathAndQuery) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).expect("scheme, authority and path are all there")
}
