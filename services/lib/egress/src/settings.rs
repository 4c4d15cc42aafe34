//! The bounds of outgoing calls: which networks are open, how long each step may take, how large answers may be.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::guard::PORTS;

/// How this process goes out. One for all calls; what differs from call to call is in [`Limits`] and [`FetchLimits`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Networks that an operator opened beside the public internet. Never opens metadata services.
    pub allow: Vec<IpNet>,
    /// Ports of public targets. Inside of opened networks every port is allowed.
    pub ports: Vec<u16>,
    /// Whether `http://` may go to public targets.
    pub plain_http: bool,
    /// How long TCP may take to connect, all addresses together, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long an unused connection stays open, in milliseconds; at most 30,000.
    pub idle_ms: u64,
    /// How old a connection may be when it gets a request, in milliseconds; at most 60,000. Then its name is resolved and
    /// judged anew.
    pub age_ms: u64,
    /// Unused HTTP/1.1 connections kept per upstream and lane. More are closed after their answer.
    pub idle_per_host: usize,
    /// Threads that call out and keep connections of their own; at most 64.
    pub lanes: usize,
    /// A PEM file with further certificate authorities.
    pub extra_roots: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ports: PORTS.to_vec(),
            plain_http: false,
            connect_timeout_ms: 5_000,
            idle_ms: 20_000,
            age_ms: 60_000,
            idle_per_host: 512,
            lanes: 1,
            extra_roots: None,
        }
    }
}

/// The bounds of one streaming call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long it may take until the head of the answer is there, the connection included, in milliseconds.
    pub head_ms: u64,
    /// How long a connection may take to open, in milliseconds. Without it, as the settings say.
    pub connect_ms: Option<u64>,
    /// How long the head of the answer may take on an open connection, in milliseconds. Without it, until `head_ms`.
    pub first_byte_ms: Option<u64>,
    /// How long everything may take, to the last byte of the answer, in milliseconds. Without it, as long as it comes.
    pub total_ms: Option<u64>,
    /// How long the body of the answer may be silent, in milliseconds.
    pub idle_ms: u64,
    /// Whether the connection is to become a WebSocket: the request asks for that, on a connection of its own.
    pub upgrade: bool,
    /// The largest body of an answer, in bytes. Without it, as large as the reader takes.
    pub body_bytes_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_ms: 30_000,
            connect_ms: None,
            first_byte_ms: None,
            total_ms: None,
            idle_ms: 60_000,
            upgrade: false,
            body_bytes_max: None,
        }
    }
}

/// The bounds of one whole exchange.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// How long everything may take: name, connection, request, whole answer. In milliseconds.
    pub deadline_ms: u64,
    /// Bytes of the answer's body that are kept; reading stops there and the answer says that it is cut.
    pub body_bytes_max: usize,
    /// The most header fields of an answer. All of them together have at most 16 KiB.
    pub headers_max: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { deadline_ms: 10_000, body_bytes_max: 64 * 1024, headers_max: 100 }
    }
}
