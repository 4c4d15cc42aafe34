//! The vectors of RFC 9421, appendix B, whose signatures can be made again, and the others by their verifiers.

use super::*;
use crate::sign::Prepared;
use http::Request;
use model::Secret;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};

const BODY: &str = "{\"hello\": \"world\"}";
const CREATED_MS: u64 = 1_618_884_473_000;
/// Keys of the RFC and throw-away ones.
const SHARED: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----";
const P256: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIMrNyH/NLgilD02clofOD2p09Qb6t8cRB/bBvbBUNa7moAoGCCqGSM49\nAwEHoUQDQgAE9W/HhwPkX2bxgPl7+4QlxbUkN0tmdsaO8y3jZxCt2usARbfFLBJL\ntRWUWD3Ou+wzSr6d0BDwbxe3pZ3GbPi9qQ==\n-----END EC PRIVATE KEY-----";
const P256_PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9W/HhwPkX2bxgPl7+4QlxbUkN0tmdsaO8y3jZxCt2usARbfFLBJLtRWUWD3Ou+wzSr6d0BDwbxe3pZ3GbPi9qQ==";

/// The test request of appendix B.2.
fn head() -> Parts {
    let request = Request::post("https://example.com/foo?param=Value&Pet=dog")
        .header("Date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .header("Content-Type", "application/json");
    request.body(()).expect("a request").into_parts().0
}

fn prepared(scheme: &str, key_id: &str, key: &str) -> Result<Prepared, SignError> {
    let pairs = [("api_key", key_id), ("api_secret", key)];
    let fields = pairs.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())));
    let scheme = format!(r#"{{"scheme":"message_signature",{scheme}}}"#);
    Prepared::new(&serde_json::from_str(&scheme).expect("a scheme"), &fields.collect())
}

fn sign(scheme: &str, key_id: &str, key: &str) -> Parts {
    let mut head = head();
    let at = Moment { now_ms: CREATED_MS, nonce: 1, random: [0xab; 16] };
    let prepared = prepared(scheme, key_id, key).expect("a key");
    prepared.sign(&mut head, &mut Bytes::from_static(BODY.as_bytes()), &at).expect("signs");
    head
}

fn header<'h>(head: &'h Parts, name: &str) -> &'h str {
    head.headers[name].to_str().expect("text")
}

fn signature(head: &Parts) -> Vec<u8> {
    let text = header(head, "signature").strip_prefix("s=:").and_then(|text| text.strip_suffix(':'));
    mac::unbase64(text.expect("a byte sequence")).expect("base64").to_vec()
}

