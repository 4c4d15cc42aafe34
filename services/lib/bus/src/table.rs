//! The one table of streams, durable consumers and buckets: what is kept where, for how long, read by whom.
//!
//! Names and subjects are those of DESIGN section 4 and of `model::event::CATALOGUE`; a test holds the two
//! against each other. Nothing here talks to a server: `declare` does.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: i64 = 1024 * 1024;

/// How long the server remembers message ids. It must exceed [`crate::publish::PUBLISH_DEADLINE`].
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// What happens to messages of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until they are old; when there is no room, the oldest go first. For what is measured again anyway.
    Newest,
    /// Until they are old; when there is no room, new ones are refused, and publishers wait.
    All,
    /// Until a worker has done them; when there is no room, new ones are refused.
    Work,
    /// As [`Keep::All`], and nobody may delete or purge.
    Untouchable,
}

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: &'static str,
    /// The subjects it keeps.
    pub subjects: &'static [&'static str],
    /// What goes first.
    pub keep: Keep,
    /// How long.
    pub max_age: Duration,
    /// How much, in bytes. An operator may enlarge it on the server; it is never made smaller.
    pub max_bytes: i64,
    /// One sentence.
    pub summary: &'static str,
}

/// A durable consumer, shared by all replicas of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Its name.
    pub name: &'static str,
    /// The stream it reads.
    pub stream: &'static str,
    /// Which of the stream's subjects.
    pub subjects: &'static [&'static str],
    /// How long the server waits for a word about a delivered message before it gives it to another worker.
    /// A handler that works longer says so by itself every third of this, so it is short: it is also how long
    /// what was in work waits after a worker or the server was killed.
    pub ack_wait: Duration,
    /// How many delivered messages may be unanswered, over all replicas.
    pub max_ack_pending: i64,
    /// Deliveries after which a message that is still retried becomes a dead letter.
    pub attempts_max: u32,
}

/// A key-value bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// The snapshot that gateways serve.
    Config,
    /// Which integration of each route is active.
    Routes,
    /// How each integration is now.
    Health,
    /// Leases and windows of quotas.
    Quota,
    /// Who leads.
    Leader,
}

/// Work whose effects are written to a database: an outage of hours must not make dead letters.
const ATTEMPTS_DATABASE: u32 = 1000;
/// Observations: after some minutes nobody needs the old ones.
const ATTEMPTS_STATE: u32 = 10;

