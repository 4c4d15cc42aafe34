//! One instance: a provider under a name, with its port, key, limits, switch and memory.
//!
//! A request is decided at once (switch, key, limit, answer) and written down; only then is the
//! decision carried out, which may take long (slow, hang, a stream). So the memory holds a
//! request as soon as it has arrived, in the order of arrival.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::call::{Answer, Call};
use crate::config::InstanceConfig;
use crate::door::{Door, Hangup, Served};
use crate::fault::{Effect, carry_out};
use crate::ledger::{Ledger, Recorded, headers};
use crate::limits::{Limits, Tally};
use crate::market::{Market, scramble, stamp};
use crate::providers::{Desk, Provider};
use crate::switches::{Mode, Switch, Switches};

/// Paths counted apart; requests to further ones are counted as `(others)`.
const PATHS_MAX: usize = 200;

/// How often an instance was called.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// All requests since the start or the last reset.
    pub total: u64,
    /// By status; `0` is no answer.
    pub by_status: BTreeMap<u16, u64>,
    /// By path.
    pub by_path: BTreeMap<String, u64>,
}

/// A provider under a name.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) config: InstanceConfig,
    pub(crate) provider: &'static dyn Provider,
    pub(crate) door: OnceCell<Door>,
    pub(crate) switches: Switches,
    pub(crate) ledger: Ledger<Recorded>,
    limits: Mutex<Limits>,
    nonces: Mutex<HashMap<String, u64>>,
    counts: Mutex<Counts>,
    served: AtomicU64,
    market: Market,
}

impl Instance {
    /// The instance, not listening yet.
    pub(crate) fn new(config: InstanceConfig, provider: &'static dyn Provider, seed: u64) -> Instance {
        let rules = config.limit.rules(provider.limits());
        Instance {
            provider,
            door: OnceCell::new(),
            switches: Switches::default(),
            ledger: Ledger::default(),
            limits: Mutex::new(Limits::new(rules)),
            nonces: Mutex::default(),
            counts: Mutex::default(),
            served: AtomicU64::new(0),
            market: Market { seed: scramble(seed) },
            config,
        }
    }

    /// Serves one request. `prefix` is the part of the path that is not the provider's.
    pub(crate) async fn serve(&self, request: Request<Body>, prefix: &str) -> Served {
        let Some(mut call) = Call::read(request, now_ms()).await else { return Err(Hangup) };
        if let Some(own) = call.path.strip_prefix(prefix) {
            call.path = if own.starts_with('/') { own.to_owned() } else { format!("/{own}") };
        }
        let mode = self.switches.draw(self.market.seed);
        let effect = self.decide(&mode, &call);
        self.write_down(&call, &mode, effect.status());
        carry_out(effect, Duration::from_millis(self.config.chunk_ms)).await
    }

