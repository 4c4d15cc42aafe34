//! A login that stays alive: the client with its token, renewed before it ends.
//!
//! A token is renewed at half of its lease. When the lease that is granted has become shorter, the token's maximum
//! is near, and we log in anew. A request that is refused with 403 asks whether the token still lives; only if not,
//! one login is made, however many requests were refused, and each is repeated once.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use tracing::{info, warn};
use vaultrs::client::VaultClient;
use vaultrs::error::ClientError;

use super::refusal::{self, Attempt};
use super::settings::{Login, VaultSettings};
use crate::Error;

/// The shortest wait between two renewals.
const RENEWAL_PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest wait after a renewal that failed.
const RENEWAL_RETRY_MAX: Duration = Duration::from_secs(30);
/// The least time between two logins that were caused by a 403.
const RELOGIN_PAUSE: Duration = Duration::from_secs(1);

/// A login, and what is needed to make it again.
pub(crate) struct Session {
    settings: VaultSettings,
    current: RwLock<Arc<Ticket>>,
    /// Held by the one who logs in. When a 403 last caused a login.
    relogin: Mutex<Option<Instant>>,
    /// A new token came by another way than the renewal's.
    renewed: Notify,
}

/// A client with a token that was granted.
struct Ticket {
    client: VaultClient,
    /// How long the token lives from `since`. `None`: without end, or not to be renewed.
    lease: Option<Duration>,
    since: Instant,
}

impl Session {
    /// Logs in.
    pub(crate) async fn open(settings: &VaultSettings) -> Result<Self, Error> {
        settings.checked()?;
        let ticket = Arc::new(log_in(settings).await?);
        let settings = settings.clone();
        let current = RwLock::new(ticket);
        Ok(Self { settings, current, relogin: Mutex::new(None), renewed: Notify::new() })
    }

    /// Carries out a request with the client of now, and once more after a login if its token has ended.
    pub(crate) async fn call<T, F>(
        &self,
        attempt: Attempt<'_>,
        request: impl Fn(Arc<Lent>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let ticket = self.ticket();
        let refused = match quiet(request(Arc::new(Lent(ticket.clone())))).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if refusal::status(&refused) != Some(403) || !self.relogin(&ticket).await? {
            return Err(refusal::error(attempt, &refused));
        }
        let again = quiet(request(Arc::new(Lent(self.ticket())))).await;
        again.map_err(|error| refusal::error(attempt, &error))
    }

    /// Renews the login for ever. Stops when it is dropped.
    pub(crate) async fn keep_alive(&self) {
        let mut failures = 0;
        loop {
            let ticket = self.ticket();
            let Some(lease) = ticket.lease else {
                self.renewed.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(ticket.since + (lease / 2).max(RENEWAL_PAUSE_MIN)) => {}
                () = self.renewed.notified() => continue,
            }
            match self.renewed_ticket(&ticket, lease).await {
                Ok(ticket) => {
                    failures = 0;
                    self.swap(ticket);
                }
                Err(error) => {
                    failures += 1;
                    warn!(%error, failures, "The login at the vault was not renewed: {error}. It is tried again.");
                    tokio::time::sleep(retry_pause(failures)).await;
                }
            }
        }
    }

    /// The token with a new lease; or another token, when this one ended or is near its maximum.
    async fn renewed_ticket(&self, ticket: &Ticket, lease: Duration) -> Result<Ticket, Error> {
        let attempt = Attempt { doing: "renew", path: "auth/token" };
        let since = Instant::now();
        let by_role = matches!(self.settings.login, Login::AppRole { .. });
        let granted = match quiet(vaultrs::token::renew_self(&ticket.client, None)).await {
            Ok(auth) => Duration::from_secs(auth.lease_duration),
            Err(error) if by_role && matches!(refusal::status(&error), Some(400 | 403)) => {
                return log_in(&self.settings).await;
            }
            Err(error) => return Err(refusal::error(attempt, &error)),
        };
        // What is left is told in whole seconds, so one second less is not yet shorter.
        let shorter = granted.is_zero() || granted + Duration::from_secs(1) < lease;
        if shorter && by_role {
            return log_in(&self.settings).await;
        }
        if shorter {
            let lease_secs = granted.as_secs();
            warn!(lease_secs, "The vault's token ends in {lease_secs} s, its maximum: give a new one.");
        }
        self.ticket_of(ticket, granted, since)
    }

    /// The same token with a new lease.
    fn ticket_of(&self, ticket: &Ticket, lease: Duration, since: Instant) -> Result<Ticket, Error> {
        let mut client = self.settings.client(&ticket.client.settings.token)?;
        client.http.http = ticket.client.http.http.clone();
        Ok(Ticket { client, lease: Some(lease), since })
    }

    /// Logs in anew when this ticket's token has ended. `false`: the token lives, or there is no way to log in.
    async fn relogin(&self, refused: &Arc<Ticket>) -> Result<bool, Error> {
        let Login::AppRole { .. } = &self.settings.login else { return Ok(false) };
        let mut last = self.relogin.lock().await;
        if !Arc::ptr_eq(refused, &self.ticket()) {
            return Ok(true);
        }
        if last.is_some_and(|at| at.elapsed() < RELOGIN_PAUSE) {
            return Ok(false);
        }
        if quiet(vaultrs::token::lookup_self(&refused.client)).await.is_ok() {
            return Ok(false);
        }
        *last = Some(Instant::now());
        self.swap(log_in(&self.settings).await?);
        self.renewed.notify_one();
        info!("The vault's token had ended; logged in again.");
        Ok(true)
    }

    fn ticket(&self) -> Arc<Ticket> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn swap(&self, ticket: Ticket) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ticket);
    }
}

