//! The question: finds the symbol in a call's query, and writes the query for several. Pure.
//!
//! What surrounds the symbol stays byte for byte, and calls go together only where it is equal to the byte.

use egress::credential::QUERY;
use http::HeaderMap;
use model::merge::{Form, List};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

/// The longest symbol, in bytes.
const SYMBOL_BYTES_MAX: usize = 64;
/// What a symbol may hold besides letters and digits: nothing that separates symbols, quotes or nests.
const SYMBOL_SIGNS: &[u8] = b"-_.:/^=$@!~*#+";
/// Headers that change no answer, so that calls go together that differ in them. `host` and the like are gone already.
const WITHOUT_MEANING: [&str; 7] =
    ["accept-encoding", "cache-control", "pragma", "traceparent", "tracestate", "user-agent", "x-request-id"];

/// A query that asks for one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'q> {
    /// All before its parameter, a `&` at the end.
    pub(crate) before: &'q str,
    /// The symbol, decoded.
    pub(crate) symbol: String,
    /// All after it, a `&` at the beginning.
    pub(crate) after: &'q str,
}

impl<'q> Asked<'q> {
    /// Reads a query. Nothing when it asks for none or several, or in a way that could be read in two ways.
    pub(crate) fn read(form: &Form, query: &'q str) -> Option<Self> {
        let (mut found, mut start) = (None, 0);
        for pair in query.split('&') {
            let end = start + pair.len();
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode_str(name).decode_utf8().ok()?;
            let single = name == form.parameter.as_str();
            if single || form.many.as_deref() == Some(&*name) {
                if !single || found.is_some() {
                    return None;
                }
                found = Some((start, end, value));
            }
            start = end + 1;
        }
        let (start, end, value) = found?;
        // A plain `+` is a space to some and a plus to others.
        let symbol = Some(value).filter(|value| !value.contains('+'))?;
        let symbol = percent_decode_str(symbol).decode_utf8().ok()?;
        is_symbol(&symbol).then(|| Self {
            before: &query[..start],
            symbol: symbol.into_owned(),
            after: &query[end..],
        })
    }
}

