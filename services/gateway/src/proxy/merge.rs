//! Carries merged calls: a call waits a few milliseconds for equal ones, goes with them as one, and takes its part.
//!
//! What decides is in `crate::merge`. A call that stays alone goes as it came. The merged call is a call of its own: it is
//! sent, judged and counted once, for the caller who came first, and goes on when callers go away; the others count as
//! answered without a call, like those that the cache coalesces. Each caller waits no longer than its own deadline. Whoever
//! gets no part of the answer goes by itself, once; only a word that would hold for each of them alone holds for all.

mod told;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT_ENCODING, HeaderValue};
use model::health::Reason;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::admit::Call;
use super::attempt::{Begun, Failure, Left, Sent, Tried, account, send};
use super::join;
use super::recall::is_of_the_moment;
use super::record::Account;
use crate::Inner as Gateway;
use crate::body::Inbound;
use crate::cache::condition::Condition;
use crate::merge::Merges;
use crate::merge::ask::{Asked, compose, key};
use crate::merge::groups::{First, Gathered, Joined};
use crate::snapshot::Integration;
use told::{Told, Whole, shares};

/// A call with less time than this beside its window does not wait for others, in milliseconds.
const WORTH_MS: u64 = 50;
/// How much longer a call waits than the merged one may take, so that it hears how that ended, in milliseconds.
const HEAR_MS: u64 = 100;

/// Somebody who waits for a merged call.
pub(crate) struct Caller {
    tell: oneshot::Sender<Told>,
    /// How long it waits.
    until: Instant,
}

/// What a merged call is made of, besides its symbols.
struct Frame {
    gateway: Arc<Gateway>,
    merges: Arc<Merges<Caller>>,
    integration: Arc<Integration>,
    number: usize,
    /// The first caller's call.
    call: Call,
    /// Its query before and after the symbol.
    around: (String, String),
}

/// Lets a call wait for others to go with. Nothing: it goes by itself at once.
pub(super) fn join(
    gateway: &Arc<Gateway>,
    call: &Call,
    integration: &Arc<Integration>,
    body: &Inbound,
    left_ms: u64,
) -> Option<Sent> {
    let merges = integration.merges.as_ref()?;
    let plain = call.method == Method::GET
        && !call.upgrade
        && call.revalidates.is_none()
        && body.held().is_some_and(Bytes::is_empty)
        && !is_of_the_moment(&call.headers)
        && Condition::of(&call.headers).is_none();
    let below = join::below(&integration.base, &call.path);
    let (number, endpoint) = merges.endpoint(below).filter(|_| plain)?;
    let asked = Asked::read(&endpoint.form, call.query.as_deref()?)?;
    let window = endpoint.window;
    let started = Instant::now();
    let deadline = started + Duration::from_millis(left_ms);
    let until = deadline.min(started + window + Duration::from_millis(integration.timeout_ms + HEAR_MS));
    if until < started + window + Duration::from_millis(WORTH_MS) {
        return None;
    }
    let permit = merges.place()?;
    let (tell, told) = oneshot::channel();
    let key = key(number, &call.path, &asked, &call.headers);
    match merges.groups.join(key, asked.symbol, Caller { tell, until }, endpoint.bounds) {
        Joined::Refused => return None,
        Joined::Waits => drop(permit),
        Joined::First(first) => {
            let frame = Frame {
                gateway: gateway.clone(),
                merges: merges.clone(),
                integration: integration.clone(),
                number,
                call: call.again(),
                around: (asked.before.to_owned(), asked.after.to_owned()),
            };
            tokio::spawn(async move {
                frame.carry(first, started + window).await;
                drop(permit);
            });
        }
    }
    let account = account(call, integration, below);
    let waiting = Waiting {
        gateway: gateway.clone(),
        merges: merges.clone(),
        integration: integration.clone(),
        call: call.again(),
        account: account.clone(),
        started,
        deadline,
    };
    Some(Sent::waiting(integration, account, Box::pin(waiting.wait(told, until))))
}

// === impl Frame ===

