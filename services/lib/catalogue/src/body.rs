//! Tests of a JSON body: pointers with `*`, and what is asked of the values that they lead to.

use serde_json::Value;

use crate::{BodyTest, Scalar};

/// Whether a test holds. One value at the pointer is enough; `exists = false` wants none.
pub(crate) fn holds(test: &BodyTest, body: &Value) -> bool {
    let found = values(body, &test.pointer);
    let mut found = found.iter().filter(|v| !v.is_null()).peekable();
    match (found.peek().is_some(), test.exists) {
        (there, Some(false)) => !there,
        (false, _) => false,
        (true, _) => found.any(|value| passes(test, value)),
    }
}

fn passes(test: &BodyTest, value: &Value) -> bool {
    let among = |list: &[Scalar]| list.iter().any(|scalar| equals(scalar, value));
    (test.one_of.is_empty() || among(&test.one_of))
        && !among(&test.none_of)
        && (test.contains.is_empty() || value.as_str().is_some_and(|text| contains_any(text, &test.contains)))
        && (test.starts_with.is_empty()
            || value
                .as_str()
                .is_some_and(|text| test.starts_with.iter().any(|s| text.starts_with(s.as_str()))))
        && test.empty.is_none_or(|empty| is_empty(value) == empty)
}

/// Whether a text holds one of several, their case ignored (ASCII).
pub(crate) fn contains_any(text: &str, any: &[String]) -> bool {
    let text = text.to_ascii_lowercase();
    any.iter().any(|part| text.contains(&part.to_ascii_lowercase()))
}

/// The values that a pointer leads to, in order. A segment `*` is every element of an array or object.
pub(crate) fn values<'a>(body: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let mut at = vec![body];
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        let mut next = Vec::new();
        for value in at {
            match value {
                Value::Array(items) if name == "*" => next.extend(items),
                Value::Object(map) if name == "*" => next.extend(map.values()),
                Value::Array(items) => next.extend(name.parse::<usize>().ok().and_then(|i| items.get(i))),
                Value::Object(map) => next.extend(map.get(&name)),
                _ => {}
            }
        }
        at = next;
    }
    at
}

fn equals(scalar: &Scalar, value: &Value) -> bool {
    match (scalar, value) {
        (Scalar::Bool(wanted), Value::Bool(given)) => wanted == given,
        (Scalar::Integer(wanted), Value::Number(given)) => given.as_i64() == Some(*wanted),
        (Scalar::Integer(wanted), Value::String(given)) => *given == wanted.to_string(),
        (Scalar::Text(wanted), Value::String(given)) => wanted == given,
        (Scalar::Text(wanted), Value::Number(given)) => *wanted == given.to_string(),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
