//! Exchanges whose two directions are under way at a time, answers that are cut or followed by something, and bodies
//! without a length.

use futures_util::StreamExt;
use http_body_util::StreamBody;

use super::*;

/// A server whose connections each go as they are told.
async fn server<F, R>(serve: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/", listener.local_addr().expect("has an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve.clone()(tcp));
        }
    });
    (url, connections)
}

/// Asks twice on one upstream: what came, or the error, and how many connections that took.
async fn ask_twice(answer: &'static [u8]) -> (Result<Bytes, Error>, usize) {
    let (url, connections) = server(move |mut tcp| async move {
        while read_head(&mut tcp).await.is_some() && tcp.write_all(answer).await.is_ok() {}
    })
    .await;
    let egress = egress();
    let upstream = egress.upstream(&url.parse().expect("a URI")).expect("allowed");
    let mut last = Ok(Bytes::new());
    for _ in 0..2 {
        let sending = egress.send(
            &upstream,
            get(&url).map(Outgoing::whole),
            Limits { head_ms: 5_000, idle_ms: 500, ..Limits::default() },
        );
        last = match sending.await {
            Ok(answer) => answer.into_body().collect().await.map(|body| body.to_bytes()),
            Err(error) => Err(error),
        };
    }
    (last, connections.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_connection_is_used_again_only_after_a_clean_end() {
    for (answer, body, connections) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"[..], "hi", 1),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1;x\r\ni\r\n0\r\na: b\r\n\r\n", "hi", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "", 1),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi", "hi", 2),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", 2),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n", "hi", 2),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nx", "hi", 2),
    ] {
        let (found, opened) = ask_twice(answer).await;
        let shown = String::from_utf8_lossy(answer);
        assert_eq!(found.expect("a body"), body, "{shown}");
        assert_eq!(opened, connections, "{shown}");
    }
}

#[tokio::test]
async fn answers_that_nobody_can_read_end_with_an_error() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi",
        b"220 mail.example ESMTP\r\n\r\n",
    ] {
        let (found, _) = ask_twice(answer).await;
        let error = found.expect_err("no answer");
        assert!(matches!(error, Error::Protocol { sent: true, .. }), "{error:?}");
    }
    let (found, _) = ask_twice(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(17).leak()).await;
    assert!(matches!(found, Err(Error::TooLarge(_))), "{found:?}");
}

#[tokio::test]
async fn a_body_ends_with_its_connection_only_where_that_is_its_end() {
    for (answer, whole) in [
        (&b"HTTP/1.1 200 OK\r\n\r\nhello"[..], true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", false),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
    ] {
        let (url, _) = server(move |mut tcp| async move {
            read_head(&mut tcp).await.expect("a head");
            tcp.write_all(answer).await.expect("is written");
        })
        .await;
        let answer = send(&egress(), get(&url)).await.expect("a head");
        let body = answer.into_body().collect().await.map(|body| body.to_bytes());
        match (body, whole) {
            (Ok(body), true) => assert_eq!(body, "hello"),
            (Err(Error::Protocol { sent: true, .. }), false) => {}
            (body, _) => panic!("{body:?}"),
        }
    }
}

#[tokio::test]
async fn a_large_answer_comes_whole_in_every_framing() {
    let large: &'static [u8] = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().leak();
    let plain = ["HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".as_bytes(), large].concat();
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in large.chunks(70_001) {
        chunked.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for answer in [plain, chunked] {
        let (found, connections) = ask_twice(answer.leak()).await;
        assert!(found.expect("a body") == large);
        assert_eq!(connections, 1);
    }
}

/// A request whose body comes in pieces, and where these are given.
fn streamed(url: &str) -> (tokio::sync::mpsc::Sender<Bytes>, Request<Outgoing>) {
    let (give, pieces) = tokio::sync::mpsc::channel::<Bytes>(1);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(piece)), pieces))
    });
    let body = Outgoing::stream(StreamBody::new(pieces.boxed()));
    (give, Request::post(url).body(body).expect("a request"))
}

