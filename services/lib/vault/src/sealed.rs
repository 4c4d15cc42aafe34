//! The embedded key store: sealed records on a shelf, opened by a master key in a file.
//!
//! A record of its own, sealed like the others, shows at the start and in every readiness check that the master
//! key fits what is kept. Without it, or without the file, nothing is ever made anew over records that exist.
//!
//! A version number is never used twice while its credential exists: a destroyed version leaves a mark under
//! `destroyed/`, which is written before the record is erased, so that a crash between the two leaves it destroyed.

pub(crate) mod envelope;
pub(crate) mod master;
pub(crate) mod shelf;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::secret::Fields;
use tracing::info;

use self::envelope::Place;
use self::master::MasterKey;
use self::shelf::{Record, Shelf, ShelfError};
use crate::path::OWN;
use crate::{Error, Expected, Folder, Path, Versioned, text};

/// How often a write that expects nothing begins again because another one was first.
const WRITE_ATTEMPTS_MAX: u32 = 32;
/// The record that shows that the master key fits, and what is in it.
const PROOF: (&str, &str, &[u8]) = ("proof", "master-key", b"{\"opens\":\"yes\"}");
/// What a destroyed version leaves.
const MARK: &[u8] = b"destroyed";
/// The name before the path of a mark.
const MARKS: &str = "destroyed/";

/// A shelf and the key to what lies on it.
pub(crate) struct Sealed {
    shelf: Arc<dyn Shelf>,
    master: MasterKey,
}

impl Sealed {
    /// Opens the store, and makes it when there is nothing yet: neither a file nor a record.
    pub(crate) async fn open(shelf: Arc<dyn Shelf>, key_file: &std::path::Path) -> Result<Self, Error> {
        let proof = proof_path();
        let proven = get(&*shelf, &proof, None).await?;
        let file = key_file.to_owned();
        let loaded = blocking(move || MasterKey::load(&file)).await?;
        let refuse = |why: &str| Error::KeyFile { file: key_file.to_owned(), why: why.to_owned() };
        let (master, proven) = match (loaded, proven) {
            (Some(master), Some(proven)) => (master, proven),
            (None, Some(_)) => {
                return Err(refuse("is missing, and keys are kept that only it opens: restore it"));
            }
            (loaded, None) => {
                if !empty(&*shelf).await? {
                    return Err(refuse("cannot be proven: the stored keys have lost their proof record"));
                }
                let master = match loaded {
                    Some(master) => master,
                    None => make(key_file).await?,
                };
                let proven = prove(&*shelf, &master).await?;
                (master, proven)
            }
        };
        let store = Self { shelf, master };
        store.fits(&proven).map_err(|_| refuse("does not fit the stored keys: restore the right one"))?;
        Ok(store)
    }

    pub(crate) async fn write(&self, path: &Path, fields: &Fields, expected: Expected) -> Result<u32, Error> {
        let at = path.to_string();
        let value = text::write(fields)
            .ok_or_else(|| Error::TooLarge { path: at.clone(), why: "is longer than 64 KiB" })?;
        for _ in 0..WRITE_ATTEMPTS_MAX {
            let newest = self.newest(&at).await?;
            let fits = match expected {
                Expected::Any => true,
                Expected::New => newest == 0,
                Expected::Version(version) => newest == version && version > 0,
            };
            let version = newest.checked_add(1).filter(|_| fits);
            let Some(version) = version else {
                return Err(Error::Conflict { path: at });
            };
            let place = Place { kind: path.folder(), id: path.id(), version };
            let sealed = envelope::seal(&self.master, place, &value).ok_or(Error::Random)?;
            match self.shelf.put(&at, version, sealed).await {
                Ok(()) => return Ok(version),
                Err(ShelfError::Exists) if expected == Expected::Any => {}
                Err(ShelfError::Exists) => return Err(Error::Conflict { path: at }),
                Err(ShelfError::Other(source)) => return Err(failed("write", &at, source)),
            }
        }
        Err(Error::Away { doing: "write", path: at, why: "has too many writers at this place".to_owned() })
    }

    pub(crate) async fn read(&self, path: &Path, version: Option<u32>) -> Result<Versioned, Error> {
        let at = path.to_string();
        let missing = || Error::Missing { path: at.clone() };
        let record = get(&*self.shelf, &at, version).await?.ok_or_else(missing)?;
        // The newest version counts, also when it was destroyed: an older value must not take its place.
        if get(&*self.shelf, &mark(&at), version).await?.is_some_and(|mark| mark.version >= record.version) {
            return Err(missing());
        }
        let place = Place { kind: path.folder(), id: path.id(), version: record.version };
        let refuse = |why| Error::Unreadable { path: at.clone(), why };
        let value = envelope::open(&self.master, place, &record.sealed).map_err(refuse)?;
        let fields = text::read(&value).ok_or_else(|| refuse("its content is not fields"))?;
        Ok(Versioned { version: record.version, fields })
    }

