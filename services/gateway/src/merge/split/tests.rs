//! Documented answers taken apart, and any answer at all.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn form(text: &Value) -> Form {
    let mut form = json!({ "parameter": "symbol" });
    form.as_object_mut().expect("an object").extend(text.as_object().expect("an object").clone());
    serde_json::from_value(form).expect("a form")
}

#[track_caller]
fn check(form_text: &Value, body: &str, wanted: &[(&str, Option<&str>)]) {
    let form = form(form_text);
    let parts = Parts::read(&form, body.as_bytes());
    for (symbol, wanted) in wanted {
        let found = parts.as_ref().and_then(|parts| parts.of(symbol));
        let found = found.as_deref().map(|bytes| std::str::from_utf8(bytes).expect("text"));
        assert_eq!(found, *wanted, "{symbol}");
    }
}

#[test]
fn elements_are_found_by_their_symbol() {
    let body = r#" [ {"symbol":"LTCBTC","price":"4.00000200"} , {"symbol":"ETHBTC", "price":0.0794660100000000000001 } ] "#;
    check(
        &json!({ "symbol": "symbol" }),
        body,
        &[
            ("LTCBTC", Some(r#"{"symbol":"LTCBTC","price":"4.00000200"}"#)),
            ("ethbtc", Some(r#"{"symbol":"ETHBTC", "price":0.0794660100000000000001 }"#)),
            ("BNBBTC", None),
        ],
    );
    check(
        &json!({ "symbol": "symbol", "single": "list" }),
        body,
        &[("LTCBTC", Some(r#"[{"symbol":"LTCBTC","price":"4.00000200"}]"#))],
    );
}

#[test]
fn members_are_found_by_their_name() {
    let body =
        r#"{"AAPL":{"price":"200.99001"},"BTC/USD":{"price":1e5},"EUR\/USD":{"price":1.10},"GONE":null}"#;
    check(
        &json!({}),
        body,
        &[
            ("AAPL", Some(r#"{"price":"200.99001"}"#)),
            ("aapl", Some(r#"{"price":"200.99001"}"#)),
            ("BTC/USD", Some(r#"{"price":1e5}"#)),
            ("EUR/USD", Some(r#"{"price":1.10}"#)),
            ("GONE", None),
            ("MSFT", None),
        ],
    );
}

#[test]
fn the_same_answer_keeps_what_is_around_the_part() {
    let body = r#"{"took":1.50,"trades":{"AAPL":{"p":1.10},"MSFT":{"p":2}},"next":null}"#;
    check(
        &json!({ "at": "/trades", "single": "same" }),
        body,
        &[("MSFT", Some(r#"{"took":1.50,"trades":{"MSFT":{"p":2}},"next":null}"#)), ("took", None)],
    );
    let body = "{\"bitcoin\":{\"usd\":76975},\"ethereum\":{\"usd\":1.0}}\n";
    check(
        &json!({ "single": "same" }),
        body,
        &[("ethereum", Some("{\"ethereum\":{\"usd\":1.0}}\n")), ("dogecoin", None)],
    );
    check(
        &json!({ "at": "/a~1b/list", "symbol": "id", "single": "same" }),
        r#"{"a/b":{"list":[{"id":7,"x":[1]},{"id":"seven"}]}}"#,
        &[
            ("7", Some(r#"{"a/b":{"list":[{"id":7,"x":[1]}]}}"#)),
            ("seven", Some(r#"{"a/b":{"list":[{"id":"seven"}]}}"#)),
        ],
    );
}

#[test]
fn what_is_there_twice_or_in_another_shape_has_no_part() {
    let list = json!({ "symbol": "symbol" });
    let twice = r#"[{"symbol":"A","x":1},{"symbol":"A","x":2},{"symbol":"b"},{"symbol":"B"}]"#;
    check(&list, twice, &[("A", None), ("b", Some(r#"{"symbol":"b"}"#))]);
    check(&list, r#"[{"symbol":"AB"},{"symbol":"Ab"}]"#, &[("ab", None)]);
    for body in
        ["", "[", "null", r#"{"Error Message":"limit"}"#, r#"[1,"A",["A"],{"symbol":null},{"symbol":{}}]"#]
    {
        check(&list, body, &[("A", None), ("Error Message", None)]);
    }
    for body in ["[]", r#"["A"]"#, "\"A\"", "{\"A\":1", "\u{feff}{}"] {
        check(&json!({}), body, &[("A", None)]);
    }
    check(&json!({ "at": "/x" }), r#"{"y":{"A":1}}"#, &[("A", None)]);
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?",
        Just("true".to_owned()),
        "[a-z \u{e4}]{0,8}".prop_map(|text| Value::from(text).to_string()),
        "[0-9]{1,3}".prop_map(|n| format!(r#"[1,{{"n":{}}}]"#, n.trim_start_matches('0').len())),
    ]
}

proptest! {
    /// Put together and taken apart: each part is what went in, to the byte, whatever stands around it.
    #[test]
    fn what_goes_in_comes_out(
        values in prop::collection::btree_map("[A-Z]{1,4}", value(), 1..12), space in "[ \n]{0,2}", same in any::<bool>(),
    ) {
        let members: Vec<String> = values.iter().map(|(name, value)| format!("{space}\"{name}\":{space}{value}")).collect();
        let body = format!("{space}{{{}{space}}}{space}", members.join(","));
        let single = if same { "same" } else { "part" };
        let form_named = form(&json!({ "single": single }));
        let parts = Parts::read(&form_named, body.as_bytes()).expect("an object");
        for (name, value) in &values {
            let wanted = if same { format!("{space}{{\"{name}\":{value}}}{space}") } else { value.clone() };
            prop_assert_eq!(parts.of(name).expect("is there"), wanted.as_bytes());
        }
        prop_assert!(parts.of("none of them").is_none());

        let elements: Vec<String> =
            values.iter().map(|(name, value)| format!("{{\"v\":{value},{space}\"s\":\"{name}\"}}")).collect();
        let body = format!("{{\"at\":[{}],\"n\":1.0}}", elements.join(","));
        let form_list = form(&json!({ "at": "/at", "symbol": "s", "single": single }));
        let parts = Parts::read(&form_list, body.as_bytes()).expect("a list");
        for ((name, _), element) in values.iter().zip(&elements) {
            let wanted = if same { format!("{{\"at\":[{element}],\"n\":1.0}}") } else { element.clone() };
            prop_assert_eq!(parts.of(name).expect("is there"), wanted.as_bytes());
        }
    }

    /// Any bytes at all are read without a panic, and what comes out is JSON.
    #[test]
    fn anything_is_read(body in "[\\[\\]{}\":,a0.\\\\u ]{0,40}", symbol in "[a0]{1,2}") {
        for text in [json!({}), json!({ "symbol": "a" }), json!({ "at": "/a", "single": "same" })] {
            let form = form(&text);
            if let Some(found) = Parts::read(&form, body.as_bytes()).and_then(|parts| parts.of(&symbol)) {
                prop_assert!(serde_json::from_slice::<Value>(&found).is_ok());
            }
        }
    }
}
