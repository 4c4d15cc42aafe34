//! Codings: what is accepted, what decodes at every boundary, and bombs.

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

const TEXT: &str = "to be or not to be, that is the question: to be or not to be";
/// [`TEXT`] in brotli, in one block that is not compressed.
fn brotli(text: &[u8]) -> Vec<u8> {
    // A window of 16 bits, one block of bytes as they are (RFC 7932, section 9.2), and the last, empty block.
    let size = u32::try_from(text.len() - 1).expect("short");
    let head = (size << 4) | (1 << 20);
    let mut bytes = head.to_le_bytes()[..3].to_vec();
    bytes.extend_from_slice(text);
    bytes.push(3);
    bytes
}

fn coded(coding: Coding, text: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut to = GzEncoder::new(Vec::new(), Compression::default());
            to.write_all(text).expect("memory");
            to.finish().expect("memory")
        }
        Coding::Deflate => {
            let mut to = ZlibEncoder::new(Vec::new(), Compression::default());
            to.write_all(text).expect("memory");
            to.finish().expect("memory")
        }
        Coding::Brotli => brotli(text),
        Coding::Zstd => compress_to_vec(text, CompressionLevel::Fastest),
    }
}

#[test]
fn every_coding_decodes_at_every_boundary() {
    for coding in Coding::ALL {
        let body = coded(coding, TEXT.as_bytes());
        assert_eq!(decode(coding, &body, 1_000).as_deref(), Ok(TEXT.as_bytes()), "{coding:?}");
        for at in 0..=body.len() {
            let (mut decoder, mut plain) = (Decoder::new(coding), Vec::new());
            for part in [&body[..at], &body[at..]] {
                decoder.decode(part, &mut |bytes| plain.extend_from_slice(bytes)).expect("decodes");
            }
            decoder.end(&mut |bytes| plain.extend_from_slice(bytes)).expect("is whole");
            assert_eq!(plain, TEXT.as_bytes(), "{coding:?} at {at}");
        }
        assert_eq!(decode(coding, &body, 10), Err(Undecodable), "{coding:?} is larger");
        // The library does not tell of a missing end of this one.
        let whole = coding == Coding::Deflate;
        assert_eq!(decode(coding, &body[..body.len() - 1], 1_000).is_ok(), whole, "{coding:?} broke off");
    }
}

#[test]
fn a_bomb_is_given_up_early() {
    let zeros = vec![0_u8; 64 * 1024 * 1024];
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Zstd] {
        let bomb = coded(coding, &zeros);
        let (mut decoder, mut plain, mut most) = (Decoder::new(coding), 0_u64, 0);
        let outcome = bomb.chunks(STEP_BYTES).try_for_each(|step| {
            decoder.decode(step, &mut |bytes| {
                plain += bytes.len() as u64;
                most = most.max(bytes.len());
            })
        });
        assert_eq!(outcome, Err(Undecodable), "{coding:?}");
        assert!(plain <= FIRST_BYTES_MAX + RATIO_MAX * bomb.len() as u64, "{coding:?}: {plain}");
        assert!(most as u64 <= FIRST_BYTES_MAX + RATIO_MAX * STEP_BYTES as u64, "{coding:?}: {most} at once");
    }
}

#[test]
fn what_a_caller_accepts_is_read() {
    let headers = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
        headers
    };
    assert!(Coding::Brotli.is_accepted(&HeaderMap::new()));
    for (text, coding, taken, asked) in [
        ("gzip, br;q=0.5", Coding::Brotli, true, "gzip, br"),
        ("gzip;q=0, *", Coding::Gzip, false, "identity"),
        ("*;q=0.1", Coding::Zstd, true, "identity"),
        ("identity", Coding::Gzip, false, "identity"),
        ("X-GZIP;q=0.000", Coding::Gzip, false, "identity"),
        ("zstd, dcz", Coding::Zstd, true, "zstd"),
    ] {
        assert_eq!(coding.is_accepted(&headers(text)), taken, "{text}");
        assert_eq!(readable(&headers(text)), asked, "{text}");
    }
}
