//! The one way to change configuration: read all, decide, write all or nothing.
//!
//! A decision is a pure function of the whole [`Config`], so it can check whatever it refers to. It is written
//! with the revision that it was made on; when somebody else was faster it is made again. With it, in the same
//! transaction, go the events that tell of it and the audit entry. Nothing is half saved.

use crate::problems::RETRY_SECS;
use metrics::counter;
use model::alert::AlertRaised;
use model::audit::{AuditRecorded, Verb};
use model::config::{Change as Changed, ConfigChanged, Kind};
use model::{Envelope, Event, Timestamp};
use runtime::Problem;
use store::{AlertWrite, Change, Write};

use crate::access::Caller;
use crate::config::Config;
use crate::problems::{self, internal};
use crate::state::Api;
use crate::telemetry::AUDIT_ENTRIES;

/// How often a decision is made again because somebody else was faster.
const TRIES: usize = 16;

/// What should be done, and what the caller gets for it.
pub struct Decision<T> {
    /// The documents to write.
    pub writes: Vec<Write>,
    /// What else happened, besides `config.changed`.
    pub facts: Vec<Fact>,
    /// Alerts that change with it.
    pub alerts: Vec<AlertWrite>,
    /// What was done, for the audit log.
    pub deed: Deed,
    /// The answer.
    pub answer: T,
}

/// An event ready for the outbox.
pub type Fact = Envelope<Vec<u8>>;

/// What was done, for the audit log.
#[derive(Clone)]
pub struct Deed {
    /// `key.rotate`.
    pub action: &'static str,
    /// What kind of thing.
    pub verb: Verb,
    /// `key/polygon-prod`.
    pub target: String,
    /// Why, as given by the actor.
    pub reason: Option<String>,
}

impl Deed {
    /// Something done to a piece of configuration.
    pub fn to(kind: Kind, id: impl std::fmt::Display, action: &'static str, verb: Verb) -> Self {
        Self { action, verb, target: format!("{}/{id}", kind.as_str()), reason: None }
    }
}

impl<T> Decision<T> {
    /// One write and nothing else.
    pub fn write(write: Write, deed: Deed, answer: T) -> Self {
        Self { writes: vec![write], facts: Vec::new(), alerts: Vec::new(), deed, answer }
    }

    /// With another fact.
    #[must_use]
    pub fn and(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }
}

impl Api {
    /// The whole configuration as it is now.
    pub async fn config(&self) -> Result<Config, Problem> {
        let all = self.store.everything().await.map_err(problems::of_store)?;
        Config::of(all).map_err(internal)
    }

    /// Puts a fact in its envelope, for the outbox.
    pub(crate) fn fact<E: Event>(&self, data: E) -> Result<Fact, Problem> {
        Envelope::new(self.event_id(), self.bus.source(), Timestamp::now(), data).to_bytes().map_err(internal)
    }

    /// Decides and writes; the revision from then on and the answer come back.
    pub async fn change<T>(
        &self,
        caller: &Caller,
        decide: impl Fn(&Config, Timestamp) -> Result<Decision<T>, Problem>,
    ) -> Result<(T, u64), Problem> {
        for _ in 0..TRIES {
            let config = self.config().await?;
            let at = Timestamp::now();
            let decision = decide(&config, at)?;
            let Decision { writes, facts, alerts, deed, answer } = decision;
            let mut events = Vec::with_capacity(writes.len() + facts.len() + 1);
            for write in &writes {
                events.push(self.fact(changed(write, config.revision + 1, caller, at))?);
            }
            events.extend(facts);
            events.push(self.fact(caller.did(&deed, "ok", at))?);
            let change = Change { based_on: Some(config.revision), writes, events, alerts, answer: None };
            match self.store.commit(change, at).await {
                Ok(revision) => {
                    counter!(AUDIT_ENTRIES).increment(1);
                    self.changed.notify_one();
                    return Ok((answer, revision));
                }
                Err(store::Error::Moved) => {}
                Err(error) => return Err(problems::of_store(error)),
            }
        }
        Err(Problem::unavailable("the configuration is being changed by many at once; try again", RETRY_SECS))
    }

    /// Writes an audit entry of its own, durable before this returns: for views, uses, intents and refusals.
    pub(crate) async fn audit(&self, caller: &Caller, deed: &Deed, outcome: &str) -> Result<(), Problem> {
        let at = Timestamp::now();
        let fact = self.fact(caller.did(deed, outcome, at))?;
        self.store.append(&[fact], at).await.map_err(problems::of_store)?;
        counter!(AUDIT_ENTRIES).increment(1);
        Ok(())
    }

    /// Raises an alert: its row and its event, durable before this returns.
    pub(crate) async fn raise(&self, raised: AlertRaised) -> Result<(), Problem> {
        let at = raised.at;
        let events = vec![self.fact(raised.clone())?];
        let change = Change {
            based_on: None,
            writes: Vec::new(),
            events,
            alerts: vec![AlertWrite::Raise(raised)],
            answer: None,
        };
        self.store.commit(change, at).await.map(drop).map_err(problems::of_store)
    }
}

impl Caller {
    /// What this caller did, for the audit log.
    pub(crate) fn did(&self, deed: &Deed, outcome: &str, at: Timestamp) -> AuditRecorded {
        AuditRecorded {
            at,
            actor: self.actor.clone(),
            method: self.method.clone(),
            source_ip: self.address.map(|address| address.to_string()),
            action: deed.action.to_owned(),
            verb: deed.verb,
            target: deed.target.clone(),
            outcome: outcome.to_owned(),
            reason: deed.reason.clone(),
            request_id: Some(self.request_id.clone()),
        }
    }
}

fn changed(write: &Write, revision: u64, caller: &Caller, at: Timestamp) -> ConfigChanged {
    let (kind, id, change) = match write {
        Write::Create { kind, id, .. } => (*kind, id, Changed::Created),
        Write::Update { kind, id, .. } => (*kind, id, Changed::Updated),
        Write::Delete { kind, id, .. } => (*kind, id, Changed::Deleted),
    };
    ConfigChanged { kind, id: id.clone(), change, revision, actor: caller.actor.to_string(), at }
}
