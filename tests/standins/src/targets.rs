//! The targets: where notifications go. Each judges a message as the real one does and keeps it whole.
//!
//! One listener serves all kinds, told apart by their paths; each kind also has a listener of its
//! own, which is the one that `refuse` closes. On the shared one a refusing kind hangs up.

pub(crate) mod discord;
pub(crate) mod http;
pub(crate) mod pagerduty;
pub(crate) mod slack;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use ::http::Request;
use axum::body::Body;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::call::{Answer, Call};
use crate::config::TargetsConfig;
use crate::door::{Door, Hangup, Served};
use crate::fault::{Effect, carry_out};
use crate::instance::{bare, garbage, lock, now_ms};
use crate::ledger::{Ledger, headers};
use crate::limits::{Limits, Rule};
use crate::switches::{Mode, Switch, Switches};

/// Message ids remembered to see repetitions.
const IDS_MAX: usize = 10_000;

/// Which target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Slack incoming webhooks.
    Slack,
    /// Discord webhooks.
    Discord,
    /// PagerDuty Events v2.
    Pagerduty,
    /// A receiver of signed webhooks.
    Http,
}

impl Kind {
    /// All of them, in the order of their ports.
    pub const ALL: [Kind; 4] = [Kind::Slack, Kind::Discord, Kind::Pagerduty, Kind::Http];

    /// As the control API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Slack => "slack",
            Kind::Discord => "discord",
            Kind::Pagerduty => "pagerduty",
            Kind::Http => "http",
        }
    }

    /// The kind a path belongs to.
    fn of_path(path: &str) -> Option<Kind> {
        if path.starts_with("/services/") {
            Some(Kind::Slack)
        } else if path.starts_with("/api/") {
            Some(Kind::Discord)
        } else if path == "/v2/enqueue" {
            Some(Kind::Pagerduty)
        } else if path.starts_with("/hooks/") {
            Some(Kind::Http)
        } else {
            None
        }
    }
}

/// A message a target received, whether it took it or not.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// 1 for the first, then counting.
    pub sequence: u64,
    /// When it arrived, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who got it.
    pub kind: Kind,
    /// The method, upper case.
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query as sent.
    pub query: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; null when it is none.
    pub json: Value,
    /// The body as text, exactly as sent.
    pub body: String,
    /// The status it was answered. Absent: no answer.
    pub status: Option<u16>,
    /// Whether the target took it (and would show it).
    pub accepted: bool,
    /// HTTP receiver with a secret: whether the signature and time were right.
    pub verified: Option<bool>,
    /// Whether a message of the same id had been taken before (HTTP receiver), or the event joined an
    /// open alert (PagerDuty).
    pub duplicate: bool,
    /// Why it was not taken, or what a reader should know.
    pub note: Option<String>,
    /// The switch that was at work.
    pub mode: &'static str,
}

/// What a target makes of a call.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) answer: Answer,
    pub(crate) accepted: bool,
    pub(crate) verified: Option<bool>,
    pub(crate) duplicate: bool,
    pub(crate) note: Option<String>,
}

impl Verdict {
    /// Taken.
    pub(crate) fn taken(answer: Answer) -> Verdict {
        Verdict { answer, accepted: true, verified: None, duplicate: false, note: None }
    }

    /// Not taken, and why.
    pub(crate) fn refused(answer: Answer, note: impl Into<String>) -> Verdict {
        Verdict { answer, accepted: false, verified: None, duplicate: false, note: Some(note.into()) }
    }
}

/// What a target remembers beside its messages.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) ids: HashSet<String>,
    ids_in_order: VecDeque<String>,
    pub(crate) alerts: BTreeMap<String, pagerduty::Alert>,
    pub(crate) taken: u64,
}

impl State {
    /// Remembers an id; false when it was known.
    pub(crate) fn remember(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.ids_in_order.push_back(id.to_owned());
        if self.ids_in_order.len() > IDS_MAX
            && let Some(oldest) = self.ids_in_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// One target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) door: OnceCell<Door>,
    pub(crate) switches: Switches,
    pub(crate) ledger: Ledger<Message>,
    pub(crate) config: Mutex<TargetsConfig>,
    pub(crate) state: Mutex<State>,
    seed: u64,
}

impl Target {
    /// A target, not listening yet.
    pub(crate) fn new(kind: Kind, config: TargetsConfig, seed: u64) -> Target {
        let (max, secs) = match kind {
            Kind::Slack => (config.slack_per_sec, 1),
            Kind::Discord => (config.discord_per_2_secs, 2),
            Kind::Pagerduty => (config.pagerduty_per_minute, 60),
            Kind::Http => (0, 1),
        };
        let rules = if max == 0 { Vec::new() } else { vec![Rule::rolling(max, secs)] };
        let state = State { limits: Limits::new(rules), ..State::default() };
        Target {
            kind,
            door: OnceCell::new(),
            switches: Switches::default(),
            ledger: Ledger::default(),
            config: Mutex::new(config),
            state: Mutex::new(state),
            seed,
        }
    }

