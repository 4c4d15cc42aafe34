//! Why the bus did not do what was asked: what was attempted, with what, and whether later may help.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};

/// Any error of the client below, linked as the source.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the bus did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server could be reached.
    #[error("connect to NATS at {url}")]
    Connect {
        /// The addresses without user and password.
        url: String,
        /// Whether asking again may help: not when the address is none.
        transient: bool,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// The server does not let us in, or our credentials are none.
    #[error(
        "NATS at {url} does not let us in: look at NATS_CREDS, NATS_TOKEN, NATS_NKEY_SEED, or the user in NATS_URL"
    )]
    Login {
        /// The addresses without user and password.
        url: String,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// One side does not trust the other's certificate.
    #[error("no trust between NATS at {url} and us: look at NATS_CA, NATS_CERT and NATS_KEY")]
    Trust {
        /// The addresses without user and password.
        url: String,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// A file that the settings name cannot be read.
    #[error("read {setting} `{}`", path.display())]
    File {
        /// `NATS_CA`, `NATS_CREDS`, …
        setting: &'static str,
        /// Which file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The server is older than what this program needs.
    #[error(
        "NATS server at {url} is version {found}, at least {} is needed: upgrade it, or leave NATS_URL unset to use the supervised server",
        crate::connect::SERVER_VERSION_MIN
    )]
    TooOld {
        /// The addresses without user and password.
        url: String,
        /// What the server calls itself.
        found: String,
    },
    /// The server has no JetStream for this account.
    #[error(
        "JetStream is not enabled for this account at {url}: start nats-server with `-js` or a `jetstream {{}}` block"
    )]
    NoJetStream {
        /// The addresses without user and password.
        url: String,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// A stream, consumer or bucket could not be made or changed.
    #[error("declare {what}")]
    Declare {
        /// `stream HEALTH`, `consumer failover`, `bucket routes`.
        what: String,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// A stream is there in a state that cannot become the one in the table.
    #[error("stream {stream} cannot be used as it is: {detail}")]
    Incompatible {
        /// Its name.
        stream: String,
        /// What is different, and what to do.
        detail: String,
    },
    /// A stream or bucket of the table is not there.
    #[error("{what} is not there")]
    Missing {
        /// `stream HEALTH`, `bucket routes`.
        what: String,
    },
    /// The deadline passed before the server confirmed; the event may or may not be stored.
    #[error("publish to `{subject}` was not confirmed in time")]
    Unconfirmed {
        /// Where.
        subject: String,
        /// The last answer.
        #[source]
        source: Source,
    },
    /// The stream is full and refuses new messages.
    #[error("publish to `{subject}`: the stream is full or cannot store")]
    Full {
        /// Where.
        subject: String,
        /// What the server said.
        #[source]
        source: Source,
    },
    /// The server refused for good.
    #[error("publish to `{subject}` was refused")]
    Refused {
        /// Where.
        subject: String,
        /// What the server said.
        #[source]
        source: Source,
    },
    /// The fact is larger than an event may be.
    #[error("an event of {bytes} bytes for `{subject}` is over the limit of {max} bytes")]
    TooLarge {
        /// Where.
        subject: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A value could not be written as JSON, or what is stored is not what was expected.
    #[error("{what} is not valid JSON of its type")]
    Json {
        /// `the value at routes/quotes`, `the answer of sb.ask.v1.prober.ping`.
        what: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A header could not be built. Percent-encoding makes this impossible for our own events.
    #[error("the header `{name}` cannot be sent")]
    Header {
        /// Which.
        name: String,
    },
    /// The key changed since it was read.
    #[error("`{bucket}/{key}` was changed by someone else")]
    Conflict {
        /// Which bucket.
        bucket: &'static str,
        /// Which key.
        key: String,
    },
    /// A key that JetStream would not take: letters, digits and `-/_=.` only.
    #[error("`{}` is not a key", key.escape_debug())]
    InvalidKey {
        /// As given.
        key: String,
    },
    /// A bucket could not be read or written.
    #[error("{action} `{bucket}/{key}`")]
    Bucket {
        /// `read`, `write`, `delete`, `list`.
        action: &'static str,
        /// Which bucket.
        bucket: &'static str,
        /// Which key; `*` for all.
        key: String,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// Nobody answers questions on this subject.
    #[error("nobody answers on `{subject}`")]
    NoResponders {
        /// Which question.
        subject: String,
    },
    /// No answer came in time.
    #[error("{what} took too long")]
    Timeout {
        /// What was waited for.
        what: String,
    },
    /// The other side could not read the question or failed over it.
    #[error("`{subject}` was not answered: {detail}")]
    NotAnswered {
        /// Which question.
        subject: String,
        /// What the other side said.
        detail: String,
    },
    /// The client could not send or subscribe.
    #[error("{what}")]
    Client {
        /// What was attempted.
        what: String,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// The connection is down at the moment.
    #[error("not connected to NATS")]
    Disconnected,
}

impl Error {
    /// Whether asking again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { transient, .. } => *transient,
            Self::Declare { .. }
            | Self::Missing { .. }
            | Self::Unconfirmed { .. }
            | Self::Full { .. }
            | Self::Bucket { .. }
            | Self::NoResponders { .. }
            | Self::Timeout { .. }
            | Self::Client { .. }
            | Self::Disconnected => true,
            Self::Login { .. }
            | Self::Trust { .. }
            | Self::File { .. }
            | Self::TooOld { .. }
            | Self::NoJetStream { .. }
            | Self::Incompatible { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Json { .. }
            | Self::Header { .. }
            | Self::Conflict { .. }
            | Self::InvalidKey { .. }
            | Self::NotAnswered { .. } => false,
        }
    }
}

/// What the server's answer to a publish means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send the same id again: it may have been stored.
    Again,
    /// Send the same id again later: the stream has no room now.
    Full,
    /// The expected sequence was not the last one (codes 10071 and 10164).
    Conflict,
    /// No sense in asking again.
    Refused,
}

/// Code 10071 names the sequence, 10164 is the same without it; servers answer with either.
const WRONG_LAST_SEQUENCE: [u64; 2] = [10_071, 10_164];
/// The stream reached `max_bytes` or the disk refused.
const STORE_FAILED: u64 = 10_077;
/// The server stands at the account's or its own limits.
const NO_RESOURCES: [u64; 2] = [10_023, 10_047];

fn js_error(error: &PublishError) -> Option<&async_nats::jetstream::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Says what a failed publish means. `StreamNotFound` is "no responders", which is also what every leader
/// election looks like, so it is no proof that the stream is missing.
pub(crate) fn verdict(error: &PublishError) -> Verdict {
    match error.kind() {
        PublishErrorKind::TimedOut
        | PublishErrorKind::StreamNotFound
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => Verdict::Again,
        PublishErrorKind::WrongLastSequence => Verdict::Conflict,
        PublishErrorKind::WrongLastMessageId | PublishErrorKind::MaxPayloadExceeded => Verdict::Refused,
        PublishErrorKind::Other => match js_error(error) {
            None => Verdict::Refused,
            Some(inner) => match inner.error_code().0 {
                code if WRONG_LAST_SEQUENCE.contains(&code) => Verdict::Conflict,
                STORE_FAILED => Verdict::Full,
                code if NO_RESOURCES.contains(&code) => Verdict::Full,
                _ if inner.code() == 503 => Verdict::Again,
                _ => Verdict::Refused,
            },
        },
    }
}
