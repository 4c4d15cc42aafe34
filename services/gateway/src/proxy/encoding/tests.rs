//! Codings: what is accepted, what decodes at every boundary, and bombs.

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

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
        Coding::Zstd => ::zstd::bulk::compress(text, 3).expect("memory"),
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

#[test]
fn nothing_that_could_be_read_is_kept_back() {
    // Numbers, which shrink by half; so that half of what comes says half of it.
    let text: String = (0..200_000_u32).map(|n| format!("{}", n.wrapping_mul(2_654_435_761))).collect();
    for coding in Coding::ALL {
        let body = match coding {
            Coding::Brotli => {
                let mut to = ::brotli::CompressorWriter::new(Vec::new(), 4_096, 5, 22);
                to.write_all(text.as_bytes()).expect("memory");
                to.into_inner()
            }
            coding => coded(coding, text.as_bytes()),
        };
        let (mut decoder, mut plain, mut came) = (Decoder::new(coding), 0, 0);
        for step in body.chunks(10_000) {
            decoder.decode(step, &mut |bytes| plain += bytes.len()).expect("decodes");
            came += step.len();
            // Less than a block, and what the library looks ahead.
            let least = (text.len() * came / body.len()).saturating_sub(300_000);
            assert!(plain >= least, "{coding:?}: {plain} of {least} after {came}");
        }
    }
}
