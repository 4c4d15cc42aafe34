//! Schemes of providers that are not built in, and what a pattern's placeholders become.

use super::*;
use crate::sign::Prepared;
use http::Request;
use model::Secret;

fn key() -> Fields {
    let pairs = [("api_key", "the-key"), ("api_secret", "c2VjcmV0"), ("account", "a b")];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).collect()
}

fn prepared(json: &str) -> Result<Prepared, SignError> {
    Prepared::new(&serde_json::from_str(json).expect("a scheme"), &key())
}

fn sign(json: &str, url: &str, body: &str) -> Parts {
    let request = Request::post(url)
        .header("content-type", "text/x")
        .header("x-ts", "caller")
        .header("x-sign", "caller");
    let mut head = request.body(()).expect("a request").into_parts().0;
    let at = Moment { now_ms: 1_700_000_004_005, nonce: 77, random: [0xab; 16] };
    let prepared = prepared(json).expect("a key");
    prepared.sign(&mut head, &mut Bytes::from(body.to_owned()), &at).expect("signs");
    head
}

fn header<'h>(head: &'h Parts, name: &str) -> &'h str {
    head.headers[name].to_str().expect("text")
}

/// What a pattern becomes, seen in a header.
fn filled(pattern: &str) -> String {
    let json = format!(
        r#"{{"scheme":"hmac","prehash":"x","headers":[{{"name":"x-seen","value":"{pattern}"}},{{"name":"x-sign","value":"{{signature}}"}}]}}"#
    );
    header(&sign(&json, "https://Api.X.com:444/p/a%20b?q=1&r", "body"), "x-seen").to_owned()
}

#[test]
fn every_placeholder_has_its_value() {
    for (pattern, value) in [
        ("{method} {path}", "POST /p/a%20b"),
        ("{query}|{path_and_query}", "q=1&r|/p/a%20b?q=1&r"),
        ("{url}", "https://api.x.com:444/p/a%20b?q=1&r"),
        ("{host}", "api.x.com:444"),
        ("{body}", "body"),
        ("{body_sha256_hex}", "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"),
        ("{body_sha256_base64}", "Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU="),
        ("{timestamp} {timestamp_ms}", "1700000004 1700000004005"),
        ("{timestamp_iso}", "2023-11-14T22:13:24.005Z"),
        ("{nonce} {random}", "77 abababababababababababababababab"),
        ("{content_type} {header:Content-Type}{header:none}", "text/x text/x"),
        ("{field:account}{{}}", "a b{}"),
    ] {
        assert_eq!(filled(pattern), value, "{pattern}");
    }
    assert_eq!(filled("{body_sha512_hex}").len(), 128);
}

/// FTX, of which only its scheme lives on in others.
#[test]
fn a_scheme_of_headers_in_hexadecimal() {
    let json = r#"{"scheme":"hmac","prehash":"{timestamp_ms}{method}{path_and_query}{body}","headers":[
        {"name":"X-KEY","value":"{field:api_key}"},{"name":"X-TS","value":"{timestamp_ms}"},{"name":"X-SIGN","value":"{signature}"}]}"#;
    let head = sign(json, "https://x.com/api/orders?a=1", "{}");
    let key = MacKey::read("s", &Secret::new("c2VjcmV0".to_owned()), Default::default()).expect("a secret");
    assert_eq!(header(&head, "x-sign"), key.sha256_hex(&[b"1700000004005POST/api/orders?a=1{}"]));
    assert_eq!((header(&head, "x-key"), header(&head, "x-ts")), ("the-key", "1700000004005"));
    assert!(head.headers["x-key"].is_sensitive());
}

/// Coinbase's keys of old: seconds, the secret as text, hexadecimal, no query.
#[test]
fn a_scheme_in_seconds_without_the_query() {
    let json = r#"{"scheme":"hmac","prehash":"{timestamp}{method}{path}{body}","headers":[
        {"name":"CB-ACCESS-KEY","value":"{field:api_key}"},{"name":"CB-ACCESS-SIGN","value":"{signature}"},
        {"name":"CB-ACCESS-TIMESTAMP","value":"{timestamp}"}]}"#;
    let head = sign(json, "https://x.com/v2/accounts?limit=1", "");
    let key = MacKey::read("s", &Secret::new("c2VjcmV0".to_owned()), Default::default()).expect("a secret");
    assert_eq!(header(&head, "cb-access-sign"), key.sha256_hex(&[b"1700000004POST/v2/accounts"]));
}

#[test]
fn parameters_are_signed_before_the_signature_is_one() {
    let json = r#"{"scheme":"hmac","algorithm":"sha512","secret_encoding":"base64","encoding":"base64",
        "prehash":"{query}|{header:x-ts}","headers":[{"name":"x-ts","value":"{timestamp}"}],
        "query":[{"name":"sig","value":"v1={signature}"},{"name":"ts","value":"{timestamp}"},{"name":"who","value":"{field:account}"}]}"#;
    let head = sign(json, "https://x.com/a?sig=caller&b=%41+c&ts=1", "");
    let (query, signature) = head.uri.query().expect("a query").split_once("&sig=").expect("signed");
    assert_eq!(query, "b=%41+c&ts=1700000004&who=a%20b");
    let key =
        MacKey::read("s", &Secret::new("c2VjcmV0".to_owned()), model::auth::signing::SecretEncoding::Base64);
    let tag = key.expect("a secret").sign(HmacAlgorithm::Sha512, &[query.as_bytes(), b"|1700000004"]);
    assert_eq!(target::decode(signature), format!("v1={}", mac::base64(tag.as_ref())));
    assert_eq!(header(&head, "x-ts"), "1700000004");
}

#[test]
fn the_body_is_read_only_when_it_is_signed() {
    let reads = |prehash: &str| {
        let json = format!(
            r#"{{"scheme":"hmac","prehash":"{prehash}","headers":[{{"name":"x-sign","value":"{{signature}}"}}]}}"#
        );
        prepared(&json).expect("a key").reads_body()
    };
    assert!(reads("{body_sha512_hex}") && !reads("{path}"));
}

#[test]
fn a_broken_scheme_and_a_missing_field_are_named() {
    let broken =
        r#"{"scheme":"hmac","prehash":"{nope}","headers":[{"name":"x-sign","value":"{signature}"}]}"#;
    let error = prepared(broken).expect_err("broken").to_string();
    assert!(error.starts_with("the scheme is broken at /prehash: at character 1"), "{error}");
    let missing =
        r#"{"scheme":"hmac","prehash":"x{field:pin}","headers":[{"name":"x-sign","value":"{signature}"}]}"#;
    assert_eq!(prepared(missing).err(), Some(SignError::MissingField("pin".to_owned())));
    let split = r#"{"scheme":"hmac","prehash":"x","headers":[{"name":"x-body","value":"{body}"},{"name":"x-sign","value":"{signature}"}]}"#;
    let mut head = Request::post("https://x.com/").body(()).expect("a request").into_parts().0;
    let at = Moment { now_ms: 1, nonce: 1, random: [0; 16] };
    for body in [&b"a\nb"[..], &b"\xff"[..]] {
        let error = prepared(split).expect("a key").sign(&mut head, &mut Bytes::from_static(body), &at);
        assert_eq!(error, Err(SignError::InvalidHeader("x-body".to_owned())));
    }
}
