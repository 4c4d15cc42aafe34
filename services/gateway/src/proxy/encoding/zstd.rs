//! Zstandard, block by block, so that a bound can be looked at between two of them.
//!
//! The library decodes all blocks that it is given at once, and a block of four bytes can be 128 KiB. So it is given one.

use std::io::{self, Read, Write};

use ruzstd::decoding::FrameDecoder;

use super::Undecodable;

/// The largest window of a body in HTTP (RFC 9659), in bytes.
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of a block's head, of a checksum, and of what every frame begins with.
const BLOCK_HEAD_BYTES: usize = 3;
const SUM_BYTES: usize = 4;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
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
    /// The frame under way, and whether a checksum follows it.
    frame: Option<(Box<FrameDecoder>, bool)>,
    /// Bytes of a checksum that still come.
    sum: usize,
}

impl<S: Write> Zstd<S> {
    /// A body that begins.
    pub(super) const fn new(to: S) -> Self {
        Self { to, waiting: Vec::new(), frame: None, sum: 0 }
    }

    /// How many bytes came that could not be decoded yet.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the body is whole.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let whole = self.frame.is_none() && self.waiting.is_empty() && self.sum == 0;
        if whole { Ok(()) } else { Err(broken()) }
    }

    /// Decodes one block, and says how many bytes it took; nothing when it is not all here.
    fn step(&mut self, from: &[u8]) -> io::Result<Option<usize>> {
        if self.sum > 0 {
            let taken = self.sum.min(from.len());
            self.sum -= taken;
            return Ok((taken > 0).then_some(taken));
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
        let (frame, has_sum) = self.frame.get_or_insert_with(|| {
            let mut frame = FrameDecoder::new();
            frame.set_max_window_size(WINDOW_BYTES_MAX);
            (Box::new(frame), from[MAGIC.len()] & HAS_SUM != 0)
        });
        frame.decode_from_to(from, &mut []).map_err(|_| broken())?;
        let mut plain = [0; 4 * 1024];
        loop {
            match frame.read(&mut plain)? {
                0 => break,
                count => self.to.write_all(&plain[..count])?,
            }
        }
        if block & 1 == 1 {
            self.sum = if *has_sum { SUM_BYTES } else { 0 };
            self.frame = None;
        }
        Ok(Some(from.len()))
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

/// Bytes of a frame's head (RFC 8878, section 3.1.1.1); nothing when it is not here. Skippable frames are not taken.
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

fn broken() -> io::Error {
    io::Error::other(Undecodable)
}
