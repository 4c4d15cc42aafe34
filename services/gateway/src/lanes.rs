//! The threads that carry calls. Each has a runtime of its own and, by `egress`, upstream connections of its own: a call is
//! accepted, sent and answered on one thread, and no call waits for another thread or shares a lock with it.
//!
//! A connection stays on the lane that it was given to: the one with the fewest at that moment. All else that a gateway
//! does (the bus, keys, counts) runs elsewhere.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use egress::lane::Turns;
use futures_util::future::BoxFuture;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// Connections that wait for one lane to begin them.
const WAITING_MAX: usize = 4_096;

/// What a lane does with a connection, begun on its own thread.
type Work = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// All lanes of a gateway.
pub(crate) struct Lanes(Vec<Lane>);

struct Lane {
    to: mpsc::Sender<(Work, Guard)>,
    connections: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

/// Counts a connection for as long as it lives.
struct Guard(Arc<AtomicUsize>);

impl Lanes {
    /// Starts the threads.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let lane = |number: usize| {
            let (to, from) = mpsc::channel(WAITING_MAX);
            let (ends, ended) = oneshot::channel();
            let runtime = Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new().name(format!("gateway-{number}")).spawn(move || {
                egress::enter_lane(number);
                runtime.block_on(work(from));
                let _ = ends.send(());
            })?;
            Ok(Lane { to, connections: Arc::default(), ended })
        };
        (0..count.max(1)).map(lane).collect::<io::Result<_>>().map(Self)
    }

    /// Gives a connection to the lane with the fewest.
    pub(crate) fn give<F>(&self, work: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(lane) = self.0.iter().min_by_key(|lane| lane.connections.load(Ordering::Relaxed)) else {
            return;
        };
        lane.connections.fetch_add(1, Ordering::Relaxed);
        let guard = Guard(lane.connections.clone());
        // A lane that does not come to new connections closes them: it has more than it can carry.
        let _ = lane.to.try_send((Box::new(move || Box::pin(work())), guard));
    }

    /// Waits until every lane has ended all its connections.
    pub(crate) async fn end(self) {
        for Lane { to, ended, .. } in self.0 {
            drop(to);
            let _ = ended.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One lane: its connections until no more come and all have ended.
async fn work(mut from: mpsc::Receiver<(Work, Guard)>) {
    let connections = TaskTracker::new();
    while let Some((work, guard)) = from.recv().await {
        let connection = work();
        connections.spawn(async move {
            Turns(connection).await;
            drop(guard);
        });
    }
    connections.close();
    connections.wait().await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn connections_are_shared_out_and_all_are_waited_for() {
        let lanes = Lanes::start(3).expect("threads");
        let (threads, ended) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = tokio::sync::watch::channel(false);
        for _ in 0..9 {
            let (threads, ended, mut gate) = (threads.clone(), ended.clone(), gate.clone());
            lanes.give(move || async move {
                let name = std::thread::current().name().map(str::to_owned);
                threads.lock().expect("not poisoned").insert(name);
                let _ = gate.wait_for(|open| *open).await;
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(lanes.0.iter().all(|lane| lane.connections.load(Ordering::Relaxed) == 3));
        open.send(true).expect("somebody waits");
        timeout(Duration::from_secs(10), lanes.end()).await.expect("ends");
        assert_eq!((threads.lock().expect("not poisoned").len(), ended.load(Ordering::Relaxed)), (3, 9));
    }
}
