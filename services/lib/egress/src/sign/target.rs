//! Targets and forms: reading and changing `name=value` pairs, all other bytes as they were.
//!
//! Pure. Pairs keep their order and their escapes; what cannot stand in a URL is escaped.

use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};

use super::SignError;
use crate::credential::QUERY;

/// `name=value` pairs between `&`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs(String);

impl Pairs {
    /// The pairs of a text without those that have one of the names, however escaped or cased. Bytes outside of ASCII,
    /// blanks and quotes are escaped.
    pub(super) fn without(text: &str, names: &[&str]) -> Self {
        let mut pairs = Self(String::with_capacity(text.len() + 160));
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let name = decode(pair.split('=').next().unwrap_or_default());
            if !names.iter().any(|unwanted| name.eq_ignore_ascii_case(unwanted)) {
                pairs.separate();
                push_escaped(&mut pairs.0, pair);
            }
        }
        pairs
    }

    /// The first value of a name, decoded.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (!pair.is_empty() && decode(key) == name).then(|| decode(value))
        })
    }

    /// Adds a pair at the end.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.separate();
        self.0.extend(utf8_percent_encode(name, QUERY));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, QUERY));
    }

    /// Adds a pair at the beginning.
    pub(super) fn push_front(&mut self, name: &str, value: &str) {
        let mut first = Self(String::with_capacity(self.0.len() + 64));
        first.push(name, value);
        if !self.0.is_empty() {
            first.separate();
            first.0.push_str(&self.0);
        }
        *self = first;
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn separate(&mut self) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
    }
}

/// A name or a value of a form: a plus is a blank.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A value as a form has it, with a blank as `%20`.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

fn push_escaped(to: &mut String, text: &str) {
    const UNSENDABLE: &AsciiSet =
        &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'#');
    to.extend(utf8_percent_encode(text, UNSENDABLE));
}

/// The query as it will be sent, without its question mark; nothing when there is none.
pub(super) fn query(head: &Parts) -> &str {
    head.uri.query().unwrap_or_default()
}

/// Path and query as they will be sent. A question mark without a query counts as none.
pub(super) fn path_and_query(head: &Parts) -> &str {
    let text = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    text.strip_suffix('?').unwrap_or(text)
}

/// Host, and the port unless it is the scheme's own, in lower case.
pub(super) fn authority(head: &Parts) -> Result<String, SignError> {
    let host = head.uri.host().filter(|host| !host.is_empty()).ok_or(SignError::InvalidUrl)?;
    let mut text = host.to_ascii_lowercase();
    let usual = match head.uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return Err(SignError::InvalidUrl),
    };
    if let Some(port) = head.uri.port_u16().filter(|port| *port != usual) {
        text.push_str(&format!(":{port}"));
    }
    Ok(text)
}

/// Takes off a question mark without a query: signatures do not cover it.
pub(super) fn drop_bare_mark(head: &mut Parts) -> Result<(), SignError> {
    if head.uri.query() == Some("") { set_query(head, "") } else { Ok(()) }
}

/// Puts another query in the place of the request's.
pub(super) fn set_query(head: &mut Parts, query: &str) -> Result<(), SignError> {
    let path = head.uri.path();
    let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let target = PathAndQuery::try_from(text).map_err(|_| SignError::InvalidUrl)?;
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = Some(target);
    head.uri = Uri::from_parts(parts).map_err(|_| SignError::InvalidUrl)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(url: &str) -> Parts {
        http::Request::get(url).body(()).expect("a request").into_parts().0
    }

    #[test]
    fn pairs_keep_their_bytes() {
        let mut pairs = Pairs::without("&b=%7e+x&&Signature=1&sign%61ture=2&c&d=é\"", &["signature"]);
        assert_eq!(pairs.as_str(), "b=%7e+x&c&d=%C3%A9%22");
        assert_eq!((pairs.get("b").as_deref(), pairs.get("c").as_deref()), (Some("~ x"), Some("")));
        assert_eq!(pairs.get("signature"), None);
        pairs.push("e", "a+/= é");
        pairs.push_front("z", "1");
        assert_eq!(pairs.as_str(), "z=1&b=%7e+x&c&d=%C3%A9%22&e=a%2B%2F%3D%20%C3%A9");
        let mut none = Pairs::default();
        assert!(none.is_empty() && none.get("").is_none());
        none.push_front("a", "1");
        assert_eq!(none.into_string(), "a=1");
    }

    #[test]
    fn a_target_is_what_is_sent() {
        let mut parts = head("https://A.com:443/p%2F?");
        assert_eq!((path_and_query(&parts), query(&parts)), ("/p%2F", ""));
        drop_bare_mark(&mut parts).expect("no query");
        assert_eq!(parts.uri, "https://A.com:443/p%2F");
        drop_bare_mark(&mut parts).expect("nothing to do");
        assert_eq!(authority(&parts).expect("a host"), "a.com");
        set_query(&mut parts, "a=1").expect("a query");
        assert_eq!(parts.uri, "https://A.com:443/p%2F?a=1");
        set_query(&mut parts, "").expect("no query");
        assert_eq!(path_and_query(&parts), "/p%2F");
        assert_eq!(authority(&head("http://a.com:443/")).expect("a host"), "a.com:443");
        assert_eq!(authority(&head("/x")), Err(SignError::InvalidUrl));
        assert_eq!(set_query(&mut parts, &"x".repeat(70_000)), Err(SignError::InvalidUrl));
    }
}
