//! Keys in every form that people have them in. All are throw-away keys or those of RFC 9421.

use super::*;
use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};

const EC: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIMrNyH/NLgilD02clofOD2p09Qb6t8cRB/bBvbBUNa7moAoGCCqGSM49\nAwEHoUQDQgAE9W/HhwPkX2bxgPl7+4QlxbUkN0tmdsaO8y3jZxCt2usARbfFLBJL\ntRWUWD3Ou+wzSr6d0BDwbxe3pZ3GbPi9qQ==\n-----END EC PRIVATE KEY-----\n";
const ED_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEILMFV8N+yt3THVpoLKgrc987PwNAHpYUy3HCAbZMslg4\n-----END PRIVATE KEY-----\n";
const ED_SEED: &str = "swVXw37K3dMdWmgsqCtz3zs/A0AelhTLccIBtkyyWDg=";
const ED_PAIR: &str =
    "swVXw37K3dMdWmgsqCtz3zs/A0AelhTLccIBtkyyWDjMmJWcZTG/NTd/QhcuQfGExOv0xKs2EfZGlS/BgB1Xzg==";

fn key(text: &str) -> Result<PrivateKey, SignError> {
    PrivateKey::read("private_key", &Secret::new(text.to_owned()))
}

fn why(text: &str) -> &'static str {
    match key(text) {
        Err(SignError::InvalidField { field, why }) if field == "private_key" => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was read"),
    }
}

fn der(pem: &str) -> Vec<u8> {
    let inner = unwrap(pem).expect("a PEM").expect("a PEM").1;
    mac::unbase64(&inner).expect("base64").to_vec()
}

fn field(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inner = parts.concat();
    let length = u8::try_from(inner.len()).expect("short");
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head, inner].concat()
}

fn pem(label: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", mac::base64(bytes))
}

#[test]
fn an_ed25519_key_is_the_same_in_every_form() {
    let sign = |text: &str| key(text).expect("a key").sign("f", b"text").expect("signs");
    let expected = sign(ED_PEM);
    let literal = ED_PEM.replace('\n', "\\n");
    let windows = ED_PEM.replace('\n', "\\r\\n");
    let one_line = ED_PEM.replace('\n', " ");
    let bare = mac::base64(&der(ED_PEM));
    for text in [ED_SEED, ED_PAIR, &literal, &windows, &one_line, &bare, &format!("\n{ED_SEED}\\n")] {
        assert_eq!(sign(text), expected, "{text}");
    }
    assert!(matches!(key(ED_SEED), Ok(PrivateKey::Ed25519(_))));
}

#[test]
fn an_ec_key_is_the_same_in_sec1_and_pkcs8() {
    let sec1 = der(EC);
    let algorithm = field(0x30, &[&field(0x06, &[der::EC]), &field(0x06, &[der::P256])]);
    let pkcs8 = field(0x30, &[&[2, 1, 0], &algorithm, &field(0x04, &[&sec1])]);
    let with_parameters = format!("{}\n{EC}", pem("EC PARAMETERS", &field(0x06, &[der::P256])));
    let literal = EC.replace('\n', "\\n");
    for text in [EC, &literal, &with_parameters, &pem("PRIVATE KEY", &pkcs8), &mac::base64(&sec1)] {
        let Ok(PrivateKey::P256(pair)) = key(text) else { panic!("no EC key: {text}") };
        let public = pair.public_key().as_ref().to_vec();
        let signature = PrivateKey::P256(pair).sign("f", b"text").expect("signs");
        assert_eq!(signature.len(), 64);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(b"text", &signature)
            .expect("verifies");
    }
}

#[test]
fn what_is_no_usable_key_says_why() {
    let sec1 = der(EC);
    // Without the last field, which is the public half.
    let without_public = field(0x30, &[&sec1[2..sec1.len() - 70]]);
    assert!(why(&pem("EC PRIVATE KEY", &without_public)).contains("openssl ec"));
    let mut broken = sec1;
    broken[20] ^= 1;
    assert_eq!(why(&pem("EC PRIVATE KEY", &broken)), "is no EC key");
    let other_curve =
        field(0x30, &[&[2, 1, 1], &field(0x04, &[&[1; 32]]), &field(0xa0, &[&field(0x06, &[&[1, 2]])])]);
    assert!(why(&pem("EC PRIVATE KEY", &other_curve)).contains("P-256"));
    let algorithm = field(0x30, &[&field(0x06, &[der::EC]), &field(0x06, &[&[1]])]);
    let curve = field(0x30, &[&[2, 1, 0], &algorithm, &field(0x04, &[&[1]])]);
    assert!(why(&pem("PRIVATE KEY", &curve)).contains("P-256"));
    let unknown = field(0x30, &[&[2, 1, 0], &field(0x30, &[&field(0x06, &[&[1]])]), &field(0x04, &[&[1]])]);
    assert!(why(&pem("PRIVATE KEY", &unknown)).contains("unknown kind"));
    let short = field(
        0x30,
        &[&[2, 1, 0], &field(0x30, &[&field(0x06, &[der::ED25519])]), &field(0x04, &[&[4, 1, 1]])],
    );
    assert!(why(&pem("PRIVATE KEY", &short)).contains("32 bytes"));
    let long = vec![0x30, 0x83, 1, 1, 1];
    assert_eq!(why(&pem("PRIVATE KEY", &long)), "is no PKCS#8 key");
    assert!(why(&pem("RSA PRIVATE KEY", b"x")).contains("RSA"));
    assert!(why(&pem("PUBLIC KEY", b"x")).contains("not of a private key"));
    assert!(why(&pem("ENCRYPTED PRIVATE KEY", b"x")).contains("decrypted"));
    assert!(why(&EC.replace("MHc", "Proc-Type: 4,ENCRYPTED\n\nMHc")).contains("decrypted"));
    assert!(why("-----BEGIN EC PRIVATE KEY-----\nMHc").contains("broken PEM"));
    assert!(why("-----BEGIN EC PRIVATE KEY").contains("broken PEM"));
    assert!(why(&EC.replace("END EC", "END")).contains("broken PEM"));
    assert!(why("hunter2!").contains("neither"));
    assert!(why("aHVudGVyMg==").contains("no private key"));
    assert!(why(&ED_PAIR.replacen('s', "t", 1)).contains("belong together"));
    assert!(why(&"A".repeat(KEY_BYTES_MAX + 1)).contains("too long"));
}

#[test]
fn only_rsa_keys_sign_with_pss() {
    for text in [EC, ED_SEED] {
        assert_eq!(key(text).expect("a key").sign_pss("f", b"x"), Err(SignError::Unable("f".to_owned())));
    }
}
