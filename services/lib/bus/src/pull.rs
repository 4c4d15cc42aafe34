//! One pull after another on one inbox: asks for messages and tells when the asking has to begin anew.
//!
//! The client's own `batch()` is not used because in 0.51 it falls asleep after the first heartbeat (it answers
//! "pending" without having asked to be woken), and its `messages()` fetches ahead, so that messages would wait
//! in memory while their time runs.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};

use crate::connect::Bus;
use crate::error::Source;

/// How long one pull waits for messages before it is asked again.
const EXPIRES: Duration = Duration::from_secs(5);
/// How often the server proves that a pull is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence after which a pull is dead: two proofs missing, and some slack.
const SILENCE_MAX: Duration = Duration::from_millis(2_500);

/// What came of a pull.
pub(crate) enum Pulled {
    /// A message.
    Message(Box<jetstream::Message>),
    /// Everything asked for has come, or the time is over. Ask again.
    Spent,
    /// It cannot be trusted any more, and why. Open anew.
    Broken(String),
}

/// An inbox and what is still expected in it.
pub(crate) struct Pull {
    consumer: PullConsumer,
    context: jetstream::Context,
    inbox: async_nats::Subject,
    answers: Subscriber,
    left: usize,
}

impl Pull {
    /// Opens an inbox.
    pub(crate) async fn open(bus: &Bus, consumer: PullConsumer) -> Result<Self, Source> {
        let inbox = async_nats::Subject::from(bus.client.new_inbox());
        let answers = bus.client.subscribe(inbox.clone()).await?;
        Ok(Self { consumer, context: bus.js.clone(), inbox, answers, left: 0 })
    }

    /// Asks for so many messages. Only when the pull before is spent.
    pub(crate) async fn ask(&mut self, count: usize) -> Result<(), Source> {
        let wanted = BatchConfig {
            batch: count,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        self.consumer.request_batch(wanted, self.inbox.clone()).await?;
        self.left = count;
        Ok(())
    }

    /// Whether nothing more is expected.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// The next answer of the server. May be dropped at any time without losing one.
    pub(crate) async fn next(&mut self) -> Pulled {
        while self.left > 0 {
            let Ok(answer) = tokio::time::timeout(SILENCE_MAX, self.answers.next()).await else {
                return Pulled::Broken("no heartbeat".to_owned());
            };
            let Some(message) = answer else {
                return Pulled::Broken("the client was closed".to_owned());
            };
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.left -= 1;
                    return Pulled::Message(Box::new(self.delivered(message)));
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(StatusCode::TIMEOUT) => self.left = 0,
                Some(status) => {
                    self.left = 0;
                    let description = message.description.unwrap_or_default();
                    return Pulled::Broken(format!("{status} {description}"));
                }
            }
        }
        Pulled::Spent
    }

    /// A message that is here already and was not looked at.
    pub(crate) fn unseen(&mut self) -> Option<jetstream::Message> {
        loop {
            let message = self.answers.next().now_or_never()??;
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.left = self.left.saturating_sub(1);
                    return Some(self.delivered(message));
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                // The end of what was asked for, or worse: there is nothing to wait for.
                Some(_) => self.left = 0,
            }
        }
    }

    fn delivered(&self, message: async_nats::Message) -> jetstream::Message {
        jetstream::Message { message, context: self.context.clone() }
    }
}
