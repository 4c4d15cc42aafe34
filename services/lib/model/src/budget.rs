//! Budgets: how much money something may cost in a calendar window. The shape is the body of `POST /api/v1/budgets`.
//!
//! A budget tells; it stops nobody. What is spent is the meter's figure.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::id::Slug;
use crate::integration::{Ratio, Window};
use crate::rule::Fault;
use crate::token::Actor;
use crate::{IntegrationId, RouteId, Timestamp};

/// Thresholds of one budget.
pub const THRESHOLDS_MAX: usize = 10;

/// Money allowed in a calendar window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its id, chosen by people.
    pub id: Slug,
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Whose cost it is.
    pub scope: Scope,
    /// What may be spent, in millionths of a US dollar: at least 1.
    #[serde(deserialize_with = "amount")]
    pub amount_micros: u64,
    /// The window: `day`, `week` or `month`.
    pub per: Window,
    /// The zone in which windows begin: an IANA name.
    pub timezone: String,
    /// The shares at which people hear of it, rising: 1 to 10 of them, above 0 and at most 1.
    #[serde(default = "thresholds")]
    pub thresholds: Vec<Ratio>,
    /// Whether people also hear of it when the forecast says that it will not last.
    #[serde(default = "yes")]
    pub forecast: bool,
}

/// Whose cost a budget is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BudgetScope)]
pub enum Scope {
    /// All calls of an integration.
    Integration(IntegrationId),
    /// All calls by a route.
    Route(RouteId),
    /// All calls of a caller, `user:<name>` or `agent:<persona>`, wherever they went.
    Caller(Actor),
}

impl Scope {
    /// For people: `integration openai-main`.
    pub fn describe(&self) -> String {
        match self {
            Self::Integration(id) => format!("integration {id}"),
            Self::Route(id) => format!("route {id}"),
            Self::Caller(actor) => format!("caller {actor}"),
        }
    }
}

/// `sb.ask.v1.meter.budgets`: what was spent of these. Answered with a [`BudgetNow`] each, in their order, or
/// [`crate::ask::Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BudgetsNow {
    /// Which.
    pub budgets: Vec<Budget>,
    /// The moment that counts as now.
    pub at: Timestamp,
}

/// A budget's current window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct BudgetNow {
    /// What was spent in it, in millionths of a US dollar.
    pub spent_micros: u64,
    /// Spent by allowed, to four digits.
    pub ratio: f64,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ends.
    pub resets_at: Timestamp,
    /// What will have been spent at its end; null when there is not enough to say.
    pub forecast_micros: Option<u64>,
}

impl Budget {
    /// Whether it can be, whatever else is configured. The zone's name is checked by whoever knows zones.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn check(&self) -> Result<(), Fault> {
        let fault = |pointer, why: &str| Err(Fault { pointer, why: why.to_owned() });
        if !matches!(self.per, Window::Day | Window::Week | Window::Month) {
            return fault("/per", "must be day, week or month");
        }
        if self.thresholds.is_empty() || self.thresholds.len() > THRESHOLDS_MAX {
            return fault("/thresholds", "must be 1 to 10 shares, such as [0.5, 0.8, 1.0]");
        }
        if !self.thresholds.is_sorted_by(|a, b| a < b) {
            return fault("/thresholds", "must rise, and name no share twice");
        }
        Ok(())
    }
}

/// What a scope may be, for people.
const SCOPES: &str = r#"must be one of {"integration": "<id>"}, {"route": "<id>"} and {"caller": "user:<name>" or "agent:<persona>"}"#;

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        // Read as it comes, so that whatever is there instead is told what there could be.
        let given = serde_json::Value::deserialize(from)?;
        let only = given.as_object().filter(|members| members.len() == 1).and_then(|one| one.iter().next());
        let Some((name, of)) = only.filter(|(_, of)| of.is_string()) else {
            return Err(Error::custom(SCOPES));
        };
        let scope = match name.as_str() {
            "integration" => IntegrationId::deserialize(of).map(Self::Integration),
            "route" => RouteId::deserialize(of).map(Self::Route),
            "caller" => Actor::deserialize(of).map(Self::Caller),
            _ => return Err(Error::custom(SCOPES)),
        };
        scope.map_err(|why| Error::custom(format_args!("`{name}`: {why}")))
    }
}

fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let given = i64::deserialize(from)?;
    u64::try_from(given)
        .ok()
        .filter(|amount| *amount > 0)
        .ok_or_else(|| serde::de::Error::custom("must be at least 1 (a millionth of a dollar)"))
}

fn thresholds() -> Vec<Ratio> {
    [500_000, 800_000, 1_000_000].map(Ratio::from_millionths).to_vec()
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(name: &str, value: Value) -> Result<Budget, serde_json::Error> {
        let mut body = json!({"id": "llm", "scope": {"integration": "openai-main"}, "amount_micros": 50_000_000,
            "per": "month", "timezone": "Europe/Berlin"});
        body[name] = value;
        serde_json::from_value(body)
    }

    #[test]
    fn a_budget_is_read_with_its_thresholds() {
        let budget = with("name", Value::Null).expect("a budget");
        assert_eq!(budget.check(), Ok(()));
        assert_eq!(serde_json::to_value(&budget).expect("serialises")["thresholds"], json!([0.5, 0.8, 1.0]));
        assert_eq!(budget.scope.describe(), "integration openai-main");
    }

    #[test]
    fn a_budget_of_nothing_or_less_is_none() {
        for amount in [json!(-5), json!(0), json!(1.5), json!("5")] {
            assert!(with("amount_micros", amount).is_err());
        }
    }

    #[test]
    fn a_scope_that_is_none_is_told_which_there_are() {
        let odd = [
            json!({"integration": "a", "route": "b"}),
            json!({"team": "a"}),
            json!({}),
            json!("poly"),
            json!(null),
            json!({"route": 3}),
        ];
        for scope in odd {
            let why = with("scope", scope).expect_err("is none").to_string();
            assert!(why.contains(r#"{"integration": "<id>"}"#), "{why}");
        }
        let why = with("scope", json!({"route": "Not a slug"})).expect_err("is no id").to_string();
        assert!(why.starts_with("`route`: "), "{why}");
        for scope in [json!({"route": "quotes"}), json!({"caller": "agent:ada"})] {
            let read = with("scope", scope.clone()).expect("a scope").scope;
            assert_eq!(serde_json::to_value(read).expect("JSON"), scope);
        }
    }

    #[test]
    fn thresholds_rise_and_windows_are_of_a_calendar() {
        let pointer =
            |name, value| with(name, value).expect("reads").check().err().map(|fault| fault.pointer);
        assert_eq!(pointer("thresholds", json!([0.8, 0.5])), Some("/thresholds"));
        assert_eq!(pointer("thresholds", json!([0.8, 0.8])), Some("/thresholds"));
        assert_eq!(pointer("thresholds", json!([])), Some("/thresholds"));
        assert_eq!(pointer("per", json!("hour")), Some("/per"));
    }
}
