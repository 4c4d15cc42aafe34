//! A connection, plain or encrypted, and what is known of how it came about.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use model::health::Phases;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::telemetry::OpenConnection;

/// How a connection came about. Every answer's [`crate::Body`] tells it.
#[derive(Clone, Debug)]
pub struct Opened(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    peer: SocketAddr,
    phases: Phases,
    at: Instant,
}

/// An open connection.
pub(crate) struct Stream {
    inner: Inner,
    /// Whether both sides chose HTTP/2.
    pub(crate) is_h2: bool,
    /// How it came about.
    pub(crate) opened: Opened,
    _open: OpenConnection,
}

enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

// === impl Opened ===

impl Opened {
    pub(crate) fn new(peer: SocketAddr, phases: Phases) -> Self {
        Self(Arc::new(Facts { peer, phases, at: Instant::now() }))
    }

    /// The address that was dialled.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// How long look-up, connect and TLS took.
    pub fn phases(&self) -> Phases {
        self.0.phases
    }

    /// When the connection was ready.
    pub fn at(&self) -> Instant {
        self.0.at
    }
}

// === impl Stream ===

impl Stream {
    pub(crate) fn plain(tcp: TcpStream, opened: Opened) -> Self {
        Self { inner: Inner::Plain(tcp), is_h2: false, opened, _open: OpenConnection::new() }
    }

    pub(crate) fn tls(tls: TlsStream<TcpStream>, opened: Opened) -> Self {
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Self { inner: Inner::Tls(Box::new(tls)), is_h2, opened, _open: OpenConnection::new() }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Inner::Tls(io) => Pin::new(&mut **io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Inner::Tls(io) => Pin::new(&mut **io).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(io) => Pin::new(io).poll_flush(cx),
            Inner::Tls(io) => Pin::new(&mut **io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Inner::Tls(io) => Pin::new(&mut **io).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(io) => io.is_write_vectored(),
            Inner::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Inner::Tls(io) => Pin::new(&mut **io).poll_write_vectored(cx, bufs),
        }
    }
}
