//! One attempt at one integration: key, dress, send, judge.
//!
//! Says what came of it; whether to try again, or whom else to ask meanwhile, is `forward`'s to decide. Every attempt is
//! recorded here, once. One that is sent holds all that it needs, so that it can be waited for without its caller.

mod answered;
mod failure;
mod reserve;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use egress::lane;
use egress::sign::SignError;
use egress::{Blame, Limits};
use http::request::Parts;
use http::{Method, StatusCode};
use model::Timestamp;
use model::health::Reason;
use tokio::time::Instant;

use super::admit::Call;
use super::converse::{Listener, Shape, Voice};
use super::dress::dress;
use super::echo::Veiled;
use super::join;
use super::judge::{Judged, judge};
use super::key::{Ready, Unfit, key};
use super::merge;
use super::operate;
use super::record::{Account, Asked, Entry, Mark};
use crate::Inner as Gateway;
use crate::body::{Fate, Inbound, Refused};
use crate::breaker::Permit;
use crate::live::Patience;
use crate::problem::Problem;
use crate::quota::held::Slot;
use crate::quota::told::Limited;
use crate::snapshot::Integration;
use answered::{answered, hear};
pub(crate) use failure::Failure;
use reserve::Reserved;
pub(super) use reserve::output;

/// How long an overdue attempt whose caller has his answer is waited for, in milliseconds: a few observations.
const EVIDENCE_MS: u64 = 3_000;

/// A provider's answer, ready to be passed on.
pub(crate) struct Answer {
    /// Who answered.
    pub(crate) integration: Arc<Integration>,
    /// Its head: end-to-end headers without our key.
    pub(crate) head: http::response::Parts,
    /// Whether the headers, as they came, let it be kept.
    pub(crate) may_keep: bool,
    /// What is held of its body.
    pub(crate) held: Bytes,
    /// The rest.
    pub(crate) rest: Option<Veiled>,
    /// Whose call it was.
    pub(crate) account: Account,
    /// In which other words it goes to the caller.
    pub(crate) voice: Option<Voice>,
    /// How many callers' calls went as one for it; 0 where it is an answer to its own.
    pub(crate) merged: u32,
}

/// What came of an attempt.
pub(crate) enum Tried {
    /// An answer for the caller: a good one, or one that is the caller's own fault.
    Answered(Box<Answer>),
    /// Trouble that another try or another integration may not have.
    Failed(Failure),
    /// A limit does not let it go: nothing was sent.
    Limited(Limited),
    /// It cannot be called in this way; another integration perhaps can.
    Unable(Problem),
    /// No other integration would do better.
    Refused(Problem),
}

/// What a call has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// Of its time, in milliseconds.
    pub(crate) left_ms: u64,
    /// For how long it may wait for its limits, in milliseconds.
    pub(crate) wait_ms: u64,
}

/// A beginning of an attempt.
pub(crate) enum Begun {
    /// It is under way.
    Sent(Sent),
    /// It ended before anything was sent.
    Ended(Tried),
}

/// An attempt under way.
pub(crate) struct Sent {
    integration: Arc<Integration>,
    exchange: Pin<Box<dyn Future<Output = Result<Judged, egress::Error>> + Send>>,
    started: Instant,
    patience: Patience,
    mark: Mark,
    account: Account,
    key: Option<Arc<Ready>>,
    sent_at: Timestamp,
    /// The same, on the steady clock.
    sent_ms: u64,
    fate: Fate,
    body_bytes_max: u64,
    listener: Option<Arc<Listener>>,
    /// Whether it is a canonical operation: then another member may know what this one does not.
    operates: bool,
    /// Whether it has less time than the integration may take: then silence says nothing of it.
    cut: bool,
    /// Where this is the call that tries the integration again.
    permit: Option<Permit>,
    /// What will come of it, where it goes together with others.
    together: Option<Together>,
}

/// An attempt that somebody else makes.
pub(super) type Together = Pin<Box<dyn Future<Output = Tried> + Send>>;

