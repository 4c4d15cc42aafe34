//! How processes end.

use rustix::process::{Signal as Kill, getpid, kill_process};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn process(shutdown_timeout_ms: u64) -> Process {
    Process::new(Shutdown { shutdown_delay_ms: 0, shutdown_timeout_ms })
}

async fn ended(process: &Process) -> Result<(), Ended> {
    timeout(PATIENCE, process.finished()).await.expect("ends")
}

/// A task that ends when it is told to.
fn polite(process: &Process, name: &str) {
    let stopping = process.stopping();
    process.spawn(name, async move {
        stopping.cancelled().await;
        Ok(())
    });
}

#[tokio::test]
async fn polite_tasks_end_and_all_is_well() {
    let process = process(5_000);
    polite(&process, "one");
    polite(&process, "two");
    process.spawn("short", async { Ok(()) });
    process.stop();
    assert_eq!(ended(&process).await, Ok(()));
    assert!(process.stopping().is_cancelled() && !process.readiness().check().await.ready);
}

#[tokio::test]
async fn a_failing_task_stops_the_process_with_its_name() {
    let process = process(5_000);
    polite(&process, "api");
    process.spawn("meter", async { Err(anyhow::anyhow!("no disk").context("store")) });
    let expected = Ended::Failed { task: "meter".to_owned(), reason: "store: no disk".to_owned() };
    assert_eq!(ended(&process).await, Err(expected));
}

#[tokio::test]
async fn a_panicking_task_stops_the_process_with_its_name() {
    let process = process(5_000);
    process.spawn("gateway", async { panic!("at the disco") });
    let error = ended(&process).await.expect_err("failed");
    assert_eq!(error.to_string(), "gateway failed: panicked: at the disco");
}

#[tokio::test]
async fn tasks_that_do_not_end_are_named() {
    let process = process(50);
    polite(&process, "polite");
    process.spawn("stubborn", std::future::pending());
    process.stop();
    assert_eq!(ended(&process).await, Err(Ended::Unfinished(vec!["stubborn".to_owned()])));
}

#[tokio::test]
async fn a_signal_drains_and_a_second_one_skips_the_waiting() {
    let process = process(600_000);
    process.spawn("stubborn", std::future::pending());
    let signals = Signals::listen().expect("listens");
    let waiting = tokio::spawn({
        let process = process.clone();
        async move { process.wait_with(signals).await }
    });
    kill_process(getpid(), Kill::TERM).expect("kills");
    timeout(PATIENCE, process.stopping().cancelled()).await.expect("the first signal drains");
    kill_process(getpid(), Kill::INT).expect("kills");
    let ended = timeout(PATIENCE, waiting).await.expect("the second signal ends it").expect("no panic");
    assert_eq!(ended, Err(Ended::Unfinished(vec!["stubborn".to_owned()])));
}
