//! What a NATS operator hands out: an account with JetStream, and a user of it with a credentials file.
//!
//! The tokens are those of `nsc`: version 2, signed with ed25519 over header and claims.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

const NO_LIMIT: i64 = -1;

/// Writes the user's credentials file, and gives the server's configuration that lets the user in.
pub(super) fn operator(creds: &Path, user: &KeyPair) -> String {
    let (operator, account, system) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let of_operator = token(&operator, &operator, "operator", &json!({"type": "operator", "version": 2}));
    let of_account = token(&operator, &account, "signalbox", &account_claims(true));
    let of_system = token(&operator, &system, "SYS", &account_claims(false));
    let claims =
        json!({"type": "user", "version": 2, "subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT});
    let of_user = token(&account, user, "signalbox", &claims);
    let seed = user.seed().expect("a key that was made has its seed");
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    std::fs::write(creds, text).expect("the credentials are written");
    format!(
        "operator: \"{of_operator}\"\nsystem_account: {1}\nresolver: MEMORY\n\
         resolver_preload: {{ {0}: \"{of_account}\", {1}: \"{of_system}\" }}",
        account.public_key(),
        system.public_key(),
    )
}

fn account_claims(jetstream: bool) -> Value {
    let mut limits = json!({
        "subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT, "imports": NO_LIMIT, "exports": NO_LIMIT,
        "wildcards": true, "conn": NO_LIMIT, "leaf": NO_LIMIT,
    });
    if jetstream {
        for name in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[name] = NO_LIMIT.into();
        }
    }
    json!({"type": "account", "version": 2, "limits": limits})
}

fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = json!({
        "jti": subject.public_key(), "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": claims,
    });
    let signed = format!("{}.{}", part(&head), part(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("a key that was made can sign");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
