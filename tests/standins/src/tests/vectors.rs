//! The signature rules against published vectors.

use crate::signing::{binance_hmac, binance_payload, fits_public_key, jwt, kraken, kucoin};

#[test]
fn binance_signs_percent_encoded_text() {
    let secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
    let payload = "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
    assert_eq!(
        binance_hmac(secret, payload),
        "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"
    );
}

#[test]
fn binance_joins_query_and_body_without_a_separator_and_without_the_signature() {
    assert_eq!(binance_payload("a=1&signature=x", "b=2"), "a=1b=2");
    assert_eq!(binance_payload("a=1", "b=2&signature=x"), "a=1b=2");
}

#[test]
fn binance_verifies_ed25519_and_rsa_keys() {
    let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEATB6wdmEs3Bam2hHF0jGJOTeTjm8vPNaySRveNepx3nI=\n-----END PUBLIC KEY-----\n";
    let payload = "timestamp=1700000000173&symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=35000.5&newClientOrderId=signalbox-1&recvWindow=5000";
    let signature =
        "Yzc9VEkNXHHi67W5Ulbsteo+i78ydwCMa4TZqIIDWAV2QP9EIB/1FokREVCJxNYMLp2HaRP7wayiKsd8rWBoBA==";
    assert!(fits_public_key(ed25519, payload, signature));
    assert!(!fits_public_key(ed25519, "other", signature));
    let rsa = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAj4bUhFuy2ioMN0MvyOcc\n4+h5TP0s9FsQlAi9x4oIHk3e/ZYsfbvQK35i9Ogy6jF6IVZtRdWmicA9GKXZ1ghc\nsaqv3p2L+8Sna/RZ2+3lSOeJUEy7uLL/oeXs396+ihV5r5Vc87F3AHk0QZ58lT5s\n/+coBd57y37aIlLPHQfanuIAC9r6HnVTZb9QRYcBWSVCr9ulhUnS4+iYt436bmGJ\nUytSRs4KkHbS7yWesh8LZxBBg3hujoAE1yVTAyIdcSrVVcg/iP9Zu0hn2vLJx/OH\nonqqwIcLfAmGXN37/oMlBZpHadZ1s/ywuTCg1On9SPSa/5ATK1YQ5/4yiRqsmKG2\nYQIDAQAB\n-----END PUBLIC KEY-----\n";
    let signature = "DaT19knochm0oZpktM0rqBmDqfrHPX9fcaFaOynvAgzyglnZwscq76ZJSAV2BDcwaPAf6cDF3l7wbteNR8y12F5wdIho0xAaE6VY60Gz+0w5cIB2CC7F4nS0k7dmg8B1W/TJjftLTgEZ5X2OMM3VTaUbGRTdFKbPn7Su4IV4fHwtrJxakYRseycAWsnR3eiML2yA89Qg+E94BoHOhoIge0Y3msDvaKBQY5VVFYVLWHoCOIPbNggnc9LWGKxwopKQZyzaIL+weVU6jsDXKP8ziqWKNYNJdDVRijhDax/FIdr1zymoAvkXqzvlGHzvbCRKKc2W0YAXgFKpOSKrc1Q5UA==";
    assert!(fits_public_key(rsa, "timestamp=1700000000183&symbol=BTCUSDT&recvWindow=5000", signature));
}

#[test]
fn kraken_signs_path_and_digest() {
    let secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
    let body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25";
    let expected = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==";
    assert_eq!(kraken(secret, "/0/private/AddOrder", "1616492376594", body), expected);
}

#[test]
fn kucoin_uses_the_secret_as_text() {
    assert_eq!(kucoin("test_api_secret", "test_plain"), "jie/gxS38wLFFaBwl/cAzFbAzlI8MIny96jSXrB+iP4=");
}

#[test]
fn an_es256_token_is_verified() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9W/HhwPkX2bxgPl7+4QlxbUkN0tm\ndsaO8y3jZxCt2usARbfFLBJLtRWUWD3Ou+wzSr6d0BDwbxe3pZ3GbPi9qQ==\n-----END PUBLIC KEY-----\n";
    let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6Im9yZ2FuaXphdGlvbnMvZTBjNTFhMWMtMjk4ZS00YTVmLWEzMGUtMjkwMThkNThkZjA4L2FwaUtleXMvMDNiZjQ3OTYtZjllOC00M2E0LWE2OTUtMGVjM2Q4NGFjYTAwIiwibm9uY2UiOiJlNjdhOTEyMDFmMjcxMzAzNDMzNWU5YzRmNTQzMDFjYyIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJvcmdhbml6YXRpb25zL2UwYzUxYTFjLTI5OGUtNGE1Zi1hMzBlLTI5MDE4ZDU4ZGYwOC9hcGlLZXlzLzAzYmY0Nzk2LWY5ZTgtNDNhNC1hNjk1LTBlYzNkODRhY2EwMCIsImlzcyI6ImNkcCIsIm5iZiI6MTcwMDAwMDA2MiwiZXhwIjoxNzAwMDAwMTgyLCJ1cmkiOiJHRVQgYXBpLmNvaW5iYXNlLmNvbS9hcGkvdjMvYnJva2VyYWdlL2FjY291bnRzIn0.SVZJIG2Zo1duTejFFyVKl95UxIn53aBsDhbg8TREiYbd1PExhPAZcM9-q58ikY7OGoM9bVM6gzuUfrDbMLkwZg";
    let (header, claims) = jwt(token, Some(pem)).unwrap();
    assert_eq!((header["alg"].as_str(), claims["iss"].as_str()), (Some("ES256"), Some("cdp")));
    assert!(jwt(&token.replace("kwZg", "kwZw"), Some(pem)).is_none());
}
