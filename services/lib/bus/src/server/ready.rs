//! Waits until the server says itself that it is ready: its ports file, then its health endpoint.

use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::child::Child;
use super::config::Files;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of the health endpoint's answer is read.
const ANSWER_BYTES_MAX: usize = 512;

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

/// Waits, and returns the port for clients.
pub(super) async fn wait(child: &Child, files: &Files) -> u16 {
    loop {
        if let Some((nats, monitoring)) = ports(child, files)
            && matches!(tokio::time::timeout(LOOK_TIMEOUT, healthy(monitoring)).await, Ok(Ok(true)))
        {
            return nats;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the running process wrote. Files of killed ones stay, so only this one's counts.
fn ports(child: &Child, files: &Files) -> Option<(u16, u16)> {
    let path = files.ports.join(format!("nats-server_{}.ports", child.pid()?));
    let ports: Ports = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some((port(ports.nats.first()?)?, port(ports.monitoring.first()?)?))
}

fn port(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.trim_end_matches('/').parse().ok()
}

/// Asks the health endpoint, which answers 200 once JetStream has recovered.
async fn healthy(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
    stream.take(ANSWER_BYTES_MAX as u64).read_to_end(&mut answer).await?;
    let status = answer.split(|c| *c == b' ').nth(1);
    Ok(status == Some(b"200".as_slice()))
}
