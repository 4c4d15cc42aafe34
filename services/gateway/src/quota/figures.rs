//! What the check costs a call. Figures and no tests: `../tests/bench/README.md` says how they are made, and what came of it.

use std::sync::Arc;

use catalogue::Catalogue;
use futures_util::FutureExt;
use model::integration::Integration;
use serde_json::json;

use super::book::Book;
use super::enter::{Patience, enter};
use super::held::Held;
use super::limits::{Asked, Limits};
use super::steady;

/// Limits in all.
const LIMITS: usize = 10_000;
/// Calls that are measured, on each core.
const CALLS: usize = 2_000_000;

/// Integrations with so many limits each, all together as many as are measured, and with enough to spend.
fn limits(each: usize, rolling: bool) -> Vec<Arc<Limits>> {
    let (book, catalogue) = (Arc::new(Book::new("figures")), Catalogue::builtin());
    let custom = catalogue.get("custom").expect("is there");
    let make = |n: usize| {
        let quota = |m: usize| match rolling {
            true => json!({ "name": format!("l{m}"), "requests": 4_000_000_000_u64, "window_secs": 60 }),
            false => {
                json!({ "name": format!("l{m}"), "requests": 4_000_000_000_u64, "per": "day", "timezone": "UTC" })
            }
        };
        let quotas: Vec<_> = (0..each).map(quota).collect();
        let body = json!({ "id": format!("i{n}"), "provider": "custom", "base_url": "http://127.0.0.1", "quotas": quotas });
        let given: Integration = serde_json::from_value(body).expect("an integration");
        let limits = Limits::new(&book, &given, custom, 4, 1_000).expect("has limits");
        for (_, kept) in limits.shared() {
            kept.purse.end_at(u64::MAX);
            kept.purse.deposit(1 << 32);
        }
        limits
    };
    (0..LIMITS / each).map(make).collect()
}

/// What this thread has run until now, in nanoseconds: other programs on the machine do not count.
fn ran_ns() -> f64 {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux with schedstat");
    said.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

/// Nanoseconds of a call's check, from before it is sent until it is settled.
fn check(all: &[Arc<Limits>], seed: usize) -> f64 {
    let priority = model::token::Priority::default();
    let asked = Asked {
        path: "/v1/x",
        endpoint: "/v1/x",
        actor: "user:a",
        token: "t",
        priority,
        tokens: (0, 0),
        guess: None,
    };
    let patience = Patience { wait_ms: 0, left_ms: 1_000 };
    let (began, mut place) = (ran_ns(), seed);
    for _ in 0..CALLS {
        place = (place * 1_664_525 + 1_013_904_223) % (1 << 32);
        let limits = &all[(place >> 8) % all.len()];
        let mut held = enter(limits, &asked, patience).now_or_never().expect("at once").expect("enough");
        let Held { hold, limits, .. } = &mut held;
        hold.settle(&**limits, steady::now_ms, |_, units| units);
    }
    (ran_ns() - began) / CALLS as f64
}

/// A pair of cache lines, as a purse has them.
#[repr(align(128))]
struct Lines(std::sync::atomic::AtomicU64);

/// Nanoseconds of one atomic addition in one of so many pairs of cache lines at random, each found by what the last one said:
/// what a count costs that does nothing else.
fn floor(lines: usize) -> f64 {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::AcqRel;
    let all: Vec<Lines> = (0..lines).map(|_| Lines(AtomicU64::new(0))).collect();
    let (began, mut place) = (ran_ns(), 7);
    for _ in 0..CALLS {
        place = (place * 1_664_525 + 1_013_904_223) % (1 << 32);
        place += usize::from(all[(place >> 8) % lines].0.fetch_add(1, AcqRel) > 1 << 60);
    }
    (ran_ns() - began) / CALLS as f64
}

#[test]
#[ignore = "a figure"]
fn cost_of_the_check() {
    println!("an addition: {:.0} ns, in one of {LIMITS} places {:.0} ns", floor(1), floor(LIMITS));
    let clock = ran_ns();
    (0..CALLS).for_each(|_| {
        std::hint::black_box(steady::now_ms());
    });
    println!("the clock: {:.0} ns", (ran_ns() - clock) / CALLS as f64);
    for (name, each, rolling) in
        [("calendar", 1, false), ("calendar", 2, false), ("calendar", 3, false), ("rolling", 1, true)]
    {
        let all = limits(each, rolling);
        let mut alone: Vec<f64> = (0..5).map(|n| check(&all, n)).collect();
        alone.sort_by(f64::total_cmp);
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| check(&all, 77));
            let here = check(&all, 7);
            here.max(other.join().expect("no panic"))
        });
        let one = check(&all[..1], 7);
        println!(
            "always the same: {one:.0} ns; {each} {name}: {:.0} ns (least {:.0}, most {:.0}); with a second thread at it {both:.0} ns",
            alone[2], alone[0], alone[4]
        );
    }
}
