//! A target on this machine that answers as a test says and keeps what it got.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::DEADLINE;

/// One message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) at: Instant,
    pub(crate) uri: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    pub(crate) json: Value,
}

/// What a target answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// Status, header fields, body.
    Answer(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// Nothing, ever.
    Nothing,
}

pub(crate) fn says(status: u16, body: &'static str) -> Says {
    Says::Answer(status, Vec::new(), body)
}

type Rule = dyn Fn(usize, &Got) -> Says + Send + Sync;

struct Shared {
    rule: Mutex<Arc<Rule>>,
    got: Mutex<Vec<Got>>,
    count: watch::Sender<usize>,
}

/// A target.
#[derive(Clone)]
pub(crate) struct Target {
    address: String,
    shared: Arc<Shared>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Target {
    /// A target whose rule gets the number of the message (from 0) and the message.
    pub(crate) async fn that(rule: impl Fn(usize, &Got) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            rule: Mutex::new(Arc::new(rule)),
            got: Mutex::default(),
            count: watch::channel(0).0,
        });
        let app = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub(crate) fn now(&self, rule: impl Fn(usize, &Got) -> Says + Send + Sync + 'static) {
        *locked(&self.shared.rule) = Arc::new(rule);
    }

    /// Waits until so many messages came, and gives them.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Got> {
        let mut counted = self.shared.count.subscribe();
        let came = tokio::time::timeout(DEADLINE, counted.wait_for(|got| *got >= count)).await;
        let got = locked(&self.shared.got).clone();
        assert!(came.is_ok(), "{count} messages expected, {} came: {got:?}", got.len());
        got
    }

    pub(crate) fn count(&self) -> usize {
        *self.shared.count.borrow()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let got = Got {
        at: Instant::now(),
        uri: uri.to_string(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect(),
        json: serde_json::from_str(&text).unwrap_or_default(),
        text,
    };
    let number = {
        let mut kept = locked(&shared.got);
        kept.push(got.clone());
        kept.len() - 1
    };
    let rule = Arc::clone(&*locked(&shared.rule));
    let answer = rule(number, &got);
    shared.count.send_modify(|count| *count += 1);
    match answer {
        Says::Nothing => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            StatusCode::OK.into_response()
        }
        Says::Answer(status, fields, body) => {
            let mut response = (StatusCode::from_u16(status).expect("a status"), body).into_response();
            for (name, value) in fields {
                response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            response
        }
    }
}
