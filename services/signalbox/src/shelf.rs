//! The sealed key store's shelf, over the database: `vault` knows no SQL, `store` knows no keys.

use store::Store;
use vault::{Answer, Record, Shelf, ShelfError};

/// Sealed records in the database.
pub(crate) struct DatabaseShelf(pub(crate) Store);

fn failed(error: store::Error) -> ShelfError {
    match error {
        store::Error::Exists { .. } => ShelfError::Exists,
        error => ShelfError::Other(Box::new(error)),
    }
}

impl Shelf for DatabaseShelf {
    fn get<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, Option<Record>> {
        Box::pin(async move {
            let found = self.0.sealed_get(path, version).await.map_err(failed)?;
            Ok(found.map(|(version, sealed)| Record { version, sealed }))
        })
    }

    fn put<'a>(&'a self, path: &'a str, version: u32, sealed: Vec<u8>) -> Answer<'a, ()> {
        Box::pin(async move { self.0.sealed_put(path, version, &sealed).await.map_err(failed) })
    }

    fn versions<'a>(&'a self, path: &'a str) -> Answer<'a, Vec<u32>> {
        Box::pin(async move { self.0.sealed_versions(path).await.map_err(failed) })
    }

    fn erase<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, ()> {
        Box::pin(async move { self.0.sealed_erase(path, version).await.map_err(failed) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move { self.0.sealed_list(prefix).await.map_err(failed) })
    }
}
