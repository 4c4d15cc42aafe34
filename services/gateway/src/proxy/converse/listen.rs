//! Listens to what a member says, before any of it goes to the caller: what it means, and in which words it is passed on.
//!
//! Of a stream the beginning is held, up to the first content; of an answer that is written anew, the whole. Bounded in
//! events, bytes and time.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use catalogue::{Answer, Provider};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt;
use model::health::Reason;
use serde_json::Value;
use tokio::time::timeout;

use super::speak::Voice;
use crate::chat::Dialect;
use crate::chat::fault::{self, Fault};
use crate::chat::reply::{self, Words};
use crate::chat::stream::{Beginning, Scout, Translator};
use crate::proxy::judge::Judged;
use crate::tokens::Rules;

/// The most of a stream that is held until its first content.
const HELD_EVENTS_MAX: usize = 64;
const HELD_BYTES_MAX: usize = 256 * 1024;
/// The largest answer that is written anew, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Who listens to one member.
pub(crate) struct Listener {
    pub(super) provider: &'static Provider,
    pub(super) dialect: Dialect,
    pub(super) is_canonical: bool,
    pub(super) words: Words,
    /// What tokens cost, where they are counted.
    pub(super) tokens: Option<Arc<Rules>>,
    /// The model, by the provider's name.
    pub(super) theirs: String,
    /// How long the first content of a stream is waited for, in milliseconds.
    pub(super) hold_ms: u64,
}

impl Listener {
    /// Holds what must be held of an answer that was judged by its head, and judges it by that. An error: it broke off.
    pub(crate) async fn listen(&self, mut judged: Judged) -> Result<Judged, egress::Error> {
        if judged.reason.is_some() || !judged.head.status.is_success() {
            return Ok(judged);
        }
        if is_stream(&judged.head.headers) {
            let hold = Duration::from_millis(self.hold_ms);
            let mut held = BytesMut::from(&judged.held[..]);
            let began = timeout(hold, self.beginning(&mut judged, &mut held)).await;
            judged.held = held.freeze();
            // A stream that takes its time is passed on as it comes.
            if let Some(reason) = began.unwrap_or(Ok(None))? {
                judged.reason = Some(reason);
            }
        } else if self.writes_anew() && !self.whole(&mut judged).await? {
            judged.reason = Some(Reason::UpstreamError);
        }
        Ok(judged)
    }

    fn writes_anew(&self) -> bool {
        self.is_canonical || self.dialect != Dialect::Openai
    }

    /// Reads up to the first content, and says what is wrong if an error comes before.
    async fn beginning(
        &self,
        judged: &mut Judged,
        held: &mut BytesMut,
    ) -> Result<Option<Reason>, egress::Error> {
        let mut scout = Scout::new(self.dialect);
        let mut told = scout.feed(held);
        while told.is_none() && scout.events <= HELD_EVENTS_MAX && held.len() <= HELD_BYTES_MAX {
            let frame = match &mut judged.rest {
                Some(rest) => rest.frame().await,
                None => None,
            };
            let Some(frame) = frame else {
                judged.rest = None;
                // It ended and said nothing.
                return Ok(self.writes_anew().then_some(Reason::UpstreamError));
            };
            let Ok(data) = frame?.into_data() else { continue };
            held.extend_from_slice(&data);
            told = scout.feed(&data);
        }
        Ok(match told {
            Some(Beginning::Fault(fault, data)) => Some(self.reason(&fault, &data)),
            Some(Beginning::Content) | None => None,
        })
    }

    /// What an error in a stream means: as if it had been the answer.
    fn reason(&self, fault: &Fault, data: &str) -> Reason {
        let answer = Answer { status: fault.status, headers: &[], body: data.as_bytes() };
        catalogue::judge(self.provider, &answer).reason.unwrap_or(Reason::UpstreamError)
    }

    /// Holds all of an answer, and says whether it can be read.
    async fn whole(&self, judged: &mut Judged) -> Result<bool, egress::Error> {
        let mut held = BytesMut::from(&judged.held[..]);
        while let Some(rest) = &mut judged.rest {
            match rest.frame().await {
                None => judged.rest = None,
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        held.extend_from_slice(&data);
                    }
                    if held.len() > ANSWER_BYTES_MAX {
                        return Ok(false);
                    }
                }
            }
        }
        judged.held = held.freeze();
        let is_plain = judged.head.headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
        Ok(is_plain && reply::read(self.dialect, &judged.held).is_some())
    }

    /// In which words an answer is passed on; nothing when in its own. `held` is what is held of it, without our key.
    pub(crate) fn voice(&self, status: u16, headers: &HeaderMap, held: &[u8]) -> Option<Voice> {
        let is_good = (200..300).contains(&status);
        if !is_good {
            return self.fault(status, held).map(|fault| Voice::whole(&fault.to_openai()));
        }
        if !self.writes_anew() {
            return None;
        }
        if is_stream(headers) {
            return Some(Voice::Stream(Box::new(Translator::new(self.dialect, self.words.clone()))));
        }
        let reply = reply::read(self.dialect, held)?;
        Some(match self.is_canonical {
            true => {
                let price = self.tokens.as_ref().and_then(|rules| rules.price_of(&self.theirs));
                Voice::whole(&reply.to_canonical(&self.words, self.provider, price))
            }
            false => Voice::whole(&reply.to_openai(&self.words)),
        })
    }

    /// The error of an answer; nothing when it is in OpenAI's words already, or no error.
    fn fault(&self, status: u16, held: &[u8]) -> Option<Fault> {
        if status < 400 {
            return None;
        }
        let body: Value = serde_json::from_slice(held).unwrap_or_default();
        let told = fault::read(self.dialect, &body, Some(status));
        if self.dialect == Dialect::Openai && told.is_some() {
            return None;
        }
        let message = || {
            // Mistral tells its errors without a frame.
            let own = body["message"].as_str().or_else(|| body["detail"].as_str());
            own.map_or_else(|| format!("the provider answered {status}"), str::to_owned)
        };
        Some(told.unwrap_or_else(|| Fault {
            status,
            kind: fault::kind(status).to_owned(),
            message: message(),
            code: body["code"].as_str().map(str::to_owned),
        }))
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}
