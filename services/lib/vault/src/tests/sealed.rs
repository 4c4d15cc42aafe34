//! What only the sealed store does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::KeyId;
use tempfile::TempDir;

use super::double::Double;
use super::{CANARY, fields, shows_nothing, suite, value};
use crate::{Error, Expected, Folder, Path, Vault};

struct House {
    shelf: Arc<Double>,
    file: PathBuf,
    _folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vault").join("master.key");
        Self { shelf: Arc::new(Double::new()), file, _folder: folder }
    }

    async fn open(&self) -> Result<Vault, Error> {
        Vault::sealed(self.shelf.clone(), &self.file).await
    }

    async fn refusal(&self) -> String {
        let error = self.open().await.err().expect("it does not start");
        shows_nothing(&error);
        assert!(matches!(error, Error::KeyFile { .. }) && !error.is_transient(), "{error}");
        error.to_string()
    }
}

fn path(id: &str) -> Path {
    Path::key(&KeyId::new(id).unwrap())
}

#[tokio::test]
async fn the_sealed_store_keeps_the_promises() {
    suite::run(&House::new().open().await.unwrap()).await;
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let house = House::new();
    house.open().await.unwrap().write(&path("a"), &fields("kept"), Expected::New).await.unwrap();
    let read = house.open().await.unwrap().read(&path("a"), None).await.unwrap();
    assert_eq!(value(&read.fields), "kept");
}

#[tokio::test]
async fn no_value_and_no_name_lies_on_the_shelf_in_plain() {
    let house = House::new();
    house.open().await.unwrap().write(&path("a"), &fields(CANARY), Expected::New).await.unwrap();
    house.shelf.change(|records| {
        for sealed in records.values() {
            let text = String::from_utf8_lossy(sealed);
            assert!(!text.contains(CANARY) && !text.contains("api_key"), "{text}");
        }
    });
}

#[tokio::test]
async fn a_new_master_key_is_never_made_over_kept_keys() {
    let house = House::new();
    house.open().await.unwrap();
    std::fs::remove_file(&house.file).unwrap();
    assert!(house.refusal().await.contains("is missing, and keys are kept that only it opens"));
    assert!(!house.file.exists());
}

#[tokio::test]
async fn a_master_key_of_another_store_is_refused() {
    let (house, other) = (House::new(), House::new());
    house.open().await.unwrap();
    other.open().await.unwrap();
    std::fs::copy(&other.file, &house.file).unwrap();
    assert!(house.refusal().await.contains("does not fit the stored keys"));
}

#[tokio::test]
async fn keys_without_their_proof_are_refused() {
    let house = House::new();
    house.open().await.unwrap().write(&path("a"), &fields("x"), Expected::New).await.unwrap();
    house.shelf.change(|records| records.retain(|(path, _), _| path.starts_with("keys/")));
    assert!(house.refusal().await.contains("have lost their proof record"));
    std::fs::remove_file(&house.file).unwrap();
    assert!(house.refusal().await.contains("have lost their proof record"));
}

#[tokio::test]
async fn fingerprints_stay_the_same_and_their_secret_counts_as_kept() {
    let house = House::new();
    let before = house.open().await.unwrap().fingerprints().await.unwrap().make(&fields(CANARY));
    assert_eq!(house.open().await.unwrap().fingerprints().await.unwrap().make(&fields(CANARY)), before);
    let other = House::new().open().await.unwrap().fingerprints().await.unwrap().make(&fields(CANARY));
    assert_ne!(other, before, "each install has its own");
    house.shelf.change(|records| records.retain(|(path, _), _| path.starts_with("own/")));
    assert!(house.refusal().await.contains("have lost their proof record"));
}

