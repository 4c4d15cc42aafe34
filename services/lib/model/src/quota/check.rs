//! Refuses limits that can never be met, and makes the others ready. Pure.

use std::fmt;

use jiff::tz::TimeZone;

use super::limit::{AMOUNT_MAX, Limit, ROLLING_AMOUNT_MAX, ROLLING_MS_MAX, ROLLING_MS_MIN, Span};
use super::{Away, Kind, LIMITS_MAX, NAME_CHARS_MAX, PATHS_MAX, QUOTAS_MAX, Quota, Unit, WEIGHTS_MAX};
use crate::integration::{Ratio, Window as Per};

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 512;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {why}")]
pub struct Fault {
    /// A JSON pointer below the limits: `/0/weights/2/units`.
    pub pointer: String,
    /// Why it cannot work.
    pub why: Why,
}

/// Why a limit cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Too many of something.
    #[error("at most {0} are kept")]
    TooMany(usize),
    /// No name, or a long one.
    #[error("a name has 1 to {NAME_CHARS_MAX} characters")]
    Name,
    /// Two of one name.
    #[error("another limit has this name")]
    NameTaken,
    /// Nothing is ever allowed.
    #[error("a limit of 0 can never be met; disable the integration instead")]
    Nothing,
    /// More than can be counted.
    #[error("at most {0}")]
    TooLarge(u64),
    /// Neither a named window nor its length.
    #[error("it has no window: say `per` or `window_secs`")]
    NoWindow,
    /// A calendar that is not named.
    #[error(
        "a calendar window is named: `minute`, `hour`, `day`, `week` or `month`; one of another length is `rolling`"
    )]
    NoCalendar,
    /// What does not go with the rest of it.
    #[error("{0}")]
    Contradiction(&'static str),
    /// Both, or one where there is none.
    #[error("{0}")]
    WindowTwice(&'static str),
    /// A day without a zone.
    #[error("days, weeks and months begin at midnight of a zone: say which, such as `UTC`")]
    NoZone,
    /// An unknown zone.
    #[error("`{0}` is no zone of the IANA database")]
    UnknownZone(String),
    /// A rolling window that is too long or too short.
    #[error("a rolling window has at most a day: use a calendar")]
    NotRolling,
    /// A call that can never be made.
    #[error("a call of {units} units can never be made where {most} are allowed at once")]
    NeverMet {
        /// What it weighs.
        units: u64,
        /// What is allowed.
        most: u64,
    },
    /// An estimate of nothing.
    #[error("an equal share of {amount} for {replicas} gateways is nothing: use `fail_closed`")]
    NoShare {
        /// The limit.
        amount: u64,
        /// How many would share it.
        replicas: u32,
    },
    /// More than a call can be under.
    #[error("a call can be under at most {LIMITS_MAX} limits")]
    TooManyAtOnce,
    /// Weights of what weighs itself.
    #[error("tokens are counted as they are: weights are for requests")]
    Weights,
    /// A path that is none.
    #[error("a path begins with `/`, and has at most 512 characters and no white space")]
    Path,
    /// Throttling before anybody is warned.
    #[error("throttling at {} would not begin after people are warned at {}: it must be above `near`", share(.throttle), share(.near))]
    ThrottleFirst {
        /// From when on it is throttled.
        throttle: Ratio,
        /// From when on it is near.
        near: Ratio,
    },
    /// A path that is named before.
    #[error("`{0}` is named twice: only one of them can hold")]
    PathTwice(String),
    /// A zone where nothing goes by its clock.
    #[error("only windows of a calendar begin by a zone's clock: leave it out")]
    ZoneOfNothing,
    /// Throttling of what comes again by itself.
    #[error("only calendar windows are throttled: of others units come again by themselves")]
    Throttle,
    /// An estimate of a calendar.
    #[error(
        "a calendar window cannot be estimated: what others spent of it does not come again; use `fail_closed`"
    )]
    NoEstimate,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as the error has it")]
fn share(ratio: &Ratio) -> f64 {
    f64::from(ratio.millionths()) / 1e6
}

