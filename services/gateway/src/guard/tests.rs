//! What the guard lets pass, and what it names.

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;

const LIMITS: Limits =
    Limits { head: Duration::from_secs(10), idle: Duration::from_secs(60), write: Duration::from_secs(30) };

fn watch<T>(inner: T) -> Guard<T> {
    Guard::new(inner, LIMITS, Calls::default())
}

/// What passes of bytes that come in parts, and what is answered.
async fn pass(parts: &[&[u8]]) -> (Vec<u8>, String) {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let mut guard = watch(theirs);
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
    "POST /p/a/x HTTP/1.1\r\nHOST: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n0\r\ntrailer: 1\r\n\r\n",
    "\r\nGET / HTTP/1.0\r\n\r\n",
    "HEAD /p/a/x?y=%20 HTTP/1.1\r\nhost: a\r\nContent-Length:  0 \r\nx-empty:\r\n\r\n",
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
        let mut guard = watch(());
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

/// However it is cut: nobody behind the guard answers a first line that it cannot read.
#[test]
fn a_first_line_is_refused_at_its_first_wrong_byte() {
    for (line, good) in [
        ("GET /p/a/long/enough b HTTP/1.1", "GET /p/a/long/enough "),
        ("GET /p/a/x<> HTTP/1.1", "GET /p/a/x"),
        ("G(T /p/a/x HTTP/1.1", "G"),
        ("GET /p/a/x HTTP/3.0", "GET /p/a/x HTTP/"),
        ("GET /p/a/x HTTP/1.1 ", "GET /p/a/x HTTP/1.1"),
        ("GET /p/a/x", "GET /p/a/x"),
    ] {
        for step in 1..line.len() {
            let mut guard = watch(());
            let mut passed = 0;
            for bytes in format!("{line}\r\nhost: a\r\n\r\n").as_bytes().chunks(step) {
                passed += guard.look(bytes);
            }
            let Mode::Refusing(answer, 0) = guard.mode else { panic!("{line:?} passed in {step}") };
            assert!(String::from_utf8(answer).expect("text").contains("the first line is no"), "{line:?}");
            assert!(passed <= good.len(), "{line:?} in {step}: {passed}");
        }
    }
    let mut guard = watch(());
    guard.look(b"GET /p/a/x HTTP/1.1\r\naccept: */*\r\n\r\n");
    let Mode::Refusing(answer, 0) = guard.mode else { panic!("passed without a host") };
    assert!(String::from_utf8(answer).expect("text").contains("`Host` is not said"));
}

/// Seconds until a connection is cut on which this was sent, and what was answered. `calls` have begun, of which so
/// many are under way.
async fn cut(sent: &str, calls: u32, under_way: usize) -> (u64, String) {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let counted = Calls::default();
    let mut begun: Vec<_> = (0..calls).map(|_| counted.begin()).collect();
    begun.truncate(under_way);
    let mut guard = Guard::new(theirs, LIMITS, counted);
    let started = Instant::now();
    ours.write_all(sent.as_bytes()).await.expect("writes");
    let end = Duration::from_secs(3_600);
    let reading = async { while guard.read(&mut [0; 256]).await.is_ok_and(|count| count > 0) {} };
    drop(tokio::time::timeout(end, reading).await);
    let secs = started.elapsed().as_secs();
    drop(guard);
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.expect("text");
    (secs, answer)
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_is_not_waited_for() {
    let whole = "GET /p/a HTTP/1.1\r\nhost: a\r\n\r\n";
    // Nothing at all, a part of the first line, a part of a later head.
    assert_eq!(cut("", 0, 0).await, (10, String::new()));
    for (sent, calls) in [("GET", 0), ("PRI * HTTP/2.0", 0), (&format!("{whole}GET / HTTP/1.1\r\nhost:"), 1)]
    {
        let (secs, answer) = cut(sent, calls, 0).await;
        // Behind a request that has no answer there is none either.
        let expected = if calls == 0 { "HTTP/1.1 408 Request Timeout\r\n" } else { "" };
        assert!(answer.starts_with(expected) && answer.is_empty() == expected.is_empty(), "{sent}: {answer}");
        assert_eq!(secs, 10, "{sent}");
    }
    // Idle ones.
    assert_eq!(cut(whole, 1, 0).await, (60, String::new()));
    assert_eq!(cut("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1, 0).await, (60, String::new()));
    // A call under way.
    assert_eq!(cut(whole, 1, 1).await.0, 3_600);
    assert_eq!(cut("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 5, 1).await.0, 3_600);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_cut_and_one_that_is_taken_slowly_is_not() {
    let (mut ours, theirs) = tokio::io::duplex(64);
    let mut guard = watch(theirs);
    let reads = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(29)).await;
            ours.read_exact(&mut [0; 8]).await.expect("reads");
        }
    };
    let started = Instant::now();
    let (wrote, ()) = tokio::join!(guard.write_all(&[b'x'; 1_000]), reads);
    assert_eq!(wrote.expect_err("is cut").kind(), io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 290 + 30);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_used_is_kept() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let counted = Calls::default();
    let mut guard = Guard::new(theirs, LIMITS, counted.clone());
    let started = Instant::now();
    let asks = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            ours.write_all(b"GET /p/a HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("writes");
        }
        started.elapsed()
    };
    // Its first request must come in the time of a head.
    drop(counted.begin());
    let serves = async {
        let mut buf = [0; 256];
        while guard.read(&mut buf).await.is_ok_and(|count| count > 0) {
            drop(counted.begin());
        }
        started.elapsed()
    };
    let (last, end) = tokio::join!(asks, serves);
    let kept = (end - last).as_secs();
    assert!((60..=75).contains(&kept), "{kept} s");
}

#[tokio::test(start_paused = true)]
async fn what_became_something_else_is_not_cut() {
    let (mut ours, theirs) = tokio::io::duplex(64);
    let mut guard = watch(theirs);
    ours.write_all(b"GET /p/a HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("writes");
    let mut buf = [0; 256];
    assert!(guard.read(&mut buf).await.expect("reads") > 0);
    guard.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.expect("writes");
    let hour = Duration::from_secs(3_600);
    assert!(tokio::time::timeout(hour, guard.read(&mut buf)).await.is_err());
    assert!(tokio::time::timeout(hour, guard.write_all(&[0; 1_000])).await.is_err());
}

proptest! {
    /// However the bytes are cut, the same is passed and refused.
    #[test]
    fn cuts_do_not_matter(picks in proptest::collection::vec(0..7_usize, 1..5), cut in 1..40_usize) {
        let bad = ["GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", "GET / HTTP/1.1\r\na: b\r\n fold\r\n\r\n"];
        let text: String = picks.iter().map(|n| GOOD.get(*n).copied().unwrap_or_else(|| bad[n - GOOD.len()])).collect();
        let good: usize = picks.iter().take_while(|n| **n < GOOD.len()).map(|n| GOOD[*n].len()).sum();
        let whole = watch(()).look(text.as_bytes());
        prop_assert_eq!(whole, good);
        let mut guard = watch(());
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
