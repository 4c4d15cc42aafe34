//! Health: what an integration is, why, and the observations that say so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{IntegrationId, ProviderId, Timestamp};

/// What an integration is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It answers, in time, and takes our key.
    Up,
    /// It answers, but slowly, or refuses for a while, or has trouble with our key.
    Degraded,
    /// It does not answer, or only with errors.
    Down,
    /// Its provider or an operator says that it is being worked on. Raises no alert and counts in no uptime.
    Maintenance,
    /// Nothing is known: never observed, or not for three intervals.
    Unknown,
}

impl Health {
    /// All of them, in the order in which people want to see them: worst first.
    pub const ALL: [Self; 5] = [Self::Down, Self::Degraded, Self::Unknown, Self::Maintenance, Self::Up];

    /// The word used in events, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
        }
    }

    /// The colour people see: `green`, `yellow`, `red`, or `grey` when there is nothing to judge.
    pub const fn colour(self) -> &'static str {
        match self {
            Self::Up => "green",
            Self::Degraded => "yellow",
            Self::Down => "red",
            Self::Maintenance | Self::Unknown => "grey",
        }
    }
}

/// Why something went wrong. The classes of provider errors are those of the catalogue; the rest is ours.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It answered later than the configured limit, or much later than it usually does at this hour.
    Slow,
    /// More calls fail than usual, though most succeed.
    MoreErrors,
    /// The provider's short window was exceeded (429).
    ThrottledBurst,
    /// The provider's daily or monthly quota, or its credit, is used up.
    QuotaExhausted,
    /// The provider blocks the account or address for a time.
    Banned,
    /// Key, signature or passphrase is wrong or revoked at the provider.
    BadCredentials,
    /// The plan, permission or region does not allow it.
    Forbidden,
    /// The provider refuses our time stamp or nonce.
    ClockSkew,
    /// The request itself was wrong: the caller's fault.
    BadRequest,
    /// The provider says that it is under maintenance.
    Maintenance,
    /// The provider says that it takes only some calls (an exchange in `post_only` or `cancel_only` mode).
    Restricted,
    /// A 5xx, or an answer that is not what the provider documents.
    UpstreamError,
    /// No connection: name, TCP or TLS failed.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// Our own address guard refuses the target.
    TargetRefused,
    /// The configured key has expired.
    KeyExpired,
    /// The configured key was revoked.
    KeyRevoked,
    /// The key store has no such key, or does not answer.
    KeyUnavailable,
    /// Nothing was observed for three intervals.
    Stale,
}

impl Reason {
    /// The word used in events, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::MoreErrors => "more_errors",
            Self::ThrottledBurst => "throttled_burst",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Banned => "banned",
            Self::BadCredentials => "bad_credentials",
            Self::Forbidden => "forbidden",
            Self::ClockSkew => "clock_skew",
            Self::BadRequest => "bad_request",
            Self::Maintenance => "maintenance",
            Self::Restricted => "restricted",
            Self::UpstreamError => "upstream_error",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::TargetRefused => "target_refused",
            Self::KeyExpired => "key_expired",
            Self::KeyRevoked => "key_revoked",
            Self::KeyUnavailable => "key_unavailable",
            Self::Stale => "stale",
        }
    }

    /// What an integration is that shows this again and again.
    pub const fn health(self) -> Health {
        match self {
            Self::Unreachable | Self::Timeout | Self::UpstreamError | Self::Banned | Self::TargetRefused => {
                Health::Down
            }
            Self::Slow
            | Self::MoreErrors
            | Self::ThrottledBurst
            | Self::QuotaExhausted
            | Self::BadCredentials
            | Self::Forbidden
            | Self::ClockSkew
            | Self::Restricted
            | Self::KeyExpired
            | Self::KeyRevoked
            | Self::KeyUnavailable => Health::Degraded,
            Self::Maintenance => Health::Maintenance,
            Self::Stale => Health::Unknown,
            Self::BadRequest => Health::Up,
        }
    }

    /// Whether calls can still succeed while this lasts. A route leaves a member for which they cannot.
    pub const fn leaves_it_usable(self) -> bool {
        matches!(
            self,
            Self::Slow
                | Self::MoreErrors
                | Self::ThrottledBurst
                | Self::ClockSkew
                | Self::Forbidden
                | Self::Restricted
                | Self::BadRequest
                | Self::Stale
        )
    }
}