/// All limits of an integration as they are kept, or everything that is wrong with them. `replicas`: how many gateways there are
/// at most, by which estimates go.
pub fn compile(quotas: &[Quota], replicas: u32) -> Result<Vec<Limit>, Vec<Fault>> {
    let mut faults = Vec::new();
    if quotas.len() > QUOTAS_MAX {
        faults.push(Fault { pointer: String::new(), why: Why::TooMany(QUOTAS_MAX) });
        return Err(faults);
    }
    let mut limits = Vec::with_capacity(quotas.len());
    for (place, quota) in quotas.iter().enumerate() {
        let mut tell = |field: fmt::Arguments<'_>, why| {
            faults.push(Fault { pointer: format!("/{place}{field}"), why });
        };
        if quotas[..place].iter().any(|other| other.name == quota.name) {
            tell(format_args!("/name"), Why::NameTaken);
        }
        limits.extend(quota.compile(replicas, &mut tell));
    }
    if let Some(place) = too_many_at_once(quotas) {
        faults.push(Fault { pointer: format!("/{place}"), why: Why::TooManyAtOnce });
    }
    if faults.is_empty() { Ok(limits) } else { Err(faults) }
}

/// One limit of a configuration that stands, as it is kept. What a later rule refuses of it is kept more strictly: fail
/// closed, in UTC, with a smaller burst.
///
/// # Errors
/// The first reason why it cannot be kept at all.
pub fn keep(quota: &Quota, replicas: u32) -> Result<Limit, Fault> {
    let compile = |quota: &Quota, replicas| compile(std::slice::from_ref(quota), replicas);
    let strict = || Quota {
        away: Some(Away::FailClosed),
        timezone: Some(quota.zone().to_owned()),
        burst: quota.burst.map(|burst| burst.min(quota.requests)),
        ..quota.clone()
    };
    let kept = compile(quota, replicas).or_else(|_| compile(&strict(), 1));
    let first = |faults: Vec<Fault>| faults.into_iter().next();
    let nothing = || Fault { pointer: String::new(), why: Why::NoWindow };
    match kept {
        Ok(limits) => limits.into_iter().next().ok_or_else(nothing),
        Err(faults) => Err(first(faults).unwrap_or_else(nothing)),
    }
}

/// The first limit that is one too many for a call; those that are about some paths only can be apart.
fn too_many_at_once(quotas: &[Quota]) -> Option<usize> {
    let everywhere = quotas.iter().enumerate().filter(|(_, quota)| quota.paths.is_empty());
    everywhere.map(|(place, _)| place).nth(LIMITS_MAX)
}

impl Quota {
    fn compile(&self, replicas: u32, tell: &mut dyn FnMut(fmt::Arguments<'_>, Why)) -> Option<Limit> {
        if self.name.is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            tell(format_args!("/name"), Why::Name);
        }
        match self.requests {
            0 => tell(format_args!("/requests"), Why::Nothing),
            amount if amount > AMOUNT_MAX => tell(format_args!("/requests"), Why::TooLarge(AMOUNT_MAX)),
            _ => {}
        }
        if self.burst == Some(0) {
            tell(format_args!("/burst"), Why::Nothing);
        }
        let (amount, span) = self.span(tell)?;
        let comes_again = matches!(span, Span::Rolling { .. } | Span::Bucket { .. });
        if self.burst.is_some() && !comes_again {
            tell(format_args!("/burst"), Why::Contradiction("only what comes again bit by bit has bursts"));
        }
        if matches!(span, Span::Rolling { .. }) && self.burst.is_some_and(|burst| burst > self.requests) {
            let why = "no stretch of the window has more than `requests`: only a `bucket` can hold more";
            tell(format_args!("/burst"), Why::Contradiction(why));
        }
        if comes_again && amount > ROLLING_AMOUNT_MAX {
            tell(format_args!("/requests"), Why::TooLarge(ROLLING_AMOUNT_MAX));
        }
        if self.weights.len() > WEIGHTS_MAX {
            tell(format_args!("/weights"), Why::TooMany(WEIGHTS_MAX));
        }
        for (n, weight) in self.weights.iter().enumerate().filter(|(_, weight)| weight.units > amount) {
            let why = Why::NeverMet { units: weight.units, most: amount };
            tell(format_args!("/weights/{n}/units"), why);
        }
        self.check_paths(tell);
        let calendar = matches!(span, Span::Calendar { .. });
        if self.throttle.is_some() && !calendar {
            tell(format_args!("/throttle"), Why::Throttle);
        }
        let short = matches!(span, Span::Rolling { millis } | Span::Bucket { millis } if millis <= 60_000);
        let estimate = match self.away {
            Some(Away::LocalEstimate) if calendar => {
                tell(format_args!("/away"), Why::NoEstimate);
                false
            }
            Some(Away::LocalEstimate) if amount < u64::from(replicas) => {
                tell(format_args!("/away"), Why::NoShare { amount, replicas });
                false
            }
            Some(away) => away == Away::LocalEstimate,
            None => short,
        };
        Some(Limit { name: self.name.clone(), amount, span, replicas: estimate.then_some(replicas.max(1)) })
    }

