//! Asks a stream to tell what it used, where an operator wants that and the caller did not ask.
//!
//! The only place that changes a body, and only for integrations whose settings say `usage: ask`. One member is put at the
//! beginning of the document; nothing else of it moves.

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};

/// What is put there.
const MEMBER: &str = "\"stream_options\":{\"include_usage\":true},";

/// The body that asks; nothing when it does already, streams nothing, or cannot be read.
pub(crate) fn ask(body: &Bytes) -> Option<Bytes> {
    let document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    if document.get("stream") != Some(&Value::Bool(true)) || document.contains_key("stream_options") {
        return None;
    }
    let open = body.iter().position(|byte| *byte == b'{')?;
    let (before, after) = body.split_at(open + 1);
    let mut asking = BytesMut::with_capacity(body.len() + MEMBER.len());
    asking.extend_from_slice(before);
    asking.extend_from_slice(MEMBER.as_bytes());
    asking.extend_from_slice(after);
    Some(asking.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_that_does_not_tell_is_asked() {
        let asked = ask(&Bytes::from(r#" {"stream": true, "n": 1.0}"#)).expect("asks");
        assert_eq!(asked, r#" {"stream_options":{"include_usage":true},"stream": true, "n": 1.0}"#);
        for body in [
            r#"{"stream":false}"#,
            r#"{"stream":true,"stream_options":{}}"#,
            "[true]",
            "{",
            r#"{"stream":1}"#,
        ] {
            assert_eq!(ask(&Bytes::from(body)), None, "{body}");
        }
    }
}