/// Who observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// One question by the prober.
    Probe,
    /// What the gateway's callers met in about a second.
    Traffic,
}

/// How long the parts of one exchange took, in milliseconds. A part is absent when it did not happen:
/// a reused connection has no name look-up, no connect and no TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Phases {
    /// Name look-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_ms: Option<u32>,
    /// TCP connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u32>,
    /// TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ms: Option<u32>,
    /// From the request's first byte to the answer's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    /// From the head to the end of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_ms: Option<u32>,
}

/// What came of asking an integration, or of calls that passed through the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Observed {
    /// Which integration.
    pub integration: IntegrationId,
    /// Its provider.
    pub provider: ProviderId,
    /// Who observed.
    pub check: Check,
    /// When the observation ended.
    pub at: Timestamp,
    /// What was wrong; absent when nothing was. For traffic: the most frequent trouble.
    pub reason: Option<Reason>,
    /// Calls that this speaks of: 1 for a probe.
    pub requests: u32,
    /// Calls among them with trouble.
    pub failures: u32,
    /// Status code of the (last) answer. Absent when nothing answered.
    pub status_code: Option<u16>,
    /// Time to the whole answer, in milliseconds; for traffic the mean time to the head. Absent when nothing answered.
    pub latency_ms: Option<u32>,
    /// Where the time went. Probes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
    /// Seconds until the next probe is due. Absent for traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_secs: Option<u32>,
    /// A sentence for people, without secrets; at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// An integration was compared with what is usual for it at this hour: it got worse, still is, or is no longer.
///
/// Told while it is worse after each span that was compared, and once when that is over. It never says more than
/// `degraded`, and nothing where too little is known of what is usual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct HealthCompared {
    /// Which integration.
    pub integration: IntegrationId,
    /// Its provider.
    pub provider: ProviderId,
    /// Whose observations were compared.
    pub check: Check,
    /// Whether it is worse than usual. False: that is over.
    pub worse: bool,
    /// What is, or was, worse: `slow` or `more_errors`.
    pub reason: Reason,
    /// The end of the span that was compared.
    pub at: Timestamp,
    /// When the first span began that was worse.
    pub since: Timestamp,
    /// Until when this counts unless it is told again: whoever tells it may be gone.
    pub until: Timestamp,
    /// Calls in the spans that show it.
    pub requests: u64,
    /// What 95 of 100 answers did not exceed, in milliseconds. Absent where nothing answered.
    pub p95_ms: Option<u32>,
    /// What that usually is at this hour, in milliseconds. Absent where too little is known.
    pub usual_p95_ms: Option<u32>,
    /// Failing calls in a million.
    pub errors_ppm: u32,
    /// What that usually is at this hour. Absent where too little is known.
    pub usual_errors_ppm: Option<u32>,
    /// The same as a sentence for people.
    pub detail: String,
}

/// The health of an integration changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct HealthChanged {
    /// Which integration.
    pub integration: IntegrationId,
    /// Its provider.
    pub provider: ProviderId,
    /// What it was.
    pub from: Health,
    /// What it is.
    pub to: Health,
    /// Why; absent when it is up.
    pub reason: Option<Reason>,
    /// When the run of observations that caused the change began.
    pub since: Timestamp,
    /// When the change was decided.
    pub at: Timestamp,
    /// Latency of the last answer, in milliseconds. Absent when nothing answered.
    pub latency_ms: Option<u32>,
    /// The observations that decided, oldest first, at most 10: sentences for people.
    pub evidence: Vec<String>,
}

/// An integration as it is now: the entry of the `health` bucket, keyed by the integration's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct HealthNow {
    /// Which integration.
    pub integration: IntegrationId,
    /// What it is.
    pub health: Health,
    /// Why; absent when it is up.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: Timestamp,
    /// When it was last observed. Absent when never.
    pub checked_at: Option<Timestamp>,
    /// Milliseconds to the answer that shows what it is: while it is up, of the last probe; else of the last
    /// observation that says what is wrong (of callers' calls their mean time to the head). Absent when that had no
    /// answer, or there was none yet.
    pub latency_ms: Option<u32>,
    /// Status code of the same answer (of callers' calls the last one). Absent as `latency_ms` is.
    pub status_code: Option<u16>,
    /// A sentence for people.
    pub detail: Option<String>,
    /// Whether it changes so often that alerts are held back.
    pub flapping: bool,
}