#[tokio::test]
async fn both_directions_go_on_at_a_time() {
    // It answers at once, and every piece with the same piece.
    let (url, _) = server(|mut tcp| async move {
        let head = read_head(&mut tcp).await.expect("a head");
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        tcp.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.expect("is written");
        let (mut reader, mut writer) = tcp.split();
        tokio::io::copy(&mut reader, &mut writer).await.expect("is copied");
    })
    .await;
    let (give, request) = streamed(&url);
    let egress = egress();
    let upstream = egress.upstream(&url.parse().expect("a URI")).expect("allowed");
    let answer =
        timeout(PATIENCE, egress.send(&upstream, request, Limits::default())).await.expect("in time");
    let mut body = answer.expect("a head").into_body();
    for size in [1, 70_000, 3] {
        let sent = Bytes::from(vec![b'x'; size]);
        give.send(sent.clone()).await.expect("is taken");
        let mut found = Vec::new();
        while found.len() < size {
            let frame =
                timeout(PATIENCE, body.frame()).await.expect("in time").expect("a frame").expect("whole");
            found.extend_from_slice(frame.data_ref().expect("data"));
        }
        assert!(found == sent);
    }
    drop(give);
    assert!(timeout(PATIENCE, body.frame()).await.expect("in time").is_none());
    assert_eq!(upstream.idle_connections(), 1);
}

#[tokio::test]
async fn a_refusal_is_heard_although_the_body_was_not_taken() {
    let (url, _) = server(|mut tcp| async move {
        read_head(&mut tcp).await.expect("a head");
        tcp.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!").await.expect("is written");
        // None of it is read.
        std::future::pending::<()>().await;
    })
    .await;
    let body = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
    let request = Request::post(&url).body(body).expect("a request");
    let egress = egress();
    let upstream = egress.upstream(request.uri()).expect("allowed");
    let sending = egress.send(&upstream, request.map(Outgoing::whole), Limits::default());
    let answer = timeout(PATIENCE, sending).await.expect("in time").expect("an answer");
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "no!");
    assert_eq!(upstream.idle_connections(), 0);
}

#[tokio::test]
async fn a_body_goes_on_after_an_early_answer() {
    let (url, connections) = server(|mut tcp| async move {
        read_head(&mut tcp).await.expect("a head");
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("is written");
        let mut took = Vec::new();
        while !took.ends_with(b"\r\n0\r\n\r\n") {
            took.push(tcp.read_u8().await.expect("the body goes on"));
        }
        let count = took.iter().filter(|byte| **byte == b'x').count();
        read_head(&mut tcp).await.expect("another head");
        let answer = format!("HTTP/1.1 200 OK\r\nx-took: {count}\r\ncontent-length: 0\r\n\r\n");
        tcp.write_all(answer.as_bytes()).await.expect("is written");
    })
    .await;
    let egress = egress();
    let upstream = egress.upstream(&url.parse().expect("a URI")).expect("allowed");
    let (give, request) = streamed(&url);
    let sending = egress.send(&upstream, request, Limits::default());
    let answer = timeout(PATIENCE, sending).await.expect("in time").expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "ok");
    // The body comes when its answer was read and is gone.
    for _ in 0..100 {
        give.send(Bytes::from(vec![b'x'; 1_000])).await.expect("is taken");
    }
    drop(give);
    let back = async {
        while upstream.idle_connections() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, back).await.expect("the connection comes back");
    let again = egress.send(&upstream, get(&url).map(Outgoing::whole), Limits::default());
    let answer = timeout(PATIENCE, again).await.expect("in time").expect("an answer");
    assert_eq!(answer.headers()["x-took"], "100000");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_goes_out_whole_in_small_steps() {
    // It reads a few bytes at a time, so that the connection is full most of the time.
    let (url, _) = server(|mut tcp| async move {
        let head = read_head(&mut tcp).await.expect("a head");
        let is_long = head.contains("\r\ncontent-length: 3000000\r\n");
        let (mut left, mut sum) = (3_000_000, 0_u64);
        let mut room = vec![0; 9_999];
        while left > 0 {
            let read = tcp.read(&mut room).await.expect("is read");
            sum += room[..read].iter().map(|byte| u64::from(*byte)).sum::<u64>();
            left -= read;
        }
        let text = format!("{is_long} {sum}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        tcp.write_all(answer.as_bytes()).await.expect("is written");
    })
    .await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    let request = Request::put(&url).body(Bytes::from(body)).expect("a request");
    let answer = timeout(PATIENCE, send(&egress(), request)).await.expect("in time").expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), format!("true {sum}"));
}
