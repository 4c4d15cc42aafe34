//! One term of a leader: takes over what the last one knew, then decides until the term or the process ends.
//!
//! One task owns the board; observations, configuration and time come to it one after the other. A plan that
//! could not be carried out is finished before anything else is decided, so that its facts keep their ids.
//! An observation is settled only after its plan is done; seen again, it changes nothing.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Change, Kv, Message, Outcome, Term, table};
use futures_util::StreamExt;
use model::health::{HealthCompared, Observed};
use model::route::RouteNow;
use model::snapshot::{self, Snapshot};
use model::{IntegrationId, RouteId, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::apply::{Error, Hands, apply};
use crate::board::{Board, Kept};
use crate::decide::STALE_INTERVALS;
use crate::plan::{Plan, compared, observe, review, review_route};
use crate::settings::Settings;
use crate::state::{HealthEntry, RouteEntry};
use crate::telemetry;

/// Observations that wait for the one task. As many messages are pulled at once.
const WAITING_MAX: usize = 16;
/// Observations older than this say nothing of now, unless probes are rarer.
const AGE_MAX: Duration = Duration::from_secs(600);

/// What comes from the stream.
enum Word {
    Seen(Observed),
    /// With when the bus took it.
    Compared(HealthCompared, Timestamp),
}

/// Word of an integration, and where to say what became of it.
struct Input {
    word: Word,
    settled: oneshot::Sender<Outcome>,
}

/// What the one task wakes for.
enum Wake {
    Heard(Input),
    Configured(Snapshot),
    Tick,
    End,
}

/// Leads until the term is over or the process stops.
///
/// # Errors
/// When the board cannot be read, or another term is in charge.
pub async fn lead(
    settings: &Settings,
    bus: &Bus,
    term: Term,
    stopping: &CancellationToken,
) -> Result<(), Error> {
    let hands = Hands {
        bus: bus.clone(),
        health: bus.bucket(bus::Bucket::Health).await?,
        routes: bus.bucket(bus::Bucket::Routes).await?,
        term,
    };
    let mut board = take_over(&hands, Board::new(settings.rules(), hands.term.epoch)).await?;
    let config = bus.bucket(bus::Bucket::Config).await?;
    // Before the first observation: without a configuration it would say nothing, and be gone.
    let snapshot = hands.within_term(config.get::<Snapshot>(snapshot::KEY)).await?;
    board.snapshot = snapshot.map(|found| Arc::new(found.value));
    let ending = stopping.child_token();
    let (inputs, inbox) = mpsc::channel(WAITING_MAX);
    let consumer = bus
        .consume(&table::FAILOVER, move |message| receive(message, inputs.clone()))
        .concurrency(WAITING_MAX)
        .until(ending.clone());
    let deciding = async {
        let mut leader = Leader { hands, board, unfinished: None };
        let ended = leader.decide_until(&config, settings.tick(), inbox, &ending).await;
        ending.cancel();
        leader.close();
        leader.hands.term.resign().await;
        ended
    };
    let (consumed, decided) = tokio::join!(Box::pin(consumer), Box::pin(deciding));
    consumed?;
    decided
}

/// Reads what the last leader left, and claims it: from now on its writes fail, even one that is on its way.
async fn take_over(hands: &Hands, mut board: Board) -> Result<Board, Error> {
    let ours = board.epoch;
    for key in hands.within_term(hands.health.keys()).await? {
        let claim = |found: HealthEntry| HealthEntry { epoch: ours, ..found };
        let Some((entry, revision)) = hands.claim(&hands.health, &key, ours, claim).await? else { continue };
        if let (Ok(id), Some(value)) = (IntegrationId::from_str(&key), entry.state) {
            telemetry::health(&id, Some(value.health));
            board.health.insert(id, Kept { value, revision });
        }
    }
    for key in hands.within_term(hands.routes.keys()).await? {
        let claim = |found: RouteEntry| {
            let now = RouteNow { epoch: ours, version: found.now.version + 1, ..found.now };
            RouteEntry { now, ..found }
        };
        let Some((value, revision)) = hands.claim(&hands.routes, &key, ours, claim).await? else { continue };
        if let Ok(id) = RouteId::from_str(&key) {
            board.routes.insert(id, Kept { value, revision });
        }
    }
    let (integrations, routes) = (board.health.len(), board.routes.len());
    info!(
        epoch = ours,
        integrations,
        routes,
        "Failover leads in epoch {ours}; it knows {integrations} integrations and {routes} routes."
    );
    Ok(board)
}

/// Hands an observation to the one task and waits for what became of it.
async fn receive(message: Message, inputs: mpsc::Sender<Input>) -> Outcome {
    let stored_at = message.stored_at;
    // A clock that is ahead must not make all later observations old.
    let word = if message.is::<HealthCompared>() {
        message.decode::<HealthCompared>().map(|told| {
            let at = told.data.at.min(stored_at);
            Word::Compared(HealthCompared { at, ..told.data }, stored_at)
        })
    } else {
        message.decode::<Observed>().map(|seen| {
            let at = seen.data.at.min(stored_at);
            Word::Seen(Observed { at, ..seen.data })
        })
    };
    let word = match word {
        Ok(word) => word,
        Err(error) => return Outcome::Reject(error.to_string()),
    };
    let (settled, outcome) = oneshot::channel();
    if inputs.send(Input { word, settled }).await.is_err() {
        return Outcome::Retry;
    }
    outcome.await.unwrap_or(Outcome::Retry)
}

struct Leader {
    hands: Hands,
    board: Board,
    /// A plan that could not be carried out yet. It comes before all others.
    unfinished: Option<Plan>,
}

impl Leader {
    async fn decide_until(
        &mut self,
        config: &Kv,
        every: Duration,
        mut inbox: mpsc::Receiver<Input>,
        ending: &CancellationToken,
    ) -> Result<(), Error> {
        telemetry::leads(true);
        self.show();
        let mut changes = config.watch_key::<Snapshot>(snapshot::KEY);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Only what woke us is chosen here; the work is done below, where nothing can drop it half-way.
            let wake = tokio::select! {
                biased;
                () = ending.cancelled() => Wake::End,
                () = self.hands.term.lost() => return Err(Error::Over),
                change = changes.next() => match change {
                    Some(Change::Put { value, .. }) => Wake::Configured(value),
                    // Without a snapshot the last good one stays.
                    Some(Change::Deleted { .. }) => continue,
                    None => return Err(Error::Over),
                },
                _ = ticks.tick() => Wake::Tick,
                input = inbox.recv() => input.map_or(Wake::End, Wake::Heard),
            };
            match wake {
                Wake::End => return Ok(()),
                Wake::Heard(input) => self.take(input).await?,
                Wake::Configured(snapshot) => self.configure(snapshot).await?,
                Wake::Tick => self.sweep().await?,
            }
        }
    }

    /// Decides on what was heard and says what became of it.
    async fn take(&mut self, Input { word, settled }: Input) -> Result<(), Error> {
        if is_too_old(&word, Timestamp::now()) {
            // Who waits for it may have gone: then it comes again, and is as old.
            let _ = settled.send(Outcome::Done);
            return Ok(());
        }
        let done = match self.finish().await {
            Ok(()) => {
                let plan = match &word {
                    Word::Seen(seen) => observe(&self.board, seen),
                    Word::Compared(told, at) => compared(&self.board, told, *at),
                };
                self.carry_out(plan).await
            }
            Err(error) => Err(error),
        };
        let outcome = match &done {
            Ok(()) => Outcome::Done,
            Err(Error::Bus(error)) if !is_again(error) => Outcome::Reject(error.to_string()),
            Err(_) => Outcome::Retry,
        };
        let _ = settled.send(outcome);
        survive(done)
    }

    /// Takes a configuration, unless it is older than the one we have.
    async fn configure(&mut self, snapshot: Snapshot) -> Result<(), Error> {
        let known = self.board.snapshot.as_ref().map_or(0, |known| known.revision);
        let revision = snapshot.revision;
        if revision < known {
            warn!(revision, known, "Configuration {revision} is older than {known} and is left out.");
            return Ok(());
        }
        info!(revision, "Failover decides on revision {revision} of the configuration.");
        self.board.snapshot = Some(Arc::new(snapshot));
        self.show();
        self.sweep().await
    }

    /// Looks at everything: what time or a new configuration means. Stops at the first thing that cannot be
    /// done now; the next tick goes on.
    async fn sweep(&mut self) -> Result<(), Error> {
        let swept = self.sweep_all().await;
        survive(swept)
    }

    async fn sweep_all(&mut self) -> Result<(), Error> {
        self.finish().await?;
        let Some(snapshot) = self.board.snapshot.clone() else { return Ok(()) };
        let integrations: BTreeSet<_> =
            snapshot.integrations.keys().chain(self.board.health.keys()).cloned().collect();
        for id in integrations {
            let plan = review(&self.board, &id, Timestamp::now());
            self.carry_out(plan).await?;
        }
        let routes: BTreeSet<_> = snapshot.routes.keys().chain(self.board.routes.keys()).cloned().collect();
        for id in routes {
            let plan = review_route(&self.board, &id, Timestamp::now());
            self.carry_out(plan).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Error> {
        match self.unfinished.take() {
            None => Ok(()),
            Some(plan) => self.carry_out(plan).await,
        }
    }

    async fn carry_out(&mut self, plan: Plan) -> Result<(), Error> {
        if plan.is_empty() {
            return Ok(());
        }
        let done = apply(&self.hands, &mut self.board, &plan).await;
        if done.as_ref().is_err_and(Error::is_transient) {
            self.unfinished = Some(plan);
        }
        done
    }

    /// Shows what is known of a new configuration in the metrics.
    fn show(&self) {
        let Some(snapshot) = &self.board.snapshot else { return };
        for id in snapshot.integrations.keys() {
            let known = self.board.health.get(id).map(|kept| kept.value.health);
            telemetry::health(id, Some(known.unwrap_or(model::health::Health::Unknown)));
        }
        for (id, route) in &snapshot.routes {
            let now = self.board.routes.get(id);
            telemetry::active(&route.route, now.and_then(|kept| kept.value.now.active.as_ref()));
        }
    }

    /// Takes back what the metrics say: the next leader says it.
    fn close(&self) {
        telemetry::leads(false);
        let configured = self.board.snapshot.iter().flat_map(|snapshot| snapshot.integrations.keys());
        for id in configured.chain(self.board.health.keys()) {
            telemetry::health(id, None);
        }
        for route in self.board.snapshot.iter().flat_map(|snapshot| snapshot.routes.values()) {
            telemetry::active(&route.route, None);
        }
    }
}

/// Whether it says nothing of now any more.
fn is_too_old(word: &Word, now: Timestamp) -> bool {
    let (id, old) = match word {
        Word::Seen(seen) => {
            let patience = Duration::from_secs(u64::from(seen.every_secs.unwrap_or(0))) * STALE_INTERVALS;
            (&seen.integration, now.since(seen.at) > AGE_MAX.max(patience))
        }
        Word::Compared(told, _) => (&told.integration, told.worse && told.until <= now),
    };
    if old {
        debug!(integration.id = %id, "Word of {id} is too old to say anything.");
    }
    old
}

fn is_again(error: &bus::Error) -> bool {
    error.is_transient() || matches!(error, bus::Error::Conflict { .. })
}

/// What ends a term goes on; what the bus could not do is logged here and the term goes on.
fn survive(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::Bus(error)) => {
            warn!(error = %error, transient = is_again(&error), "Failover could not act on the bus: {error}.");
            Ok(())
        }
        done => done,
    }
}
