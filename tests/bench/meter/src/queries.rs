//! How long roll-ups take to answer on SQLite: 100 integrations over 90 days.

use std::time::{Duration, Instant};

use model::Timestamp;
use model::ask::UsageWindow;
use store::{Facet, Plans, Step, Store};

use crate::events;

/// Events of one transaction.
const BATCH: usize = 4_096;
/// How often each question is asked.
const TIMES: usize = 41;
const DAY_SECS: u64 = 86_400;
const DAYS: u64 = 90;

/// Counts so many events, then times questions.
pub(crate) async fn measure(rolled_up: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bench.db");
    let store = Store::open(&format!("sqlite://{}", file.display())).await?;
    let ids = events::integrations()?;
    let now = Timestamp::from_millis(Timestamp::now().as_secs() * 1000);
    let begun = Instant::now();
    let rounds = (rolled_up / events::INTEGRATIONS).max(1);
    let mut batch = Vec::with_capacity(BATCH);
    for round in 0..rounds {
        // Evenly over the days, oldest first.
        let ago = DAYS * DAY_SECS - DAYS * DAY_SECS * (round + 1) / rounds;
        for (n, id) in ids.iter().enumerate() {
            let number = round * events::INTEGRATIONS + n as u64;
            batch.push(events::event(number, id, now.minus(Duration::from_secs(ago)))?);
            if batch.len() == BATCH {
                store.count(&batch, &Plans::new()).await?;
                batch.clear();
            }
        }
        if round % 20_000 == 0 {
            forget(&store, &ids, now.minus(Duration::from_secs(ago))).await?;
        }
    }
    store.count(&batch, &Plans::new()).await?;
    forget(&store, &ids, now).await?;
    let bytes = std::fs::metadata(&file)?.len();
    println!(
        "{} events counted in {:.0} s; the database has {} MB",
        rounds * events::INTEGRATIONS,
        begun.elapsed().as_secs_f64(),
        bytes / 1_000_000
    );

    let (from, to) = UsageWindow::Quarter.span(now);
    let back = |days: u64| now.minus(Duration::from_secs(days * DAY_SECS));
    let one = &ids[7];
    time("/usage?window=90d, 100 integrations", async || {
        let (each, history) = tokio::try_join!(
            store.usage_of_each(&ids, Facet::All, "", from, to),
            store.usage_history_of_all(&ids, from, to, Step::Day)
        )?;
        anyhow::ensure!(each.len() == ids.len() && history.len() as u64 >= DAYS - 1, "nothing is there");
        Ok(())
    })
    .await?;
    for (what, days, step) in [
        ("one integration, day: all facets, by hour", 1, Step::Hour),
        ("one integration, month: all facets, by day", 30, Step::Day),
        ("one integration, 90 days: all facets, by hour", DAYS, Step::Hour),
    ] {
        time(what, async || {
            let from = Step::Hour.floor(back(days));
            store.usage_total(one, from, to).await?;
            for facet in [Facet::Endpoint, Facet::Caller, Facet::Model, Facet::Route] {
                store.usage_by(one, facet, from, to).await?;
            }
            store.usage_history(one, from, to, step).await?;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn forget(store: &Store, ids: &[model::IntegrationId], now: Timestamp) -> anyhow::Result<()> {
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
