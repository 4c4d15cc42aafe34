//! What an hour of the week usually brings.
//!
//! With two weeks of history: the median of that hour over the last eight weeks, times the current level. The level is the
//! middle day's of the last four weeks, so that a holiday or an outage does not pass for a trend; four days in a row beyond
//! all others are one.
//! With less: the mean since the window began, or of all that is known when that is young.
//! Never looks past the time it is made at.

use super::BUCKETS_MIN;
use super::history::{CELLS, HOUR_SECS, History};
use crate::order::median;

const WEEK_SECS: i64 = 168 * HOUR_SECS;
const DAY_SECS: i64 = 24 * HOUR_SECS;
/// Weeks the medians are taken over.
const PROFILE_WEEKS: i64 = 8;
/// Weeks of history from which there is a profile.
const PROFILE_WEEKS_MIN: i64 = 2;
/// Days the level is taken over: whole weeks, so that no weekday weighs more.
const LEVEL_DAYS: i64 = 28;
/// Latest days that are the level by themselves when all of them lie above, or all below, the others of `LEVEL_DAYS`.
const STEP_DAYS: usize = 4;

/// How a forecast was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The mean since the window began: there are less than two weeks of history.
    Mean,
    /// The median of each hour of the week over eight weeks, times the current level.
    Profile,
}

/// Expected increases by the hour of the week.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) method: Method,
    hourly: [f64; CELLS],
}

impl Profile {
    /// The profile as of `now`, for a window that began at `from` (seconds). `None` with less than `BUCKETS_MIN` hours known.
    pub(super) fn at(history: &History, from: i64, now: i64) -> Option<Profile> {
        let begins = history.begins()?;
        if now - begins >= PROFILE_WEEKS_MIN * WEEK_SECS
            && let Some(profile) = by_week(history, now)
        {
            return Some(profile);
        }
        let mean = mean(history, from, now).or_else(|| mean(history, begins, now))?;
        Some(Profile { method: Method::Mean, hourly: [mean; CELLS] })
    }

    /// What an hour is expected to bring.
    pub(super) fn hour(&self, cell: usize) -> f64 {
        self.hourly[cell]
    }
}

fn mean(history: &History, from: i64, now: i64) -> Option<f64> {
    let (count, sum) =
        history.between(from, now).fold((0usize, 0.0), |(count, sum), hour| (count + 1, sum + hour.amount));
    (count >= BUCKETS_MIN).then(|| sum / count as f64)
}

fn by_week(history: &History, now: i64) -> Option<Profile> {
    let mut hourly = [0.0; CELLS];
    let mut known: Vec<Vec<f64>> = vec![Vec::new(); CELLS];
    for hour in history.between(now - PROFILE_WEEKS * WEEK_SECS, now) {
        known[hour.cell].push(hour.amount);
    }
    let mut all: Vec<f64> = known.iter().flatten().copied().collect();
    if all.len() < CELLS {
        return None;
    }
    let middle = median(&mut all)?;
    for (cell, expected) in hourly.iter_mut().enumerate() {
        *expected = match middle_of(&mut known[cell]) {
            Some(found) => found,
            None => same_hour(&known, cell).unwrap_or(middle),
        };
    }
    match level(history, &hourly, now) {
        Some(level) => hourly.iter_mut().for_each(|expected| *expected *= level),
        // The medians say nothing happens, yet something does now and then: its mean, evenly.
        None => hourly = [mean(history, now - LEVEL_DAYS * DAY_SECS, now)?; CELLS],
    }
    Some(Profile { method: Method::Profile, hourly })
}

/// How the last four weeks compare with the profile: the median over their days of what came to what is usual.
/// `None` when the profile knows of nothing usual on those days.
fn level(history: &History, hourly: &[f64; CELLS], now: i64) -> Option<f64> {
    let mut days: Vec<f64> = (1..=LEVEL_DAYS)
        .filter_map(|days| {
            let begins = now - days * DAY_SECS;
            let (known, came, usual) = history
                .between(begins, begins + DAY_SECS)
                .fold((0usize, 0.0, 0.0), |(known, came, usual), hour| {
                    (known + 1, came + hour.amount, usual + hourly[hour.cell])
                });
            (known >= BUCKETS_MIN && usual > 0.0).then(|| came / usual)
        })
        .collect();
    if days.len() > STEP_DAYS
        && let (latest, before) = days.split_at_mut(STEP_DAYS)
        && stepped(latest, before)
    {
        return middle_of(latest);
    }
    middle_of(&mut days)
}

/// Whether all of the latest days lie above all before, or all below.
fn stepped(latest: &[f64], before: &[f64]) -> bool {
    let least = |days: &[f64]| days.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |days: &[f64]| days.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    least(latest) > most(before) || most(latest) < least(before)
}

/// The mean of the two middle ones, or the middle one.
fn middle_of(amounts: &mut [f64]) -> Option<f64> {
    amounts.sort_unstable_by(f64::total_cmp);
    let half = amounts.len() / 2;
    let upper = *amounts.get(half)?;
    Some(if amounts.len() % 2 == 1 { upper } else { (amounts[half - 1] + upper) / 2.0 })
}

/// The median of the same hour on all days, for an hour of the week that was never seen.
fn same_hour(known: &[Vec<f64>], cell: usize) -> Option<f64> {
    let mut amounts: Vec<f64> = known.iter().skip(cell % 24).step_by(24).flatten().copied().collect();
    median(&mut amounts)
}
