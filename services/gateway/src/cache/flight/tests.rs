//! Leading and following, without any call.

use std::time::Duration;

use http::HeaderMap;
use model::IntegrationId;

use super::*;
use crate::cache::kept::Origin;
use crate::cache::key::Door;
use crate::cache::said::Said;
use crate::cache::writes::Since;

const LONG: Duration = Duration::from_secs(600);

fn key() -> Key {
    Key::new(Door::Route("quotes"), None, "/a", None, &HeaderMap::new(), &[])
}

fn kept() -> Arc<Kept> {
    let integration = IntegrationId::new("a").expect("a slug");
    let origin = Origin { integration, print: 1, endpoint: "/".into() };
    Arc::new(Kept::new(&HeaderMap::new(), origin, Said::default(), Since::default(), Vec::new()))
}

fn lead(joined: Joined) -> Lead {
    let Joined::Leads(lead) = joined else { panic!("somebody else leads") };
    lead
}

fn follow(joined: Joined) -> Follow {
    let Joined::Follows(follow) = joined else { panic!("nobody leads") };
    follow
}

#[tokio::test(start_paused = true)]
async fn all_who_follow_get_the_leaders_answer() {
    let flights = Flights::default();
    let leader = lead(flights.join(&key()));
    let followers: Vec<_> =
        (0..1_000).map(|_| tokio::spawn(follow(flights.join(&key())).until(Instant::now() + LONG))).collect();
    assert!(leader.is_followed());
    let answer = kept();
    leader.land(&answer);
    for follower in followers {
        let Ok(Followed::Landed(landed)) = follower.await else { panic!("no answer") };
        assert!(Arc::ptr_eq(&landed, &answer));
    }
    assert_eq!(flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_follower_leads_when_a_leader_fails() {
    let flights = Flights::default();
    let leader = lead(flights.join(&key()));
    let mut followers = tokio::task::JoinSet::new();
    for _ in 0..5 {
        followers.spawn(follow(flights.join(&key())).until(Instant::now() + LONG));
    }
    tokio::task::yield_now().await;
    drop(leader);
    let Some(Ok(Followed::Leads(next))) = followers.join_next().await else { panic!("nobody leads") };
    assert!(tokio::time::timeout(Duration::from_secs(1), followers.join_next()).await.is_err());
    next.land(&kept());
    while let Some(ended) = followers.join_next().await {
        assert!(matches!(ended, Ok(Followed::Landed(_))));
    }
    assert_eq!(flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_some_failures_each_goes_alone() {
    let flights = Flights::default();
    let leader = lead(flights.join(&key()));
    let mut followers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        followers.spawn(follow(flights.join(&key())).until(Instant::now() + LONG));
    }
    tokio::task::yield_now().await;
    drop(leader);
    let (mut leaders, mut alone) = (1, 0);
    while let Some(ended) = followers.join_next().await {
        match ended.expect("no panic") {
            Followed::Leads(lead) => {
                leaders += 1;
                drop(lead);
            }
            Followed::Alone => alone += 1,
            Followed::Landed(_) => panic!("there is no answer"),
        }
    }
    assert_eq!((leaders, alone, flights.len()), (LEADERS_MAX, 8, 0));
}

#[tokio::test(start_paused = true)]
async fn a_follower_does_not_wait_for_ever() {
    let flights = Flights::default();
    let leader = lead(flights.join(&key()));
    let follower = follow(flights.join(&key())).until(Instant::now() + Duration::from_secs(5));
    assert!(matches!(follower.await, Followed::Alone));
    assert!(!leader.is_followed());
    leader.apart();
    assert_eq!(flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_everybody_goes_away() {
    let flights = Flights::default();
    let leader = lead(flights.join(&key()));
    let (one, other) = (follow(flights.join(&key())), follow(flights.join(&key())));
    drop(leader);
    drop(one);
    assert_eq!(flights.len(), 1);
    drop(other);
    assert_eq!(flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_is_not_joined() {
    let flights = Flights::default();
    let old = lead(flights.join(&key()));
    flights.forget();
    let new = lead(flights.join(&key()));
    old.land(&kept());
    assert_eq!(flights.len(), 1);
    new.apart();
    assert_eq!(flights.len(), 0);
}
