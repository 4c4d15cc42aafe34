//! Without the bus for long: a limit that can be estimated goes on with an equal share, one that must not fails closed.

use std::time::{Duration, Instant};

use model::quota::ledger::SHARE_MS;
use serde_json::{Value, json};

use super::house::{House, eventually, integration};
use super::provider::Provider;
use crate::Settings;

/// Calls of a window, and the window.
const AMOUNT: usize = 40;
const WINDOW: Duration = Duration::from_secs(3);
/// Long after a share ended that nobody could renew.
const AWAY: Duration = Duration::from_millis(2 * SHARE_MS);

fn limit(more: Value) -> Value {
    let mut quota = json!({ "name": "l", "requests": AMOUNT, "window_secs": WINDOW.as_secs() });
    if let (Value::Object(quota), Value::Object(more)) = (&mut quota, more) {
        quota.extend(more);
    }
    json!({ "quotas": [quota] })
}

/// The most calls in any stretch of the window.
fn most(times: &[Instant]) -> usize {
    let within =
        |from: &Instant| times.iter().filter(|at| **at >= *from && at.duration_since(*from) < WINDOW).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bus_an_equal_share_of_a_short_window_goes_on_and_what_fails_closed_ends() {
    let replicas = Settings::default().replicas_max as usize;
    let (house, open, closed) =
        (House::start().await, Provider::start("open").await, Provider::start("closed").await);
    house
        .configure(|s| {
            integration(s, "open", &open.url(), limit(json!({})));
            integration(s, "closed", &closed.url(), limit(json!({ "away": "fail_closed" })));
        })
        .await;
    for path in ["/p/open/x", "/p/closed/x"] {
        eventually("that it has a share", || async { (house.get(path).await.status == 200).then_some(()) })
            .await;
    }
    let pid = house.server.pid().expect("it runs");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours to stop");
    let begun = Instant::now();
    let (mut went, mut late) = (Vec::new(), 0);
    let mut last = None;
    while begun.elapsed() < AWAY + 2 * WINDOW {
        if house.get("/p/open/x").await.status == 200 {
            went.push(Instant::now());
        }
        let got = house.get("/p/closed/x").await;
        late += usize::from(got.status == 200 && begun.elapsed() > AWAY);
        last = Some(got);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A call is told after it went, by some milliseconds more or less: a window may seem to have one or two of the next.
    let after: Vec<Instant> = went.iter().filter(|at| at.duration_since(begun) > AWAY).copied().collect();
    assert!(!after.is_empty(), "the estimate goes on");
    let share = AMOUNT / replicas;
    assert!(most(&after) <= share + 2, "{} of {share}", most(&after));
    assert!(most(&went) <= AMOUNT + 2, "{} of {AMOUNT}", most(&went));
    assert_eq!(late, 0, "what fails closed has nothing left");
    let last = last.expect("it was asked");
    assert!(last.status == 429 || last.status == 503, "{}", last.text());
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it is ours to wake");
    for path in ["/p/open/x", "/p/closed/x"] {
        eventually("that it goes on", || async { (house.get(path).await.status == 200).then_some(()) }).await;
    }
    house.stop().await;
}