/// A client on loan for one request: it stays whole when another takes its place meanwhile.
pub(crate) struct Lent(Arc<Ticket>);

impl Lent {
    /// The client.
    pub(crate) fn client(&self) -> &VaultClient {
        &self.0.client
    }
}

async fn log_in(settings: &VaultSettings) -> Result<Ticket, Error> {
    let since = Instant::now();
    match &settings.login {
        Login::Token(token) => {
            let client = settings.client(token.expose())?;
            let attempt = Attempt { doing: "look up", path: "auth/token" };
            match quiet(vaultrs::token::lookup_self(&client)).await {
                Ok(seen) => {
                    let renewable = seen.renewable.unwrap_or(false) && seen.ttl > 0;
                    let lease = renewable.then(|| Duration::from_secs(seen.ttl));
                    Ok(Ticket { client, lease, since })
                }
                Err(error) if matches!(refusal::status(&error), Some(400..=403)) => {
                    Err(Error::Login("token"))
                }
                Err(error) => Err(refusal::error(attempt, &error)),
            }
        }
        Login::AppRole { role_id, secret_id } => {
            let client = settings.client("")?;
            let attempt = Attempt { doing: "log in at", path: "auth/approle" };
            let login = vaultrs::auth::approle::login(&client, "approle", role_id, secret_id.expose());
            match quiet(login).await {
                Ok(auth) => {
                    let lease = (auth.lease_duration > 0).then(|| Duration::from_secs(auth.lease_duration));
                    Ok(Ticket { client: settings.client(&auth.client_token)?, lease, since })
                }
                Err(error) if matches!(refusal::status(&error), Some(400..=403)) => {
                    Err(Error::Login("role id and secret id"))
                }
                Err(error) => Err(refusal::error(attempt, &error)),
            }
        }
    }
}

/// Twice as long after each failure, spread by half so that replicas do not come back together.
fn retry_pause(failures: u32) -> Duration {
    let pause = RENEWAL_PAUSE_MIN.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    pause.min(RENEWAL_RETRY_MAX).mul_f64(rand::random_range(0.5..1.0))
}

/// Runs a request of the client library without its own log lines: they repeat the server's answers.
async fn quiet<T>(request: impl Future<Output = T>) -> T {
    request.with_subscriber(NoSubscriber::default()).await
}