/// Sends a call to one integration, to be answered in the time that it has left; a chat in the words of its provider.
pub(crate) async fn begin(
    gateway: &Arc<Gateway>,
    call: &Call,
    integration: &Arc<Integration>,
    body: &mut Inbound,
    left: Left,
) -> Begun {
    let left_ms = left.left_ms;
    if let Some(operated) = &call.operation {
        return match operated.shape(call, integration) {
            Some(mut shaped) => {
                if integration.merges.is_some()
                    && let Some(sent) = merge::join(gateway, &shaped.call, integration, &shaped.body, left_ms)
                {
                    return Begun::Sent(sent);
                }
                let sending = send(gateway, &shaped.call, integration, &mut shaped.body, left, None);
                Box::pin(sending).await
            }
            None => Begun::Ended(Tried::Unable(operate::unasked(integration))),
        };
    }
    let Some(chat) = &call.chat else {
        if integration.merges.is_some()
            && let Some(sent) = merge::join(gateway, call, integration, body, left_ms)
        {
            return Begun::Sent(sent);
        }
        return send(gateway, call, integration, body, left, None).await;
    };
    match chat.shape(call, integration) {
        Ok(Shape { call: mut shaped, mut body, listener }) => {
            if integration.limits.as_ref().is_some_and(|limits| limits.counts_tokens) {
                shaped.output = (*call.output.get_or_init(|| chat.output())).into();
            }
            Box::pin(send(gateway, &shaped, integration, &mut body, left, listener)).await
        }
        Err(problem) => Begun::Ended(Tried::Unable(problem)),
    }
}

pub(super) async fn send(
    gateway: &Gateway,
    call: &Call,
    integration: &Arc<Integration>,
    body: &mut Inbound,
    left: Left,
    listener: Option<Arc<Listener>>,
) -> Begun {
    let ended = Begun::Ended;
    let (began, mut left_ms) = (lane::now(), left.left_ms);
    let mut asking = integration.tokens.as_ref().and_then(|rules| rules.asking(body));
    let body = asking.as_mut().unwrap_or(body);
    let below = join::below(&integration.base, &call.path);
    let account = account(call, integration, below);
    let reserved = match Reserved::of(integration, call, &account, below, body, left).await {
        Ok(reserved) => reserved,
        Err(limited) => return ended(Tried::Limited(limited)),
    };
    if reserved.is_some() {
        // Time in the queue is no time of the provider's.
        left_ms = left_ms
            .saturating_sub(u64::try_from((lane::now() - began).as_millis()).unwrap_or(u64::MAX))
            .max(1);
    }
    let mut mark = Mark::start(account.clone(), body.len(), integration.cost_micros);
    let is_public = integration.provider.is_public(below);
    let key = match key(gateway, integration, is_public, left_ms).await {
        Ok(key) => key,
        Err(reason) => {
            return ended(Tried::Failed(Failure::unsent(reason, mark.end(false, Some(reason), None))));
        }
    };
    if key.is_none() && !is_public && integration.auth.is_signed() {
        mark.void();
        return ended(Tried::Unable(unsigned(integration)));
    }
    let target = match join::join(&integration.base, below, call.query.as_deref(), &integration.params) {
        Ok(target) => target,
        Err(why) => {
            mark.void();
            return ended(Tried::Refused(Problem::bad_request("bad_path", why.to_string())));
        }
    };
    let further = key.as_ref().map_or(&[][..], |key| key.further());
    let mut head = dress(integration, &call.method, &call.headers, target, further);
    if let Some(old) = &call.revalidates {
        old.ask_if_changed(integration, &mut head.headers);
    }
    let sent = match &key {
        Some(key) => put_on(key, integration, &mut head, body),
        None => Ok(body.next()),
    };
    let (bytes, fate) = match sent {
        Ok(Some(sent)) => sent,
        Ok(None) => {
            mark.void();
            let detail = "the body was sent once and is not held, so that it cannot be sent again";
            return ended(Tried::Refused(Problem::bad_request("body_gone", detail)));
        }
        Err(error) if error.is_too_large() => {
            mark.void();
            return ended(Tried::Refused(Problem::too_large(egress::sign::BODY_BYTES_MAX as u64)));
        }
        Err(error) if error.is_callers() => {
            mark.void();
            return ended(Tried::Refused(Problem::bad_request("cannot_be_signed", error.to_string())));
        }
        Err(error) => {
            tracing::warn!(integration.id = %integration.id, %error, "The key of integration {} cannot be used: {error}.", integration.id);
            let reason = Reason::KeyUnavailable;
            return ended(Tried::Failed(Failure::unsent(reason, mark.end(false, Some(reason), None))));
        }
    };
    let head_ms = integration.timeout_ms.min(left_ms);
    let slow = Duration::from_millis(integration.slow_ms);
    reserved.into_iter().for_each(Reserved::sent);
    let patience = mark.sends(slow, Duration::from_millis(head_ms));
    if let Some(near) = &integration.near {
        near.sent(lane::timestamp());
    }
    let limits = Limits {
        head_ms,
        idle_ms: gateway.settings.idle_timeout_ms,
        upgrade: call.upgrade,
        connect_ms: integration.timeouts.connect_ms.map(u64::from),
        first_byte_ms: integration.timeouts.first_byte_ms.map(u64::from),
        total_ms: integration.timeouts.total_ms.filter(|_| !call.upgrade).map(u64::from),
        ..Limits::default()
    };
    let (egress, upstream) = (gateway.egress.clone(), integration.upstream.clone());
    let (provider, method) = (integration.provider, call.method.clone());
    let request = http::Request::from_parts(head, bytes);
    let (listens, reads) = (listener.clone(), operate::Reader::of(call, integration));
    let operates = reads.is_some();
    Begun::Sent(Sent {
        integration: integration.clone(),
        exchange: Box::pin(async move {
            let answer = egress.send(&upstream?, request, limits).await?;
            let judged = judge(provider, &method, answer).await?;
            if let Some(reader) = reads {
                return Box::pin(reader.read(judged)).await;
            }
            match listens {
                None => Ok(judged),
                Some(listener) => Box::pin(listener.listen(judged)).await,
            }
        }),
        listener,
        operates,
        started: lane::now(),
        patience,
        mark,
        account,
        key,
        sent_at: lane::timestamp(),
        sent_ms: crate::quota::turn_ms(),
        fate,
        body_bytes_max: gateway.settings.body_bytes_max,
        cut: left_ms < integration.timeout_ms,
        permit: None,
        together: None,
    })
}

