//! A target with its open connections: what a caller of [`crate::Egress::send`] keeps for as long as it calls there.
//!
//! Connections are never shared between two upstreams, so that what two keys are used for never meets on one connection
//! (T14). Each thread that serves has a lane of its own: it opens, uses and keeps connections without meeting another.
//! A connection comes back when the answer on it was read to its end, and is used again while it is young.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderValue;
use hyper::client::conn::http2;

use crate::error::Error;
use crate::guard::Target;
use crate::lane;
use crate::outgoing::Outgoing;
use crate::settings::Settings;
use crate::stream::{Opened, Stream};
use crate::wire::Wire;

/// A connection is never older than this when it gets a request, in milliseconds: after that its name is resolved and
/// judged anew.
pub const CONNECTION_AGE_MS_MAX: u64 = 60_000;
/// An unused connection is not kept longer than this, in milliseconds.
pub const IDLE_MS_MAX: u64 = 30_000;
/// The shortest time after which unused connections are looked for.
const SWEEP_MIN: Duration = Duration::from_millis(100);
/// The most lanes, and so the most threads that have connections of their own.
pub const LANES_MAX: usize = 64;

/// Where calls go, and the connections that are open to it. Cheap to clone; clones share connections. The last clone
/// closes them.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    target: Arc<Target>,
    host: HeaderValue,
    keeping: Keeping,
    lanes: Box<[Mutex<Shelf>]>,
}

/// How many connections are kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    lanes: usize,
    idle: Duration,
    age: Duration,
    kept_max: usize,
}

/// One lane's connections that nobody uses at the moment.
#[derive(Default)]
struct Shelf {
    /// HTTP/1.1, each for one request at a time; the one used last stands last.
    kept: Vec<Kept>,
    /// HTTP/2, for many requests at a time.
    shared: Option<Shared>,
    /// Whether somebody is waiting to close what nobody uses.
    swept: bool,
}

struct Kept {
    wire: Box<Wire>,
    since: Instant,
}

/// An HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) sender: http2::SendRequest<Outgoing>,
    pub(crate) opened: Opened,
}

/// An HTTP/1.1 connection in use. Whoever holds it gives it back, or drops it and so closes it.
pub(crate) struct Lease {
    pub(crate) wire: Box<Wire>,
    /// Whether an exchange on it was completed before.
    pub(crate) used: bool,
    home: Weak<Inner>,
    lane: usize,
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn new(target: Arc<Target>, keeping: Keeping) -> Result<Self, Error> {
        let host = HeaderValue::from_str(target.authority())
            .map_err(|error| Error::Protocol { detail: error.to_string(), sent: false })?;
        let lanes = (0..keeping.lanes).map(|_| Mutex::default()).collect();
        Ok(Self(Arc::new(Inner { target, host, keeping, lanes })))
    }

    /// The URL's authority, judged and in its one form.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// What stands in the `Host` header.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.0.host
    }

    /// Connections that are open and not used at the moment, on all lanes.
    pub fn idle_connections(&self) -> usize {
        self.0.lanes.iter().map(|lane| lock(lane).kept.len()).sum()
    }

    /// An open connection of this lane that is ready for a request, the one used last.
    pub(crate) fn take(&self) -> Option<Lease> {
        let lane = self.0.lane();
        let mut shelf = lock(&self.0.lanes[lane]);
        let now = lane::now().into_std();
        while let Some(mut kept) = shelf.kept.pop() {
            if !self.0.is_over(&mut kept, now) {
                return Some(Lease { wire: kept.wire, used: true, home: Arc::downgrade(&self.0), lane });
            }
        }
        None
    }

    /// The open HTTP/2 connection of this lane, if there is one that takes requests.
    pub(crate) fn shared(&self) -> Option<Shared> {
        let mut shelf = lock(&self.0.lanes[self.0.lane()]);
        let now = lane::now().into_std();
        shelf.shared = shelf.shared.take().filter(|shared| !self.0.is_spent(shared, now));
        shelf.shared.clone()
    }

    /// Keeps a new HTTP/2 connection for the next requests.
    pub(crate) fn share(&self, shared: Shared) {
        let lane = self.0.lane();
        let mut shelf = lock(&self.0.lanes[lane]);
        shelf.shared = Some(shared);
        self.0.tend(lane, shelf);
    }

    /// A new HTTP/1.1 connection, to be used now.
    pub(crate) fn lease(&self, stream: Stream) -> Lease {
        let wire = Box::new(Wire::new(stream));
        Lease { wire, used: false, home: Arc::downgrade(&self.0), lane: self.0.lane() }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("target", &self.0.target.authority()).finish_non_exhaustive()
    }
}

impl Inner {
    fn lane(&self) -> usize {
        lane::number() % self.lanes.len()
    }

    fn is_over(&self, kept: &mut Kept, now: Instant) -> bool {
        let is_idle = now.duration_since(kept.since) >= self.keeping.idle;
        is_idle || self.is_old(kept.wire.opened(), now) || !kept.wire.is_quiet()
    }

    fn is_spent(&self, shared: &Shared, now: Instant) -> bool {
        shared.sender.is_closed() || self.is_old(&shared.opened, now)
    }

    fn is_old(&self, opened: &Opened, now: Instant) -> bool {
        now.duration_since(opened.at()) >= self.keeping.age
    }

    /// Sees to it that what nobody uses is closed in time.
    fn tend(self: &Arc<Self>, lane: usize, mut shelf: MutexGuard<'_, Shelf>) {
        if !shelf.swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            shelf.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), lane, self.keeping.idle.max(SWEEP_MIN) / 2));
        }
    }
}

impl Keeping {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            // One more for threads that have none.
            lanes: settings.lanes.clamp(1, LANES_MAX) + 1,
            idle: Duration::from_millis(settings.idle_ms.min(IDLE_MS_MAX)),
            age: Duration::from_millis(settings.age_ms.min(CONNECTION_AGE_MS_MAX)),
            kept_max: settings.idle_per_host,
        }
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Lease ===

impl Lease {
    /// Gives the connection back: the answer on it was read to its end.
    pub(crate) fn give_back(self) {
        let Self { wire, home, lane, .. } = self;
        let Some(home) = home.upgrade() else { return };
        let now = lane::now().into_std();
        if home.is_old(wire.opened(), now) {
            return;
        }
        let mut shelf = lock(&home.lanes[lane]);
        if shelf.kept.len() < home.keeping.kept_max {
            shelf.kept.push(Kept { wire, since: now });
            home.tend(lane, shelf);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("opened", self.wire.opened()).finish_non_exhaustive()
    }
}

/// Closes what a lane does not use any more, until nothing is left there.
async fn sweep(home: Weak<Inner>, lane: usize, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(home) = home.upgrade() else { return };
        let now = Instant::now();
        let mut shelf = lock(&home.lanes[lane]);
        shelf.kept.retain_mut(|kept| !home.is_over(kept, now));
        shelf.shared = shelf.shared.take().filter(|shared| !home.is_spent(shared, now));
        if shelf.kept.is_empty() && shelf.shared.is_none() {
            shelf.swept = false;
            return;
        }
    }
}
