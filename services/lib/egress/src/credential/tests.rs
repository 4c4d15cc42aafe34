//! T08, T11: exactly our value reaches the provider, and nobody else sees it.

use super::*;
use http::Request;
use model::auth::{HeaderField, Signer};

const KEY: &str = "k-3y&=+ü/\"x";

fn fields() -> Fields {
    let pairs = [
        ("api_key", KEY),
        ("api_secret", "s3cret"),
        ("username", "ada"),
        ("password", "p:w"),
        ("split", "a\r\nX-Evil: 1"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).collect()
}

fn head(url: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn header(name: &str) -> Auth {
    Auth::Header { name: name.to_owned(), prefix: String::new(), field: "api_secret".to_owned() }
}

fn values<'h>(head: &'h Parts, name: &str) -> Vec<&'h [u8]> {
    head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

#[test]
fn each_scheme_puts_its_value_in_its_place() {
    let mut parts = head("https://a.com/x", &[]);
    apply(&Auth::Bearer { field: "api_secret".to_owned() }, &fields(), &mut parts).expect("applies");
    assert_eq!(values(&parts, "authorization"), [b"Bearer s3cret"]);

    let basic = Auth::Basic { username_field: "username".to_owned(), password_field: "password".to_owned() };
    apply(&basic, &fields(), &mut parts).expect("applies");
    assert_eq!(values(&parts, "authorization"), [b"Basic YWRhOnA6dw=="]);

    let token = Auth::Header {
        name: "Authorization".to_owned(),
        prefix: "Token ".to_owned(),
        field: "api_secret".to_owned(),
    };
    apply(&token, &fields(), &mut parts).expect("applies");
    assert_eq!(values(&parts, "authorization"), [b"Token s3cret"]);

    let pair = |name: &str, field: &str| HeaderField { name: name.to_owned(), field: field.to_owned() };
    let alpaca = Auth::Headers {
        headers: vec![pair("APCA-API-KEY-ID", "username"), pair("APCA-API-SECRET-KEY", "api_secret")],
    };
    apply(&alpaca, &fields(), &mut parts).expect("applies");
    assert_eq!(values(&parts, "apca-api-key-id"), [b"ada"]);
    assert_eq!(values(&parts, "apca-api-secret-key"), [b"s3cret"]);
    assert!(values(&parts, "authorization").is_empty());
}

#[test]
fn a_callers_credentials_never_pass() {
    let sent = [
        ("Authorization", "Bearer sbt_caller"),
        ("authorization", "Basic eDp5"),
        ("X-API-Key", "caller"),
        ("x-api-key", "caller"),
        ("X-Signalbox-Token", "sbt_caller"),
        ("KC-API-PASSPHRASE", "caller"),
        ("My-Own-Header", "caller"),
        ("accept", "text/plain"),
    ];
    let mut parts = head("https://a.com/", &sent);
    apply(&header("my-own-header"), &fields(), &mut parts).expect("applies");
    assert_eq!(values(&parts, "my-own-header"), [b"s3cret"]);
    assert_eq!(parts.headers.len(), 2, "{:?}", parts.headers);

    let mut parts = head("https://a.com/", &sent[..6]);
    apply(&Auth::None {}, &fields(), &mut parts).expect("applies");
    assert!(parts.headers.is_empty(), "{:?}", parts.headers);
}

#[test]
fn a_query_key_replaces_every_spelling_of_its_name() {
    let auth = Auth::Query { name: "apikey".to_owned(), field: "api_key".to_owned() };
    let escaped = "k-3y%26%3D%2B%C3%BC%2F%22x";
    let table = [
        ("https://a.com", format!("https://a.com/?apikey={escaped}")),
        ("https://a.com/q?", format!("https://a.com/q?apikey={escaped}")),
        ("https://a.com/q?a=%20b+c&d", format!("https://a.com/q?a=%20b+c&d&apikey={escaped}")),
        (
            "https://a.com/q?apikey=x&a=1&APIKEY=y&%61pikey=z&apikey",
            format!("https://a.com/q?a=1&apikey={escaped}"),
        ),
        ("https://a.com/q?myapikey=x", format!("https://a.com/q?myapikey=x&apikey={escaped}")),
    ];
    for (url, expected) in table {
        let mut parts = head(url, &[]);
        apply(&auth, &fields(), &mut parts).expect("applies");
        assert_eq!(parts.uri.to_string(), expected, "{url}");
    }
}

#[test]
fn values_are_sensitive_and_errors_hold_none() {
    let mut parts = head("https://a.com/", &[]);
    apply(&header("x-key"), &fields(), &mut parts).expect("applies");
    assert!(!format!("{parts:?}").contains("s3cret"));

    let field = |field: &str| Auth::Bearer { field: field.to_owned() };
    let table = [
        (field("nothing"), CredentialError::MissingField("nothing".to_owned())),
        (field("split"), CredentialError::InvalidValue("split".to_owned())),
        (header("host"), CredentialError::InvalidHeader("host".to_owned())),
        (header("Content-Length"), CredentialError::InvalidHeader("Content-Length".to_owned())),
        (header("bad name"), CredentialError::InvalidHeader("bad name".to_owned())),
        (Auth::Signed { signer: Signer::Kraken }, CredentialError::MustBeSigned),
        (
            Auth::Basic { username_field: "password".to_owned(), password_field: "password".to_owned() },
            CredentialError::InvalidValue("password".to_owned()),
        ),
    ];
    for (auth, expected) in table {
        let error = apply(&auth, &fields(), &mut head("https://a.com/", &[])).expect_err("cannot apply");
        assert_eq!(error, expected);
        assert!(!format!("{error:?} {error}").contains("X-Evil"));
    }
}
