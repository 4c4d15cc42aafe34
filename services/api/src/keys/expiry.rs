//! Decides when a key's expiry is worth a notice, and which.
//!
//! Pure: a key and a moment in; how far it is, and what to say, out. Only the last step that was reached counts: who was
//! away for a while hears where the key stands now, not what was missed.

use std::time::Duration;

use model::alert::{AlertRaised, Severity};
use model::id::{Slug, stable_hash};
use model::key::{Key, KeyFact};
use model::{AlertId, Timestamp};

/// The kind of these alerts.
pub(super) const ALERT_TYPE: &str = "key_expiring";
/// Who watches, in events.
pub(super) const WATCH: &str = "vault-watch";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an expired key is news, in days. Shorter than notices are remembered (40 days, in `meter`), so that what was
/// said is not said again.
const NEWS_DAYS: u32 = 30;

/// How far a key is from its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// 30 days are left, or fewer.
    Month,
    /// 14.
    Fortnight,
    /// 7.
    Week,
    /// 1.
    Day,
    /// Its provider takes it no more.
    Expired,
}

impl Step {
    /// Nearest to the end first, with the days before it.
    const ALL: [(Self, u32); 5] =
        [(Self::Expired, 0), (Self::Day, 1), (Self::Week, 7), (Self::Fortnight, 14), (Self::Month, 30)];

    /// The step that an expiry has reached; none when it is far, or was long ago.
    pub(super) fn at(now: Timestamp, expires_at: Timestamp) -> Option<Self> {
        if now.since(expires_at) > DAY * NEWS_DAYS {
            return None;
        }
        let reached = |days: u32| expires_at.minus(DAY * days) <= now;
        Self::ALL.into_iter().find(|(_, days)| reached(*days)).map(|(step, _)| step)
    }

    /// How bad it is.
    pub(super) const fn severity(self) -> Severity {
        match self {
            Self::Month | Self::Fortnight | Self::Week => Severity::Warning,
            Self::Day => Severity::Error,
            Self::Expired => Severity::Critical,
        }
    }

    /// The step as a word of notices and of the alert's data.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Month => "30d",
            Self::Fortnight => "14d",
            Self::Week => "7d",
            Self::Day => "1d",
            Self::Expired => "expired",
        }
    }
}

/// What there is to say of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    /// What makes it said once: the same for this key, this expiry and this step.
    pub(super) once: String,
    /// The event.
    pub(super) fact: KeyFact,
    /// The alert. Every step of a key has the same fingerprint, so that it is one alert that grows worse.
    pub(super) alert: AlertRaised,
}

/// What there is to say of a key at a moment. Nothing of one that is revoked or never expires.
pub(super) fn notice(key: &Key, now: Timestamp) -> Option<Notice> {
    let (expires_at, version) = (key.expires_at?, key.active()?.version);
    let step = Step::at(now, expires_at)?;
    let fingerprint = fingerprint(key.id.as_str());
    // Made of what it is about, so that a second replica would raise the same one.
    let id = format!("key-{:016x}{:016x}", stable_hash(&fingerprint), expires_at.as_millis());
    let data = serde_json::json!({
        "key": key.id, "provider": key.provider, "environment": key.environment, "version": version,
        "expires_at": expires_at, "days_left": days_left(now, expires_at), "step": step.as_str(),
    });
    Some(Notice {
        once: format!("{fingerprint}/{}/{}", expires_at.as_millis(), step.as_str()),
        fact: KeyFact {
            key: key.id.clone(),
            provider: key.provider.clone(),
            version,
            at: now,
            actor: WATCH.to_owned(),
            expires_at: Some(expires_at),
        },
        alert: AlertRaised {
            alert: AlertId::parse(id).ok()?,
            severity: step.severity(),
            alert_type: ALERT_TYPE.to_owned(),
            title: title(key, now, expires_at),
            persona: None,
            source: Slug::of(key.id.as_str()),
            fingerprint,
            at: now,
            labels: key.labels.clone(),
            data: data.as_object().cloned().unwrap_or_default(),
        },
    })
}

/// Whether the alert about a key is over: the key is gone or revoked, or does not expire soon.
pub(super) fn is_over(key: Option<&Key>, now: Timestamp) -> bool {
    let Some(key) = key.filter(|key| key.active().is_some()) else { return true };
    key.expires_at.is_none_or(|at| at > now && Step::at(now, at).is_none())
}

/// What makes two alerts about a key the same.
pub(super) fn fingerprint(key: &str) -> String {
    format!("{ALERT_TYPE}/{key}")
}

/// Whole days until then, a begun one counted; 0 when it is over.
fn days_left(now: Timestamp, expires_at: Timestamp) -> u64 {
    u64::try_from(expires_at.since(now).as_millis().div_ceil(DAY.as_millis())).unwrap_or(u64::MAX)
}

fn title(key: &Key, now: Timestamp, expires_at: Timestamp) -> String {
    let (id, provider) = (&key.id, &key.provider);
    match days_left(now, expires_at) {
        0 => format!("The key `{id}` ({provider}) has expired"),
        1 => format!("The key `{id}` ({provider}) expires within a day"),
        days => format!("The key `{id}` ({provider}) expires in {days} days"),
    }
}

#[cfg(test)]
mod tests;
