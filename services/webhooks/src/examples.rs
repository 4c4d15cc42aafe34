//! The example alert that previews and tests use when people give none, and the tests of this crate. No real data.

use model::alert::{AlertRaised, Severity};
use model::id::Slug;
use model::{AlertId, Timestamp};
use serde_json::json;

/// A price alert as an agent would raise it.
pub(crate) fn price() -> AlertRaised {
    let at = Timestamp::from_millis(1_795_228_200_000);
    let data = json!({ "ticker": "IBM", "price": 190.2, "description": "IBM traded above its 50 day high." });
    AlertRaised {
        alert: AlertId::make(at, 1),
        severity: Severity::Critical,
        alert_type: "price".to_owned(),
        title: "IBM crossed 190".to_owned(),
        persona: Some("macro-analyst".to_owned()),
        source: Slug::of("screener"),
        fingerprint: "screener/price/IBM".to_owned(),
        at,
        labels: [("desk".to_owned(), "equities".to_owned())].into(),
        data: data.as_object().cloned().unwrap_or_default(),
    }
}
