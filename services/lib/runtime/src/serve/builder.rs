//! The server of a public port, for HTTP/1.1 and HTTP/2.
//!
//! What it takes is wider than what its users take, so that most of what is too large is answered with a problem; the rest
//! gets a bare 431 or 400, before anything of ours sees it.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

/// Header fields of a request that are read at all, where nobody counts them before.
const HEADERS_MAX: usize = 250;
/// Bytes that are read ahead of us on a connection; also the largest head.
const READ_BYTES_MAX: usize = 128 * 1024;
/// Bytes of an HTTP/2 request's head.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// A silent HTTP/2 connection is asked after this time, and closed when it does not answer, in milliseconds.
const PING_EVERY_MS: u64 = 20_000;
const PING_TIMEOUT_MS: u64 = 10_000;

/// A server. Without a time, whoever gives it connections sees to it that heads of HTTP/1.1 come in time, and that none has
/// more than a hundred fields: for more than those the library makes room anew for each request.
pub fn builder(head_timeout: Option<Duration>) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(READ_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(Duration::from_millis(PING_EVERY_MS))
        .keep_alive_timeout(Duration::from_millis(PING_TIMEOUT_MS));
    if head_timeout.is_some() {
        builder.http1().max_headers(HEADERS_MAX);
    }
    builder
}