/// Every stream.
pub const STREAMS: &[Stream] = &[
    Stream {
        name: "HEALTH",
        subjects: &["sb.v1.health.*.observed", "sb.v1.health.*.changed", "sb.v1.health.*.compared"],
        keep: Keep::Newest,
        max_age: DAY.saturating_mul(7),
        max_bytes: 256 * MIB,
        summary: "what probes and calls say of integrations",
    },
    Stream {
        name: "USAGE",
        subjects: &["sb.v1.usage.*.counted"],
        keep: Keep::Newest,
        max_age: DAY.saturating_mul(7),
        max_bytes: 256 * MIB,
        summary: "calls of integrations, counted",
    },
    Stream {
        name: "ALERTS",
        subjects: &["sb.v1.alert.*.*.raised", "sb.v1.alert.*.*.resolved", "sb.v1.alert.*.*.acknowledged"],
        keep: Keep::All,
        max_age: DAY.saturating_mul(30),
        max_bytes: 128 * MIB,
        summary: "what people should hear of",
    },
    Stream {
        name: "ROUTES",
        subjects: &["sb.v1.route.*.switched", "sb.v1.route.*.exhausted"],
        keep: Keep::All,
        max_age: DAY.saturating_mul(30),
        max_bytes: 32 * MIB,
        summary: "where the traffic of routes goes",
    },
    Stream {
        name: "KEYS",
        subjects: &[
            "sb.v1.key.*.created",
            "sb.v1.key.*.rotated",
            "sb.v1.key.*.expiring",
            "sb.v1.key.*.revoked",
        ],
        keep: Keep::All,
        max_age: DAY.saturating_mul(30),
        max_bytes: 32 * MIB,
        summary: "the life of keys, never their values",
    },
    Stream {
        name: "CONFIG",
        subjects: &["sb.v1.config.*.*.changed", "sb.v1.config.integration.*.invalidated"],
        keep: Keep::All,
        max_age: DAY.saturating_mul(7),
        max_bytes: 64 * MIB,
        summary: "changes of the configuration",
    },
    Stream {
        name: "AUDIT",
        subjects: &["sb.v1.audit.*.recorded"],
        keep: Keep::Untouchable,
        max_age: DAY.saturating_mul(30),
        max_bytes: 512 * MIB,
        summary: "who did what, on its way to the audit log",
    },
    Stream {
        name: "DELIVERIES",
        subjects: &["sb.v1.delivery.*.due"],
        keep: Keep::Work,
        max_age: DAY.saturating_mul(30),
        max_bytes: 128 * MIB,
        summary: "deliveries that should be tried",
    },
    Stream {
        name: "ATTEMPTS",
        subjects: &["sb.v1.delivery.*.attempted", "sb.v1.delivery.*.failed"],
        keep: Keep::All,
        max_age: DAY.saturating_mul(30),
        max_bytes: 128 * MIB,
        summary: "deliveries that were tried",
    },
    Stream {
        name: "INBOUND",
        subjects: &["sb.v1.inbound.*.received"],
        keep: Keep::All,
        max_age: DAY.saturating_mul(7),
        max_bytes: 128 * MIB,
        summary: "webhooks that were received",
    },
    Stream {
        name: DEAD_STREAM,
        subjects: &["sb.dead.>"],
        keep: Keep::All,
        max_age: DAY.saturating_mul(90),
        max_bytes: 128 * MIB,
        summary: "messages that no worker could do, with the reason",
    },
];

/// The stream of dead letters.
pub const DEAD_STREAM: &str = "DEAD";
/// What the subjects of dead letters begin with; stream and consumer follow.
pub const DEAD_PREFIX: &str = "sb.dead";

/// Decides what observations mean.
pub const FAILOVER: Durable = Durable {
    name: "failover",
    stream: "HEALTH",
    subjects: &["sb.v1.health.*.observed", "sb.v1.health.*.compared"],
    ack_wait: Duration::from_secs(5),
    max_ack_pending: 256,
    attempts_max: ATTEMPTS_STATE,
};
/// Writes down what integrations were.
pub const UPTIME: Durable = Durable {
    name: "uptime",
    stream: "HEALTH",
    subjects: &["sb.v1.health.*.observed", "sb.v1.health.*.changed"],
    ack_wait: Duration::from_secs(10),
    max_ack_pending: 1024,
    attempts_max: ATTEMPTS_DATABASE,
};
/// Counts usage.
pub const METER: Durable = Durable {
    name: "meter",
    stream: "USAGE",
    subjects: &["sb.v1.usage.*.counted"],
    ack_wait: Duration::from_secs(10),
    max_ack_pending: 16 * 1024,
    attempts_max: ATTEMPTS_DATABASE,
};
/// Selects which webhooks hear of an alert.
pub const WEBHOOKS: Durable = Durable {
    name: "webhooks",
    stream: "ALERTS",
    subjects: &["sb.v1.alert.*.*.raised", "sb.v1.alert.*.*.resolved", "sb.v1.alert.*.*.acknowledged"],
    ack_wait: Duration::from_secs(10),
    max_ack_pending: 256,
    attempts_max: ATTEMPTS_DATABASE,
};
/// Tries deliveries.
pub const DELIVERIES: Durable = Durable {
    name: "deliveries",
    stream: "DELIVERIES",
    subjects: &["sb.v1.delivery.*.due"],
    ack_wait: Duration::from_secs(20),
    max_ack_pending: 512,
    attempts_max: ATTEMPTS_DATABASE,
};
/// Writes the audit log.
pub const AUDIT: Durable = Durable {
    name: "audit",
    stream: "AUDIT",
    subjects: &["sb.v1.audit.*.recorded"],
    ack_wait: Duration::from_secs(10),
    max_ack_pending: 1024,
    attempts_max: ATTEMPTS_DATABASE,
};

