//! Zstandard, block by block, so that a bound can be looked at between two of them.
//!
//! A block of four bytes can be 128 KiB, and of one that is not all here nobody can read anything. So the library is given one
//! at a time.

use std::io::{self, Write};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::Undecodable;

/// The largest window of a body in HTTP (RFC 9659): 8 MiB, as a power of two.
const WINDOW_LOG_MAX: u32 = 23;
/// Bytes of a block's head, of a checksum, and of what every frame begins with.
const BLOCK_HEAD_BYTES: usize = 3;
const SUM_BYTES: usize = 4;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The same of a frame to be skipped, but for the first byte's last four bits; and bytes of its head.
const SKIPPED: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
const SKIPPED_HEAD_BYTES: usize = 8;
/// Where a frame says that a checksum follows it.
const HAS_SUM: u8 = 4;
/// Bytes of a block, at most.
const BLOCK_BYTES_MAX: usize = 128 * 1024;
/// Where blocks say that they repeat one byte.
const REPEATS: u32 = 1;

/// A body that is decoded.
pub(crate) struct Zstd<S> {
    /// Takes what is decoded.
    pub(super) to: S,
    /// What came and could not be decoded yet: less than a block.
    waiting: Vec<u8>,
    /// Nothing before the first frame.
    decoder: Option<Box<Decoder<'static>>>,
    /// Of the frame under way, whether a checksum follows it.
    frame: Option<bool>,
    /// Bytes of a checksum, or of a frame to be skipped, that still come.
    rest: usize,
}

impl<S: Write> Zstd<S> {
    /// A body that begins.
    pub(super) const fn new(to: S) -> Self {
        Self { to, waiting: Vec::new(), decoder: None, frame: None, rest: 0 }
    }

    /// How many bytes came that could not be decoded yet.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the body is whole.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let whole = self.frame.is_none() && self.waiting.is_empty() && self.rest == 0;
        if whole { Ok(()) } else { Err(broken()) }
    }

    /// Decodes one block, and says how many bytes it took; nothing when it is not all here.
    fn step(&mut self, from: &[u8]) -> io::Result<Option<usize>> {
        if self.rest > 0 {
            let taken = self.rest.min(from.len());
            self.rest -= taken;
            self.decode(&from[..taken])?;
            return Ok((taken > 0).then_some(taken));
        }
        if self.frame.is_none() && is_skipped(from) {
            let Some(head) = from.get(..SKIPPED_HEAD_BYTES) else { return Ok(None) };
            self.rest = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            self.decode(head)?;
            return Ok(Some(SKIPPED_HEAD_BYTES));
        }
        let head = if self.frame.is_some() { Some(0) } else { head_bytes(from)? };
        let Some(head) = head else { return Ok(None) };
        let Some(block) = from.get(head..head + BLOCK_HEAD_BYTES) else { return Ok(None) };
        let block = u32::from_le_bytes([block[0], block[1], block[2], 0]);
        let size = if (block >> 1) & 3 == REPEATS { 1 } else { (block >> 3) as usize };
        if size > BLOCK_BYTES_MAX {
            return Err(broken());
        }
        let Some(from) = from.get(..head + BLOCK_HEAD_BYTES + size) else { return Ok(None) };
        let has_sum = *self.frame.get_or_insert_with(|| from[MAGIC.len()] & HAS_SUM != 0);
        self.decode(from)?;
        if block & 1 == 1 {
            self.rest = if has_sum { SUM_BYTES } else { 0 };
            self.frame = None;
        }
        Ok(Some(from.len()))
    }

    /// Gives what comes of these bytes.
    fn decode(&mut self, from: &[u8]) -> io::Result<()> {
        let Self { decoder, to, .. } = self;
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => {
                let mut new = Decoder::new()?;
                new.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
                decoder.insert(Box::new(new))
            }
        };
        let (mut from, mut plain) = (InBuffer::around(from), [0; 4 * 1024]);
        loop {
            let mut gave = OutBuffer::around(&mut plain[..]);
            decoder.run(&mut from, &mut gave)?;
            let count = gave.pos();
            to.write_all(&plain[..count])?;
            // A full buffer may not have been all.
            if from.pos() == from.src.len() && count < plain.len() {
                return Ok(());
            }
        }
    }
}

impl<S: Write> Write for Zstd<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(taken) = self.step(&waiting[at..])? {
            at += taken;
        }
        waiting.drain(..at);
        self.waiting = waiting;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of a frame's head (RFC 8878, section 3.1.1.1); nothing when it is not here.
fn head_bytes(from: &[u8]) -> io::Result<Option<usize>> {
    let is_frame = from.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic);
    let Some(described) = from.get(MAGIC.len()).filter(|_| is_frame) else {
        return if is_frame { Ok(None) } else { Err(broken()) };
    };
    let is_single = described & 0x20 != 0;
    let window = usize::from(!is_single);
    let dictionary = [0, 1, 2, 4][usize::from(described & 3)];
    let size = [usize::from(is_single), 2, 4, 8][usize::from(described >> 6)];
    Ok(Some(MAGIC.len() + 1 + window + dictionary + size))
}

/// Whether a frame begins that is to be skipped (RFC 8878, section 3.1.2), as far as it is here.
fn is_skipped(from: &[u8]) -> bool {
    let mut pairs = from.iter().zip(&SKIPPED);
    let first = pairs.next().is_some_and(|(byte, skipped)| byte & 0xf0 == *skipped);
    first && pairs.all(|(byte, skipped)| byte == skipped)
}

fn broken() -> io::Error {
    io::Error::other(Undecodable)
}
