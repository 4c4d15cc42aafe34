//! The decoders themselves, one for each coding, which write what comes of a body wherever it is wanted.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{MultiGzDecoder, ZlibDecoder};

use super::zstd::Zstd;
use super::{Coding, STEP_BYTES, Undecodable};

/// Where decoded bytes go.
pub(crate) trait Sink: Write {
    /// How many came until now.
    fn taken(&self) -> u64;
}

/// A body that is decoded as it comes.
pub(crate) enum Stream<S: Sink> {
    Gzip(Box<MultiGzDecoder<S>>),
    Deflate(Box<ZlibDecoder<S>>),
    Brotli(Box<DecompressorWriter<S>>),
    Zstd(Box<Zstd<S>>),
}

impl<S: Sink> Stream<S> {
    /// One that begins.
    pub(crate) fn new(coding: Coding, to: S) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(to))),
            Coding::Deflate => Self::Deflate(Box::new(ZlibDecoder::new(to))),
            Coding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(to, STEP_BYTES))),
            Coding::Zstd => Self::Zstd(Box::new(Zstd::new(to))),
        }
    }

    /// Decodes what came, and gives all that can be had of it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Undecodable> {
        let done = match self {
            Self::Gzip(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(bytes).and_then(|()| rest(decoder)),
            Self::Zstd(decoder) => decoder.write_all(bytes),
        };
        done.map_err(|_| Undecodable)
    }

    /// The body is over. An error: it is not whole; what there was has been given.
    pub(crate) fn end(&mut self) -> Result<(), Undecodable> {
        let ended = match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Zstd(decoder) => decoder.end(),
        };
        ended.map_err(|_| Undecodable)
    }

    /// How many of the last bytes that came wait for more before anything comes of them: nobody else can read them either.
    pub(crate) fn waiting(&self) -> usize {
        if let Self::Zstd(decoder) = self { decoder.waiting() } else { 0 }
    }

    /// Where it goes.
    pub(crate) fn to(&mut self) -> &mut S {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => &mut decoder.to,
        }
    }
}

/// What this library keeps back when its buffer was full.
fn rest<S: Sink>(decoder: &mut DecompressorWriter<S>) -> io::Result<()> {
    loop {
        let before = decoder.get_ref().taken();
        let _none = decoder.write(&[])?;
        if decoder.get_ref().taken() == before {
            return Ok(());
        }
    }
}