    fn check_paths(&self, tell: &mut dyn FnMut(fmt::Arguments<'_>, Why)) {
        if self.paths.len() > PATHS_MAX {
            tell(format_args!("/paths"), Why::TooMany(PATHS_MAX));
        }
        if self.unit != Unit::Requests && !self.weights.is_empty() {
            tell(format_args!("/weights"), Why::Weights);
        }
        let is_path = |path: &str| {
            path.starts_with('/') && path.len() <= PATH_BYTES_MAX && !path.contains(char::is_whitespace)
        };
        for (n, _) in self.paths.iter().enumerate().filter(|(_, path)| !is_path(path)) {
            tell(format_args!("/paths/{n}"), Why::Path);
        }
        for (n, _) in self.weights.iter().enumerate().filter(|(_, weight)| !is_path(&weight.path)) {
            tell(format_args!("/weights/{n}/path"), Why::Path);
        }
    }

    /// How much, and when it comes again.
    fn span(&self, tell: &mut dyn FnMut(fmt::Arguments<'_>, Why)) -> Option<(u64, Span)> {
        let kind = self.kind.unwrap_or(match self.per {
            Some(Per::Hour | Per::Day | Per::Week | Per::Month) => Kind::Calendar,
            Some(Per::Second | Per::Minute) | None => Kind::Rolling,
        });
        if kind == Kind::Concurrent {
            if self.per.is_some() || self.window_secs.is_some() {
                tell(format_args!("/per"), Why::WindowTwice("calls at a time have no window"));
            }
            return Some((self.requests, Span::Concurrent));
        }
        if self.per.is_some() && self.window_secs.is_some() {
            tell(format_args!("/window_secs"), Why::WindowTwice("the window is named already"));
        }
        if kind == Kind::Calendar {
            let Some(per) = self.per else {
                tell(format_args!("/per"), Why::NoCalendar);
                return None;
            };
            let zone = self.read_zone(per, tell)?;
            return Some((self.requests, Span::Calendar { per, zone }));
        }
        let secs = self.per.map_or(self.window_secs.unwrap_or(0), Per::secs);
        let field = if self.per.is_some() { "/per" } else { "/window_secs" };
        if secs == 0 {
            match self.window_secs {
                Some(_) => {
                    tell(format_args!("/window_secs"), Why::Contradiction("a window has a second at least"));
                }
                None => tell(format_args!("/per"), Why::NoWindow),
            }
            return None;
        }
        let Some(millis) = secs.checked_mul(1_000).filter(|millis| *millis <= ROLLING_MS_MAX) else {
            tell(format_args!("{field}"), Why::NotRolling);
            return None;
        };
        let (burst, all) = (self.burst.unwrap_or(self.requests), self.requests.max(1));
        // What is cut off at the end would let one come too soon.
        let part =
            |amount: u64, all: u64| (u128::from(millis) * u128::from(amount)).div_ceil(u128::from(all));
        if kind == Kind::Bucket {
            let full = u32::try_from(part(burst, all)).ok().filter(|full| *full <= ROLLING_MS_MAX);
            let Some(full) = full else {
                tell(
                    format_args!("/burst"),
                    Why::Contradiction("a bucket is full again after a day at most"),
                );
                return None;
            };
            return Some((burst, Span::Bucket { millis: full.max(1) }));
        }
        let amount = burst.min(self.requests);
        // Where any stretch counts, only whole bursts fit into it.
        let all = all / amount.max(1) * amount.max(1);
        let millis = u32::try_from(part(amount, all)).unwrap_or(millis);
        Some((amount, Span::Rolling { millis: millis.max(ROLLING_MS_MIN) }))
    }

    fn read_zone(&self, per: Per, tell: &mut dyn FnMut(fmt::Arguments<'_>, Why)) -> Option<TimeZone> {
        let Some(name) = self.timezone.as_deref().filter(|name| !name.is_empty()) else {
            if matches!(per, Per::Day | Per::Week | Per::Month) {
                tell(format_args!("/timezone"), Why::NoZone);
                return None;
            }
            return Some(TimeZone::UTC);
        };
        match TimeZone::get(name) {
            Ok(zone) => Some(zone),
            Err(_) => {
                let name = name.chars().take(NAME_CHARS_MAX).collect();
                tell(format_args!("/timezone"), Why::UnknownZone(name));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
