//! A shelf in memory that counts, fails and waits when told to.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::{Answer, Record, Shelf, ShelfError};

/// A shelf in memory.
pub(crate) struct Double {
    records: Mutex<BTreeMap<(String, u32), Vec<u8>>>,
    /// While set, everything fails.
    pub(crate) broken: AtomicBool,
    /// While set, a record can be marked and not erased: as if the process had died between the two.
    pub(crate) keeps: AtomicBool,
    /// How often a record below `keys/` was read.
    pub(crate) reads: AtomicUsize,
    /// A read takes one of these and gives it back; a test that takes all makes readers wait.
    pub(crate) gate: Semaphore,
}

impl Double {
    /// An empty shelf.
    pub(crate) fn new() -> Self {
        Self {
            records: Mutex::default(),
            broken: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }

    /// Changes what lies there, past the store.
    pub(crate) fn change(&self, change: impl FnOnce(&mut BTreeMap<(String, u32), Vec<u8>>)) {
        change(&mut self.records.lock().unwrap());
    }

    fn works(&self) -> Result<(), ShelfError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(ShelfError::Other("disk full".into()));
        }
        Ok(())
    }
}

impl Shelf for Double {
    fn get<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, Option<Record>> {
        Box::pin(async move {
            if path.starts_with("keys/") {
                self.reads.fetch_add(1, Ordering::SeqCst);
                let _permit = self.gate.acquire().await.expect("the gate is never closed");
            }
            self.works()?;
            let records = self.records.lock().unwrap();
            let newest = records.keys().filter(|(at, _)| at == path).map(|(_, version)| *version).max();
            let Some(version) = version.or(newest) else { return Ok(None) };
            Ok(records.get(&(path.to_owned(), version)).cloned().map(|sealed| Record { version, sealed }))
        })
    }

    fn put<'a>(&'a self, path: &'a str, version: u32, sealed: Vec<u8>) -> Answer<'a, ()> {
        Box::pin(async move {
            // Others may come between a look and a write, as they may at a database.
            tokio::task::yield_now().await;
            self.works()?;
            let mut records = self.records.lock().unwrap();
            if records.contains_key(&(path.to_owned(), version)) {
                return Err(ShelfError::Exists);
            }
            records.insert((path.to_owned(), version), sealed);
            Ok(())
        })
    }

    fn versions<'a>(&'a self, path: &'a str) -> Answer<'a, Vec<u32>> {
        Box::pin(async move {
            self.works()?;
            let records = self.records.lock().unwrap();
            Ok(records.keys().filter(|(at, _)| at == path).map(|(_, version)| *version).collect())
        })
    }

    fn erase<'a>(&'a self, path: &'a str, version: Option<u32>) -> Answer<'a, ()> {
        Box::pin(async move {
            self.works()?;
            if self.keeps.load(Ordering::SeqCst) {
                return Err(ShelfError::Other("killed".into()));
            }
            let gone = |at: &(String, u32)| at.0 == path && version.is_none_or(|version| version == at.1);
            self.records.lock().unwrap().retain(|at, _| !gone(at));
            Ok(())
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            self.works()?;
            let records = self.records.lock().unwrap();
            let mut paths: Vec<String> = records
                .keys()
                .map(|(path, _)| path.clone())
                .filter(|path| path.starts_with(prefix))
                .collect();
            paths.dedup();
            Ok(paths)
        })
    }
}
