//! Schemes as people write them, and where the faults are.

use super::*;

fn read(json: &str) -> Auth {
    serde_json::from_str(json).expect("a scheme")
}

/// The pointer of the fault; nothing when there is none.
fn fault(json: &str) -> String {
    read(json).check().err().map(|fault| fault.pointer).unwrap_or_default()
}

const OKX: &str = r#"{"scheme":"hmac","secret_field":"api_secret","prehash":"{timestamp_iso}{method}{path_and_query}{body}",
    "encoding":"base64","headers":[{"name":"OK-ACCESS-KEY","value":"{field:api_key}"},
    {"name":"OK-ACCESS-SIGN","value":"{signature}"},{"name":"OK-ACCESS-PASSPHRASE","value":"{field:passphrase}"}]}"#;
const MESSAGE: &str = r#"{"scheme":"message_signature","label":"sig1","components":["@method","@path","content-digest"],
    "algorithm":"ed25519","key_id_field":"key_name","key_field":"private_key","created":true,"expires_secs":60,"nonce":false}"#;

#[test]
fn whole_schemes_have_no_fault_and_name_their_fields() {
    assert_eq!(fault(OKX), "");
    assert_eq!(fault(MESSAGE), "");
    assert_eq!(read(OKX).fields(), ["api_secret", "api_key", "passphrase"]);
    assert_eq!(read(MESSAGE).fields(), ["key_name", "private_key"]);
    assert!(read(OKX).is_signed() && read(MESSAGE).is_signed());
    assert!(!read(r#"{"scheme":"bearer"}"#).is_signed());
    for simple in [
        "{\"scheme\":\"none\"}",
        r#"{"scheme":"query","name":"key"}"#,
        r#"{"scheme":"header","name":"X-Key"}"#,
    ] {
        assert_eq!(fault(simple), "");
    }
    let again = serde_json::to_string(&read(OKX)).expect("writes");
    assert_eq!(read(&again), read(OKX));
}

#[test]
fn faults_say_where_they_are() {
    for (from, to, pointer) in [
        ("{method}", "{methd}", "/prehash"),
        ("{timestamp_iso}{method}{path_and_query}{body}", "", "/prehash"),
        ("{method}", "{signature}", "/prehash"),
        ("OK-ACCESS-KEY", "OK ACCESS", "/headers/0/name"),
        ("OK-ACCESS-KEY", "Host", "/headers/0/name"),
        ("OK-ACCESS-KEY", "ok-access-sign", "/headers/1/name"),
        ("{field:passphrase}", "{field:pass phrase}", "/headers/2/value"),
        ("{signature}", "x", "/headers"),
    ] {
        assert_eq!(fault(&OKX.replacen(from, to, 1)), pointer, "{from} -> {to}");
    }
    for (from, to, pointer) in [
        ("sig1", "Sig", "/label"),
        ("@path", "@status", "/components/1"),
        ("@path", "@method", "/components/1"),
        ("@path", "@query-param", "/components/1"),
        ("content-digest", "Content-Digest", "/components/2"),
        ("content-digest", "signature", "/components/2"),
        ("60", "0", "/expires_secs"),
        ("\"nonce\":false", "\"tag\":\"ü\"", "/tag"),
    ] {
        assert_eq!(fault(&MESSAGE.replacen(from, to, 1)), pointer, "{from} -> {to}");
    }
    assert_eq!(fault(r#"{"scheme":"header","name":"a b"}"#), "/name");
    assert_eq!(fault(r#"{"scheme":"header","name":"a","prefix":"\n"}"#), "/prefix");
    assert_eq!(fault(r#"{"scheme":"headers","headers":[]}"#), "/headers");
    assert_eq!(
        fault(r#"{"scheme":"headers","headers":[{"name":"upgrade","field":"a"}]}"#),
        "/headers/0/name"
    );
    assert_eq!(fault(r#"{"scheme":"query","name":""}"#), "/name");
}

#[test]
fn unknown_members_are_refused() {
    let odd = OKX.replacen("\"encoding\"", "\"encodings\"", 1);
    assert!(serde_json::from_str::<Auth>(&odd).is_err());
}

#[test]
fn a_parameter_of_the_query_is_a_component() {
    assert_eq!(Component::parse("@query-param;name=\"Pet\""), Ok(Component::QueryParam("Pet".to_owned())));
    assert!(Component::parse("@query-param;name=\"\"").is_err());
    assert!(Component::parse(&"x".repeat(NAME_BYTES_MAX + 1)).is_err());
}
