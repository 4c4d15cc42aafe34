//! For any request: the provider, which sees only the wire, comes to the same signature. Providers' sides are written
//! here a second time, from their documents.

use super::*;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use proptest::prelude::*;
use ring::{digest, hmac};

const SECRET: &str = "c2lnbmFsYm94LXRlc3Qtc2VjcmV0LW9mLWEta2V5";

fn mac(algorithm: hmac::Algorithm, key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
}

fn decoded() -> Vec<u8> {
    mac::unbase64(SECRET).expect("base64").to_vec()
}

/// Pairs as callers write them: escaped, or with a plus, or with a signature of their own.
fn pairs() -> impl Strategy<Value = String> {
    let value = ".{0,12}".prop_map(|text| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string());
    let pair = prop_oneof![
        6 => ("[a-z]{1,8}", value.clone()).prop_map(|(name, value)| format!("{name}={value}")),
        1 => "[a-z]{1,4}=[a-z]{1,3}\\+[a-z]{1,3}".prop_map(|pair| pair),
        1 => Just("signature=caller".to_owned()),
        1 => Just("recvWindow=1000".to_owned()),
        1 => Just("otp=1".to_owned()),
    ];
    proptest::collection::vec(pair, 0..6).prop_map(|all| all.join("&"))
}

fn json() -> impl Strategy<Value = String> {
    let member = ("[a-mo-z]{1,6}", ".{0,8}").prop_map(|(name, value)| (name, serde_json::Value::from(value)));
    proptest::collection::vec(member, 0..4)
        .prop_map(|all| serde_json::Value::Object(all.into_iter().collect()).to_string())
}

fn url(path: &str, query: &str) -> String {
    if query.is_empty() {
        format!("https://api.x.com{path}")
    } else {
        format!("https://api.x.com{path}?{query}")
    }
}

fn sent(head: &Parts) -> (String, String) {
    (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned())
}

