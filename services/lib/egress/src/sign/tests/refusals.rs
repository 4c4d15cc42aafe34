//! What cannot be signed, who is told so, and what is left alone.

use super::*;
use crate::error::Blame;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};

const SIGNERS: [Signer; 6] = [
    Signer::Binance,
    Signer::CoinbaseAdvanced,
    Signer::CoinbaseExchange,
    Signer::Kraken,
    Signer::Kucoin,
    Signer::Bybit,
];
const EC: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIMrNyH/NLgilD02clofOD2p09Qb6t8cRB/bBvbBUNa7moAoGCCqGSM49\nAwEHoUQDQgAE9W/HhwPkX2bxgPl7+4QlxbUkN0tmdsaO8y3jZxCt2usARbfFLBJL\ntRWUWD3Ou+wzSr6d0BDwbxe3pZ3GbPi9qQ==\n-----END EC PRIVATE KEY-----\n";

fn key() -> Fields {
    fields(&[
        ("api_key", "k"),
        ("api_secret", "c2VjcmV0"),
        ("passphrase", "p"),
        ("key_name", "n"),
        ("private_key", EC),
    ])
}

fn refused(signer: Signer, fields: &Fields) -> SignError {
    Prepared::new(&Auth::Signed { signer }, fields).expect_err("refused")
}

fn with(name: &str, value: &str) -> Fields {
    let mut all = key();
    all.insert(name.to_owned(), Secret::new(value.to_owned()));
    all
}

#[test]
fn a_missing_field_is_named() {
    for signer in SIGNERS {
        let auth = Auth::Signed { signer };
        for name in auth.fields() {
            let error = refused(signer, &with(name, ""));
            assert_eq!(error, SignError::MissingField(name.to_owned()), "{signer:?}");
            assert!(error.blame() == Blame::Configuration && !error.is_transient());
        }
    }
    assert_eq!(Prepared::new(&Auth::None {}, &key()).err(), Some(SignError::NotSigned));
}

#[test]
fn a_field_of_the_wrong_kind_is_named_and_not_shown() {
    let rsa = rsa_pem();
    for (signer, name, value) in [
        (Signer::Binance, "api_secret", EC),
        (Signer::Binance, "api_secret", "-----BEGIN s3cr3t"),
        (Signer::Binance, "recv_window", "s3cr3t"),
        (Signer::Bybit, "api_secret", EC),
        (Signer::Bybit, "recv_window", ".5"),
        (Signer::Kraken, "api_secret", "s3cr3t!"),
        (Signer::CoinbaseExchange, "api_secret", "s3cr3t!"),
        (Signer::Kucoin, "key_version", "1"),
        (Signer::CoinbaseAdvanced, "private_key", "s3cr3t!"),
        (Signer::CoinbaseAdvanced, "private_key", &rsa),
    ] {
        let error = refused(signer, &with(name, value));
        assert!(matches!(&error, SignError::InvalidField { field, .. } if field == name), "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(name) && !text.contains("s3cr3t") && !text.contains("MHc"), "{text}");
    }
}

#[test]
fn what_a_header_cannot_hold_is_not_sent() {
    let mut head = request("GET", "https://a.com/", &[]);
    let prepared = signed(Signer::Bybit, &with("api_key", "s3cr3t\r\nX-Evil: 1"));
    let error = prepared.sign(&mut head, &mut Bytes::new(), &at(1)).expect_err("refused");
    assert_eq!(error, SignError::InvalidHeader("x-bapi-api-key".to_owned()));
    assert!(!format!("{error} {prepared:?}").contains("s3cr3t"));
}

#[test]
fn a_callers_mistake_is_his() {
    let try_it = |signer: Signer, method: &str, url: &str, kind: &str, mut body: Bytes| {
        let mut head = request(method, url, &[("content-type", kind)]);
        let error = signed(signer, &key()).sign(&mut head, &mut body, &at(1)).expect_err("refused");
        assert_eq!(error.blame(), Blame::Caller, "{error}");
        error
    };
    let (json, form) = ("Application/JSON; charset=utf-8", "application/x-www-form-urlencoded");
    let kraken = |kind, body: &'static str| {
        try_it(Signer::Kraken, "POST", "https://a.com/0/private/X", kind, Bytes::from(body))
    };
    let wrong = try_it(Signer::Kraken, "GET", "https://a.com/", json, Bytes::new());
    assert_eq!(wrong.to_string(), "signed calls of this provider are POST only");
    for body in
        ["[]", "[\"1\"]", "{", "x", "{\"nonce\":null}", "{\"nonce\":[1]}", "{\"nonce\":1,\"nonce\":2}"]
    {
        assert!(matches!(kraken(json, body), SignError::InvalidBody(_)), "{body}");
    }
    let bytes = Bytes::from_static(b"\xff");
    for signer in [Signer::Kraken, Signer::Binance] {
        let error = try_it(signer, "POST", "https://a.com/", form, bytes.clone());
        assert!(matches!(error, SignError::InvalidBody(_)));
    }
    let long = Bytes::from(vec![b'x'; BODY_BYTES_MAX + 1]);
    assert_eq!(try_it(Signer::Bybit, "POST", "https://a.com/", json, long), SignError::BodyTooLarge);
    assert_eq!(
        try_it(Signer::CoinbaseAdvanced, "GET", "/relative", json, Bytes::new()),
        SignError::InvalidUrl
    );
}

