//! The switches: how a stand-in is told to misbehave, and whether it does so for this request.
//!
//! One mode at a time. Chance is drawn from a counter, not from a clock, so that a test sees the
//! same row of good and bad answers each time.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::market::scramble;

/// How far a clock may be off, in milliseconds: a year.
const SKEW_MS_MAX: u64 = 365 * 24 * 3_600_000;

/// How a stand-in behaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// As documented.
    #[default]
    Ok,
    /// As documented, but later.
    Slow {
        /// The wait before the answer, in milliseconds.
        ms: u64,
    },
    /// A bare status.
    Status {
        /// 200 to 599.
        status: u16,
        /// Sent as `Retry-After`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_secs: Option<u64>,
        /// The body, as plain text. Absent: a short text that names the status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// Takes the request and never answers.
    Hang,
    /// Closes the port: connecting is refused.
    Refuse,
    /// Over the limit, in the provider's or target's own shape.
    Throttle {
        /// The wait it asks for, in seconds. Absent: 1, and `Retry-After` only where it is documented.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_secs: Option<u64>,
    },
    /// As if the key, token or webhook had been revoked.
    BadKey,
    /// Sends half of the answer and closes the connection.
    Reset,
    /// A 200 with an HTML page.
    Garbage,
    /// Targets only: the address is gone for good.
    Gone {
        /// 404 or 410. Absent: what the target documents.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// LLM providers only: a stream that began well carries an error event.
    StreamError,
    /// Providers only: as documented, by a clock that is off. `Date` tells the same time.
    Skew {
        /// How far the clock is ahead, in milliseconds; behind when negative.
        ms: i64,
    },
}

impl Mode {
    /// The mode's name as the control API spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Ok => "ok",
            Mode::Slow { .. } => "slow",
            Mode::Status { .. } => "status",
            Mode::Hang => "hang",
            Mode::Refuse => "refuse",
            Mode::Throttle { .. } => "throttle",
            Mode::BadKey => "bad_key",
            Mode::Reset => "reset",
            Mode::Garbage => "garbage",
            Mode::Gone { .. } => "gone",
            Mode::StreamError => "stream_error",
            Mode::Skew { .. } => "skew",
        }
    }

    /// What is wrong with the mode's numbers, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        match self {
            Mode::Status { status, .. } if !(200..=599).contains(status) => {
                Some(format!("status {status} is not between 200 and 599"))
            }
            Mode::Gone { status: Some(status) } if !matches!(status, 404 | 410) => {
                Some(format!("gone answers 404 or 410, not {status}"))
            }
            Mode::Skew { ms } if ms.unsigned_abs() > SKEW_MS_MAX => {
                Some(format!("a clock that is {ms} ms off is more than a year off"))
            }
            _ => None,
        }
    }
}

impl From<u16> for Mode {
    fn from(status: u16) -> Mode {
        Mode::Status { status, retry_after_secs: None, body: None }
    }
}

/// A mode with how often and how long it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    /// How to behave.
    #[serde(flatten)]
    pub mode: Mode,
    /// Share of requests it is used for, 0 to 1. Absent: all. `refuse` is never by chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Requests it is used for before the stand-in is `ok` again. Absent: until switched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl<M: Into<Mode>> From<M> for Switch {
    fn from(mode: M) -> Switch {
        Switch { mode: mode.into(), probability: None, times: None }
    }
}

impl Switch {
    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(chance) = self.probability
            && !(0.0..=1.0).contains(&chance)
        {
            return Some(format!("probability {chance} is not between 0 and 1"));
        }
        if self.mode == Mode::Refuse && (self.probability.is_some() || self.times.is_some()) {
            return Some("refuse closes the port, so it takes neither probability nor times".to_owned());
        }
        self.mode.fault()
    }
}

/// The switch of one stand-in.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    switch: Switch,
    drawn: u64,
}

impl Switches {
    /// Sets it.
    pub(crate) fn set(&self, switch: Switch) {
        *self.lock() = State { switch, drawn: 0 };
    }

    /// How it is set.
    pub(crate) fn get(&self) -> Switch {
        self.lock().switch.clone()
    }

    /// How to behave for the next request.
    pub(crate) fn draw(&self, seed: u64) -> Mode {
        let mut state = self.lock();
        if state.switch.mode == Mode::Ok {
            return Mode::Ok;
        }
        state.drawn += 1;
        if let Some(chance) = state.switch.probability {
            let share = (scramble(seed ^ state.drawn) >> 11) as f64 / (1_u64 << 53) as f64;
            if share >= chance {
                return Mode::Ok;
            }
        }
        let mode = state.switch.mode.clone();
        match state.switch.times {
            Some(0) => {
                state.switch = Switch::default();
                return Mode::Ok;
            }
            Some(1) => state.switch = Switch::default(),
            Some(times) => state.switch.times = Some(times - 1),
            None => {}
        }
        mode
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
