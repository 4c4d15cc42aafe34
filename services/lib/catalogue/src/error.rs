//! Why a provider's file was not taken.

use std::path::PathBuf;

/// Why a provider's file was not taken. Names the file and, where there is one, the place in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read.
    #[error("read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than [`crate::FILE_BYTES_MAX`].
    #[error("`{}` is larger than {max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The most that is read, in bytes.
        max: usize,
    },
    /// A directory holds more files than [`crate::FILES_MAX`].
    #[error("`{}` holds more than {max} provider files", path.display())]
    TooMany {
        /// Which.
        path: PathBuf,
        /// The most that are read.
        max: usize,
    },
    /// A file says something that is not a provider.
    #[error("{file}:{line}:{column}: {reason}")]
    Wrong {
        /// Which file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
        /// What is wrong and what is wanted.
        reason: String,
    },
}

impl Error {
    /// Whether asking again later may help: files do not mend themselves.
    pub const fn is_transient(&self) -> bool {
        false
    }
}
