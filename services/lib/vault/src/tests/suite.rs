//! What both stores promise.

use std::collections::BTreeSet;

use model::secret::Fields;
use model::{KeyId, Secret, WebhookId};

use super::{CANARY, fields, shows_nothing, value};
use crate::{Error, Expected, Folder, Path, Vault};

/// Runs all of it on an empty store.
pub(super) async fn run(vault: &Vault) {
    a_version_never_changes(vault).await;
    what_was_expected_must_be_there(vault).await;
    of_many_writers_one_wins(vault).await;
    writers_who_expect_nothing_all_get_a_number(vault).await;
    a_destroyed_version_is_gone_and_its_number_is_not_used_again(vault).await;
    removing_takes_all_versions(vault).await;
    folders_list_their_own(vault).await;
    any_text_comes_back(vault).await;
    a_credential_has_a_bound(vault).await;
    of_many_who_first_ask_for_fingerprints_all_get_the_same(vault).await;
    vault.check().await.unwrap();
}

fn key(id: &str) -> Path {
    Path::key(&KeyId::new(id).unwrap())
}

async fn newest(vault: &Vault, path: &Path) -> Option<(u32, String)> {
    match vault.read(path, None).await {
        Ok(read) => Some((read.version, value(&read.fields).to_owned())),
        Err(error) => {
            missing(&error, path);
            None
        }
    }
}

fn missing(error: &Error, path: &Path) {
    shows_nothing(error);
    assert!(matches!(error, Error::Missing { .. }) && !error.is_transient(), "{error}");
    assert_eq!(error.to_string(), format!("no credential at `{path}`"));
}

async fn conflicts(vault: &Vault, path: &Path, expected: Expected) {
    let error = vault.write(path, &fields(CANARY), expected).await.unwrap_err();
    shows_nothing(&error);
    assert!(matches!(error, Error::Conflict { .. }) && !error.is_transient(), "{error}");
}

async fn a_version_never_changes(vault: &Vault) {
    let path = key("steady");
    missing(&vault.read(&path, None).await.unwrap_err(), &path);
    missing(&vault.read(&path, Some(1)).await.unwrap_err(), &path);
    assert_eq!(vault.write(&path, &fields("one"), Expected::Any).await.unwrap(), 1);
    assert_eq!(vault.write(&path, &fields("two"), Expected::Any).await.unwrap(), 2);
    let one = vault.read(&path, Some(1)).await.unwrap();
    assert_eq!((one.version, value(&one.fields)), (1, "one"));
    assert_eq!(newest(vault, &path).await, Some((2, "two".to_owned())));
    missing(&vault.read(&path, Some(3)).await.unwrap_err(), &path);
    assert!(!format!("{one:?}").contains("one\""), "a value is not printed");
}

async fn what_was_expected_must_be_there(vault: &Vault) {
    let path = key("expected");
    conflicts(vault, &path, Expected::Version(1)).await;
    assert_eq!(vault.write(&path, &fields("one"), Expected::New).await.unwrap(), 1);
    conflicts(vault, &path, Expected::New).await;
    conflicts(vault, &path, Expected::Version(0)).await;
    conflicts(vault, &path, Expected::Version(2)).await;
    assert_eq!(vault.write(&path, &fields("two"), Expected::Version(1)).await.unwrap(), 2);
    conflicts(vault, &path, Expected::Version(1)).await;
    assert_eq!(newest(vault, &path).await, Some((2, "two".to_owned())));
}

async fn of_many_writers_one_wins(vault: &Vault) {
    let path = key("raced");
    let value = fields("raced");
    let writes = (0..8).map(|_| vault.write(&path, &value, Expected::New));
    let done = futures_util::future::join_all(writes).await;
    assert_eq!(done.iter().filter(|done| matches!(done, Ok(1))).count(), 1);
    assert_eq!(done.iter().filter(|done| matches!(done, Err(Error::Conflict { .. }))).count(), 7);
}

async fn writers_who_expect_nothing_all_get_a_number(vault: &Vault) {
    let path = key("crowded");
    let value = fields("crowded");
    let writes = (0..8).map(|_| vault.write(&path, &value, Expected::Any));
    let numbers: BTreeSet<u32> =
        futures_util::future::join_all(writes).await.into_iter().map(|done| done.unwrap()).collect();
    assert_eq!(numbers, (1..=8).collect());
}

