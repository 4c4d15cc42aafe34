//! Names to addresses: asked anew for every connection, so that an answer is never older than its check.
//!
//! It judges nothing; the guard does, with all answers at hand.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{Error, Phase};
use crate::refusal::Refusal;

/// The most addresses a name may have.
pub const ANSWERS_MAX: usize = 16;
/// How long a look-up may take, in milliseconds.
pub const TIMEOUT_MS: u64 = 3_000;

/// Where answers come from.
#[derive(Clone, Debug)]
pub(crate) enum Resolve {
    /// The machine's resolver.
    System,
    /// Answers that a test wrote down: the first at the first question, and so on; the last one stays.
    #[cfg(test)]
    Script(std::sync::Arc<std::sync::Mutex<Vec<Vec<IpAddr>>>>),
}

impl Resolve {
    /// All addresses of a name, each once, in the resolver's order.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let dns = || Error::Dns { host: host.to_owned() };
        let late = Error::Timeout { phase: Phase::Dns, limit_ms: TIMEOUT_MS, sent: false };
        let found = timeout(Duration::from_millis(TIMEOUT_MS), self.ask(host)).await;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for ip in found.map_err(|_| late)?.map_err(|_| dns())? {
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
            if addresses.len() > ANSWERS_MAX {
                return Err(Refusal::TooManyAddresses { host: host.to_owned(), max: ANSWERS_MAX }.into());
            }
        }
        if addresses.is_empty() { Err(dns()) } else { Ok(addresses) }
    }

    async fn ask(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        match self {
            Self::System => {
                let answers = tokio::net::lookup_host((host, 0)).await?;
                Ok(answers.map(|address: SocketAddr| address.ip()).collect())
            }
            #[cfg(test)]
            Self::Script(script) => {
                let mut script = script.lock().expect("no test panics while it holds the script");
                Ok(if script.len() > 1 { script.remove(0) } else { script[0].clone() })
            }
        }
    }
}