/// Every durable consumer.
pub const DURABLES: &[Durable] = &[FAILOVER, UPTIME, METER, WEBHOOKS, DELIVERIES, AUDIT];

/// The longest key-value history that is kept: the last configurations, to look back.
const CONFIG_HISTORY: i64 = 5;

impl Bucket {
    /// Every bucket.
    pub const ALL: [Self; 5] = [Self::Config, Self::Routes, Self::Health, Self::Quota, Self::Leader];

    /// Its name on the server.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Routes => "routes",
            Self::Health => "health",
            Self::Quota => "quota",
            Self::Leader => "leader",
        }
    }

    /// How many values of a key are kept.
    pub const fn history(self) -> i64 {
        match self {
            Self::Config => CONFIG_HISTORY,
            Self::Routes | Self::Health | Self::Quota | Self::Leader => 1,
        }
    }

    /// Whether any replica may answer a read. Where a decision hangs on the value, only the leader may.
    pub const fn any_replica(self) -> bool {
        matches!(self, Self::Config | Self::Health)
    }

    /// How much it may hold, in bytes.
    pub const fn max_bytes(self) -> i64 {
        match self {
            Self::Config => 128 * MIB,
            Self::Routes | Self::Health | Self::Quota | Self::Leader => 16 * MIB,
        }
    }
}

/// The stream that keeps a subject, when there is one.
pub fn stream_of(subject: &str) -> Option<&'static Stream> {
    STREAMS.iter().find(|stream| stream.subjects.iter().any(|pattern| matches(pattern, subject)))
}

/// Whether a subject matches a pattern with `*` and `>`.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for want in pattern.split('.') {
        match (want, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (want, Some(token)) if want == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Whether some subject matches both patterns.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_the_catalogue_has_its_stream() {
        for event in model::event::CATALOGUE {
            let subject: String = event.subject.replace(['{', '}'], "");
            let stream = stream_of(&subject).map(|stream| stream.name);
            assert_eq!(stream, Some(event.stream), "{}", event.kind);
        }
    }

    #[test]
    fn every_durable_reads_subjects_of_its_stream() {
        for durable in DURABLES {
            let stream =
                STREAMS.iter().find(|s| s.name == durable.stream).expect("its stream is in the table");
            for subject in durable.subjects {
                assert!(stream.subjects.contains(subject), "{} {subject}", durable.name);
            }
        }
    }

    #[test]
    fn no_two_streams_keep_the_same_subject() {
        for (i, one) in STREAMS.iter().enumerate() {
            for other in &STREAMS[i + 1..] {
                for (a, b) in one.subjects.iter().flat_map(|a| other.subjects.iter().map(move |b| (a, b))) {
                    assert!(!overlap(a, b), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_publish_is_given_up_before_its_id_is_forgotten() {
        assert!(crate::publish::PUBLISH_DEADLINE < DUPLICATE_WINDOW);
    }

    #[test]
    fn patterns_match_and_overlap_as_the_server_has_it() {
        assert!(matches("sb.v1.>", "sb.v1.alert.error.x.raised"));
        assert!(!matches("sb.v1.>", "sb.v1"));
        assert!(!matches("sb.v1.*.x", "sb.v1.a.x.y"));
        assert!(overlap("sb.v1.*.x", "sb.v1.y.*"));
        assert!(overlap("sb.>", "sb.v1.y"));
        assert!(!overlap("sb.v1", "sb.v1.>"));
        assert!(!overlap("sb.v1.a", "sb.v1.b"));
    }
}
