//! Carries plans out: publishes the facts, then writes the entries, then moves the board.
//!
//! Never acts outside of its term: it looks before each step, stops waiting when the term is lost, and every
//! write of an entry replaces a known revision, so that a leader that slept through its term changes nothing.
//! What moves a route is brought to the audit log, too. Doing a plan twice is harmless: the facts keep their ids,
//! and the entries are the same.

use std::future::Future;

use bus::{Bus, Kv, Term};
use model::audit::{AuditRecorded, Verb};
use model::route::{RouteCause, RouteSwitched};
use model::token::Actor;
use model::{Envelope, Event, EventId, IntegrationId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use crate::board::{Board, Kept};
use crate::decide::Action;
use crate::plan::Plan;
use crate::state::{HealthEntry, RouteEntry, State};
use crate::telemetry;

/// What failover's events name as their source. The same for every instance, because the next leader must be
/// able to say a fact again under the same source and id.
pub const SOURCE: &str = "/signalbox/failover";
/// Times that one entry is written before its key is left to others.
const WRITES_MAX: u32 = 5;

/// Why a plan was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The term is over: the next leader decides.
    #[error("the term is over")]
    Over,
    /// An entry is of a later term than ours: somebody else leads, or the `leader` bucket was lost.
    #[error("`{key}` was written in term {found}, ours is {ours}")]
    Superseded {
        /// Which entry.
        key: String,
        /// Its term.
        found: u64,
        /// Our term.
        ours: u64,
    },
    /// The bus did not do it.
    #[error(transparent)]
    Bus(#[from] bus::Error),
}

impl Error {
    /// Whether the same plan may succeed later in the same term.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Over | Self::Superseded { .. } => false,
            Self::Bus(bus::Error::Conflict { .. }) => true,
            Self::Bus(error) => error.is_transient(),
        }
    }
}

/// An entry that says in which term it was written.
pub trait Entry: Serialize + DeserializeOwned + Send + Sync {
    /// The term of the leader who wrote it.
    fn epoch(&self) -> u64;
}

impl Entry for HealthEntry {
    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Entry for RouteEntry {
    fn epoch(&self) -> u64 {
        self.now.epoch
    }
}

/// What a leader acts with.
pub struct Hands {
    /// Where facts go.
    pub bus: Bus,
    /// The `health` bucket.
    pub health: Kv,
    /// The `routes` bucket.
    pub routes: Kv,
    /// The term in which it may act.
    pub term: Term,
}

/// Carries a plan out. Only then the board is what was planned.
pub async fn apply(hands: &Hands, board: &mut Board, plan: &Plan) -> Result<(), Error> {
    for (id, action) in &plan.facts {
        hands.tell(id, action).await?;
    }
    if let Some((id, state)) = &plan.health {
        let entry = state.as_ref().map(|state| entry(state, board.epoch));
        let known = board.health.get(id).map_or(0, |kept| kept.revision);
        match (state, hands.replace(&hands.health, id.as_str(), entry.as_ref(), known).await?) {
            (Some(state), revision) => {
                board.health.insert(id.clone(), Kept { value: state.clone(), revision });
            }
            (None, _) => drop(board.health.remove(id)),
        }
    }
    for (id, entry) in &plan.routes {
        let known = board.routes.get(id).map_or(0, |kept| kept.revision);
        match (entry, hands.replace(&hands.routes, id.as_str(), entry.as_ref(), known).await?) {
            (Some(entry), revision) => {
                board.routes.insert(id.clone(), Kept { value: entry.clone(), revision });
            }
            (None, _) => drop(board.routes.remove(id)),
        }
    }
    show(board, plan);
    Ok(())
}

/// The entry of a state.
pub fn entry(state: &State, epoch: u64) -> HealthEntry {
    HealthEntry { now: state.now(), epoch, state: Some(state.clone()) }
}

impl Hands {
    /// Does one step of work, unless the term is over or ends meanwhile.
    pub async fn within_term<T>(
        &self,
        step: impl Future<Output = Result<T, bus::Error>> + Send,
    ) -> Result<T, Error> {
        if !self.term.valid() {
            return Err(Error::Over);
        }
        tokio::select! {
            biased;
            () = self.term.lost() => Err(Error::Over),
            done = step => Ok(done?),
        }
    }

    async fn tell(&self, id: &EventId, action: &Action) -> Result<(), Error> {
        match action {
            Action::Announce(fact) => self.publish(id, fact.at, fact.clone()).await,
            Action::Switch(fact) => {
                self.publish(id, fact.at, fact.clone()).await?;
                self.record(id, fact).await
            }
            Action::Exhaust(fact) => self.publish(id, fact.at, fact.clone()).await,
            Action::Raise(fact) => self.publish(id, fact.at, fact.clone()).await,
            Action::Resolve(fact) => self.publish(id, fact.resolved_at, fact.clone()).await,
        }
    }

    /// Brings a switch to the audit log. Traffic does not wait for a log that takes nothing any more.
    async fn record(&self, id: &EventId, fact: &RouteSwitched) -> Result<(), Error> {
        let id = EventId::parse(format!("{id}-audit")).expect("an id with a word behind it is an id");
        match self.publish(&id, fact.at, recorded(fact)).await {
            Err(Error::Bus(error @ bus::Error::Full { .. })) => {
                warn!(route.id = %fact.route, %error, "The switch of route {} is not in the audit log: its stream is full.", fact.route);
                Ok(())
            }
            done => done,
        }
    }