    async fn serve(&self, call: Call) -> Served {
        let mode = self.switches.draw(self.seed);
        let (effect, verdict) = self.decide(&mode, &call);
        self.ledger.add(|sequence| Message {
            sequence,
            at_ms: call.at_ms,
            kind: self.kind,
            method: call.method.to_string(),
            path: call.path.clone(),
            query: call.query.clone(),
            headers: headers(&call.headers),
            json: call.json().unwrap_or(Value::Null),
            body: call.text(),
            status: effect.status(),
            accepted: verdict.accepted,
            verified: verdict.verified,
            duplicate: verdict.duplicate,
            note: verdict.note,
            mode: mode.name(),
        });
        carry_out(effect, Duration::ZERO).await
    }

    fn decide(&self, mode: &Mode, call: &Call) -> (Effect, Verdict) {
        let fault = |answer: Answer| {
            let mut verdict = Verdict::refused(answer.clone(), format!("switch `{}`", mode.name()));
            if self.kind == Kind::Http {
                verdict.verified = http::verify(&lock(&self.config), call).ok();
            }
            (Effect::Answer(answer), verdict)
        };
        match mode {
            Mode::Hang => return (Effect::Hang, fault(Answer::empty(200)).1),
            Mode::Refuse => return (Effect::Hangup, fault(Answer::empty(200)).1),
            Mode::Garbage => return fault(garbage()),
            Mode::Status { status, retry_after_secs, body } => {
                return fault(bare(*status, *retry_after_secs, body.as_deref()));
            }
            Mode::BadKey => return fault(self.revoked()),
            Mode::Gone { status } => return fault(self.gone(*status)),
            Mode::Throttle { retry_after_secs } => {
                return fault(self.throttled(retry_after_secs.unwrap_or(1)));
            }
            Mode::Ok | Mode::Slow { .. } | Mode::Reset | Mode::StreamError | Mode::Skew { .. } => {}
        }
        let verdict = self.judge(call);
        let answer = verdict.answer.clone();
        let effect = match mode {
            Mode::Reset => Effect::Half(answer),
            Mode::Slow { ms } => Effect::Late(Duration::from_millis(*ms), answer),
            _ => Effect::Answer(answer),
        };
        (effect, verdict)
    }

    fn judge(&self, call: &Call) -> Verdict {
        let mut state = lock(&self.state);
        let config = lock(&self.config);
        match self.kind {
            Kind::Slack => slack::judge(&mut state, call),
            Kind::Discord => discord::judge(&mut state, call),
            Kind::Pagerduty => pagerduty::judge(&mut state, &config, call),
            Kind::Http => http::judge(&mut state, &config, call),
        }
    }

    fn revoked(&self) -> Answer {
        match self.kind {
            Kind::Slack => Answer::text(403, "invalid_token"),
            Kind::Discord => discord::error(401, 50_027, "Invalid Webhook Token"),
            Kind::Pagerduty => pagerduty::invalid(&["Invalid routing key".to_owned()]),
            Kind::Http => http::refusal(401, "unauthorized"),
        }
    }

    fn gone(&self, status: Option<u16>) -> Answer {
        match (self.kind, status) {
            (Kind::Slack, Some(410)) => Answer::text(410, "channel_is_archived"),
            (Kind::Slack, _) => Answer::text(404, "no_service"),
            (Kind::Discord, _) => discord::error(status.unwrap_or(404), 10_015, "Unknown Webhook"),
            (Kind::Pagerduty, _) => Answer::text(status.unwrap_or(404), "Not Found"),
            (Kind::Http, _) => http::refusal(status.unwrap_or(410), "gone"),
        }
    }

    fn throttled(&self, secs: u64) -> Answer {
        match self.kind {
            Kind::Slack => slack::throttled(secs),
            Kind::Discord => discord::throttled(secs * 1000, 5, secs * 1000),
            Kind::Pagerduty => pagerduty::throttled().with("retry-after", secs),
            Kind::Http => http::refusal(429, "too many requests").with("retry-after", secs),
        }
    }

    /// Sets the switch; opens or closes the own port and returns once that is so.
    pub(crate) async fn switch(&self, switch: Switch) -> Result<(), String> {
        if let Some(fault) = switch.fault() {
            return Err(fault);
        }
        if let Mode::StreamError | Mode::Skew { .. } = switch.mode {
            return Err(format!("`{}` is for providers", switch.mode.name()));
        }
        let open = switch.mode != Mode::Refuse;
        self.switches.set(switch);
        match self.door.get() {
            Some(door) => door.set_open(open).await.map_err(|error| format!("port: {error}")),
            None => Ok(()),
        }
    }

    /// Forgets messages, limits, ids and alerts.
    pub(crate) fn forget(&self) {
        self.ledger.clear();
        let mut state = lock(&self.state);
        state.limits.clear();
        state.ids.clear();
        state.ids_in_order.clear();
        state.alerts.clear();
    }
}

/// Serves a request for whichever of the targets it is meant for.
pub(crate) async fn serve(targets: &[Target], request: Request<Body>) -> Served {
    let Some(call) = Call::read(request, now_ms()).await else { return Err(Hangup) };
    let kind = Kind::of_path(&call.path);
    match targets.iter().find(|target| Some(target.kind) == kind) {
        Some(target) => target.serve(call).await,
        None => {
            let text = format!(
                "no target answers {}; there are /services/…, /api/webhooks/…, /v2/enqueue, /hooks/…\n",
                call.path
            );
            carry_out(Effect::Answer(Answer::text(404, text)), Duration::ZERO).await
        }
    }
}
