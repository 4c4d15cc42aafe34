//! Every vector of `vectors.json`: what is sent must be what is expected, byte for byte.
//!
//! The caller of a test sends what the vector expects without what is ours to add.

use super::*;
use model::auth::signing::SecretEncoding;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde_json::Value;

/// Keys in it are throw-away ones; see its `note`.
const FILE: &str = include_str!("vectors.json");
const OKX: &str = r#"{"scheme":"hmac","algorithm":"sha256","secret_field":"api_secret","encoding":"base64",
    "prehash":"{timestamp_iso}{method}{path_and_query}{body}","headers":[
    {"name":"OK-ACCESS-KEY","value":"{field:api_key}"},{"name":"OK-ACCESS-SIGN","value":"{signature}"},
    {"name":"OK-ACCESS-TIMESTAMP","value":"{timestamp_iso}"},{"name":"OK-ACCESS-PASSPHRASE","value":"{field:passphrase}"}]}"#;

pub(super) fn all() -> Vec<Value> {
    let file: Value = serde_json::from_str(FILE).expect("JSON");
    file["vectors"].as_array().expect("vectors").clone()
}

fn of(provider: &str) -> Vec<Value> {
    let found: Vec<Value> = all().into_iter().filter(|vector| vector["provider"] == provider).collect();
    assert!(!found.is_empty(), "no vectors of {provider}");
    found
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// The fields of a key, by the names that a vector has for them.
fn key_of(inputs: &Value) -> Fields {
    let mut all = fields(&[("api_key", "k")]);
    for (ours, theirs) in [
        ("api_key", "api_key"),
        ("api_secret", "api_secret"),
        ("api_secret", "api_secret_base64"),
        ("passphrase", "passphrase"),
        ("key_version", "key_version"),
        ("key_name", "key_name"),
        ("private_key", "private_key"),
    ] {
        if let Some(value) = inputs[theirs].as_str() {
            all.insert(ours.to_owned(), Secret::new(value.to_owned()));
        }
    }
    if let Some(window) = inputs["recv_window_ms"].as_u64() {
        all.insert("recv_window".to_owned(), Secret::new(window.to_string()));
    }
    all
}

/// Signs, and compares target, headers and body with what the vector expects.
fn check(vector: &Value, auth: &Auth, url: &str, body: &str, at: &Moment) {
    let (id, inputs, expected) = (text(vector, "id"), &vector["inputs"], &vector["expected"]);
    let mut head = request(text(inputs, "method"), url, &[]);
    let mut body = Bytes::from(body.to_owned());
    let prepared = Prepared::new(auth, &key_of(inputs)).expect(id);
    prepared.sign(&mut head, &mut body, at).expect(id);
    // A bare question mark is no query: one oracle writes it.
    let bare = |url: &str| url.trim_end_matches('?').to_owned();
    assert_eq!(bare(&head.uri.to_string()), bare(text(expected, "url")), "{id}");
    assert_eq!(std::str::from_utf8(&body).expect("text"), text(expected, "body"), "{id}");
    for (name, value) in expected["headers"].as_object().expect("headers") {
        let kind = header(&head, name).split(';').next().unwrap_or_default();
        let is_same = kind == value || header(&head, name) == value;
        assert!(is_same, "{id}: {name} is {}, not {value}", header(&head, name));
        let said = name.eq_ignore_ascii_case("content-type");
        assert!(said || head.headers[name.as_str()].is_sensitive(), "{id}: {name} may be logged");
    }
}

fn moment(inputs: &Value) -> Moment {
    let secs = inputs["timestamp_s"].as_u64().or_else(|| inputs["now_s"].as_u64());
    at(inputs["timestamp_ms"].as_u64().or_else(|| secs.map(|secs| secs * 1000 + 7)).unwrap_or_default())
}

fn without_last(text: &str) -> &str {
    text.find("&signature=").map_or(text, |end| &text[..end])
}

#[test]
fn binance() {
    let auth = Auth::Signed { signer: Signer::Binance };
    for vector in of("binance") {
        let (url, body) = (text(&vector["expected"], "url"), text(&vector["expected"], "body"));
        check(&vector, &auth, without_last(url), without_last(body), &moment(&vector["inputs"]));
        if text(&vector, "id").contains("-rule-") {
            // Window and time are ours to add, in this order.
            let own = without_last(url).split("&recvWindow=").next().unwrap_or_default();
            check(&vector, &auth, own, body, &moment(&vector["inputs"]));
        }
    }
}

#[test]
fn kraken() {
    let auth = Auth::Signed { signer: Signer::Kraken };
    for vector in of("kraken") {
        let (url, body) = (text(&vector["expected"], "url"), text(&vector["expected"], "body"));
        let nonce = text(&vector["inputs"], "nonce");
        check(&vector, &auth, url, body, &at(1));
        let at = Moment { nonce: nonce.parse().expect("a number"), ..at(1) };
        let first = [format!("nonce={nonce}&"), format!("\"nonce\":\"{nonce}\",")];
        let own = first.iter().find(|first| body.contains(first.as_str()));
        check(&vector, &auth, url, &own.map_or(String::new(), |own| body.replacen(own, "", 1)), &at);
    }
}

#[test]
fn kucoin() {
    let auth = Auth::Signed { signer: Signer::Kucoin };
    for vector in of("kucoin") {
        let (inputs, expected) = (&vector["inputs"], &vector["expected"]);
        if inputs["message"].is_string() {
            let secret = Secret::new(text(inputs, "api_secret").to_owned());
            let key = mac::MacKey::read("api_secret", &secret, SecretEncoding::Text).expect("a secret");
            assert_eq!(key.sha256_base64(&[text(inputs, "message").as_bytes()]), text(expected, "signature"));
        } else {
            check(&vector, &auth, text(expected, "url"), text(expected, "body"), &moment(inputs));
        }
    }
}

#[test]
fn coinbase_exchange() {
    let auth = Auth::Signed { signer: Signer::CoinbaseExchange };
    for vector in of("coinbase-exchange") {
        let (url, body) = (text(&vector["expected"], "url"), text(&vector["expected"], "body"));
        check(&vector, &auth, url, body, &moment(&vector["inputs"]));
    }
}

#[test]
fn bybit() {
    let auth = Auth::Signed { signer: Signer::Bybit };
    for vector in of("bybit") {
        let (url, body) = (text(&vector["expected"], "url"), text(&vector["expected"], "body"));
        check(&vector, &auth, url, body, &moment(&vector["inputs"]));
    }
}

#[test]
fn okx_by_configuration() {
    let auth: Auth = serde_json::from_str(OKX).expect("a scheme");
    for vector in of("okx") {
        let (expected, inputs) = (&vector["expected"], &vector["inputs"]);
        let mut vector = vector.clone();
        // What the body is, is the caller's to say where nothing is known of the provider.
        vector["expected"]["headers"].as_object_mut().expect("headers").remove("Content-Type");
        check(&vector, &auth, text(expected, "url"), text(expected, "body"), &moment(inputs));
    }
}

#[test]
fn coinbase_advanced() {
    let auth = Auth::Signed { signer: Signer::CoinbaseAdvanced };
    for vector in of("coinbase-advanced") {
        let (id, inputs, expected) = (text(&vector, "id"), &vector["inputs"], &vector["expected"]);
        let mut head = request(text(inputs, "method"), text(inputs, "url"), &[]);
        let nonce = u128::from_str_radix(text(inputs, "nonce"), 16).expect("a nonce");
        let at = Moment { random: nonce.to_be_bytes(), ..moment(inputs) };
        let prepared = Prepared::new(&auth, &key_of(inputs)).expect(id);
        assert!(!prepared.reads_body());
        prepared.sign(&mut head, &mut Bytes::new(), &at).expect(id);
        assert_eq!(head.uri.to_string(), text(inputs, "url"), "{id}");
        let token = header(&head, "authorization").strip_prefix("Bearer ").expect("a token").to_owned();
        let (claims_header, claims) = open(&token, text(inputs, "public_key_pem"));
        assert_eq!(claims["uri"], inputs["uri_claim"], "{id}");
        if id.contains("-official-") {
            assert_eq!(claims_header, expected["jwt_header"], "{id}");
            assert_eq!(claims, expected["jwt_claims"], "{id}");
        }
        if id.contains("-official-eddsa") {
            assert_eq!(token, text(expected, "token"), "{id}");
        }
        // The expected token must be one that this test would take, too.
        open(text(expected, "token"), text(inputs, "public_key_pem"));
    }
}

/// Header and claims of a token whose signature fits the public key.
pub(super) fn open(token: &str, public_key_pem: &str) -> (Value, Value) {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let inner: String = public_key_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = mac::unbase64(&inner).expect("base64");
    if key.len() == 44 {
        UnparsedPublicKey::new(&ED25519, &key[12..]).verify(signed.as_bytes(), &signature).expect("fits");
    } else {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key[key.len() - 65..]);
        key.verify(signed.as_bytes(), &signature).expect("fits");
    }
    let (header, claims) = signed.split_once('.').expect("three parts");
    let read = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON");
    (read(header), read(claims))
}
