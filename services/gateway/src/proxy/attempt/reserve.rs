//! What a call takes of its integration's limits before it is sent, and gives back when it is not.

use bytes::Bytes;
use http::Method;
use metrics::counter;
use serde_json::Value;

use super::super::admit::Call;
use super::super::record::Account;
use super::Left;
use crate::body::Inbound;
use crate::quota::enter::{Patience, enter};
use crate::quota::limits::{Asked, Limits};
use crate::quota::told::Limited;
use crate::snapshot::Integration;
use crate::telemetry;

/// Bytes of a question for one token, at least: text has more, and so has what stands around it.
const TOKEN_BYTES: u64 = 3;
/// Where a question says how long its answer may be.
const OUTPUT: [&str; 5] = [
    "/max_tokens",
    "/max_completion_tokens",
    "/max_output_tokens",
    "/generationConfig/maxOutputTokens",
    "/generation_config/max_output_tokens",
];

/// What was taken for a call that is not sent yet. Dropped, it is given back.
pub(super) struct Reserved(Option<Account>);

impl Reserved {
    /// Takes it; nothing where there is no limit.
    pub(super) async fn of(
        integration: &Integration,
        call: &Call,
        account: &Account,
        below: &str,
        body: &Inbound,
        left: Left,
    ) -> Result<Option<Self>, Limited> {
        unpaused(integration)?;
        let Some(limits) = &integration.limits else { return Ok(None) };
        let token = &call.caller.token;
        let asked = Asked {
            path: below,
            endpoint: &account.endpoint,
            actor: token.actor.as_str(),
            token: token.id.as_str(),
            priority: token.priority,
            tokens: tokens(limits, call, body),
        };
        let patience = Patience { wait_ms: left.wait_ms, left_ms: left.left_ms };
        match enter(limits, &asked, patience).await {
            Ok(held) => {
                account.quota.fill(held);
                let reserved = Self(Some(account.clone()));
                // It may have waited in the queue.
                unpaused(integration)?;
                Ok(Some(reserved))
            }
            Err(limited) => {
                counter!(telemetry::QUOTA_REFUSED, "integration" => integration.id.to_string()).increment(1);
                Err(limited)
            }
        }
    }

    /// From now on the provider may see the call.
    pub(super) fn sent(mut self) {
        self.0 = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(account) = self.0.take() {
            account.quota.cancel();
        }
    }
}

/// Lets nothing go while the provider wants no calls.
fn unpaused(integration: &Integration) -> Result<(), Limited> {
    let Some(wait) = integration.pause.left() else { return Ok(()) };
    counter!(telemetry::QUOTA_REFUSED, "integration" => integration.id.to_string()).increment(1);
    Err(Limited::paused(wait))
}

/// Tokens that a question has and its answer may have at most, where they count.
fn tokens(limits: &Limits, call: &Call, body: &Inbound) -> (u64, u64) {
    if !limits.counts_tokens || call.method != Method::POST {
        return (0, 0);
    }
    let input = body.len().div_ceil(TOKEN_BYTES);
    let said = if let Inbound::Held(bytes) = body { output(bytes) } else { None };
    (input, said.unwrap_or_else(|| limits.output()))
}

fn output(body: &Bytes) -> Option<u64> {
    let document: Value = serde_json::from_slice(body).ok()?;
    OUTPUT.iter().find_map(|pointer| document.pointer(pointer)?.as_u64())
}
