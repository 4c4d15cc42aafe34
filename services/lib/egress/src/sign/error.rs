//! Why a request cannot be signed.
//!
//! Texts name fields, headers and rules, never values.

use crate::error::Blame;

/// Why a request cannot be signed. None goes away by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The scheme does not sign.
    #[error("the scheme does not sign requests")]
    NotSigned,
    /// The key has no such field.
    #[error("the key has no field `{0}`")]
    MissingField(String),
    /// The field is not what the signer needs.
    #[error("the key's field `{field}` {why}")]
    InvalidField {
        /// The field.
        field: String,
        /// The rest of the sentence.
        why: &'static str,
    },
    /// The configured scheme is broken.
    #[error("the scheme is broken at {0}")]
    InvalidScheme(String),
    /// What would stand in the header cannot stand in one.
    #[error("the header `{0}` would hold characters that a header cannot")]
    InvalidHeader(String),
    /// The key does not sign.
    #[error("the key's field `{0}` does not sign")]
    Unable(String),
    /// The URL is not absolute, or grows too long.
    #[error("the URL cannot be signed")]
    InvalidUrl,
    /// The body is not what the provider takes.
    #[error("the body {0}")]
    InvalidBody(&'static str),
    /// The body is longer than what can be signed.
    #[error("the body is longer than {} bytes, which is the most that is signed", super::BODY_BYTES_MAX)]
    BodyTooLarge,
    /// The method has no signed form.
    #[error("signed calls of this provider are {0}")]
    WrongMethod(&'static str),
    /// A part that must be covered is not there.
    #[error("the request has no `{0}`, which must be signed")]
    MissingPart(String),
}

impl SignError {
    /// Whose fault it is: the caller's request, or the key and configuration.
    pub fn blame(&self) -> Blame {
        match self {
            Self::InvalidUrl
            | Self::InvalidBody(_)
            | Self::BodyTooLarge
            | Self::WrongMethod(_)
            | Self::MissingPart(_) => Blame::Caller,
            Self::NotSigned
            | Self::MissingField(_)
            | Self::InvalidField { .. }
            | Self::InvalidScheme(_)
            | Self::InvalidHeader(_)
            | Self::Unable(_) => Blame::Configuration,
        }
    }

    /// Whether asking again later may help: never.
    pub fn is_transient(&self) -> bool {
        false
    }
}