impl Frame {
    /// Waits for those who go together, and goes for them.
    async fn carry(mut self, first: First<Caller>, until: Instant) {
        let Some(Gathered { symbols, mut callers, .. }) = first.gather(until).await else { return };
        // The call is counted for whoever opened the group.
        let mut leads = callers.first().is_some_and(|(_, caller)| !caller.tell.is_closed());
        callers.retain(|(_, caller)| !caller.tell.is_closed());
        // Whoever is alone goes as it came.
        if callers.len() < 2 {
            return tell(callers, |_| Told::Alone);
        }
        let mut places: Vec<usize> = callers.iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        let asked: Vec<&str> = places.iter().map(|place| symbols[*place].as_str()).collect();
        let form = &self.merges.numbered(self.number).form;
        let several = asked.len() > 1;
        if several {
            let (before, after) = &self.around;
            self.call.query = Some(compose(form, before, &asked, after));
            if let Some(path) = &form.path {
                self.call.path.clone_from(path);
            }
        } else if places[0] > 0 {
            // Its own caller went away, and all who are left ask for one other symbol: it is written in its place.
            let (before, after) = &self.around;
            self.call.query = Some(single(form, before, asked[0], after));
        }
        self.call.operation = None;
        // What is compressed cannot be read.
        self.call.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let last = callers.iter().map(|(_, caller)| caller.until).max().unwrap_or(until);
        let left_ms = left_ms(last);
        self.merges.meters.sent.increment(1);
        let tried = match alone(&self.gateway, &self.call, &self.integration, left_ms).await {
            Begun::Sent(sent) => sent.holding().answer().await,
            Begun::Ended(tried) => tried,
        };
        self.tell(tried, several, &symbols, callers, &mut leads);
    }

    /// Tells each caller what came of it.
    fn tell(
        &self,
        tried: Tried,
        several: bool,
        symbols: &[String],
        callers: Vec<(usize, Caller)>,
        leads: &mut bool,
    ) {
        let count = u32::try_from(callers.len()).unwrap_or(u32::MAX);
        let form = &self.merges.numbered(self.number).form;
        match tried {
            Tried::Answered(answer) => {
                let whole = Arc::new(Whole::of(*answer, count, several));
                let parts = whole.parts(form, symbols);
                if several {
                    self.merges.came(self.number, parts.iter().any(Option::is_some));
                }
                tell(callers, |place| {
                    let leads = std::mem::take(leads);
                    let part = parts[place].clone();
                    part.map_or(Told::Alone, |part| Told::Part { whole: whole.clone(), part, leads })
                });
            }
            Tried::Failed(failure) if shares(&failure) => {
                let failed = Arc::new(told::Failed::of(failure, count));
                tell(callers, |_| Told::Failed(failed.clone()));
            }
            Tried::Failed(_) | Tried::Unable(_) | Tried::Limited(_) | Tried::Refused(_) => {
                if several {
                    self.merges.came(self.number, false);
                }
                tell(callers, |_| Told::Alone);
            }
        }
    }
}

fn tell(callers: Vec<(usize, Caller)>, mut what: impl FnMut(usize) -> Told) {
    for (place, caller) in callers {
        // Whoever went away hears nothing.
        drop(caller.tell.send(what(place)));
    }
}

/// A single call for another symbol.
fn single(form: &model::merge::Form, before: &str, symbol: &str, after: &str) -> String {
    let one = model::merge::Form { many: None, list: model::merge::List::Comma, ..form.clone() };
    compose(&one, before, &[symbol], after)
}

/// Sends a call by itself.
async fn alone(gateway: &Gateway, call: &Call, integration: &Arc<Integration>, left_ms: u64) -> Begun {
    let left = Left { left_ms, wait_ms: gateway.settings.quota_wait_ms };
    send(gateway, call, integration, &mut Inbound::Held(Bytes::new()), left, None).await
}

fn left_ms(until: Instant) -> u64 {
    let left = until.saturating_duration_since(Instant::now()).as_millis();
    u64::try_from(left).unwrap_or(u64::MAX).max(1)
}

/// A call that waits for its part.
struct Waiting {
    gateway: Arc<Gateway>,
    merges: Arc<Merges<Caller>>,
    integration: Arc<Integration>,
    call: Call,
    account: Account,
    started: Instant,
    deadline: Instant,
}

// === impl Waiting ===

impl Waiting {
    async fn wait(self, told: oneshot::Receiver<Told>, until: Instant) -> Tried {
        let Self { merges, integration, call, account, started, .. } = &self;
        match timeout_at(until, told).await {
            Err(_) => {
                let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let reason = Reason::Timeout;
                return Tried::Failed(Failure {
                    may_have_acted: true,
                    ..Failure::unsent(reason, duration_ms)
                });
            }
            Ok(Ok(Told::Failed(failed))) => {
                let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Tried::Failed(failed.of_one(integration, account, duration_ms));
            }
            Ok(Ok(Told::Part { whole, part, leads })) => {
                if let Some(answer) = whole.of_one(part, integration, call, account).await {
                    merges.meters.answered.increment(1);
                    if !leads {
                        account.live.cached(call.whose(&account.endpoint));
                    }
                    return Tried::Answered(answer);
                }
            }
            // Also when whoever carried it is gone.
            Ok(Ok(Told::Alone) | Err(_)) => {}
        }
        merges.meters.apart.increment(1);
        match alone(&self.gateway, call, integration, left_ms(self.deadline)).await {
            Begun::Sent(mut sent) => sent.answer().await,
            Begun::Ended(tried) => tried,
        }
    }
}
