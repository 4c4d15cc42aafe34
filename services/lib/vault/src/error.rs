//! Why a key store did not do what was asked.
//!
//! A text names the place, never a value: errors of the client library, which carry answers' bodies, and the
//! settings, which carry tokens, are not linked as sources.

use std::path::PathBuf;
use std::sync::Arc;

/// Why a key store did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is kept there, or that version was destroyed.
    #[error("no credential at `{path}`")]
    Missing {
        /// The place, as [`crate::Path`] prints it.
        path: String,
    },
    /// The newest version is not the expected one: somebody else wrote first.
    #[error("the credential at `{path}` changed meanwhile")]
    Conflict {
        /// The place.
        path: String,
    },
    /// The key store is running and sealed: it serves again when an operator unseals it.
    #[error("vault is sealed")]
    Sealed,
    /// The key store did not answer, or says that it cannot at the moment.
    #[error("vault {why} ({doing} `{path}`)")]
    Away {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The place, or what else was asked for.
        path: String,
        /// What came instead of an answer.
        why: String,
    },
    /// The key store knows us and does not let us do this there.
    #[error("vault does not let us {doing} `{path}`: look at the token's policy")]
    Denied {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The place.
        path: String,
    },
    /// The key store does not accept the request, now or later.
    #[error("vault refuses to {doing} `{path}` (status {status}): look at the mount and its version")]
    Refused {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The place.
        path: String,
        /// The status of its answer.
        status: u16,
    },
    /// The key store does not take our credentials.
    #[error("vault does not accept our {0}")]
    Login(
        /// Which of them: `token`, or `role id and secret id`.
        &'static str,
    ),
    /// Something is kept there that we did not write, or that was changed since.
    #[error("the credential at `{path}` cannot be opened: {why}")]
    Unreadable {
        /// The place.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What should be kept is over a bound.
    #[error("the credential for `{path}` {why}")]
    TooLarge {
        /// The place.
        path: String,
        /// Which bound.
        why: &'static str,
    },
    /// The database under the sealed store failed.
    #[error("{doing} the sealed record `{path}`")]
    Shelf {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The place.
        path: String,
        /// What the database said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The master key file cannot be used.
    #[error("master key file `{}` {why}", file.display())]
    KeyFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A setting is wrong.
    #[error("{0}")]
    Setting(
        /// Which one, and what to change.
        &'static str,
    ),
    /// A trial's id does not follow its pattern.
    #[error("not a trial's id: use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`")]
    Path,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

impl Error {
    /// Whether asking again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Sealed | Error::Away { .. } | Error::Shelf { .. } | Error::Random => true,
            Error::Missing { .. }
            | Error::Conflict { .. }
            | Error::Denied { .. }
            | Error::Refused { .. }
            | Error::Login(_)
            | Error::Unreadable { .. }
            | Error::TooLarge { .. }
            | Error::KeyFile { .. }
            | Error::Setting(_)
            | Error::Path => false,
        }
    }
}
