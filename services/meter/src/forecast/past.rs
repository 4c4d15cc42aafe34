//! How wrong the same method was before.
//!
//! At one time of each of the last days a forecast is made from what was known then, and compared with what came, over
//! the same length as is asked now or as much of it as is known. The interval is the forecast give or take the usual relative
//! error, times the quantile of Student's t that leaves one in ten on each side: forecasts of neighbouring days are wrong in the same way,
//! so only whole stretches of the length asked count as degrees of freedom.
//! Never uses anything from after the time that a past forecast is made at to make it.

use super::history::{HOUR_SECS, History};
use super::profile::{Method, Profile};

const DAY_SECS: i64 = 24 * HOUR_SECS;
/// Days looked back for past forecasts.
const ORIGINS_MAX: i64 = 56;
/// Past forecasts below which there is no interval.
const ORIGINS_MIN: usize = 5;
/// Least share of the hours of a past forecast's stretch that must be known.
const KNOWN_SHARE_MIN: f64 = 0.8;
/// Length of stretch that a past forecast is checked over at least, unless less is asked.
const STRETCH_SECS_MIN: i64 = 2 * DAY_SECS;
/// The normal quantile that leaves one in ten above.
const NORMAL_TENTH: f64 = 1.2816;
/// What Student's quantile has more than that, per degree of freedom: within 2 % of the tables from two degrees on.
const STUDENT_MORE: f64 = 1.22;
/// Degrees of freedom taken at least.
const FREEDOM_MIN: f64 = 2.0;
/// The widest interval: from nothing to twice the forecast.
const SPREAD_MAX: f64 = 1.0;

/// The share of a forecast that it may be off by, either way, four times in five, from past forecasts of the same
/// method over stretches like `now..until`. `None` when too few could be checked.
pub(super) fn spread(history: &History, method: Method, from: i64, now: i64, until: i64) -> Option<f64> {
    let asked = (until - now).max(DAY_SECS);
    let (mut squares, mut oldest) = (Vec::with_capacity(ORIGINS_MAX as usize), now);
    for days in 1..=ORIGINS_MAX {
        let origin = now - days * DAY_SECS;
        let profile =
            Profile::at(history, from.min(origin), origin).filter(|profile| profile.method == method);
        let ratio =
            profile.and_then(|profile| ratio(history, &profile, origin, now.min(origin + asked), asked));
        if let Some(ratio) = ratio {
            squares.push((ratio - 1.0) * (ratio - 1.0));
            oldest = origin;
        }
    }
    if squares.len() < ORIGINS_MIN {
        return None;
    }
    let usual = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
    let freedom = ((now - oldest) as f64 / asked as f64).max(FREEDOM_MIN);
    Some((usual * (NORMAL_TENTH + STUDENT_MORE / freedom)).min(SPREAD_MAX))
}

/// What came, as a multiple of what was forecast.
fn ratio(history: &History, profile: &Profile, origin: i64, end: i64, asked: i64) -> Option<f64> {
    let (known, came, said) =
        history.between(origin, end).fold((0usize, 0.0, 0.0), |(known, came, said), hour| {
            (known + 1, came + hour.amount, said + profile.hour(hour.cell))
        });
    let enough = known as f64 >= KNOWN_SHARE_MIN * ((end - origin) / HOUR_SECS) as f64;
    let long = end - origin >= asked.min(STRETCH_SECS_MIN);
    (enough && long && said > 0.0).then(|| came / said)
}
