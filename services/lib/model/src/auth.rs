//! How a provider wants to be shown a key.
//!
//! Only says it: [`pattern`] reads the patterns of configured signers, [`check`] says what a scheme must be. What a
//! scheme does to a request is in `egress`.

pub mod check;
pub mod pattern;
pub mod signing;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use signing::{DigestAlgorithm, Filled, HmacAlgorithm, MessageAlgorithm, SecretEncoding, SignatureEncoding};

/// A scheme and its parameters. `field` names the credential field whose value is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Nothing is added.
    None {},
    /// `<name>: <prefix><field>`, for example `X-Api-Key: …` or `Authorization: Token …`.
    Header {
        /// The header's name.
        name: String,
        /// What stands before the value, its space included.
        #[serde(default)]
        prefix: String,
        /// The credential field.
        #[serde(default = "api_key")]
        field: String,
    },
    /// Several headers, each with the value of one field (Alpaca).
    Headers {
        /// Which headers.
        headers: Vec<HeaderField>,
    },
    /// `Authorization: Bearer <field>`.
    Bearer {
        /// The credential field.
        #[serde(default = "api_key")]
        field: String,
    },
    /// HTTP basic authentication.
    Basic {
        /// The field with the user name.
        #[serde(default = "username")]
        username_field: String,
        /// The field with the password.
        #[serde(default = "password")]
        password_field: String,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        #[serde(alias = "parameter")]
        name: String,
        /// The credential field.
        #[serde(default = "api_key")]
        field: String,
    },
    /// The request is signed.
    Signed {
        /// By which rules.
        signer: Signer,
    },
    /// The request is signed with an HMAC, by a rule that is configured (OKX and many like it).
    Hmac {
        /// The hash.
        #[serde(default)]
        algorithm: HmacAlgorithm,
        /// The credential field with the secret.
        #[serde(default = "api_secret")]
        secret_field: String,
        /// How the secret is written there.
        #[serde(default)]
        secret_encoding: SecretEncoding,
        /// What is signed, such as `{timestamp_ms}{method}{path_and_query}{body}`.
        prehash: String,
        /// How the signature is written.
        #[serde(default)]
        encoding: SignatureEncoding,
        /// Headers that are set, in order; those with `{signature}` after the others.
        #[serde(default)]
        headers: Vec<Filled>,
        /// Query parameters that are set at the end, in order; those with `{signature}` after the others.
        #[serde(default)]
        query: Vec<Filled>,
    },
    /// The request is signed as RFC 9421 (HTTP message signatures) says.
    MessageSignature {
        /// The signature's name in the headers.
        #[serde(default = "label")]
        label: String,
        /// What is covered, in order: `@method`, `@authority`, `content-digest`, …
        components: Vec<String>,
        /// The algorithm.
        algorithm: MessageAlgorithm,
        /// The credential field whose value is the `keyid`.
        #[serde(default = "api_key")]
        key_id_field: String,
        /// The credential field with the secret or the private key (PEM).
        #[serde(default = "api_secret")]
        key_field: String,
        /// How a secret is written there; of no matter for private keys.
        #[serde(default)]
        key_encoding: SecretEncoding,
        /// Whether the time of signing is told.
        #[serde(default = "yes")]
        created: bool,
        /// For how long the signature is good, in seconds; not told when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_secs: Option<u32>,
        /// Whether a random nonce is told.
        #[serde(default)]
        nonce: bool,
        /// Whether the algorithm is told.
        #[serde(default = "yes")]
        alg: bool,
        /// What the signature is for, as the provider names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
        /// The hash of the `Content-Digest` (RFC 9530) that is made when it is covered.
        #[serde(default)]
        digest: DigestAlgorithm,
    },
}

/// One header of [`Auth::Headers`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderField {
    /// The header's name.
    pub name: String,
    /// The credential field.
    pub field: String,
}

/// The providers' own signing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// Binance: query and body, HMAC-SHA256, Ed25519 or RSA.
    Binance,
    /// Coinbase Advanced Trade: a JWT per request.
    CoinbaseAdvanced,
    /// Coinbase Exchange: HMAC-SHA256 with a passphrase.
    CoinbaseExchange,
    /// Kraken: HMAC-SHA512 over a nonce.
    Kraken,
    /// KuCoin: HMAC-SHA256, key versions 2 and 3.
    Kucoin,
    /// Bybit v5.
    Bybit,
}

impl Auth {
    /// The credential fields that this scheme reads, in order.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Self::None {} => Vec::new(),
            Self::Header { field, .. } | Self::Bearer { field } | Self::Query { field, .. } => vec![field],
            Self::Headers { headers } => headers.iter().map(|h| h.field.as_str()).collect(),
            Self::Basic { username_field, password_field } => vec![username_field, password_field],
            Self::Signed { signer } => match signer {
                Signer::CoinbaseAdvanced => vec!["key_name", "private_key"],
                Signer::CoinbaseExchange | Signer::Kucoin => vec!["api_key", "api_secret", "passphrase"],
                Signer::Binance | Signer::Kraken | Signer::Bybit => vec!["api_key", "api_secret"],
            },
            Self::Hmac { secret_field, prehash, headers, query, .. } => {
                let mut all = vec![secret_field.as_str()];
                let sent = headers.iter().chain(query).map(|it| &it.value);
                for field in std::iter::once(prehash).chain(sent).flat_map(|text| pattern::fields_of(text)) {
                    if !all.contains(&field) {
                        all.push(field);
                    }
                }
                all
            }
            Self::MessageSignature { key_id_field, key_field, .. } => vec![key_id_field, key_field],
        }
    }
}

fn api_key() -> String {
    "api_key".to_owned()
}

fn api_secret() -> String {
    "api_secret".to_owned()
}

fn label() -> String {
    "sig1".to_owned()
}

fn yes() -> bool {
    true
}

fn username() -> String {
    "username".to_owned()
}

fn password() -> String {
    "password".to_owned()
}
