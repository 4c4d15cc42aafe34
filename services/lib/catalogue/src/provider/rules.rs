//! What an answer is looked at for: its status, its headers, parts of its JSON body.

use model::health::Reason;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an error means. All that is said must hold. Either `reason` or `fine`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// Its name, unique in the provider: `daily_limit`. The only thing that a detail quotes.
    pub name: String,
    /// Statuses; one must fit. Empty: any.
    #[serde(default)]
    pub status: Vec<StatusTest>,
    /// Tests of the JSON body; all must hold.
    #[serde(default)]
    pub body: Vec<BodyTest>,
    /// Texts of which one stands anywhere in the body, JSON or not, its case ignored. Only with statuses of 400 and more.
    #[serde(default)]
    pub body_contains: Vec<String>,
    /// A test of a header.
    #[serde(default)]
    pub header: Option<HeaderTest>,
    /// The class of the error.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// That it is none, whatever later rules say.
    #[serde(default)]
    pub fine: bool,
    /// Where the body says how long to wait.
    #[serde(default)]
    pub retry_from: Option<RetryFrom>,
    /// How long to wait when the answer does not say, in seconds.
    #[serde(default)]
    pub retry_after_secs: Option<u32>,
    /// Whether no source was found for it.
    #[serde(default)]
    pub unsourced: bool,
}

/// A status, or a range of them, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(untagged)]
pub enum StatusTest {
    /// One status.
    Code(u16),
    /// A range.
    Range {
        /// The first.
        from: u16,
        /// The last.
        to: u16,
    },
}

/// A test of a part of a JSON body. It holds when one value at the pointer passes all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyTest {
    /// A JSON pointer (RFC 6901) in which the segment `*` stands for every element. Empty: the whole body.
    pub pointer: String,
    /// The value is one of these. A number equals its text.
    #[serde(default)]
    pub one_of: Vec<Scalar>,
    /// The value is none of these.
    #[serde(default)]
    pub none_of: Vec<Scalar>,
    /// The text holds one of these, its case ignored.
    #[serde(default)]
    pub contains: Vec<String>,
    /// The text begins with one of these.
    #[serde(default)]
    pub starts_with: Vec<String>,
    /// Whether there is such a value; null is none.
    #[serde(default)]
    pub exists: Option<bool>,
    /// Whether it is an empty array, object or text.
    #[serde(default)]
    pub empty: Option<bool>,
}

/// What a JSON value is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

/// A test of a header: it is there and, if said, holds a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderTest {
    /// The header's name, its case ignored.
    pub name: String,
    /// A text in it, its case ignored.
    #[serde(default)]
    pub contains: Option<String>,
}

/// Where a body says how long to wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryFrom {
    /// Its place, as in [`BodyTest`].
    pub pointer: String,
    /// What stands before it in the text.
    #[serde(default)]
    pub after: Option<String>,
    /// How it is written.
    pub unit: RetryUnit,
}

/// How a wait is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryUnit {
    /// Seconds, perhaps with decimals.
    Secs,
    /// `46s`, `6m0s`, `250ms`.
    Duration,
    /// Seconds since 1970; needs the answer's `Date`.
    EpochSecs,
}

impl StatusTest {
    /// Whether a status fits.
    pub const fn fits(self, status: u16) -> bool {
        match self {
            Self::Code(code) => code == status,
            Self::Range { from, to } => from <= status && status <= to,
        }
    }

    /// The lowest and the highest that fit.
    pub const fn ends(self) -> (u16, u16) {
        match self {
            Self::Code(code) => (code, code),
            Self::Range { from, to } => (from, to),
        }
    }
}

impl ErrorRule {
    /// Whether a status fits.
    pub fn fits_status(&self, status: u16) -> bool {
        self.status.is_empty() || self.status.iter().any(|s| s.fits(status))
    }

    /// Whether it looks at the body.
    pub fn reads_body(&self) -> bool {
        !self.body.is_empty() || !self.body_contains.is_empty()
    }
}
