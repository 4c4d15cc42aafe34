//! Forecasts as people are told them: where use and cost of a window are heading, how sure that is, or why nothing is said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// Hours with known use below which nothing is forecast.
pub const HOURS_MIN: u32 = 12;

/// Where the use of a window is heading. Made of finished hours, anew with each; what was used since is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Forecast {
    /// When the limit is used up; null when that will not be before its reset, there is no limit, or nothing is said.
    pub exhausts_at: Option<Timestamp>,
    /// Calls at the window's end.
    pub requests_at_reset: Option<u64>,
    /// Why nothing is said of calls; null when something is.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// The same as a sentence for people, or how it was made.
    #[serde(default)]
    pub detail: String,
    /// How it was made; null when nothing is said.
    #[serde(default)]
    pub method: Option<Method>,
    /// When the limit is used up by the interval's ends, also beyond the reset; null without an interval.
    #[serde(default)]
    pub exhausts_between: Option<Times>,
    /// Calls at the window's end, as an interval that four of five truths should lie in; null when too few earlier
    /// forecasts could be checked.
    #[serde(default)]
    pub requests_between: Option<Amounts>,
    /// Cost at the window's end, in millionths of a US dollar.
    #[serde(default)]
    pub cost_micros_at_reset: Option<u64>,
    /// The same as an interval.
    #[serde(default)]
    pub cost_micros_between: Option<Amounts>,
}

/// Why nothing is forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ForecastMissing)]
pub enum Missing {
    /// Fewer than 12 hours are known.
    NotEnoughData,
    /// The window is shorter than a day: it is over before a forecast helps.
    WindowTooShort,
    /// Only limits of a calendar that count whole calls of the integration are forecast.
    Unsupported,
}

/// How a forecast was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ForecastMethod)]
pub enum Method {
    /// The mean since the window began: less than two weeks are known.
    Mean,
    /// What each hour of the week usually brings, over eight weeks, at the level of the last four.
    HourOfWeek,
}

/// An interval of time. An end beyond two months is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = ForecastTimes)]
pub struct Times {
    /// One in ten is earlier.
    pub earliest: Option<Timestamp>,
    /// One in ten is later.
    pub latest: Option<Timestamp>,
}

/// An interval of amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = ForecastAmounts)]
pub struct Amounts {
    /// One in ten is lower.
    pub low: u64,
    /// One in ten is higher.
    pub high: u64,
}