    fn decide(&self, mode: &Mode, call: &Call) -> Effect {
        let sequence = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        let mut limits = lock(&self.limits);
        let by = self.provider.counted_by(call);
        let skew_ms = if let Mode::Skew { ms } = mode { *ms } else { 0 };
        let now_ms = self.config.clock_ms.unwrap_or(call.at_ms).saturating_add(skew_ms);
        let mut desk = Desk {
            key: &self.config.key,
            now_ms,
            market: self.market,
            sequence,
            nonces: &self.nonces,
            tokens: self.config.tokens,
            reply: self.config.reply.as_deref(),
            usage: (0, limits.first().map_or(0, |rule| rule.max)),
        };
        match mode {
            Mode::Hang => return Effect::Hang,
            Mode::Refuse => return Effect::Hangup,
            Mode::Garbage => return Effect::Answer(garbage()),
            Mode::BadKey => return Effect::Answer(self.provider.bad_key(&desk, call)),
            Mode::Status { status, retry_after_secs, body } => {
                return Effect::Answer(bare(*status, *retry_after_secs, body.as_deref()));
            }
            Mode::Gone { status } => return Effect::Answer(bare(status.unwrap_or(404), None, None)),
            Mode::Throttle { retry_after_secs } => {
                let tally = Tally::spent(limits.first(), retry_after_secs.unwrap_or(1));
                let answer = self.provider.throttled(&desk, call, &tally);
                let answer = self.provider.label(&desk, answer, &tally);
                return Effect::Answer(match retry_after_secs {
                    Some(secs) => answer.with("retry-after", secs),
                    None => answer,
                });
            }
            Mode::Ok | Mode::Slow { .. } | Mode::Reset | Mode::StreamError | Mode::Skew { .. } => {}
        }
        let answer = match self.provider.admit(&desk, call) {
            Err(refusal) => refusal,
            Ok(()) => match limits.take(&by, self.provider.weight(call), call.at_ms) {
                Err(tally) => {
                    self.provider.label(&desk, self.provider.throttled(&desk, call, &tally), &tally)
                }
                Ok(tally) => {
                    desk.usage = tally.map_or((0, 0), |tally| (tally.used, tally.max));
                    let broken = (*mode == Mode::StreamError)
                        .then(|| self.provider.broken_stream(&desk, call))
                        .flatten();
                    let answer = broken.unwrap_or_else(|| self.provider.answer(&desk, call));
                    match tally {
                        Some(tally) => self.provider.label(&desk, answer, &tally),
                        None => answer,
                    }
                }
            },
        };
        match mode {
            Mode::Reset => Effect::Half(answer),
            Mode::Slow { ms } => Effect::Late(Duration::from_millis(*ms), answer),
            Mode::Skew { .. } => Effect::Answer(answer.with("date", stamp(now_ms, "%a, %d %b %Y %T GMT"))),
            _ => Effect::Answer(answer),
        }
    }

    fn write_down(&self, call: &Call, mode: &Mode, status: Option<u16>) {
        let mut counts = lock(&self.counts);
        counts.total += 1;
        *counts.by_status.entry(status.unwrap_or(0)).or_default() += 1;
        let known = counts.by_path.len() < PATHS_MAX || counts.by_path.contains_key(&call.path);
        let path = if known { call.path.clone() } else { "(others)".to_owned() };
        *counts.by_path.entry(path).or_default() += 1;
        drop(counts);
        self.ledger.add(|sequence| Recorded {
            sequence,
            at_ms: call.at_ms,
            method: call.method.to_string(),
            path: call.path.clone(),
            query: call.query.clone(),
            headers: headers(&call.headers),
            credential: self.provider.credential(call),
            body: call.text(),
            status,
            mode: mode.name(),
        });
    }

    /// How often it was called.
    pub(crate) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    /// Sets the switch; opens or closes the port and returns once that is so.
    pub(crate) async fn switch(&self, switch: Switch) -> Result<(), String> {
        if let Some(fault) = switch.fault() {
            return Err(fault);
        }
        if let Mode::Gone { .. } = switch.mode {
            return Err("`gone` is for targets; a provider takes `status` 404 or 410".to_owned());
        }
        let open = switch.mode != Mode::Refuse;
        self.switches.set(switch);
        match self.door.get() {
            Some(door) => door.set_open(open).await.map_err(|error| format!("port: {error}")),
            None => Ok(()),
        }
    }

    /// Forgets requests, counts, limits and nonces.
    pub(crate) fn forget(&self) {
        self.ledger.clear();
        *lock(&self.counts) = Counts::default();
        lock(&self.limits).clear();
        lock(&self.nonces).clear();
    }
}

/// A bare status.
pub(crate) fn bare(status: u16, retry_after_secs: Option<u64>, body: Option<&str>) -> Answer {
    let text = body.map_or_else(|| format!("stand-in answers {status}\n"), str::to_owned);
    let answer = if matches!(status, 204 | 304) { Answer::empty(status) } else { Answer::text(status, text) };
    match retry_after_secs {
        Some(secs) => answer.with("retry-after", secs),
        None => answer,
    }
}

/// What a captive portal or a broken proxy sends instead of the answer.
pub(crate) fn garbage() -> Answer {
    Answer::html(
        200,
        "<!doctype html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n",
    )
}

/// The real clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
