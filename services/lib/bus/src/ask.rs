//! Questions between services: one asks, one of a group answers.
//!
//! Nothing is stored: when nobody is there the asker knows at once. A question that cannot be read and a
//! handler that fails are answered too, so that the asker need not wait for its deadline.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use model::subject::Subject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::connect::Bus;
use crate::error::Error;
use crate::{cloudevents, headers};

/// What went wrong on the answering side, as NATS services say it.
const SERVICE_ERROR: &str = "Nats-Service-Error";
/// Questions of one kind that one process answers at the same time.
const CONCURRENCY: usize = 16;
/// How long running answers may go on after the stop.
const STOP_GRACE: Duration = Duration::from_secs(10);

impl Bus {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Error::NoResponders`] at once when nobody answers this question, [`Error::Timeout`] after the deadline,
    /// [`Error::NotAnswered`] when the other side could not, [`Error::Json`] when its answer is of another shape.
    pub async fn ask<Q, A>(&self, subject: &Subject, question: &Q, deadline: Duration) -> Result<A, Error>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        let body = serde_json::to_vec(question)
            .map_err(|source| Error::Json { what: format!("the question for `{subject}`"), source })?;
        let request = async_nats::Request::new().payload(body.into()).timeout(Some(deadline));
        let answer = self.client.send_request(subject.to_string(), request).await.map_err(|error| {
            let subject = subject.to_string();
            match error.kind() {
                RequestErrorKind::NoResponders => Error::NoResponders { subject },
                RequestErrorKind::TimedOut => Error::Timeout { what: format!("the answer on `{subject}`") },
                RequestErrorKind::InvalidSubject
                | RequestErrorKind::MaxPayloadExceeded
                | RequestErrorKind::Other => {
                    Error::Client { what: format!("ask `{subject}`"), source: Box::new(error) }
                }
            }
        })?;
        if let Some(detail) = headers::find(answer.headers.as_ref(), SERVICE_ERROR) {
            let detail = cloudevents::decode_value(SERVICE_ERROR, detail).unwrap_or_default();
            return Err(Error::NotAnswered { subject: subject.to_string(), detail });
        }
        serde_json::from_slice(&answer.payload)
            .map_err(|source| Error::Json { what: format!("the answer on `{subject}`"), source })
    }

    /// Answers questions, together with the other members of the group `queue`.
    pub fn answer<Q, A, H, F>(&self, subject: &Subject, queue: &str, handler: H) -> Answers<Q, A, H>
    where
        Q: DeserializeOwned + Send,
        A: Serialize + Send,
        H: Fn(Q) -> F + Send + Sync,
        F: Future<Output = A> + Send,
    {
        Answers {
            bus: self.clone(),
            subject: subject.clone(),
            queue: queue.to_owned(),
            handler,
            concurrency: CONCURRENCY,
            kinds: PhantomData,
        }
    }
}

/// An answering service that is about to run.
#[must_use = "nothing is answered until `until` is awaited"]
pub struct Answers<Q, A, H> {
    bus: Bus,
    subject: Subject,
    queue: String,
    handler: H,
    concurrency: usize,
    kinds: PhantomData<fn(Q) -> A>,
}

impl<Q, A, H, F> Answers<Q, A, H>
where
    Q: DeserializeOwned + Send,
    A: Serialize + Send,
    H: Fn(Q) -> F + Send + Sync,
    F: Future<Output = A> + Send,
{
    /// How many questions are answered at the same time in this process. More wait in the client.
    pub fn concurrency(mut self, workers: usize) -> Self {
        self.concurrency = workers.max(1);
        self
    }

    /// Answers until the token is cancelled, then finishes what it has begun. Survives disconnects.
    ///
    /// # Errors
    /// [`Error::Client`] when the subscription cannot be made.
    pub async fn until(self, stopping: CancellationToken) -> Result<(), Error> {
        let subscribed = self.bus.client.queue_subscribe(self.subject.to_string(), self.queue.clone()).await;
        let mut questions = subscribed.map_err(|error| Error::Client {
            what: format!("answer on `{}`", self.subject),
            source: Box::new(error),
        })?;
        let mut work = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                Some(()) = work.next(), if !work.is_empty() => {}
                question = questions.next(), if work.len() < self.concurrency => match question {
                    Some(question) => work.push(self.reply(question)),
                    // The client was drained.
                    None => break,
                },
            }
        }
        // Others of the group get what comes from now on; what came already is answered.
        let rest = async {
            if questions.unsubscribe().await.is_ok() {
                while let Some(Some(question)) = questions.next().now_or_never() {
                    work.push(self.reply(question));
                }
            }
            while work.next().await.is_some() {}
        };
        if tokio::time::timeout(STOP_GRACE, rest).await.is_err() {
            debug!(subject = %self.subject, "Answers did not end in time.");
        }
        Ok(())
    }

    async fn reply(&self, question: async_nats::Message) {
        let Some(to) = question.reply else { return };
        let answer = match serde_json::from_slice::<Q>(&question.payload) {
            Err(error) => Err(format!("the question cannot be read: {error}")),
            Ok(asked) => match AssertUnwindSafe(async { (self.handler)(asked).await }).catch_unwind().await {
                Ok(answer) => serde_json::to_vec(&answer)
                    .map_err(|error| format!("the answer cannot be written: {error}")),
                Err(_) => {
                    error!(subject = %self.subject, "An answering handler panicked.");
                    Err("the answering service failed".to_owned())
                }
            },
        };
        let sent = match answer {
            Ok(body) => self.bus.client.publish(to, body.into()).await,
            Err(detail) => match headers::build([(SERVICE_ERROR, cloudevents::encode_value(&detail))]) {
                Ok(map) => self.bus.client.publish_with_headers(to, map, Bytes::new()).await,
                Err(_) => return,
            },
        };
        if let Err(error) = sent {
            debug!(subject = %self.subject, %error, "An answer could not be sent; its asker waits for its deadline.");
        }
    }
}