#[test]
fn b_2_5_hmac_sha256() {
    let scheme = r#""label":"sig-b25","components":["date","@authority","content-type"],"algorithm":"hmac-sha256","key_encoding":"base64","alg":false"#;
    let head = sign(scheme, "test-shared-secret", SHARED);
    assert_eq!(
        header(&head, "signature-input"),
        "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
    );
    assert_eq!(header(&head, "signature"), "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
}

#[test]
fn b_2_6_ed25519() {
    let scheme = r#""label":"sig-b26","components":["date","@method","@path","@authority","content-type","content-length"],"algorithm":"ed25519","alg":false"#;
    let head = sign(scheme, "test-key-ed25519", ED25519);
    assert_eq!(
        header(&head, "signature-input"),
        "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\""
    );
    assert_eq!(
        header(&head, "signature"),
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
    );
    assert!(!head.headers.contains_key("content-length"), "the length is the sender's to say");
}

#[test]
fn other_algorithms_verify_over_the_base() {
    // As B.2.2 and B.2.3, with keys of our own: these signatures are random.
    let components = r#""label":"s","components":["date","@method","@path","@query","@authority","content-type","content-digest","content-length","@query-param;name=\"Pet\"","@scheme","@target-uri","@request-target"],"digest":"sha-512","tag":"header-example","nonce":true,"expires_secs":60"#;
    let rsa = crate::sign::tests::rsa_pem();
    let inner: String = rsa.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = ring::rsa::KeyPair::from_pkcs8(&mac::unbase64(&inner).expect("base64")).expect("a key");
    let rsa_public = pair.public().as_ref().to_vec();
    let p256_public = mac::unbase64(P256_PUBLIC).expect("base64")[26..].to_vec();
    let cases: [(&str, &str, &[u8], &'static dyn VerificationAlgorithm); 3] = [
        ("ecdsa-p256-sha256", P256, &p256_public, &ECDSA_P256_SHA256_FIXED),
        ("rsa-v1_5-sha256", &rsa, &rsa_public, &RSA_PKCS1_2048_8192_SHA256),
        ("rsa-pss-sha512", &rsa, &rsa_public, &RSA_PSS_2048_8192_SHA512),
    ];
    for (algorithm, key, public, verifier) in cases {
        let head = sign(&format!(r#"{components},"algorithm":"{algorithm}""#), "a \"key\"", key);
        let params = header(&head, "signature-input").strip_prefix("s=").expect("the label");
        assert!(
            params.ends_with(&format!(
                ";created=1618884473;expires=1618884533;keyid=\"a \\\"key\\\"\";nonce=\"abababababababababababababababab\";alg=\"{algorithm}\";tag=\"header-example\""
            )),
            "{params}"
        );
        let base = format!(
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n\
             \"@authority\": example.com\n\"content-type\": application/json\n\
             \"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:\n\
             \"content-length\": 18\n\"@query-param\";name=\"Pet\": dog\n\"@scheme\": https\n\
             \"@target-uri\": https://example.com/foo?param=Value&Pet=dog\n\"@request-target\": /foo?param=Value&Pet=dog\n\
             \"@signature-params\": {params}"
        );
        let public = UnparsedPublicKey::new(verifier, public);
        public.verify(base.as_bytes(), &signature(&head)).expect(algorithm);
    }
}

#[test]
fn a_missing_date_is_set_and_a_digest_is_of_the_body() {
    let scheme =
        r#""components":["date","content-digest","x-two"],"algorithm":"hmac-sha256","created":false"#;
    let prepared = prepared(scheme, "k", "secret").expect("a key");
    assert!(prepared.reads_body());
    let request = Request::post("http://a.com").header("x-two", " a ").header("x-two", "b");
    let mut head = request.header("signature", "caller=:AA==:").body(()).expect("a request").into_parts().0;
    let at = Moment { now_ms: CREATED_MS, nonce: 1, random: [0; 16] };
    prepared.sign(&mut head, &mut Bytes::from("{\"hello\": \"world\"}\n"), &at).expect("signs");
    // RFC 9530, appendix B.1.
    let digest = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    assert_eq!(header(&head, "content-digest"), digest);
    let params = "(\"date\" \"content-digest\" \"x-two\");keyid=\"k\";alg=\"hmac-sha256\"";
    let base = format!(
        "\"date\": Tue, 20 Apr 2021 02:07:53 GMT\n\"content-digest\": {digest}\n\"x-two\": a, b\n\"@signature-params\": {params}"
    );
    let key = MacKey::read("s", &Secret::new("secret".to_owned()), Default::default()).expect("a secret");
    assert_eq!(header(&head, "signature"), format!("sig1=:{}:", key.sha256_base64(&[base.as_bytes()])));
}

#[test]
fn what_cannot_be_covered_is_named() {
    let try_it = |component: &str| {
        let scheme = format!(r#""components":["{component}"],"algorithm":"hmac-sha256""#);
        let prepared = prepared(&scheme, "k", "secret").expect("a key");
        assert!(!prepared.reads_body());
        let mut head = Request::get("https://a.com/?a=1&a=2")
            .header("x-odd", "é")
            .body(())
            .expect("a request")
            .into_parts()
            .0;
        let at = Moment { now_ms: 1, nonce: 1, random: [0; 16] };
        prepared.sign(&mut head, &mut Bytes::new(), &at).expect_err("refused")
    };
    assert_eq!(try_it("x-none"), SignError::MissingPart("x-none".to_owned()));
    assert_eq!(try_it("x-odd"), SignError::InvalidHeader("x-odd".to_owned()));
    assert!(matches!(try_it(r#"@query-param;name=\"a\""#), SignError::MissingPart(_)));
    assert!(matches!(try_it(r#"@query-param;name=\"b\""#), SignError::MissingPart(_)));
}

#[test]
fn a_key_of_another_kind_is_refused() {
    for (algorithm, key) in [
        ("ed25519", P256),
        ("ecdsa-p256-sha256", ED25519),
        ("rsa-pss-sha512", ED25519),
        ("ed25519", &crate::sign::tests::rsa_pem()),
    ] {
        let scheme = format!(r#""components":[],"algorithm":"{algorithm}""#);
        let error = prepared(&scheme, "k", key).expect_err("refused");
        assert!(matches!(error, SignError::InvalidField { .. }), "{error}");
    }
    let scheme = r#""components":[],"algorithm":"hmac-sha256""#;
    assert!(
        matches!(prepared(scheme, "ü", "secret").err(), Some(SignError::InvalidField { field, .. }) if field == "api_key")
    );
    let broken = r#""components":["@status"],"algorithm":"hmac-sha256""#;
    assert!(matches!(prepared(broken, "k", "secret").err(), Some(SignError::InvalidScheme(_))));
}
