//! What the guard lets pass, and what it names.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What passes of bytes that come in parts, and what is answered.
async fn pass(parts: &[&[u8]]) -> (Vec<u8>, String) {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let mut guard = Guard::new(theirs);
    let mut passed = Vec::new();
    for part in parts {
        ours.write_all(part).await.expect("writes");
        let mut buf = vec![0; 1 << 16];
        let count = guard.read(&mut buf).await.expect("reads");
        passed.extend_from_slice(&buf[..count]);
    }
    drop(guard);
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.expect("text");
    (passed, answer)
}

const GOOD: [&str; 5] = [
    "GET /p/a/x HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /p/a/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\na\nb\nc",
    "POST /p/a/x HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n0\r\ntrailer: 1\r\n\r\n",
    "\r\nGET / HTTP/1.0\r\n\r\n",
    "HEAD /p/a/x?y=%20 HTTP/1.1\r\nContent-Length:  0 \r\nx-empty:\r\n\r\n",
];

#[tokio::test]
async fn what_is_clear_passes_as_it_is() {
    for request in GOOD {
        let (passed, answer) = pass(&[request.as_bytes()]).await;
        assert_eq!((passed.as_slice(), answer.as_str()), (request.as_bytes(), ""), "{request:?}");
    }
    let (passed, _) = pass(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\n\n"]).await;
    assert_eq!(passed.len(), 28);
}

#[tokio::test]
async fn what_is_behind_a_clear_request_is_looked_at_too() {
    for first in GOOD {
        let both = format!("{first}GET /evil HTTP/1.1\nhost: a\r\n\r\n");
        let (passed, _) = pass(&[both.as_bytes()]).await;
        assert_eq!(passed, first.as_bytes(), "{first:?}");
    }
}

#[test]
fn what_is_doubtful_is_named() {
    let check = |head: &str, code: &str, word: &str| {
        let mut guard = Guard::new(());
        let passed = guard.look(format!("GET /p/a HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n").as_bytes());
        let Mode::Refusing(answer, 0) = guard.mode else { panic!("{head:?} passed") };
        let answer = String::from_utf8(answer).expect("text");
        assert_eq!(passed, 0);
        assert!(
            answer.contains(&format!("\"code\":\"{code}\"")) && answer.contains(word),
            "{head:?}: {answer}"
        );
    };
    check("content-length: 1\r\ntransfer-encoding: chunked", "bad_framing", "cannot both");
    check("transfer-encoding: chunked\r\ncontent-length: 1", "bad_framing", "cannot both");
    check("content-length: 1\r\ncontent-length: 1", "bad_framing", "more than once");
    check("content-length: 1, 1", "bad_framing", "no number");
    check("content-length: +1", "bad_framing", "no number");
    check("content-length: 9999999999999999999999", "bad_framing", "no number");
    check("transfer-encoding: gzip, chunked", "bad_framing", "chunked");
    check("transfer-encoding: xchunked", "bad_framing", "chunked");
    check("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "bad_framing", "chunked");
    check("transfer-encoding:\x0bchunked", "bad_head", "control");
    check("a: b\nc: d", "bad_head", "LF");
    check("a: b\r c: d", "bad_head", "control");
    check("a: b\r\n c: d", "bad_head", "obs-fold");
    check("a : b", "bad_head", "name: value");
    check("nonsense", "bad_head", "name: value");
    check("host: b", "bad_head", "Host");
    check(&"a: b\r\n".repeat(101), "headers_too_large", "100");
    check(&format!("a: {}", "b".repeat(50_000)), "headers_too_large", "48 KiB");
}

proptest! {
    /// However the bytes are cut, the same is passed and refused.
    #[test]
    fn cuts_do_not_matter(picks in proptest::collection::vec(0..7_usize, 1..5), cut in 1..40_usize) {
        let bad = ["GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", "GET / HTTP/1.1\r\na: b\r\n fold\r\n\r\n"];
        let text: String = picks.iter().map(|n| GOOD.get(*n).copied().unwrap_or_else(|| bad[n - GOOD.len()])).collect();
        let good: usize = picks.iter().take_while(|n| **n < GOOD.len()).map(|n| GOOD[*n].len()).sum();
        let whole = Guard::new(()).look(text.as_bytes());
        prop_assert_eq!(whole, good);
        let mut guard = Guard::new(());
        let mut refused = false;
        for part in text.as_bytes().chunks(cut) {
            guard.look(part);
            refused |= matches!(guard.mode, Mode::Refusing(..) | Mode::Closed);
        }
        prop_assert_eq!(refused, good < text.len());
    }

    /// What is plain is taken at once; line by line the same would have come of it, however the head is spoilt.
    #[test]
    fn what_is_taken_at_once_is_what_lines_would_be(spoilt in 0..200_usize, by in any::<u8>(), more in 0..120_usize) {
        let mut bytes = format!(
            "POST /p/a/x?y=1 HTTP/1.1\r\nHost: a\r\ntransfer-encodinG: chunked\r\nX-A:\r\nx: \u{e4} \tb\r\n{}a: b\r\n\r\n",
            "x-b: c\r\n".repeat(more)
        )
        .into_bytes();
        if let Some(byte) = bytes.get_mut(spoilt) {
            *byte = by;
        }
        let read = |at_once: bool| {
            let (mut head, mut rest) = (Head::default(), bytes.as_slice());
            loop {
                let plain = if at_once { head.plain(rest) } else { 0 };
                let (line, used) = head.line(&rest[plain..]);
                rest = &rest[plain + used..];
                if !matches!(line, Line::Field) || rest.is_empty() {
                    let end = (line == Line::End).then(|| head.end());
                    return (line, end, rest.len());
                }
            }
        };
        prop_assert_eq!(read(true), read(false));
    }
}
