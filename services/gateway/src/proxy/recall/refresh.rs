//! Fetches an answer anew behind its callers: a stale one that is served meanwhile, or a hot one before it is stale.
//!
//! One fetch an answer at a time, so many over all; after a failed one a pause.

use std::sync::Arc;

use http::Method;

use super::super::admit::Call;
use super::super::{callable, dress};
use super::Plan;
use super::going::{finish, go};
use crate::Inner as Gateway;
use crate::cache::flight::Joined;
use crate::cache::kept::Kept;

/// Begins to fetch an answer anew, unless that is under way or there is no place.
pub(super) fn behind(gateway: &Arc<Gateway>, call: &Call, plan: &Plan, kept: &Arc<Kept>) {
    if !kept.begin_refresh() {
        return;
    }
    let Some(permit) = gateway.cache.behind() else {
        gateway.cache.meters().left.increment(1);
        return kept.end_refresh();
    };
    let (Ok(members), Joined::Leads(lead)) =
        (callable(gateway, call), gateway.cache.flights().join(&plan.key))
    else {
        return kept.end_refresh();
    };
    let mut call = Box::new(call.again());
    dress::undress(&mut call.headers);
    // Who asks for a head has it brought up to date all the same.
    call.method = Method::GET;
    let plan = Box::new(Plan {
        key: plan.key.clone(),
        times: plan.times,
        rules: plan.rules.clone(),
        asks: plan.asks.behind(),
        condition: None,
        moment: gateway.cache.moment(),
        old: Some(kept.clone()),
        varies: None,
        lead: Some(lead),
    });
    let (gateway, kept) = (gateway.clone(), kept.clone());
    tokio::spawn(async move {
        let gone = go(&gateway, call, members, plan).await;
        let done = finish(&gateway, gone).await;
        let meters = gateway.cache.meters();
        if done { &meters.done } else { &meters.failed }.increment(1);
        // Where a new answer was kept nobody sees this one any more.
        kept.end_refresh();
        drop(permit);
    });
}
