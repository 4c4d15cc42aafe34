//! How long roll-ups take to answer on SQLite: 100 integrations over 90 days.

use std::time::{Duration, Instant};

use model::Timestamp;
use model::ask::UsageWindow;
use store::{Facet, Plans, Step, Store};

use crate::events;

/// Events of one transaction.
const BATCH: usize = 4_096;
/// Transactions after which rows are written: as many as come in half a second.
const BATCHES_A_FOLD: u64 = 8;
/// How often each question is asked.
const TIMES: usize = 41;
const HOUR_SECS: u64 = 3_600;
const DAY_SECS: u64 = 86_400;
const DAYS: u64 = 90;
/// How long it is known what was counted.
const SEEN: Duration = Duration::from_secs(8 * DAY_SECS);

/// Counts so many events, then times questions.
pub(crate) async fn measure(rolled_up: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bench.db");
    let store = Store::open(&format!("sqlite://{}", file.display())).await?;
    let ids = events::integrations()?;
    let now = Timestamp::from_millis(Timestamp::now().as_secs() * 1000);
    let begun = Instant::now();
    let counted = fill(&store, &ids, rolled_up, now).await?;
    let bytes = std::fs::metadata(&file)?.len();
    println!(
        "{counted} events counted in {:.0} s; the database has {} MB",
        begun.elapsed().as_secs_f64(),
        bytes / 1_000_000
    );
    let (_, to) = UsageWindow::Quarter.span(now);
    let back = |days: u64| Step::Day.floor(to.minus(Duration::from_secs(days * DAY_SECS)));
    for (what, days, step) in [
        ("day by hour", 1, Step::Hour),
        ("week by day", 7, Step::Day),
        ("month by day", 30, Step::Day),
        ("90 days by day", DAYS, Step::Day),
    ] {
        let from = back(days);
        time(&format!("100 integrations, {what}: sums with percentiles, and history"), async || {
            let (each, history) = tokio::try_join!(
                store.usage_of_each(&ids, Facet::All, "", from, to),
                store.usage_history_of_all(&ids, from, to, step)
            )?;
            anyhow::ensure!(each.len() == ids.len() && history.len() as u64 >= days / 2, "nothing is there");
            Ok(())
        })
        .await?;
    }
    let one = &ids[7];
    for (what, days, step) in [
        ("day by hour", 1, Step::Hour),
        ("week by day", 7, Step::Day),
        ("month by day", 30, Step::Day),
        ("90 days by day", DAYS, Step::Day),
        ("90 days by hour", DAYS, Step::Hour),
    ] {
        let from = back(days);
        time(
            &format!("one integration, {what}: in all, by endpoint, caller, model, route, and history"),
            async || {
                store.usage_total(one, from, to).await?;
                for facet in [Facet::Endpoint, Facet::Caller, Facet::Model, Facet::Route] {
                    store.usage_by(one, facet, from, to).await?;
                }
                store.usage_history(one, from, to, step).await?;
                Ok(())
            },
        )
        .await?;
    }
    let from = back(DAYS);
    time("one integration, rows of a CSV of 90 days by hour", async || {
        let rows = store.usage_history(one, from, to, Step::Hour).await?.len();
        anyhow::ensure!(rows as u64 > (DAYS - 2) * 24 / 2, "nothing is there");
        Ok(())
    })
    .await?;
    for (what, facet) in [("endpoint", Facet::Endpoint), ("caller", Facet::Caller)] {
        time(&format!("one integration, distribution of 90 days by {what}"), async || {
            anyhow::ensure!(!store.usage_by(one, facet, from, to).await?.is_empty(), "nothing is there");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Counts events evenly over the hours of 90 days, oldest first: those of an hour in its first minutes, a second each, because
/// minutes are forgotten after two days. By the code of the meter, past the bus. Says how many.
async fn fill(
    store: &Store,
    ids: &[model::IntegrationId],
    rolled_up: u64,
    now: Timestamp,
) -> anyhow::Result<u64> {
    let hours = DAYS * DAY_SECS / HOUR_SECS;
    let (mut batch, mut number, mut batches) = (Vec::with_capacity(BATCH), 0, 0);
    let last = Step::Hour.floor(now);
    for hour in 0..hours {
        let start = last.minus(Duration::from_secs((hours - 1 - hour) * HOUR_SECS));
        // What division leaves over is spread, too.
        let until = rolled_up * (hour + 1) / hours;
        let mut second = 0;
        while number < until {
            let from = start.plus(Duration::from_secs(second % HOUR_SECS));
            for id in ids {
                batch.push(events::event(number, id, from)?);
                number += 1;
                if batch.len() == BATCH {
                    store.usage_tally(&batch, &Plans::new()).await?;
                    batch.clear();
                    batches += 1;
                    if batches % BATCHES_A_FOLD == 0 {
                        store.usage_fold().await?;
                    }
                }
            }
            second += 1;
        }
        if hour % 48 == 0 {
            forget(store, ids, start).await?;
        }
    }
    store.usage_tally(&batch, &Plans::new()).await?;
    store.usage_fold().await?;
    forget(store, ids, now).await?;
    Ok(number)
}

async fn forget(store: &Store, ids: &[model::IntegrationId], now: Timestamp) -> anyhow::Result<()> {
    while store.usage_seen_purge(now.minus(SEEN), 10_000).await? > 0 {}
    for id in ids {
        for step in Step::ALL {
            while store.usage_purge(id, step, now.minus(step.kept()), 10_000).await? > 0 {}
        }
    }
    Ok(())
}

async fn time(what: &str, ask: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut took = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = Instant::now();
        ask().await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let ms = |at: usize| took[at].as_secs_f64() * 1000.0;
    println!(
        "{what}: median {:.1} ms, p95 {:.1} ms, most {:.1} ms",
        ms(TIMES / 2),
        ms(TIMES * 95 / 100),
        ms(TIMES - 1)
    );
    Ok(())
}
