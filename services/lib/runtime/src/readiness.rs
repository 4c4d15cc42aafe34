//! Whether this process shall get work: the checks behind `/readyz`.
//!
//! A check asks, bounded in time; it repairs nothing. A draining process is not ready, whatever its checks say.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

/// How long one check may take, in milliseconds.
pub const CHECK_TIMEOUT_MS: u64 = 2_000;

type Asking = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Check = Arc<dyn Fn() -> Asking + Send + Sync>;

/// The checks of a process. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Default)]
struct Inner {
    checks: RwLock<Vec<(String, Check)>>,
    draining: AtomicBool,
}

/// What the checks say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all is well.
    pub ready: bool,
    /// Whether the process is about to end.
    pub draining: bool,
    /// Every check, in the order in which they were added.
    pub checks: Vec<Finding>,
}

/// What one check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// What is not; absent when it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Readiness {
    /// Adds a check, for example `readiness.add("nats", move || { let bus = bus.clone(); async move { bus.ping().await } })`. A
    /// reason is a sentence for people and holds no secret. A check of the same name takes the place of the older one.
    pub fn add<C, F>(&self, name: impl Into<String>, check: C)
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (name, check): (String, Check) = (name.into(), Arc::new(move || Box::pin(check())));
        let mut checks = self.0.checks.write().unwrap_or_else(PoisonError::into_inner);
        match checks.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = check,
            None => checks.push((name, check)),
        }
    }

    /// From now on not ready.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Asks all checks at the same time.
    pub async fn check(&self) -> Report {
        let checks = self.0.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let draining = self.0.draining.load(Ordering::Acquire);
        let checks = join_all(checks.into_iter().map(|(name, check)| ask(name, check()))).await;
        Report { ready: !draining && checks.iter().all(|finding| finding.ok), draining, checks }
    }
}

async fn ask(name: String, asking: Asking) -> Finding {
    let reason = match timeout(Duration::from_millis(CHECK_TIMEOUT_MS), asking).await {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => Some(reason),
        Err(_) => Some(format!("no answer within {CHECK_TIMEOUT_MS} ms")),
    };
    Finding { name, ok: reason.is_none(), reason }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("draining", &self.0.draining).finish_non_exhaustive()
    }
}
