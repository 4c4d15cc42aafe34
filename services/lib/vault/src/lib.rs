//! The door to keys: providers' keys and webhooks' secrets, in versions, behind one set of functions.
//!
//! Two stores stand behind it: records sealed in the database ([`Vault::sealed`]), and HashiCorp Vault or
//! OpenBao ([`Vault::connect`]). Both keep the same promises, shown by one suite of tests: a version once written
//! never changes, its number is not given out again while the credential exists, and of two writers who expect the
//! same version one gets [`Error::Conflict`]. The gateway reads through [`Cached`].
//!
//! A value leaves only as a `Secret` in the answer of a read. It is in no error, no log line and no path.
//! Nothing here decides who may read; that is the caller's part.

mod path;

mod fingerprint;

mod text;

mod sealed;

mod remote;

mod cached;

mod error;

use std::sync::Arc;

use model::secret::Fields;

pub use cached::{Cached, CachedSettings};
pub use error::Error;
pub use fingerprint::{Fingerprints, is_keyed};
pub use path::{Folder, Path};
pub use remote::settings::{Login, VaultSettings};
pub use sealed::shelf::{Answer, Record, Shelf, ShelfError};
pub use text::FIELDS_BYTES_MAX;

/// The key store. Clones are the same store.
#[derive(Clone)]
pub struct Vault(Arc<Store>);

enum Store {
    Sealed(sealed::Sealed),
    Remote(remote::Remote),
}

/// What a writer takes for granted: checked and written in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the new version follows the newest, whatever that is.
    Any,
    /// There is no version yet.
    New,
    /// The newest version is this one, from 1.
    Version(u32),
}

/// One version of a credential.
#[derive(Debug)]
pub struct Versioned {
    /// Its number, from 1.
    pub version: u32,
    /// The named values.
    pub fields: Fields,
}

impl Vault {
    /// Opens the embedded store on a shelf, with the master key in a file. At the very first start both are made.
    ///
    /// [`Error::KeyFile`] says in one line why the file is not used: it is missing though keys are kept, does not
    /// fit them, is a link, belongs to somebody else, or somebody else could read or replace it.
    pub async fn sealed(shelf: Arc<dyn Shelf>, key_file: &std::path::Path) -> Result<Vault, Error> {
        Ok(Vault(Arc::new(Store::Sealed(sealed::Sealed::open(shelf, key_file).await?))))
    }

    /// Logs in at HashiCorp Vault or OpenBao and keeps the login alive until the last clone is dropped.
    pub async fn connect(settings: &VaultSettings) -> Result<Vault, Error> {
        Ok(Vault(Arc::new(Store::Remote(remote::Remote::connect(settings).await?))))
    }

    /// Writes a new version and gives its number. [`Error::Conflict`] when what is there is not what was expected.
    pub async fn write(&self, path: &Path, fields: &Fields, expected: Expected) -> Result<u32, Error> {
        match &*self.0 {
            Store::Sealed(store) => store.write(path, fields, expected).await,
            Store::Remote(store) => store.write(path, fields, expected).await,
        }
    }

    /// Reads one version, or the newest. [`Error::Missing`] when it was never written, or was destroyed: an older
    /// version does not stand in for a newest that was destroyed.
    pub async fn read(&self, path: &Path, version: Option<u32>) -> Result<Versioned, Error> {
        match &*self.0 {
            Store::Sealed(store) => store.read(path, version).await,
            Store::Remote(store) => store.read(path, version).await,
        }
    }

    /// Destroys one version for good. Done also when there is none.
    pub async fn destroy(&self, path: &Path, version: u32) -> Result<(), Error> {
        match &*self.0 {
            Store::Sealed(store) => store.destroy(path, version).await,
            Store::Remote(store) => store.destroy(path, version).await,
        }
    }

    /// Removes all versions. Done also when there is none. A later write begins at version 1 again.
    pub async fn remove(&self, path: &Path) -> Result<(), Error> {
        match &*self.0 {
            Store::Sealed(store) => store.remove(path).await,
            Store::Remote(store) => store.remove(path).await,
        }
    }

    /// The ids in a folder, sorted; also those whose versions are all destroyed.
    pub async fn list(&self, folder: Folder) -> Result<Vec<String>, Error> {
        match &*self.0 {
            Store::Sealed(store) => store.list(folder).await,
            Store::Remote(store) => store.list(folder).await,
        }
    }

    /// What makes fingerprints here. Its secret is made the first time that anybody asks, is the same for everybody
    /// who asks later, and lies where no [`Path`] of others and no [`Folder`] leads.
    pub async fn fingerprints(&self) -> Result<Fingerprints, Error> {
        Fingerprints::of_store(self).await
    }

    /// Whether keys can be read now, found out by a real read: a key store whose health page is fine may still
    /// refuse every request (safety F24).
    pub async fn check(&self) -> Result<(), Error> {
        match &*self.0 {
            Store::Sealed(store) => store.check().await,
            Store::Remote(store) => store.check().await,
        }
    }
}

#[cfg(test)]
mod tests;