/// One value of a form as it came over the wire.
fn form_value(form: &str, name: &str) -> Option<String> {
    form.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

fn without_signature(form: &str) -> String {
    form.split('&').filter(|pair| !pair.starts_with("signature=")).collect::<Vec<_>>().join("&")
}

proptest! {
    #[test]
    fn binance_verifies_what_it_gets(query in pairs(), form in pairs(), posts in any::<bool>(), window in any::<bool>()) {
        let mut all = vec![("api_key", "the-key"), ("api_secret", SECRET)];
        if window {
            all.push(("recv_window", "7000"));
        }
        let method = if posts { "POST" } else { "GET" };
        let mut head = request(method, &url("/api/v3/order", &query), &[("x-mbx-apikey", "caller")]);
        let mut body = Bytes::from(if posts { form } else { String::new() });
        signed(Signer::Binance, &fields(&all)).sign(&mut head, &mut body, &at(1_700_000_000_123)).expect("signs");
        let (_, query) = sent(&head);
        let form = String::from_utf8(body.to_vec()).expect("text");
        let wire = format!("{query}&{form}");
        prop_assert_eq!(wire.matches("signature=").count(), 1, "{}", &wire);
        let signature = form_value(&wire, "signature").expect("a signature");
        let payload = without_signature(&query) + &without_signature(&form);
        prop_assert_eq!(signature, mac::hex(&mac(hmac::HMAC_SHA256, SECRET.as_bytes(), payload.as_bytes())));
        prop_assert_eq!(form_value(&wire, "timestamp").expect("a time"), "1700000000123");
        prop_assert_eq!(header(&head, "x-mbx-apikey"), "the-key");
        prop_assert_eq!(form_value(&wire, "recvWindow").is_some(), window || wire.contains("recvWindow=1000"));
    }

    #[test]
    fn kraken_verifies_what_it_gets(form in pairs(), json in json(), is_json in any::<bool>(), otp in any::<bool>()) {
        let mut all = vec![("api_key", "the-key"), ("api_secret", SECRET)];
        if otp {
            all.push(("otp", "a b\"&"));
        }
        let mut head = request("POST", "https://api.x.com/0/private/AddOrder", &[("api-sign", "caller")]);
        let mut body = Bytes::from(if is_json { json } else { form });
        signed(Signer::Kraken, &fields(&all)).sign(&mut head, &mut body, &at(1_700_000_000_123)).expect("signs");
        let text = String::from_utf8(body.to_vec()).expect("text");
        let nonce = if header(&head, "content-type") == "application/json" {
            let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert!(!otp || body["otp"] == "a b\"&");
            body["nonce"].as_str().expect("a nonce").to_owned()
        } else {
            prop_assert!(!otp || form_value(&text, "otp").is_some());
            form_value(&text, "nonce").expect("a nonce")
        };
        prop_assert_eq!(&nonce, "1700000000123000");
        let digest = digest::digest(&digest::SHA256, format!("{nonce}{text}").as_bytes());
        let signed = [b"/0/private/AddOrder", digest.as_ref()].concat();
        prop_assert_eq!(header(&head, "api-sign"), mac::base64(&mac(hmac::HMAC_SHA512, &decoded(), &signed)));
    }

    #[test]
    fn kucoin_verifies_what_it_gets(query in pairs(), json in json(), posts in any::<bool>()) {
        let key = fields(&[("api_key", "the-key"), ("api_secret", SECRET), ("passphrase", "p w"), ("key_version", "2")]);
        let method = if posts { "POST" } else { "DELETE" };
        let mut head = request(method, &url("/api/v1/a%2Fb", &query), &[("kc-api-passphrase", "caller")]);
        let mut body = Bytes::from(if posts { json } else { String::new() });
        signed(Signer::Kucoin, &key).sign(&mut head, &mut body, &at(1_700_000_000_123)).expect("signs");
        let (path, query) = sent(&head);
        // A form decoder and a URI decoder must read the same.
        prop_assert!(!query.contains('+'));
        let endpoint = if query.is_empty() { path } else { format!("{path}?{query}") };
        let endpoint = percent_decode_str(&endpoint).decode_utf8().expect("UTF-8");
        let text = format!("1700000000123{method}{endpoint}{}", std::str::from_utf8(&body).expect("text"));
        prop_assert_eq!(header(&head, "kc-api-sign"), mac::base64(&mac(hmac::HMAC_SHA256, SECRET.as_bytes(), text.as_bytes())));
        prop_assert_eq!(header(&head, "kc-api-passphrase"), mac::base64(&mac(hmac::HMAC_SHA256, SECRET.as_bytes(), b"p w")));
        prop_assert_eq!(header(&head, "kc-api-key-version"), "2");
    }

    #[test]
    fn coinbase_exchange_verifies_what_it_gets(query in pairs(), json in json()) {
        let key = fields(&[("api_key", "the-key"), ("api_secret", SECRET), ("passphrase", "pw")]);
        let mut head = request("POST", &url("/orders", &query), &[("cb-access-timestamp", "1")]);
        let mut body = Bytes::from(json);
        signed(Signer::CoinbaseExchange, &key).sign(&mut head, &mut body, &at(1_700_000_000_999)).expect("signs");
        let target = head.uri.path_and_query().expect("a target").as_str();
        let text = format!("1700000000POST{target}{}", std::str::from_utf8(&body).expect("text"));
        prop_assert_eq!(header(&head, "cb-access-sign"), mac::base64(&mac(hmac::HMAC_SHA256, &decoded(), text.as_bytes())));
        prop_assert_eq!(header(&head, "cb-access-timestamp"), "1700000000");
    }

    #[test]
    fn bybit_verifies_what_it_gets(query in pairs(), json in json(), posts in any::<bool>()) {
        let key = fields(&[("api_key", "the-key"), ("api_secret", SECRET)]);
        let method = if posts { "POST" } else { "GET" };
        let mut head = request(method, &url("/v5/order", &query), &[("x-bapi-recv-window", "9000")]);
        let mut body = Bytes::from(if posts { json } else { String::new() });
        signed(Signer::Bybit, &key).sign(&mut head, &mut body, &at(1_700_000_000_123)).expect("signs");
        let covered = if posts { String::from_utf8(body.to_vec()).expect("text") } else { sent(&head).1 };
        let text = format!("1700000000123the-key9000{covered}");
        prop_assert_eq!(header(&head, "x-bapi-sign"), mac::hex(&mac(hmac::HMAC_SHA256, SECRET.as_bytes(), text.as_bytes())));
    }

    #[test]
    fn a_token_is_for_its_request(query in pairs(), path in "(/[a-z0-9]{1,6}){1,4}", now_s in 1_600_000_000_u64..2_000_000_000) {
        let key = fields(&[("key_name", "a \"name\""), ("private_key", "swVXw37K3dMdWmgsqCtz3zs/A0AelhTLccIBtkyyWDg=")]);
        let mut head = request("PUT", &url(&path, &query), &[("authorization", "Bearer sbt_caller")]);
        signed(Signer::CoinbaseAdvanced, &key).sign(&mut head, &mut Bytes::new(), &at(now_s * 1000)).expect("signs");
        let public = "MCowBQYDK2VwAyEAzJiVnGUxvzU3f0IXLkHxhMTr9MSrNhH2RpUvwYAdV84=";
        let token = header(&head, "authorization").strip_prefix("Bearer ").expect("a token");
        let (_, claims) = super::vectors::open(token, public);
        prop_assert_eq!(&claims["uri"], &format!("PUT api.x.com{path}"));
        prop_assert_eq!((&claims["sub"], &claims["nbf"]), (&"a \"name\"".into(), &now_s.into()));
        prop_assert_eq!(&claims["exp"], &(now_s + 120));
    }
}