#[tokio::test]
async fn a_start_that_died_after_making_the_file_goes_on() {
    let house = House::new();
    house.open().await.unwrap();
    house.shelf.change(|records| records.clear());
    house.open().await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn two_first_starts_at_once_agree_on_one_key() {
    let house = House::new();
    let opened = futures_util::future::join_all((0..4).map(|_| house.open())).await;
    let vaults: Vec<Vault> = opened.into_iter().map(|vault| vault.unwrap()).collect();
    vaults[0].write(&path("a"), &fields("shared"), Expected::New).await.unwrap();
    for vault in vaults {
        assert_eq!(value(&vault.read(&path("a"), None).await.unwrap().fields), "shared");
    }
}

#[tokio::test]
async fn a_changed_or_swapped_record_is_refused() {
    let house = House::new();
    let vault = house.open().await.unwrap();
    for id in ["a", "b"] {
        vault.write(&path(id), &fields(CANARY), Expected::New).await.unwrap();
        vault.write(&path(id), &fields(CANARY), Expected::Any).await.unwrap();
    }
    let swap = |one: (&str, u32), two: (&str, u32)| {
        house.shelf.change(|records| {
            let at = |(id, version): (&str, u32)| (format!("keys/{id}"), version);
            let (first, second) = (records[&at(one)].clone(), records[&at(two)].clone());
            records.insert(at(one), second);
            records.insert(at(two), first);
        });
    };
    for (one, two) in [(("a", 1), ("b", 1)), (("a", 1), ("a", 2)), (("a", 2), ("b", 1))] {
        swap(one, two);
        for (id, version) in [one, two] {
            let error = vault.read(&path(id), Some(version)).await.unwrap_err();
            shows_nothing(&error);
            assert!(matches!(error, Error::Unreadable { .. }) && !error.is_transient(), "{error}");
        }
        swap(one, two);
    }
    house.shelf.change(|records| records.get_mut(&("keys/a".to_owned(), 2)).unwrap().truncate(40));
    let error = vault.read(&path("a"), None).await.unwrap_err();
    assert!(error.to_string().contains("the record is cut short"), "{error}");
    assert_eq!(value(&vault.read(&path("a"), Some(1)).await.unwrap().fields), CANARY);
}

#[tokio::test]
async fn a_destruction_that_died_half_way_has_happened() {
    let house = House::new();
    let vault = house.open().await.unwrap();
    vault.write(&path("a"), &fields("one"), Expected::New).await.unwrap();
    house.shelf.keeps.store(true, Ordering::SeqCst);
    assert!(vault.destroy(&path("a"), 1).await.unwrap_err().is_transient());
    house.shelf.keeps.store(false, Ordering::SeqCst);
    assert!(matches!(vault.read(&path("a"), Some(1)).await, Err(Error::Missing { .. })));
    assert!(matches!(vault.read(&path("a"), None).await, Err(Error::Missing { .. })));
    vault.destroy(&path("a"), 1).await.unwrap();
    house.shelf.change(|records| assert!(!records.contains_key(&("keys/a".to_owned(), 1))));
}

#[tokio::test]
async fn a_database_that_fails_is_said_and_may_come_back() {
    let house = House::new();
    let vault = house.open().await.unwrap();
    house.shelf.broken.store(true, Ordering::SeqCst);
    let failures = [
        vault.check().await.unwrap_err(),
        vault.read(&path("a"), None).await.unwrap_err(),
        vault.write(&path("a"), &fields(CANARY), Expected::Any).await.unwrap_err(),
        vault.destroy(&path("a"), 1).await.unwrap_err(),
        vault.remove(&path("a")).await.unwrap_err(),
        vault.list(Folder::Keys).await.unwrap_err(),
        house.open().await.err().unwrap(),
    ];
    for error in failures {
        shows_nothing(&error);
        assert!(error.is_transient() && error.to_string().contains("the sealed record"), "{error}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "disk full");
    }
    house.shelf.broken.store(false, Ordering::SeqCst);
    vault.check().await.unwrap();
    house.shelf.change(|records| records.clear());
    assert!(matches!(vault.check().await, Err(Error::Missing { .. })));
}
