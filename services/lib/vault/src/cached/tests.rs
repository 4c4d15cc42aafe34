//! What is asked of the key store, and what is served while it is slow or away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::KeyId;
use model::Secret;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;
use crate::Expected;
use crate::tests::double::Double;

struct House {
    shelf: Arc<Double>,
    vault: Vault,
    _folder: TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Double::new());
        let vault = Vault::sealed(shelf.clone(), &folder.path().join("master.key")).await.unwrap();
        Self { shelf, vault, _folder: folder }
    }

    async fn write(&self, id: &str, value: &str) {
        let fields = Fields::from([("api_key".to_owned(), Secret::new(value.to_owned()))]);
        self.vault.write(&path(id), &fields, Expected::Any).await.unwrap();
    }

    fn cached(&self, entries_max: usize, max_stale_secs: u64) -> Cached {
        Cached::new(self.vault.clone(), CachedSettings { entries_max, max_stale_secs })
    }

    fn reads(&self) -> usize {
        self.shelf.reads.load(Ordering::SeqCst)
    }

    fn broken(&self, broken: bool) {
        self.shelf.broken.store(broken, Ordering::SeqCst);
    }
}

fn path(id: &str) -> Path {
    Path::key(&KeyId::new(id).unwrap())
}

async fn read(cached: &Cached, id: &str, version: u32) -> Result<String, Error> {
    cached.fields(&path(id), version).await.map(|fields| fields["api_key"].expose().to_owned())
}

async fn later(secs: u64) {
    tokio::time::advance(Duration::from_secs(secs)).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_reads_are_one_question() {
    let house = House::new().await;
    house.write("a", "one").await;
    let cached = house.cached(10, 3_600);
    let key = path("a");
    let reads = (0..1_000).map(|_| cached.fields(&key, 1));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.unwrap()["api_key"].expose(), "one");
    }
    assert_eq!(house.reads(), 1);
    later(30).await;
    assert_eq!(read(&cached, "a", 1).await.unwrap(), "one");
    assert_eq!(house.reads(), 1, "it is still fresh");
}

#[tokio::test(start_paused = true)]
async fn the_last_good_value_serves_until_it_is_too_old() {
    let house = House::new().await;
    house.write("a", "one").await;
    let cached = house.cached(10, 3_600);
    read(&cached, "a", 1).await.unwrap();
    house.broken(true);
    later(61).await;
    let before = house.reads();
    for _ in 0..100 {
        assert_eq!(read(&cached, "a", 1).await.unwrap(), "one");
    }
    assert_eq!(house.reads(), before + 1, "a key store that fails is not asked by each reader");
    later(3_500).await;
    assert_eq!(read(&cached, "a", 1).await.unwrap(), "one");
    later(60).await;
    let error = read(&cached, "a", 1).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let asked = house.reads();
    assert!(read(&cached, "a", 1).await.is_err());
    assert_eq!(house.reads(), asked, "the failure is remembered");
    house.broken(false);
    later(2).await;
    assert_eq!(read(&cached, "a", 1).await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_slow_key_store_is_waited_for_only_without_a_held_value() {
    let house = House::new().await;
    house.write("a", "one").await;
    let cached = house.cached(10, 3_600);
    read(&cached, "a", 1).await.unwrap();
    later(61).await;
    let shelf = house.shelf.clone();
    let taken = shelf.gate.forget_permits(Semaphore::MAX_PERMITS);
    let begin = Instant::now();
    assert_eq!(read(&cached, "a", 1).await.unwrap(), "one");
    assert!(begin.elapsed() <= PATIENCE + Duration::from_millis(5), "{:?}", begin.elapsed());
    shelf.gate.add_permits(taken);
    assert_eq!(read(&cached, "a", 1).await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_destroyed_version_is_noticed_and_dropped() {
    let house = House::new().await;
    house.write("a", "one").await;
    let cached = house.cached(10, 3_600);
    read(&cached, "a", 1).await.unwrap();
    house.vault.destroy(&path("a"), 1).await.unwrap();
    assert_eq!(read(&cached, "a", 1).await.unwrap(), "one", "nobody said so yet");
    later(61).await;
    assert!(matches!(read(&cached, "a", 1).await, Err(Error::Missing { .. })));
    house.broken(true);
    later(2).await;
    assert!(read(&cached, "a", 1).await.unwrap_err().is_transient(), "the old value is not held");
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_asked_for_again() {
    let house = House::new().await;
    house.write("a", "one").await;
    house.write("b", "other").await;
    let cached = house.cached(10, 3_600);
    for id in ["a", "b"] {
        read(&cached, id, 1).await.unwrap();
    }
    house.vault.remove(&path("a")).await.unwrap();
    house.write("a", "anew").await;
    cached.forget(&path("a"));
    assert_eq!(read(&cached, "a", 1).await.unwrap(), "anew");
    let before = house.reads();
    assert_eq!(read(&cached, "b", 1).await.unwrap(), "other");
    assert_eq!(house.reads(), before);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_under_way_when_forgotten_is_not_held() {
    let house = House::new().await;
    house.write("a", "one").await;
    let cached = house.cached(10, 3_600);
    let taken = house.shelf.gate.forget_permits(Semaphore::MAX_PERMITS);
    let waiting = tokio::spawn({
        let cached = cached.clone();
        async move { read(&cached, "a", 1).await }
    });
    let before = house.reads();
    while house.reads() == before {
        tokio::task::yield_now().await;
    }
    cached.forget(&path("a"));
    house.shelf.gate.add_permits(taken);
    assert_eq!(waiting.await.unwrap().unwrap(), "one");
    let before = house.reads();
    read(&cached, "a", 1).await.unwrap();
    assert_eq!(house.reads(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn strict_means_that_every_read_asks() {
    let house = House::new().await;
    house.write("a", "one").await;
    let cached = house.cached(10, 0);
    for _ in 0..3 {
        read(&cached, "a", 1).await.unwrap();
    }
    assert_eq!(house.reads(), 3);
    house.broken(true);
    assert!(read(&cached, "a", 1).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_for_longest_makes_room() {
    let house = House::new().await;
    for id in ["a", "b", "c"] {
        house.write(id, id).await;
    }
    let cached = house.cached(2, 3_600);
    for id in ["a", "b", "a", "c"] {
        assert_eq!(read(&cached, id, 1).await.unwrap(), id);
    }
    assert_eq!(cached.0.state().held.len(), 2);
    let before = house.reads();
    read(&cached, "a", 1).await.unwrap();
    assert_eq!(house.reads(), before, "a was used after b");
    read(&cached, "b", 1).await.unwrap();
    assert_eq!(house.reads(), before + 1);
}

#[test]
fn the_usual_bounds_are_those_of_the_safety_page() {
    let usual = CachedSettings::default();
    assert_eq!((usual.entries_max, usual.max_stale_secs), (4_096, 3_600));
}
