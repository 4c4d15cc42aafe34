//! The one way out over HTTP: guarded, bounded, measured.
//!
//! Every call to a host that people named leaves through [`Egress`]: the gateway's by [`Egress::send`], probes and
//! webhooks by [`Egress::fetch`]. A [`Guard`] decides where calls may go; it cannot be passed by. Egress never follows
//! redirects, never asks a proxy, keeps no cookies, sends no credentials that it was not given with the request, and
//! decodes nothing. HTTP/1.1 and HTTP/2 by ALPN, TLS by rustls with ring.
//! [`credential`] puts a key on a request; [`retry`] reads when to come back. Both are pure.

mod address;
pub mod guard;
pub mod refusal;

pub mod body;
pub mod connect;
pub mod error;
pub mod fetch;
pub mod lane;
pub mod names;
pub mod outgoing;
pub mod resolve;
pub mod send;
pub mod settings;
pub mod stream;
pub mod upstream;
mod wire;

pub mod credential;
pub mod retry;
pub mod sign;
pub mod skew;
pub mod telemetry;

pub use body::Body;
pub use connect::SetupError;
pub use error::{Blame, Error, Phase};
pub use fetch::{Answer, Failure};
pub use guard::{Guard, Target};
pub use lane::enter_lane;
pub use outgoing::Outgoing;
pub use refusal::Refusal;
pub use retry::{backoff, retry_after};
pub use settings::{FetchLimits, Limits, Settings};
pub use stream::Opened;
pub use upstream::Upstream;

use bytes::Bytes;
use connect::Connector;
use resolve::Resolve;

/// The way out. Cheap to clone; clones share connections, two of [`Egress::new`] share nothing.
#[derive(Clone)]
pub struct Egress {
    connector: Connector,
    keeping: upstream::Keeping,
}

impl Egress {
    /// Opens nothing yet; reads the certificate authorities.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        Self::with(settings, Resolve::System)
    }

    fn with(settings: &Settings, resolve: Resolve) -> Result<Self, SetupError> {
        telemetry::describe();
        let guard = Guard::new(settings.allow.clone())
            .with_ports(settings.ports.clone())
            .with_plain_http(settings.plain_http);
        let tls = connect::tls(settings.extra_roots.as_deref())?;
        let connector = Connector::new(guard, resolve, settings.connect_timeout_ms, tls);
        Ok(Self { connector, keeping: upstream::Keeping::new(settings) })
    }

    /// What decides where calls may go.
    pub fn guard(&self) -> &Guard {
        self.connector.guard()
    }

    /// A place to call, with connections of its own. Only scheme, host and port of the URI count. A literal address is
    /// judged now, a name at every connection.
    pub fn upstream(&self, uri: &http::Uri) -> Result<Upstream, Error> {
        let target = self.guard().check_uri(uri).map_err(send::refused)?;
        Upstream::new(target, self.keeping)
    }

    /// Sends a request and gives the answer as soon as its head is there; the body streams. Of the URI only path and
    /// query count; `Host` and the headers of a single connection are ours to set.
    pub async fn send(
        &self,
        upstream: &Upstream,
        mut request: http::Request<Outgoing>,
        limits: Limits,
    ) -> Result<http::Response<Body>, Error> {
        send::prepare(&mut request);
        send::send(&self.connector, upstream, request, limits).await
    }

    /// Carries out a whole exchange on a connection of its own, under one deadline, and keeps the first bytes of the body.
    pub async fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Result<Answer, Failure> {
        fetch::fetch(&self.connector, request, limits).await
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("guard", self.guard()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
