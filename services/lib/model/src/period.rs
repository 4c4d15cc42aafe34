//! Lengths of time as people write them: `30s`, `5m`, `2h`, `7d`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a period looks like, as JSON Schema writes it.
pub const PERIOD_PATTERN: &str = "^[0-9]{1,8}(s|m|h|d)$";
/// The longest period: 366 days.
pub const PERIOD_SECS_MAX: u32 = 366 * DAY;
const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// A length of time in whole seconds, at most 366 days. A day has 24 hours here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u32);

impl Period {
    /// So many seconds, cut to the longest period.
    pub const fn secs(secs: u32) -> Self {
        Self(if secs > PERIOD_SECS_MAX { PERIOD_SECS_MAX } else { secs })
    }

    /// So many minutes.
    pub const fn minutes(minutes: u32) -> Self {
        Self::secs(minutes.saturating_mul(MINUTE))
    }

    /// So many hours.
    pub const fn hours(hours: u32) -> Self {
        Self::secs(hours.saturating_mul(HOUR))
    }

    /// So many times 24 hours.
    pub const fn days(days: u32) -> Self {
        Self::secs(days.saturating_mul(DAY))
    }

    /// In seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// As programs have it.
    pub const fn length(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }

    /// Reads `90s`, `5m`, `2h` or `7d`.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = match text.as_bytes().last()? {
            b's' => 1,
            b'm' => MINUTE,
            b'h' => HOUR,
            b'd' => DAY,
            _ => return None,
        };
        let digits = &text[..text.len() - 1];
        let number: u32 =
            digits.bytes().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
        number.checked_mul(unit).filter(|secs| *secs <= PERIOD_SECS_MAX).map(Self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, letter) in [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')] {
            if self.0 > 0 && self.0.is_multiple_of(unit) {
                return write!(f, "{}{letter}", self.0 / unit);
            }
        }
        write!(f, "{}s", self.0)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("must be a length of time such as 30s, 5m, 2h or 7d, at most 366d")
        })
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PERIOD_PATTERN })
    }
}

impl utoipa::PartialSchema for Period {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(PERIOD_PATTERN))
            .into()
    }
}

impl utoipa::ToSchema for Period {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_and_written_in_its_largest_unit() {
        let check = |text: &str, written: Option<&str>| {
            assert_eq!(Period::parse(text).map(|period| period.to_string()).as_deref(), written, "{text}");
        };
        check("30s", Some("30s"));
        check("300s", Some("5m"));
        check("90m", Some("90m"));
        check("24h", Some("1d"));
        check("0m", Some("0s"));
        for bad in ["", "s", "5", "-5m", "5 m", "1.5h", "5w", "367d", "99999999999s", "٣m"] {
            check(bad, None);
        }
    }
}
