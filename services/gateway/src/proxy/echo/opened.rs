//! Looks for the key in a copy of a compressed body, decoded as it comes and kept nowhere.
//!
//! What cannot be decoded is not looked at further, and goes on as it is: a wrong name of a coding breaks no answer. What
//! decodes to far more than it is (T21) is as bad as a key.

use std::io::{self, Write};
use std::sync::Arc;

use super::super::encoding::{Coding, GZIP_RATIO, STEP_BYTES, Sink, Stream, Undecodable};
use super::super::key::Ready;

/// So many may come of any bytes, beside what gzip can make of them.
const FIRST_BYTES_MAX: u64 = 256 * 1024;

/// So much of a key's beginning is no chance, in bytes.
const BEGUN_BYTES_MIN: usize = 4;

/// Why a compressed answer must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It repeats its key.
    Key,
    /// It is a bomb.
    Bomb,
}

impl Unfit {
    /// The same for callers.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Key => "it repeats its key in a compressed body",
            Self::Bomb => "its compressed body decodes to far more than it is",
        }
    }
}

/// A compressed body that is looked through.
pub(super) struct Opened {
    /// Nothing when it cannot be decoded.
    stream: Option<Stream<Look>>,
}

/// Takes what is decoded.
struct Look {
    key: Arc<Ready>,
    /// What came last and may be the beginning of a key.
    begun: Vec<u8>,
    found: Option<Unfit>,
    taken: u64,
    left: u64,
}

impl Opened {
    /// A body that begins.
    pub(super) fn new(coding: Coding, key: &Arc<Ready>) -> Self {
        let look = Look { key: key.clone(), begun: Vec::new(), found: None, taken: 0, left: 0 };
        Self { stream: Some(Stream::new(coding, look)) }
    }

    /// Looks at what came next.
    ///
    /// # Errors
    /// Why none of it must go on.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        for step in bytes.chunks(STEP_BYTES) {
            let Some(stream) = &mut self.stream else { return Ok(()) };
            stream.to().left = FIRST_BYTES_MAX + GZIP_RATIO * step.len() as u64;
            let decoded = stream.write(step);
            if let Some(unfit) = stream.to().found {
                return Err(unfit);
            }
            if decoded.is_err() {
                self.stream = None;
            }
        }
        Ok(())
    }

    /// How many of the last so many bytes wait for more: those that tell nobody anything yet, and all while a key may have
    /// begun.
    pub(super) fn waiting(&mut self, bytes: usize) -> usize {
        let Some(stream) = &mut self.stream else { return 0 };
        if stream.to().begun.len() >= BEGUN_BYTES_MIN { bytes } else { stream.waiting().min(bytes) }
    }
}

impl Sink for Look {
    fn taken(&self) -> u64 {
        self.taken
    }
}

impl Write for Look {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.taken += plain.len() as u64;
        let left = self.left.checked_sub(plain.len() as u64);
        self.begun.extend_from_slice(plain);
        let needles = &self.key.needles;
        let found = if needles.is_in(&self.begun) { Some(Unfit::Key) } else { None };
        self.found = found.or_else(|| left.is_none().then_some(Unfit::Bomb));
        if self.found.is_some() {
            return Err(io::Error::other(Undecodable));
        }
        self.left = left.unwrap_or_default();
        self.begun.drain(..self.begun.len() - needles.begun(&self.begun));
        Ok(plain.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
