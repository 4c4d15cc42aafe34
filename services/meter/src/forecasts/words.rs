//! What is told of a forecast: whole calls and micros, and sentences. Pure.

use model::Timestamp;
use model::forecast::{Amounts, Forecast, HOURS_MIN, Method, Missing, Times};

use super::Weighed;
use crate::forecast::{self, Interval, Projection, Window};

/// Nothing is said, and why.
pub(super) fn missing(missing: Missing, detail: String) -> Forecast {
    Forecast { missing: Some(missing), detail, ..Forecast::default() }
}

/// Where calls are heading.
pub(super) fn calls(weighed: &Weighed, window: &Window, now: Timestamp) -> Forecast {
    let outlook = match weighed {
        Ok(outlook) => outlook,
        Err(known) => {
            let detail = format!("not enough data: {known} of {HOURS_MIN} hours are known");
            let used_up = window.limit.is_some_and(|limit| window.used >= limit);
            return Forecast {
                exhausts_at: used_up.then_some(now),
                ..missing(Missing::NotEnoughData, detail)
            };
        }
    };
    let known = outlook.project(window, now.to_jiff());
    let (method, detail) = match known.method {
        forecast::Method::Mean => (Method::Mean, "by the mean of the hours since the window began"),
        forecast::Method::Profile => (Method::HourOfWeek, "by what each hour of the week usually brings"),
    };
    Forecast {
        exhausts_at: known.exhausts_at.map(Timestamp::from),
        requests_at_reset: Some(whole(known.at_reset)),
        missing: None,
        detail: detail.to_owned(),
        method: Some(method),
        exhausts_between: exhausts_between(&known, window),
        requests_between: known.at_reset_interval.map(amounts),
        cost_micros_at_reset: None,
        cost_micros_between: None,
    }
}

/// Adds where cost is heading, when that can be said.
pub(super) fn cost(forecast: &mut Forecast, weighed: &Weighed, window: &Window, now: Timestamp) {
    if let Ok(outlook) = weighed {
        let known = outlook.project(window, now.to_jiff());
        forecast.cost_micros_at_reset = Some(whole(known.at_reset));
        forecast.cost_micros_between = known.at_reset_interval.map(amounts);
    }
}

fn exhausts_between(known: &Projection, window: &Window) -> Option<Times> {
    (window.limit.is_some() && known.at_reset_interval.is_some()).then(|| Times {
        earliest: known.earliest.map(Timestamp::from),
        latest: known.latest.map(Timestamp::from),
    })
}

fn amounts(interval: Interval) -> Amounts {
    Amounts { low: whole(interval.low), high: whole(interval.high) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; never negative")]
fn whole(amount: f64) -> u64 {
    amount.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(used: f64, limit: f64) -> Window {
        let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000).to_jiff();
        Window { from: at(0), until: at(24), used, limit: Some(limit) }
    }

    #[test]
    fn too_little_is_said_as_such() {
        let now = Timestamp::from_millis(5 * 3_600_000);
        let said = calls(&Err(5), &window(3.0, 10.0), now);
        assert_eq!(said.missing, Some(Missing::NotEnoughData));
        assert_eq!(said.detail, "not enough data: 5 of 12 hours are known");
        assert_eq!((said.exhausts_at, said.requests_at_reset, said.method), (None, None, None));
    }

    #[test]
    fn what_is_used_up_is_so_without_any_history() {
        let now = Timestamp::from_millis(5 * 3_600_000);
        assert_eq!(calls(&Err(0), &window(10.0, 10.0), now).exhausts_at, Some(now));
    }

    #[test]
    fn hours_needed_are_those_of_the_method() {
        assert_eq!(HOURS_MIN as usize, forecast::BUCKETS_MIN);
    }
}