async fn a_destroyed_version_is_gone_and_its_number_is_not_used_again(vault: &Vault) {
    let path = key("destroyed");
    for text in ["one", "two", "three"] {
        vault.write(&path, &fields(text), Expected::Any).await.unwrap();
    }
    vault.destroy(&path, 1).await.unwrap();
    missing(&vault.read(&path, Some(1)).await.unwrap_err(), &path);
    assert_eq!(newest(vault, &path).await, Some((3, "three".to_owned())));

    vault.destroy(&path, 3).await.unwrap();
    vault.destroy(&path, 3).await.unwrap();
    assert_eq!(newest(vault, &path).await, None, "an older version does not stand in");
    assert_eq!(value(&vault.read(&path, Some(2)).await.unwrap().fields), "two");

    conflicts(vault, &path, Expected::Version(2)).await;
    conflicts(vault, &path, Expected::New).await;
    assert_eq!(vault.write(&path, &fields("four"), Expected::Version(3)).await.unwrap(), 4);
    assert_eq!(newest(vault, &path).await, Some((4, "four".to_owned())));

    vault.destroy(&key("never-was"), 1).await.unwrap();
    vault.destroy(&path, 99).await.unwrap();
    assert_eq!(vault.write(&path, &fields("five"), Expected::Any).await.unwrap(), 5);
}

async fn removing_takes_all_versions(vault: &Vault) {
    let path = key("removed");
    vault.write(&path, &fields("one"), Expected::Any).await.unwrap();
    vault.write(&path, &fields("two"), Expected::Any).await.unwrap();
    vault.destroy(&path, 2).await.unwrap();
    vault.remove(&path).await.unwrap();
    vault.remove(&path).await.unwrap();
    for version in [None, Some(1), Some(2)] {
        missing(&vault.read(&path, version).await.unwrap_err(), &path);
    }
    assert_eq!(vault.write(&path, &fields("anew"), Expected::New).await.unwrap(), 1);
}

async fn folders_list_their_own(vault: &Vault) {
    assert_eq!(vault.list(Folder::Webhooks).await.unwrap(), Vec::<String>::new());
    for id in ["b", "a"] {
        let path = Path::webhook(&WebhookId::new(id).unwrap());
        vault.write(&path, &fields("hook"), Expected::New).await.unwrap();
    }
    let trial = Path::trial("01JD0000000000000000000000").unwrap();
    vault.write(&trial, &fields("trial"), Expected::New).await.unwrap();
    assert_eq!(vault.list(Folder::Webhooks).await.unwrap(), ["a", "b"]);
    assert_eq!(vault.list(Folder::Trials).await.unwrap(), ["01JD0000000000000000000000"]);
    vault.destroy(&Path::webhook(&WebhookId::new("a").unwrap()), 1).await.unwrap();
    assert_eq!(vault.list(Folder::Webhooks).await.unwrap(), ["a", "b"], "its number is still taken");
    vault.remove(&trial).await.unwrap();
    assert_eq!(vault.list(Folder::Trials).await.unwrap(), Vec::<String>::new());
    assert!(vault.list(Folder::Keys).await.unwrap().contains(&"steady".to_owned()));
}

async fn any_text_comes_back(vault: &Vault) {
    let path = key("texts");
    let pem = "-----BEGIN PRIVATE KEY-----\nAbc+/=\r\n\t-----END-----\n";
    let given = [("pem", pem), ("quote\"d", "\\\"\u{1}\u{7f}"), ("empty", ""), ("ümlaut", "ключ 🔑")];
    let fields: Fields =
        given.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect();
    vault.write(&path, &fields, Expected::Any).await.unwrap();
    let read = vault.read(&path, None).await.unwrap().fields;
    assert_eq!(read.len(), given.len());
    for (name, value) in given {
        assert_eq!(read[name].expose(), value, "{name}");
    }
    vault.write(&path, &Fields::new(), Expected::Any).await.unwrap();
    assert!(vault.read(&path, None).await.unwrap().fields.is_empty());
}

async fn a_credential_has_a_bound(vault: &Vault) {
    let path = key("long");
    let error = vault.write(&path, &fields(&CANARY.repeat(5_000)), Expected::Any).await.unwrap_err();
    shows_nothing(&error);
    assert_eq!(error.to_string(), "the credential for `keys/long` is longer than 64 KiB");
    assert!(!error.is_transient());
    assert_eq!(vault.write(&path, &fields(&"x".repeat(60_000)), Expected::New).await.unwrap(), 1);
}

async fn of_many_who_first_ask_for_fingerprints_all_get_the_same(vault: &Vault) {
    let value = fields(CANARY);
    let asked = futures_util::future::join_all((0..8).map(|_| vault.fingerprints())).await;
    let made: BTreeSet<String> = asked.into_iter().map(|prints| prints.unwrap().make(&value)).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made.contains(&vault.fingerprints().await.unwrap().make(&value)), "and later the same");
    for folder in [Folder::Keys, Folder::Webhooks, Folder::Trials] {
        let listed = vault.list(folder).await.unwrap();
        assert!(listed.iter().all(|id| !id.contains("fingerprints")), "{listed:?}");
    }
}
