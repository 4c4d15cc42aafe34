//! A provider on loopback: remembers what it was asked, answers as a test tells it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a provider was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Script = dyn Fn(Seen) -> BoxFuture<'static, Answer> + Send + Sync;

/// A provider.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Arc<Script>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Provider {
    /// Answers 200 with its name.
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let first: Arc<Script> = Arc::new(move |_| Box::pin(async move { answer(200, &[], name) }));
        let provider = Self { address, script: Arc::new(Mutex::new(first)), seen: Arc::default() };
        let served = provider.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let served = served.clone();
                let service = service_fn(move |request| {
                    let served = served.clone();
                    async move { Ok::<_, Infallible>(served.serve(request).await) }
                });
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(tcp), service)
                        .await;
                });
            }
        });
        provider
    }

    async fn serve(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return answer(400, &[], "broken") };
        let seen = Seen {
            method: head.method,
            target: head.uri.to_string(),
            headers: head.headers,
            body: body.to_bytes(),
        };
        self.seen.lock().expect("not poisoned").push(seen.clone());
        let script = self.script.lock().expect("not poisoned").clone();
        script(seen).await
    }

    /// Answers so from now on.
    pub(crate) fn will<F>(&self, script: impl Fn(Seen) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        *self.script.lock().expect("not poisoned") = Arc::new(move |seen| Box::pin(script(seen)));
    }

    /// Answers the same to everything from now on.
    pub(crate) fn always(
        &self,
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    ) {
        self.will(move |_| async move { answer(status, headers, body) });
    }

    /// Answers nothing from now on.
    pub(crate) fn hang(&self) {
        self.will(|_| std::future::pending());
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("it was asked")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        assert!(self.headers.get_all(name).iter().count() <= 1, "{name} came twice");
        Some(self.headers.get(name)?.to_str().expect("text").to_owned())
    }
}

/// A provider that reads a head and says these bytes, in parts with a moment between them, and closes. Its address.
pub(crate) async fn blunt(parts: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("has an address"));
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !seen.windows(4).any(|end| end == b"\r\n\r\n")
                    && tcp.read_buf(&mut seen).await.is_ok_and(|read| read > 0)
                {}
                for part in parts {
                    tcp.write_all(part.as_bytes()).await.expect("it is read");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
    });
    url
}

/// An answer with a whole body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(Bytes::from(body.to_owned())).boxed_unsync()).expect("an answer")
}
