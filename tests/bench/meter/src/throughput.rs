//! Events a second: plain consumption of the stream, then the meter on the same messages.
//!
//! Plain is the same door with a handler that does nothing: messages are pulled in batches, read as CloudEvents and acknowledged
//! one by one. The meter decodes them, knows those that it has counted, adds them to five facets of three steps each in SQLite on
//! disk, and looks at limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bus::{Bus, Durable, Message, Outcome, ServerSettings, Supervised, find_server};
use meter::{Doors, Settings};
use model::{Envelope, Timestamp};
use store::{Step, Store};
use tokio_util::sync::CancellationToken;

use crate::cpu::Spent;
use crate::events;

/// Messages of one batch, as the meter's.
const BATCH: usize = 4_096;
/// Tasks that publish.
const PUBLISHERS: u64 = 8;
/// Events of one atomic batch.
const TOGETHER: usize = 100;
/// How often it is looked how far the meter is.
const LOOK: Duration = Duration::from_millis(20);
/// The consumer that does nothing.
const PLAIN: Durable = Durable {
    name: "plain",
    stream: "USAGE",
    subjects: &["sb.v1.usage.*.counted"],
    ack_wait: Duration::from_secs(10),
    max_ack_pending: 16 * 1024,
    attempts_max: 5,
};

/// Measures with so many events.
pub(crate) async fn measure(count: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let binary = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER").map(PathBuf::from);
    let settings = ServerSettings {
        binary: Some(find_server(binary.as_deref(), folder.path())?),
        data_dir: folder.path().to_path_buf(),
        port: 0,
        guests: false,
        version_min: ServerSettings::VERSION_MIN,
    };
    let server = Supervised::start(settings).await?;
    let bus = Bus::connect(&server.settings("bench/meter")).await?;
    bus.declare().await?;
    publish(&bus, count).await?;
    println!("{count} events of {} calls in the stream", events::CALLS);

    let (plain, spent) = plain(&bus, count).await?;
    say("plain consumption", count, plain, spent);
    let (metered, spent) = metered(&bus, folder.path(), count).await?;
    say("the meter", count, metered, spent);
    println!("the meter reaches {:.0} % of it", 100.0 * plain.as_secs_f64() / metered.as_secs_f64());
    server.stop().await;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn say(what: &str, count: u64, took: Duration, spent: Spent) {
    let secs = took.as_secs_f64();
    let each = |nanos: u64| nanos as f64 / 1000.0 / count as f64;
    println!(
        "{what}: {secs:.2} s, {:.0} events/s; processor time an event: SQLite {:.1} us, the rest of this process {:.1} us, \
         nats-server {:.1} us",
        count as f64 / secs,
        each(spent.sqlite),
        each(spent.rest),
        each(spent.server)
    );
}

/// Fills the stream: each integration's seconds, most of them of the last hour.
async fn publish(bus: &Bus, count: u64) -> anyhow::Result<()> {
    let ids = Arc::new(events::integrations()?);
    let now = Timestamp::from_millis(Timestamp::now().as_secs() * 1000);
    let mut tasks = Vec::new();
    for publisher in 0..PUBLISHERS {
        let (bus, ids) = (bus.clone(), Arc::clone(&ids));
        tasks.push(tokio::spawn(async move {
            let mut batch = Vec::with_capacity(TOGETHER);
            for n in (publisher..count).step_by(usize::try_from(PUBLISHERS)?) {
                let id = &ids[usize::try_from(n % events::INTEGRATIONS)?];
                let from = now.minus(Duration::from_secs((count - n) / events::INTEGRATIONS));
                let (event, usage) = events::event(n, id, from)?;
                batch.push(Envelope::new(event, bus.source(), usage.to, usage).to_bytes()?);
                if batch.len() == TOGETHER {
                    bus.publish_batch(&batch).await?;
                    batch.clear();
                }
            }
            bus.publish_batch(&batch).await?;
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn plain(bus: &Bus, count: u64) -> anyhow::Result<(Duration, Spent)> {
    let before = Spent::now();
    let (seen, stopping) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let (counted, stop) = (Arc::clone(&seen), stopping.clone());
    let begun = Instant::now();
    let handler = move |messages: Vec<Message>| {
        let before = counted.fetch_add(messages.len() as u64, Ordering::Relaxed);
        if before + messages.len() as u64 >= count {
            stop.cancel();
        }
        let outcomes = vec![Outcome::Done; messages.len()];
        async move { outcomes }
    };
    bus.consume_batches(&PLAIN, BATCH, handler).until(stopping).await?;
    Ok((begun.elapsed(), Spent::now() - before))
}

async fn metered(bus: &Bus, folder: &std::path::Path, count: u64) -> anyhow::Result<(Duration, Spent)> {
    let store = Store::open(&format!("sqlite://{}", folder.join("bench.db").display())).await?;
    let stopping = CancellationToken::new();
    let doors = Doors { bus: bus.clone(), store: store.clone() };
    let settings = runtime::settings::flags::<Settings>(&[])?;
    let ids = events::integrations()?;
    let (begun, before) = (Instant::now(), Spent::now());
    let task = tokio::spawn(meter::run(settings, doors, stopping.clone()));
    // Days only, so that looking takes next to nothing from what is looked at.
    let to = Timestamp::now().plus(Duration::from_secs(60));
    let from = to.minus(Duration::from_secs(90 * 86_400));
    let took = loop {
        tokio::time::sleep(LOOK).await;
        let days = store.usage_history_of_all(&ids, from, to, Step::Day).await?;
        let requests: u64 = days.iter().map(|(_, sum)| sum.requests).sum();
        anyhow::ensure!(requests <= count * events::CALLS, "{requests} calls were counted: too many");
        if requests == count * events::CALLS {
            break (begun.elapsed(), Spent::now() - before);
        }
        anyhow::ensure!(!task.is_finished(), "the meter ended");
    };
    stopping.cancel();
    task.await??;
    Ok(took)
}