    async fn publish<T: Event>(&self, id: &EventId, at: Timestamp, fact: T) -> Result<(), Error> {
        let envelope = Envelope::new(id.clone(), SOURCE, at, fact);
        let receipt = self.within_term(self.bus.publish(&envelope)).await?;
        if receipt.duplicate {
            info!(event.id = %id, event.kind = envelope.kind, "Event {id} was there already.");
        }
        Ok(())
    }

    /// Replaces what stands under a key at a known revision (0: nothing) and says the new one. Where somebody
    /// else wrote meanwhile, what they wrote decides: a later term is obeyed, all else is replaced.
    pub async fn replace<T: Entry>(
        &self,
        kv: &Kv,
        key: &str,
        entry: Option<&T>,
        known: u64,
    ) -> Result<u64, Error> {
        let Some(entry) = entry else {
            self.within_term(kv.delete(key)).await?;
            return Ok(0);
        };
        let mut known = known;
        for _ in 1..WRITES_MAX {
            match self.write(kv, key, entry, known).await {
                Err(Error::Bus(bus::Error::Conflict { .. })) => {}
                done => return done,
            }
            let found = self.within_term(kv.get::<T>(key)).await?;
            known = found.as_ref().map_or(0, |found| found.revision);
            if let Some(found) = found.map(|found| found.value.epoch()).filter(|found| *found > entry.epoch())
            {
                return Err(Error::Superseded { key: key.to_owned(), found, ours: entry.epoch() });
            }
        }
        self.write(kv, key, entry, known).await
    }

    /// Writes what stands under a key again, as `claim` changes it, so that nobody of an earlier term can replace
    /// it any more. Nothing when the key is gone.
    pub async fn claim<T: Entry>(
        &self,
        kv: &Kv,
        key: &str,
        ours: u64,
        claim: impl Fn(T) -> T,
    ) -> Result<Option<(T, u64)>, Error> {
        let mut writes = 0;
        loop {
            let Some(found) = self.within_term(kv.get::<T>(key)).await? else { return Ok(None) };
            obey(key, found.value.epoch(), ours)?;
            let entry = claim(found.value);
            writes += 1;
            match self.write(kv, key, &entry, found.revision).await {
                Ok(revision) => return Ok(Some((entry, revision))),
                Err(Error::Bus(bus::Error::Conflict { .. })) if writes < WRITES_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn write<T: Entry>(&self, kv: &Kv, key: &str, entry: &T, known: u64) -> Result<u64, Error> {
        match known {
            0 => self.within_term(kv.create(key, entry)).await,
            known => self.within_term(kv.update(key, entry, known)).await,
        }
    }
}

/// A switch as the audit log has it.
fn recorded(fact: &RouteSwitched) -> AuditRecorded {
    let from = fact.from.as_ref().map_or("nobody", IntegrationId::as_str);
    let cause = match fact.cause {
        RouteCause::Preferred => "preferred",
        RouteCause::Failover => "failover",
        RouteCause::Pinned => "pinned",
        RouteCause::Exhausted => "exhausted",
    };
    let why = fact.reason.map_or_else(|| cause.to_owned(), |reason| format!("{cause}, {}", reason.as_str()));
    AuditRecorded {
        at: fact.at,
        actor: Actor::system("failover"),
        method: "none".to_owned(),
        source_ip: None,
        action: "route.switch".to_owned(),
        verb: Verb::Update,
        target: format!("route/{}", fact.route),
        outcome: "ok".to_owned(),
        reason: Some(format!("from {from} to {} ({why})", fact.to)),
        request_id: None,
    }
}

/// Whoever finds an entry of a later term than its own does not lead any more.
fn obey(key: &str, found: u64, ours: u64) -> Result<(), Error> {
    if found > ours {
        return Err(Error::Superseded { key: key.to_owned(), found, ours });
    }
    Ok(())
}

/// Says in metrics and log what was done.
fn show(board: &Board, plan: &Plan) {
    if let Some((id, state)) = &plan.health {
        telemetry::health(id, state.as_ref().map(|state| state.health));
    }
    for (id, entry) in &plan.routes {
        let active = entry.as_ref().and_then(|entry| entry.now.active.as_ref());
        if let Some(route) = board.snapshot.as_ref().and_then(|snapshot| snapshot.routes.get(id)) {
            telemetry::active(&route.route, active);
        }
    }
    for (_, action) in &plan.facts {
        match action {
            Action::Announce(fact) => {
                telemetry::changed(&fact.integration);
                let (id, from, to) = (&fact.integration, fact.from.as_str(), fact.to.as_str());
                info!(integration.id = %id, from, to, reason = ?fact.reason, "Integration {id} went from {from} to {to}.");
            }
            Action::Switch(fact) => {
                telemetry::switched(&fact.route, fact.from.as_ref(), &fact.to, fact.reason);
                let (id, to) = (&fact.route, &fact.to);
                info!(route.id = %id, integration.id = %to, epoch = fact.epoch, "Route {id} goes to {to}.");
            }
            Action::Exhaust(fact) => {
                warn!(route.id = %fact.route, "Route {} has no usable integration.", fact.route);
            }
            Action::Raise(fact) => {
                info!(alert.id = %fact.alert, severity = fact.severity.as_str(), "Alert raised: {}", fact.title);
            }
            Action::Resolve(fact) => {
                info!(alert.id = %fact.raised.alert, "Alert resolved: {}", fact.raised.title);
            }
        }
    }
}