    pub(crate) async fn destroy(&self, path: &Path, version: u32) -> Result<(), Error> {
        let at = path.to_string();
        if get(&*self.shelf, &at, Some(version)).await?.is_none() {
            return Ok(());
        }
        match self.shelf.put(&mark(&at), version, MARK.to_vec()).await {
            Ok(()) | Err(ShelfError::Exists) => {}
            Err(ShelfError::Other(source)) => return Err(failed("destroy", &at, source)),
        }
        self.erase(&at, Some(version)).await
    }

    pub(crate) async fn remove(&self, path: &Path) -> Result<(), Error> {
        let at = path.to_string();
        self.erase(&at, None).await?;
        self.erase(&mark(&at), None).await
    }

    pub(crate) async fn list(&self, folder: Folder) -> Result<Vec<String>, Error> {
        let mut ids = BTreeSet::new();
        let name = format!("{}/", folder.as_str());
        for prefix in [name.clone(), mark(&name)] {
            let paths = list(&*self.shelf, &prefix).await?;
            ids.extend(paths.iter().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned));
        }
        Ok(ids.into_iter().collect())
    }

    /// Reads and opens the proof record.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let path = proof_path();
        let proven = get(&*self.shelf, &path, None).await?.ok_or(Error::Missing { path })?;
        self.fits(&proven)
    }

    fn fits(&self, proven: &Record) -> Result<(), Error> {
        let refuse = |why| Error::Unreadable { path: proof_path(), why };
        let value = envelope::open(&self.master, proof_place(), &proven.sealed).map_err(refuse)?;
        if value[..] == *PROOF.2 { Ok(()) } else { Err(refuse("its content is another")) }
    }

    /// The highest number that was given out: 0 when there is none.
    async fn newest(&self, at: &str) -> Result<u32, Error> {
        let mut newest = 0;
        for path in [at, &mark(at)] {
            let versions = self.shelf.versions(path).await.map_err(|error| broken("look up", at, error))?;
            newest = versions.into_iter().fold(newest, u32::max);
        }
        Ok(newest)
    }

    async fn erase(&self, at: &str, version: Option<u32>) -> Result<(), Error> {
        self.shelf.erase(at, version).await.map_err(|error| broken("erase", at, error))
    }
}

fn mark(at: &str) -> String {
    format!("{MARKS}{at}")
}

fn proof_path() -> String {
    format!("{}/{}", PROOF.0, PROOF.1)
}

fn proof_place() -> Place<'static> {
    Place { kind: PROOF.0, id: PROOF.1, version: 1 }
}

/// Makes the master key. When another process was first, the key is that one's.
async fn make(key_file: &std::path::Path) -> Result<MasterKey, Error> {
    let file = key_file.to_owned();
    let made = blocking(move || {
        let made = MasterKey::generate()?;
        match made.save(&file) {
            Ok(()) => Ok((made, true)),
            Err(error) => MasterKey::load(&file)?.map(|theirs| (theirs, false)).ok_or(error),
        }
    });
    let (master, ours) = made.await?;
    if ours {
        info!(file = %key_file.display(), "Made a new master key in {}: keep a backup of it, apart from the database's.", key_file.display());
    }
    Ok(master)
}

/// Puts the proof record. When another process was first, the proof is that one's.
async fn prove(shelf: &dyn Shelf, master: &MasterKey) -> Result<Record, Error> {
    let sealed = envelope::seal(master, proof_place(), PROOF.2).ok_or(Error::Random)?;
    let path = proof_path();
    match shelf.put(&path, 1, sealed.clone()).await {
        Ok(()) => Ok(Record { version: 1, sealed }),
        Err(ShelfError::Exists) => get(shelf, &path, None).await?.ok_or(Error::Missing { path }),
        Err(ShelfError::Other(source)) => Err(failed("write", &path, source)),
    }
}

async fn empty(shelf: &dyn Shelf) -> Result<bool, Error> {
    let folders = [Folder::Keys, Folder::Webhooks, Folder::Trials].map(Folder::as_str);
    for folder in folders.into_iter().chain([OWN]) {
        if !list(shelf, &format!("{folder}/")).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn get(shelf: &dyn Shelf, at: &str, version: Option<u32>) -> Result<Option<Record>, Error> {
    shelf.get(at, version).await.map_err(|error| broken("read", at, error))
}

async fn list(shelf: &dyn Shelf, prefix: &str) -> Result<Vec<String>, Error> {
    shelf.list(prefix).await.map_err(|error| broken("list", prefix, error))
}

fn broken(doing: &'static str, at: &str, error: ShelfError) -> Error {
    match error {
        ShelfError::Other(source) => failed(doing, at, source),
        ShelfError::Exists => failed(doing, at, Box::new(ShelfError::Exists)),
    }
}

fn failed(doing: &'static str, at: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Shelf { doing, path: at.to_owned(), source: source.into() }
}

/// Files are touched once, at the start, and off the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(Error::Setting("opening the master key file was stopped")),
    }
}
