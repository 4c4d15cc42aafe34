//! Puts a key on a request, in the way in which its provider wants to see it.
//!
//! Pure. Whatever a caller sent in a place of credentials goes first, so that the provider sees exactly our value
//! and never the caller's token. Errors name fields and headers, never values; values are marked as sensitive.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use model::Secret;
use model::auth::Auth;
use model::secret::Fields;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::names::{Names, take_off};

/// Headers in which providers look for credentials. A caller's value in them never passes.
pub const CREDENTIAL_HEADERS: [&str; 27] = [
    "authorization",
    "proxy-authorization",
    "x-signalbox-token",
    "x-api-key",
    "x-api-token",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "x-goog-api-key",
    "x-rapidapi-key",
    "x-mbx-apikey",
    "x-cg-pro-api-key",
    "x-cg-demo-api-key",
    "x-cmc_pro_api_key",
    "x-subscription-token",
    "x-finnhub-token",
    "x-bapi-api-key",
    "x-bapi-sign",
    "api-key",
    "api-sign",
    "apikey",
    "xi-api-key",
    "apca-api-key-id",
    "apca-api-secret-key",
    "cb-access-key",
    "cb-access-sign",
    "cb-access-passphrase",
];
/// The same by how they begin: keys, signatures and passphrases of one exchange.
const CREDENTIAL_PREFIXES: [&str; 1] = ["kc-api-"];
/// Headers that are not a place for credentials, whatever a configuration says.
const NEVER: [HeaderName; 4] = [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// What is escaped in a query that we write: everything but unreserved characters (RFC 3986).
pub const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a key cannot be put on a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The key has no such field.
    #[error("the key has no field `{0}`")]
    MissingField(String),
    /// The field's value cannot stand in a header.
    #[error("the key's field `{0}` holds characters that a header cannot")]
    InvalidValue(String),
    /// The configured header cannot carry a key.
    #[error("`{0}` is not a header that can carry a key")]
    InvalidHeader(String),
    /// The URL is not absolute, or grows too long with the key in it.
    #[error("the URL cannot carry the key")]
    InvalidUrl,
    /// The scheme signs requests: that takes the body and the time, and is [`crate::sign`]'s.
    #[error("requests of this provider must be signed")]
    MustBeSigned,
}

/// Takes the caller's credentials off a request and puts the key on it. After an error nothing must be sent.
pub fn apply(auth: &Auth, fields: &Fields, head: &mut Parts) -> Result<(), CredentialError> {
    strip(&mut head.headers);
    match auth {
        Auth::None {} => Ok(()),
        Auth::Header { name, prefix, field } => {
            let value = Zeroizing::new(format!("{prefix}{}", get(fields, field)?.expose()));
            set(&mut head.headers, name, field, &value)
        }
        Auth::Headers { headers } => headers
            .iter()
            .try_for_each(|h| set(&mut head.headers, &h.name, &h.field, get(fields, &h.field)?.expose())),
        Auth::Bearer { field } => {
            let value = Zeroizing::new(format!("Bearer {}", get(fields, field)?.expose()));
            set(&mut head.headers, AUTHORIZATION.as_str(), field, &value)
        }
        Auth::Basic { username_field, password_field } => {
            let (user, password) = (get(fields, username_field)?, get(fields, password_field)?);
            if user.expose().contains(':') {
                return Err(CredentialError::InvalidValue(username_field.clone()));
            }
            let pair = Zeroizing::new(format!("{}:{}", user.expose(), password.expose()));
            let value =
                Zeroizing::new(format!("Basic {}", &*Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
            set(&mut head.headers, AUTHORIZATION.as_str(), password_field, &value)
        }
        Auth::Query { name, field } => {
            head.uri = with_parameter(&head.uri, name, get(fields, field)?)?;
            Ok(())
        }
        Auth::Signed { .. } | Auth::Hmac { .. } | Auth::MessageSignature { .. } => {
            Err(CredentialError::MustBeSigned)
        }
    }
}

/// Removes every header in which a caller may have sent a credential.
pub fn strip(headers: &mut HeaderMap) {
    take_off(headers, is_credential);
}

/// Whether a caller may send a credential in a header of this name.
pub fn is_credential(name: &HeaderName) -> bool {
    static NAMES: LazyLock<Names> = LazyLock::new(|| Names::of(&[&CREDENTIAL_HEADERS]));
    NAMES.contains(name) || CREDENTIAL_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

fn get<'f>(fields: &'f Fields, name: &str) -> Result<&'f Secret, CredentialError> {
    let field = fields.get(name).filter(|value| !value.is_empty());
    field.ok_or_else(|| CredentialError::MissingField(name.to_owned()))
}

/// Sets a header to exactly one value.
fn set(headers: &mut HeaderMap, name: &str, field: &str, value: &str) -> Result<(), CredentialError> {
    let invalid = || CredentialError::InvalidHeader(name.to_owned());
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    if NEVER.contains(&name) {
        return Err(invalid());
    }
    let mut value =
        HeaderValue::from_str(value).map_err(|_| CredentialError::InvalidValue(field.to_owned()))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// The URL with the parameter at its end and nowhere else. Other parameters stay byte for byte.
fn with_parameter(uri: &Uri, name: &str, value: &Secret) -> Result<Uri, CredentialError> {
    let mut text = Zeroizing::new(String::with_capacity(uri.path().len() + 64 + value.len() * 3));
    text.push_str(uri.path());
    text.push('?');
    for pair in
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !is_named(pair, name))
    {
        text.push_str(pair);
        text.push('&');
    }
    text.extend(utf8_percent_encode(name, QUERY));
    text.push('=');
    text.extend(utf8_percent_encode(value.expose(), QUERY));
    let path = PathAndQuery::try_from(text.as_str()).map_err(|_| CredentialError::InvalidUrl)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| CredentialError::InvalidUrl)
}

/// Whether a pair of a query has this name, however it is escaped or cased.
fn is_named(pair: &str, name: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default().replace('+', " ");
    percent_decode_str(&key).decode_utf8_lossy().eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests;
