//! How a provider wants to be shown a key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Binance: query and body, HMAC-SHA256 or Ed25519.
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
        }
    }
}

fn api_key() -> String {
    "api_key".to_owned()
}

fn username() -> String {
    "username".to_owned()
}

fn password() -> String {
    "password".to_owned()
}