// === impl Sent ===

impl Sent {
    /// An attempt that goes together with others: nothing of it is counted here.
    pub(super) fn waiting(integration: &Arc<Integration>, account: Account, together: Together) -> Self {
        let (slow, timeout) = (integration.slow_ms, integration.timeout_ms);
        let [slow, timeout] = [slow, timeout].map(Duration::from_millis);
        let mut mark = Mark::start(account.clone(), 0, 0);
        mark.void();
        Self {
            integration: integration.clone(),
            exchange: Box::pin(std::future::pending()),
            started: lane::now(),
            patience: integration.live.patience(&account.endpoint, slow, timeout),
            mark,
            account,
            key: None,
            sent_at: lane::timestamp(),
            sent_ms: 0,
            fate: Fate::default(),
            body_bytes_max: 0,
            listener: None,
            operates: false,
            cut: false,
            permit: None,
            together: Some(together),
        }
    }

    /// The same, with a good answer held whole, if it is not too large for that.
    pub(super) fn holding(mut self) -> Self {
        let exchange = self.exchange;
        self.exchange = Box::pin(async move {
            let mut judged = exchange.await?;
            if judged.reason.is_none() {
                operate::hold_whole(&mut judged).await?;
            }
            Ok(judged)
        });
        self
    }

    /// Who is asked.
    pub(crate) fn integration(&self) -> &Arc<Integration> {
        &self.integration
    }

    /// The same, as the one that tries its integration again.
    pub(crate) fn trying(mut self, permit: Option<Permit>) -> Self {
        self.permit = permit.or(self.permit);
        self
    }

    /// When another member may be asked beside.
    pub(crate) fn patient_until(&self) -> Instant {
        self.started + self.patience.beside
    }

