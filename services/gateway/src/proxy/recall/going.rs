//! A call that others wait for, on its way: it goes on when its own caller goes away.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;

use super::super::admit::Call;
use super::super::answer;
use super::super::choose::Chosen;
use super::super::forward::{Forwarded, forward};
use super::Plan;
use crate::Inner as Gateway;
use crate::body::Inbound;
use crate::cache::condition::Condition;

/// What came of it, and what it was.
type Gone = (Forwarded, Box<Call>, Option<Box<Plan>>);

/// A call under way.
pub(crate) struct Going {
    gateway: Arc<Gateway>,
    call: Option<Pin<Box<dyn Future<Output = Gone> + Send>>>,
    /// Those who wait for it too, where anybody can.
    followers: Option<Arc<AtomicU32>>,
}

/// Asks the members; the kept answer's own, whether it is still true.
pub(crate) fn go(gateway: &Arc<Gateway>, mut call: Box<Call>, members: Chosen, mut plan: Box<Plan>) -> Going {
    if plan.asks.reads && !plan.asks.head {
        Condition::strip(&mut call.headers);
        call.revalidates = plan.old.clone().filter(|old| old.said.has_validator);
    }
    let followers = plan.lead.as_ref().map(super::Lead::followers);
    let own = gateway.clone();
    let going = async move {
        let forwarded = forward(&own, &call, &members, Inbound::Held(Bytes::new())).await;
        if let Forwarded::Answered(found, _) = &forwarded {
            plan.varies = plan.rules.varies(&found.head.headers, &call.headers);
        }
        (forwarded, call, Some(plan))
    };
    Going { gateway: gateway.clone(), call: Some(Box::pin(going)), followers }
}

/// Keeps what came, for those who wait, when its caller is gone. Whether there was an answer.
pub(super) async fn finish(gateway: &Gateway, (forwarded, call, plan): Gone) -> bool {
    let Forwarded::Answered(found, attempts) = forwarded else { return false };
    let good = !found.head.status.is_server_error();
    let mut plan = plan;
    if plan.as_mut().and_then(|plan| plan.confirmed(gateway, &call, &found)).is_some() {
        return true;
    }
    let mut body = answer::pass(gateway, found, attempts, plan, "refresh").into_body();
    while let Some(Ok(_)) = body.frame().await {}
    good
}

impl Future for Going {
    type Output = Gone;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Gone> {
        let call = self.call.as_mut().expect("it is not asked again once it has ended");
        let gone = std::task::ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(gone)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let is_waited_for =
            self.followers.as_ref().is_some_and(|followers| followers.load(Ordering::Acquire) > 0);
        let Some(call) = self.call.take().filter(|_| is_waited_for) else { return };
        let (Ok(runtime), Some(permit)) =
            (tokio::runtime::Handle::try_current(), self.gateway.cache.behind())
        else {
            return;
        };
        let gateway = self.gateway.clone();
        runtime.spawn(async move {
            finish(&gateway, call.await).await;
            drop(permit);
        });
    }
}
