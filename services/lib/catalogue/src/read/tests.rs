//! Tests of wrong files: each has a line and a reason.

use super::*;

const RIGHT: &str = r#"id = "mine"
name = "Mine"
category = "other"
docs_url = "https://example.com/docs"

auth = { scheme = "bearer", field = "token" }

[[environments]]
name = "production"
base_url = "https://api.example.com"

[[fields]]
name = "token"
label = "Token"

[probe]
path = "/status"

[[error_rules]]
name = "limit"
status = [429]
reason = "throttled_burst"

[operations.quote]
path = "/quotes/{symbol}"
parameters = [{ name = "symbol", required = true }]
"#;

/// Replaces a part of a right file, and wants an error at a line with a text.
#[track_caller]
fn check(from: &str, to: &str, line: usize, wanted: &str) {
    assert!(RIGHT.contains(from), "the file has `{from}`");
    match parse("mine.toml", &RIGHT.replacen(from, to, 1)) {
        Ok(_) => panic!("was taken: {to}"),
        Err(error @ Error::Wrong { line: found, .. }) => {
            assert!(error.to_string().contains(wanted), "{error}");
            assert!(error.to_string().starts_with("mine.toml:"), "{error}");
            assert_eq!(found, line, "{error}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_right_file_is_right() {
    assert!(parse("mine.toml", RIGHT).is_ok());
}

#[test]
fn what_is_no_toml_or_no_provider_is_refused_where_it_stands() {
    check("name = \"Mine\"", "name = Mine", 2, "");
    check("category = \"other\"", "category = \"others\"", 3, "unknown variant");
    check("label = \"Token\"", "lable = \"Token\"", 14, "unknown field `lable`");
    check("id = \"mine\"", "id = \"Mine\"", 1, "is not a provider id");
    check("reason = \"throttled_burst\"", "reason = \"throttled\"", 22, "unknown variant");
}

#[test]
fn addresses_are_https() {
    check("https://api.example.com", "http://api.example.com", 8, "is no https address");
    check("https://api.example.com", "https://key@api.example.com", 8, "is no https address");
    check("https://api.example.com", "https://api.example.com/", 8, "must not end with `/`");
    check("https://example.com/docs", "ftp://example.com", 4, "is no https address");
}

#[test]
fn what_is_used_is_declared() {
    check("field = \"token\"", "field = \"api_key\"", 6, "uses the field `api_key`");
    check("{symbol}", "{ticker}", 24, "`{ticker}` is used");
    check("required = true", "required = false", 24, "`symbol` stands in the path");
    check("\"production\"", "\"live\"", 8, "the first must be `production`");
    check("docs_url = \"https://example.com/docs\"", "", 1, "`docs_url` is missing");
}

#[test]
fn patterns_compile_and_paths_begin_with_a_slash() {
    check("label = \"Token\"", "label = \"Token\"\npattern = \"[\"", 12, "no regular expression");
    check("path = \"/status\"", "path = \"status\"", 16, "begins with `/`");
    check("path = \"/status\"", "path = \"/status?x=1\"", 16, "has no query");
    check("path = \"/quotes", "path = \"quotes", 24, "begins with `/`");
}

#[test]
fn rules_say_something_and_only_one_thing() {
    check("status = [429]", "", 19, "looks at nothing");
    check("reason = \"throttled_burst\"", "", 19, "exactly one of `reason` and `fine = true`");
    check("status = [429]", "body_contains = [\"limit\"]", 19, "only for statuses of 400 and more");
    check("status = [429]", "status = [700]", 19, "statuses are 100 to 599");
    check("status = [429]", "body = [{ pointer = \"/a\" }]", 19, "says nothing");
    check("status = [429]", "body = [{ pointer = \"a\", exists = true }]", 19, "JSON pointer");
}

#[test]
fn a_defunct_provider_has_nothing_to_call() {
    let gone = "category = \"other\"\nlifecycle = { state = \"defunct\" }";
    check(
        "category = \"other\"\ndocs_url = \"https://example.com/docs\"\n",
        gone,
        7,
        "has no `environments`",
    );
    check("category = \"other\"", gone, 5, "has no `docs_url`");
}

#[test]
fn mappings_are_refused_where_they_stand() {
    let mapped = |answer: &str| format!("required = true }}]\n\n[operations.quote.answer]\n{answer}");
    let check =
        |answer: &str, line: usize, wanted: &str| check("required = true }]", &mapped(answer), line, wanted);
    check("price = \"/p\"\nopen = \"/o\"", 30, "quote has no `open`");
    check("price = \"/p/{ticker}\"", 29, "`{ticker}` is neither");
    check("price = \"/p\"\ntime = { unit = \"secs\", zone = \"Mars\" }", 30, "IANA name");
    check("price = \"/p\"\nprize = \"/o\"", 30, "unknown field `prize`");
    check("symbol = \"/s\"", 28, "`price` is missing");
}

#[test]
fn custom_is_reserved() {
    check("id = \"mine\"", "id = \"custom\"", 1, "no provider of the catalogue");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,300}") {
        let _ = parse("any.toml", &text);
    }
}

#[test]
fn the_example_for_operators_is_a_right_file() {
    let manual = include_str!("../../../../../deploy/README.md");
    let (_, rest) = manual.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let provider = parse("acme.toml", example).expect("the example is right");
    assert_eq!((provider.id.as_str(), provider.limits.len()), ("acme", 1));
}
