//! Why a call did not end with an answer: what went wrong, whose fault it was, whether to try again, and
//! whether the target may have seen the request.
//!
//! Texts hold the host, never a path, a query, a header or a body. A closed and a filtered port read the same,
//! so that nobody scans a network with "send test" (T06).

use std::fmt;
use std::sync::Arc;

use model::health::Reason;

use crate::refusal::Refusal;

/// A step of an exchange, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The name is looked up.
    Dns,
    /// TCP connects.
    Connect,
    /// TLS shakes hands.
    Tls,
    /// The request goes out; the head of the answer is awaited.
    FirstByte,
    /// The body of the answer is read.
    Body,
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The target, or the way to it.
    Target,
    /// What people configured here.
    Configuration,
    /// Whoever gave us the request: its body broke off.
    Caller,
}

/// Why there is no (whole) answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The guard does not let the call go there.
    #[error("target refused: {0}")]
    Refused(#[from] Refusal),
    /// The name has no address, or its servers do not answer.
    #[error("cannot resolve `{host}`")]
    Dns {
        /// The name.
        host: String,
    },
    /// No TCP connection.
    #[error("cannot connect to `{host}`")]
    Connect {
        /// The host.
        host: String,
    },
    /// No TLS connection: certificate, name or protocol.
    #[error("no TLS connection to `{host}`: {detail}")]
    Tls {
        /// The host.
        host: String,
        /// What TLS says.
        detail: String,
    },
    /// A limit of time was reached.
    #[error("{} within {limit_ms} ms", .phase.missing())]
    Timeout {
        /// What was going on.
        phase: Phase,
        /// The limit, in milliseconds.
        limit_ms: u64,
        /// Whether the request may have reached the target.
        sent: bool,
    },
    /// The target broke off, or does not speak HTTP.
    #[error("the target broke HTTP off: {detail}")]
    Protocol {
        /// What the HTTP library says; no content.
        detail: String,
        /// Whether the request may have reached the target.
        sent: bool,
    },
    /// The answer has more header fields or bytes than allowed.
    #[error("the answer is too large: {0}")]
    TooLarge(String),
    /// The body of the request broke off while it was sent.
    #[error("the request's body broke off")]
    RequestBody {
        /// Why.
        #[source]
        source: Shared,
    },
}

/// An error of somebody else's body, shared because [`Error`] can be cloned.
#[derive(Clone)]
pub struct Shared(Arc<dyn std::error::Error + Send + Sync>);

impl Shared {
    pub(crate) fn new(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(Arc::from(error))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Shared {}

// === impl Error ===

impl Error {
    /// The reason that observations and metrics show.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Refused(_) => Reason::TargetRefused,
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Timeout { phase: Phase::Dns | Phase::Connect | Phase::Tls, .. } => Reason::Unreachable,
            Self::Timeout { phase: Phase::FirstByte | Phase::Body, .. } => Reason::Timeout,
            Self::Protocol { .. } | Self::TooLarge(_) => Reason::UpstreamError,
            Self::RequestBody { .. } => Reason::BadRequest,
        }
    }

    /// What went wrong, for callers: without the target's name or any other in its certificate, and nothing where people
    /// here are to blame. A closed and a filtered port read the same.
    pub fn told(&self) -> Option<String> {
        let told = match self {
            Self::Refused(_) | Self::RequestBody { .. } => return None,
            Self::Dns { .. } | Self::Timeout { phase: Phase::Dns, .. } => "its name cannot be resolved",
            // Where time ran out it may have been TLS.
            Self::Connect { .. } | Self::Timeout { phase: Phase::Connect, .. } => "no connection",
            Self::Timeout { phase: Phase::Tls, .. } => "no TLS connection in time",
            Self::Tls { detail, .. } if detail.contains("not valid for name") => {
                "no TLS connection: its certificate is another one's"
            }
            Self::Tls { detail, .. } if detail.contains("expired") => {
                "no TLS connection: its certificate has expired"
            }
            Self::Tls { detail, .. } if detail.contains("UnknownIssuer") => {
                "no TLS connection: its certificate is by an unknown authority"
            }
            Self::Tls { .. } => "no TLS connection",
            Self::Timeout { .. } | Self::TooLarge(_) => return Some(self.to_string()),
            Self::Protocol { detail, .. } => return Some(format!("it broke HTTP off: {detail}")),
        };
        Some(told.to_owned())
    }

    /// Whether asking again later may help.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Protocol { .. } => true,
            Self::Refused(_) | Self::TooLarge(_) | Self::RequestBody { .. } => false,
        }
    }

    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Refused(_) => Blame::Configuration,
            Self::RequestBody { .. } => Blame::Caller,
            _ => Blame::Target,
        }
    }

    /// Whether bytes of the request may have reached the target. If not, even an unsafe request can be repeated.
    pub const fn sent(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Dns { .. } | Self::Connect { .. } | Self::Tls { .. } => false,
            Self::Timeout { sent, .. } | Self::Protocol { sent, .. } => *sent,
            Self::TooLarge(_) | Self::RequestBody { .. } => true,
        }
    }

    /// Reads what the HTTP library says about an exchange on an open connection.
    pub(crate) fn of_hyper(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            return Self::TooLarge("its head".to_owned());
        }
        if let Some(own) = find::<Self>(error) {
            return own.clone();
        }
        if error.is_user() {
            let source = Shared(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(detail(error))));
            return Self::RequestBody { source };
        }
        Self::Protocol { detail: detail(error), sent: !error.is_canceled() }
    }
}

impl Phase {
    /// What did not happen in time, for people.
    const fn missing(self) -> &'static str {
        match self {
            Self::Dns | Self::Connect | Self::Tls => "no connection",
            Self::FirstByte => "no answer",
            Self::Body => "no end of the answer",
        }
    }
}

/// The first error of a type in the chain of sources.
pub(crate) fn find<'e, E: std::error::Error + 'static>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its sources in one line.
fn detail(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