#[test]
fn kraken_keeps_a_nonce_that_is_a_number_and_fills_an_empty_body() {
    let prepared = signed(Signer::Kraken, &with("otp", "1\"2"));
    let send = |kind: &str, body: &'static str| {
        let mut head = request("POST", "https://a.com/0/private/X", &[("content-type", kind)]);
        let mut body = Bytes::from(body);
        prepared.sign(&mut head, &mut body, &at(5)).expect("signs");
        String::from_utf8(body.to_vec()).expect("text")
    };
    assert_eq!(send("application/json", " {\"nonce\": 7,\"otp\":null}"), " {\"nonce\": 7,\"otp\":null}");
    assert_eq!(send("application/json", ""), "{\"nonce\":\"5000\",\"otp\":\"1\\\"2\"}");
    assert_eq!(send("application/json", " { } "), "{\"nonce\":\"5000\",\"otp\":\"1\\\"2\" } ");
    assert_eq!(send("text/plain", ""), "nonce=5000&otp=1%222");
    assert_eq!(send("text/plain", "a=1&nonce=9&otp=8"), "a=1&nonce=9&otp=8");
}

#[test]
fn binance_shows_only_the_key_where_a_signature_is_one_parameter_too_many() {
    let mut head = request("POST", "https://a.com/api/v3/userDataStream?a=1", &[]);
    signed(Signer::Binance, &key()).sign(&mut head, &mut Bytes::new(), &at(1)).expect("signs");
    assert_eq!(head.uri, "https://a.com/api/v3/userDataStream?a=1");
    assert_eq!(header(&head, "x-mbx-apikey"), "k");
}

#[test]
fn binance_signs_a_body_that_is_no_form_as_it_is() {
    for (kind, body) in [("application/json", "{\"a\":\"b c\"}"), ("text/plain", "x=1&signature=2")] {
        let mut head = request("POST", "https://a.com/sapi/v1/x?b=2", &[("content-type", kind)]);
        let mut sent = Bytes::from(body);
        signed(Signer::Binance, &key()).sign(&mut head, &mut sent, &at(1)).expect("signs");
        assert_eq!(sent, body);
        let (query, signature) =
            head.uri.query().expect("a query").split_once("&signature=").expect("signed");
        let secret = mac::MacKey::read("s", &Secret::new("c2VjcmV0".to_owned()), Default::default());
        let payload = [query.as_bytes(), body.as_bytes()];
        assert_eq!(signature, secret.expect("a secret").sha256_hex(&payload));
    }
    let mut head = request("POST", "https://a.com/x", &[]);
    let mut sent = Bytes::from("{\"a\":\"é\"}");
    signed(Signer::Binance, &key()).sign(&mut head, &mut sent, &at(1)).expect("signs");
    assert_eq!(sent, "{\"a\":\"é\"}");
}

#[test]
fn bybit_signs_with_an_rsa_key() {
    let pem = rsa_pem();
    let mut head = request("GET", "https://a.com/v5/x?a=1", &[]);
    signed(Signer::Bybit, &with("api_secret", &pem))
        .sign(&mut head, &mut Bytes::new(), &at(3))
        .expect("signs");
    let inner: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&mac::unbase64(&inner).expect("base64")).expect("a key");
    let signature = mac::unbase64(header(&head, "x-bapi-sign")).expect("base64");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    public.verify(b"3k5000a=1", &signature).expect("fits");
}