    /// What came of it. Can be given up and asked for again, until it has said so.
    pub(crate) async fn answer(&mut self) -> Tried {
        if let Some(together) = &mut self.together {
            return together.await;
        }
        let outcome = (&mut self.exchange).await;
        let Self { integration, mark, account, key, fate, listener, operates, .. } = self;
        match outcome {
            Ok(judged) => {
                integration.gate.saw(judged.reason, judged.retry_after);
                // What pages say is a guess; who names a time himself means it.
                let named = judged.retry_after.filter(|_| judged.names_wait);
                integration.pause.saw(judged.reason, named);
                hear(integration, &judged, account, self.sent_at, self.sent_ms);
                if key.as_ref().is_some_and(|key| key.signs()) {
                    let (sent, received) = (self.sent_at.as_millis(), Timestamp::now().as_millis());
                    integration.live.skew.learn(&judged.head.headers, sent, received);
                }
                answered(
                    integration,
                    judged,
                    account.clone(),
                    mark,
                    key.as_ref(),
                    listener.as_deref(),
                    *operates,
                )
            }
            Err(error) if error.blame() == Blame::Caller => {
                mark.void();
                let refused = fate.refused().unwrap_or(Refused::Broken);
                Tried::Refused(refused.problem(self.body_bytes_max))
            }
            // A provider cannot answer what has not come: that is no fault of its.
            Err(error) if error.reason() == Reason::Timeout && fate.waits() => {
                mark.void();
                Tried::Refused(Refused::TooSlow.problem(self.body_bytes_max))
            }
            Err(error) => {
                tracing::debug!(integration.id = %integration.id, %error, "Integration {} did not answer: {error}.", integration.id);
                let (reason, sent) = (error.reason(), error.sent());
                if !sent {
                    account.quota.cancel();
                }
                let duration_ms = if reason == Reason::Timeout && self.cut {
                    // The mark counts it as one whose caller went away.
                    u64::try_from((lane::now() - self.started).as_millis()).unwrap_or(u64::MAX)
                } else {
                    integration.gate.saw(Some(reason), None);
                    mark.end(sent, Some(reason), None)
                };
                let why = error.told();
                Tried::Failed(Failure { why, may_have_acted: sent, ..Failure::unsent(reason, duration_ms) })
            }
        }
    }

    /// Waits on when the caller has his answer from somebody else: whether one comes tells a slow provider from one
    /// that hangs. Not longer than it takes to tell.
    pub(crate) async fn outlive(mut self) {
        let end = self.started + self.patience.overdue + Duration::from_millis(EVIDENCE_MS);
        // Given up, it is counted as one whose caller went away: the provider may have charged for it.
        drop(tokio::time::timeout_at(end, self.answer()).await);
    }
}

pub(super) fn account(call: &Call, integration: &Integration, below: &str) -> Account {
    let query = call.query.as_deref().unwrap_or_default();
    let endpoint = integration.provider.endpoint(call.method.as_str(), below, query);
    // What a model used is told once, to whom asked it: reading its answer again costs nothing.
    let reads = integration.tokens.as_ref().filter(|_| call.method == Method::POST).cloned();
    let route = call.route().cloned();
    Account::new(Entry {
        live: integration.live.clone(),
        endpoint,
        caller: call.caller.clone(),
        route,
        quota: Slot::default(),
        reads,
        asked: Asked::default(),
    })
}

/// Puts the key on a request, and gives the body that goes with it. Nothing: there is none any more.
fn put_on(
    key: &Ready,
    integration: &Integration,
    head: &mut Parts,
    body: &mut Inbound,
) -> Result<Option<(egress::Outgoing, Fate)>, Unfit> {
    if !key.reads_body() {
        key.put_on(integration, head, &mut Bytes::new())?;
        return Ok(body.next());
    }
    let Some(held) = body.held() else {
        return if body.is_here() { Err(SignError::BodyTooLarge.into()) } else { Ok(None) };
    };
    // Every attempt is signed from the request as it came.
    let mut bytes = held.clone();
    key.put_on(integration, head, &mut bytes)?;
    Ok(Some((egress::Outgoing::whole(bytes), Fate::default())))
}

fn unsigned(integration: &Integration) -> Problem {
    let detail = format!(
        "requests to {} must be signed, and integration `{}` has no key; only public paths can be called",
        integration.provider.name, integration.id
    );
    Problem::new(StatusCode::BAD_GATEWAY, "key_missing", "Integration needs a key", detail)
        .with("integration", integration.id.as_str())
}
