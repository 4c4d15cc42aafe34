//! Ids: slugs chosen by people, and ULIDs made by the program.
//!
//! A slug matches `[a-z0-9][a-z0-9-]{0,62}` (DESIGN section 4), so that no text of a user can become a
//! wildcard or a new token of a NATS subject, a path segment or a metric label. A provider's id may also
//! hold underscores, because the catalogue's ids do; it is never part of a subject.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// The pattern of a slug, as JSON Schema writes it.
pub const SLUG_PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
/// The longest slug, in characters.
pub const SLUG_CHARS_MAX: usize = 63;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {what}: use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter or digit")]
pub struct InvalidId {
    /// The text as it was given, cut to 80 characters.
    pub given: String,
    /// What it should have been, with its article: `an integration id`.
    pub what: &'static str,
}

fn is_slug(text: &str, underscore: bool) -> bool {
    let ok = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || (underscore && c == b'_');
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= SLUG_CHARS_MAX
        && bytes.iter().all(|c| ok(*c))
        && bytes[0] != b'-'
        && bytes[0] != b'_'
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $what:literal, $underscore:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a text that follows the pattern, or says why it does not.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if is_slug(&text, $underscore) {
                    return Ok(Self(text));
                }
                Err(InvalidId { given: text.chars().take(80).collect(), what: $what })
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(from)?).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let pattern = if $underscore { "^[a-z0-9][a-z0-9_-]{0,62}$" } else { SLUG_PATTERN };
                json_schema!({ "type": "string", "pattern": pattern })
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                let pattern = if $underscore { "^[a-z0-9][a-z0-9_-]{0,62}$" } else { SLUG_PATTERN };
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(pattern))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

slug!(
    /// A provider of the catalogue (`alpha_vantage`), or `custom`.
    ProviderId, "a provider id", true
);
slug!(
    /// A configured use of a provider.
    IntegrationId, "an integration id", false
);
slug!(
    /// An ordered list of integrations behind one name.
    RouteId, "a route id", false
);
slug!(
    /// A provider's credential, kept in the key store.
    KeyId, "a key id", false
);
slug!(
    /// A destination that people configured for alerts.
    WebhookId, "a webhook id", false
);
slug!(
    /// A caller's credential to Signalbox.
    TokenId, "a token id", false
);
slug!(
    /// Any slug: an alert's source, an actor in a subject, a silence.
    Slug, "a slug", false
);

impl Slug {
    /// Makes a slug of any text: lower case, other characters become `-`, cut to 63. Never fails: a text with
    /// nothing usable becomes `x`.
    pub fn of(text: &str) -> Self {
        let mut slug = String::with_capacity(text.len().min(SLUG_CHARS_MAX));
        for c in text.chars().take(SLUG_CHARS_MAX) {
            let c = c.to_ascii_lowercase();
            slug.push(if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' });
        }
        let trimmed = slug.trim_matches('-');
        Self(if trimmed.is_empty() { "x".to_owned() } else { trimmed.to_owned() })
    }
}

/// A hash that is the same on every machine and in every version (FNV-1a, 64 bits): spreads and names things. It
/// guards nothing: never use it where somebody may want two texts to collide.
pub fn stable_hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(String);

        impl $name {
            /// Takes an id made elsewhere. It must be 1 to 64 characters of `A-Z a-z 0-9 _ -`.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let ok = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if text.is_empty() || text.len() > 64 || !text.chars().all(ok) {
                    return Err(InvalidId { given: text.chars().take(80).collect(), what: "an id" });
                }
                Ok(Self(text))
            }

            /// Makes a sortable id (ULID) of a moment and 80 random bits, both given by the caller.
            pub fn make(at: crate::Timestamp, random: u128) -> Self {
                let at = u64::try_from(at.as_millis()).unwrap_or(0);
                Self(ulid::Ulid::from_parts(at, random).to_string())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

ulid_id!(
    /// An event's `ce-id`.
    EventId
);
ulid_id!(
    /// An alert, from raised to resolved.
    AlertId
);
ulid_id!(
    /// One alert to one webhook; also its `webhook-id`.
    DeliveryId
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slug_has_no_token_or_wildcard_of_a_subject() {
        for bad in ["", "-a", "A", "a.b", "a*", ">", "a b", "ä", "a_b", &"a".repeat(64)] {
            assert!(IntegrationId::new(bad).is_err(), "{bad}");
        }
        for good in ["a", "0", "polygon-main", &"a".repeat(63)] {
            assert!(IntegrationId::new(good).is_ok(), "{good}");
        }
        assert!(ProviderId::new("alpha_vantage").is_ok());
    }

    #[test]
    fn the_stable_hash_is_that_of_its_authors() {
        assert_eq!(stable_hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash("foobar"), 0x8594_4171_f739_67e8);
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_slug(text in ".{0,100}") {
            prop_assert!(is_slug(Slug::of(&text).as_str(), false));
        }
    }
}