fn is_symbol(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || SYMBOL_SIGNS.contains(&b);
    (1..=SYMBOL_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// Writes the query for several symbols.
pub(crate) fn compose(form: &Form, before: &str, symbols: &[&str], after: &str) -> String {
    let name = form.many.as_deref().unwrap_or(&form.parameter);
    let (open, between, close) = match form.list {
        List::Comma => ("", ",", ""),
        List::Json => ("%5B%22", "%22%2C%22", "%22%5D"),
    };
    let mut query = String::with_capacity(before.len() + name.len() + after.len() + symbols.len() * 16);
    query.push_str(before);
    query.push_str(name);
    query.push('=');
    query.push_str(open);
    for (n, symbol) in symbols.iter().enumerate() {
        if n > 0 {
            query.push_str(between);
        }
        query.extend(utf8_percent_encode(symbol, QUERY));
    }
    query.push_str(close);
    query.push_str(after);
    query
}

/// What calls must have in common: endpoint, path, query but for the symbol, and headers that mean something.
pub(crate) fn key(number: usize, path: &str, asked: &Asked<'_>, headers: &HeaderMap) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    put(&mut key, &number.to_le_bytes());
    for part in [path, asked.before, asked.after] {
        put(&mut key, part.as_bytes());
    }
    let meant = headers.iter().filter(|(name, _)| !WITHOUT_MEANING.contains(&name.as_str()));
    let mut meant: Vec<(&str, &[u8])> =
        meant.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    // Stable: the order of one header's values stays.
    meant.sort_by_key(|(name, _)| *name);
    for (name, value) in meant {
        put(&mut key, name.as_bytes());
        put(&mut key, value);
    }
    key
}

/// Each part with its length, so that no two calls that differ have the same key.
fn put(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&part.len().to_le_bytes());
    key.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{ACCEPT, USER_AGENT};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn form(more: &serde_json::Value) -> Form {
        let mut form = json!({ "parameter": "symbol" });
        form.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        serde_json::from_value(form).expect("a form")
    }

    #[test]
    fn the_symbol_of_a_single_call_is_found() {
        let form = form(&json!({ "many": "symbols" }));
        for (query, wanted) in [
            ("symbol=IBM", Some(("", "IBM", ""))),
            ("a=1&symbol=IBM&b=2", Some(("a=1&", "IBM", "&b=2"))),
            ("%73ymbol=BRK.B", Some(("", "BRK.B", ""))),
            ("symbol=BTC%2FUSD&", Some(("", "BTC/USD", "&"))),
            ("a=symbol&&symbol=X", Some(("a=symbol&&", "X", ""))),
            ("", None),
            ("a=1", None),
            ("symbol", None),
            ("symbol=", None),
            ("symbol=A,B", None),
            ("symbol=A%2CB", None),
            ("symbol=A%20B", None),
            ("symbol=A+B", None),
            ("symbol=%5B%22A%22%5D", None),
            ("symbol=%ff", None),
            ("symbol=A&symbol=B", None),
            ("symbol=A&symbols=B", None),
            ("symbol=A&s%79mbols=", None),
            ("symbol=A&%ff=1", None),
        ] {
            let found = Asked::read(&form, query);
            let found = found.as_ref().map(|asked| (asked.before, asked.symbol.as_str(), asked.after));
            assert_eq!(found, wanted, "{query}");
        }
    }

    #[test]
    fn several_symbols_are_written_as_the_provider_has_them() {
        for (more, wanted) in [
            (json!({}), "a=1&symbol=A,B%2FC&b=2"),
            (json!({ "many": "symbols" }), "a=1&symbols=A,B%2FC&b=2"),
            (json!({ "many": "symbols", "list": "json" }), "a=1&symbols=%5B%22A%22%2C%22B%2FC%22%5D&b=2"),
        ] {
            assert_eq!(compose(&form(&more), "a=1&", &["A", "B/C"], "&b=2"), wanted);
        }
    }

    #[test]
    fn calls_go_together_when_all_but_the_symbol_is_equal() {
        let form = form(&json!({}));
        let of = |path: &str, query: &str, headers: &[(http::HeaderName, &'static str)]| {
            let headers: HeaderMap =
                headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            key(0, path, &Asked::read(&form, query).expect("a symbol"), &headers)
        };
        let one = of("/q", "a=1&symbol=A", &[(USER_AGENT, "x"), (ACCEPT, "*/*")]);
        assert_eq!(one, of("/q", "a=1&symbol=B", &[(ACCEPT, "*/*"), (USER_AGENT, "y")]));
        assert_ne!(one, of("/q", "a=2&symbol=A", &[(ACCEPT, "*/*")]));
        assert_ne!(one, of("/q", "symbol=A&a=1", &[(ACCEPT, "*/*")]));
        assert_ne!(one, of("/q/", "a=1&symbol=A", &[(ACCEPT, "*/*")]));
        assert_ne!(one, of("/q", "a=1&symbol=A", &[(ACCEPT, "text/csv")]));
        assert_ne!(one, of("/q", "a=1&symbol=A", &[]));
    }

    proptest! {
        /// Whatever is found and written again alone is the same question.
        #[test]
        fn a_symbol_is_found_again_in_what_was_written(
            before in "(([a-r]=[a-z0-9%]{0,3})&){0,3}", symbol in "[A-Za-z0-9:/^=._-]{1,20}", after in "(&[a-r]=[0-9]?){0,3}",
        ) {
            let form = form(&json!({}));
            let query = compose(&form, &before, &[&symbol], &after);
            let found = Asked::read(&form, &query).expect("its symbol");
            prop_assert_eq!((found.before, found.symbol.as_str(), found.after), (&*before, &*symbol, &*after));
        }
    }
}
