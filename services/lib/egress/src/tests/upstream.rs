//! Connections that are kept: used again, kept apart, and closed in time.

use http_body_util::BodyExt;

use super::*;

#[tokio::test]
async fn connections_are_used_again_but_not_by_another_upstream() {
    let server = Server::always(OK).await;
    let egress = egress();
    let uri = server.url("/").parse().expect("a URI");
    let (one, other) = (egress.upstream(&uri).expect("allowed"), egress.upstream(&uri).expect("allowed"));
    for _ in 0..5 {
        let request = get(&server.url("/")).map(Outgoing::whole);
        let answer = egress.send(&one, request, Limits::default()).await.expect("answers");
        assert_eq!(answer.body().opened().peer(), server.address);
        assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "hello");
        assert_eq!(one.idle_connections(), 1);
        // The connection's own task sees that the answer was read.
        tokio::task::yield_now().await;
    }
    assert_eq!(server.connections(), 1);
    let request = get(&server.url("/")).map(Outgoing::whole);
    egress.send(&other, request, Limits::default()).await.expect("answers");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_whose_answer_was_not_read_is_closed() {
    let server = Server::always(OK).await;
    let egress = egress();
    let upstream = egress.upstream(&server.url("/").parse().expect("a URI")).expect("allowed");
    for count in 1..=3 {
        let request = get(&server.url("/")).map(Outgoing::whole);
        let answer = egress.send(&upstream, request, Limits::default()).await.expect("answers");
        drop(answer);
        assert_eq!((upstream.idle_connections(), server.connections()), (0, count));
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_target_closed_costs_no_call() {
    let server = Server::start(|mut tcp| async move {
        let _ = tcp.write_all(OK.as_bytes()).await;
    })
    .await;
    let egress = egress();
    let upstream = egress.upstream(&server.url("/").parse().expect("a URI")).expect("allowed");
    for count in 1..=20 {
        let request = Request::post("/").body(Outgoing::whole(Bytes::from_static(b"x"))).expect("a request");
        let answer = egress.send(&upstream, request, Limits::default()).await.expect("answers");
        assert!(answer.into_body().collect().await.is_ok());
        assert_eq!(server.connections(), count);
        // The close comes from another task; a request that was taken by nobody may be sent again.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn unused_connections_are_closed_in_time() {
    let server = Server::always(OK).await;
    let egress = Egress::new(&Settings { idle_ms: 100, ..opened() }).expect("sets up");
    let upstream = egress.upstream(&server.url("/").parse().expect("a URI")).expect("allowed");
    let request = get(&server.url("/")).map(Outgoing::whole);
    let answer = egress.send(&upstream, request, Limits::default()).await.expect("answers");
    assert!(answer.into_body().collect().await.is_ok());
    assert_eq!(upstream.idle_connections(), 1);
    let closed = async {
        while upstream.idle_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, closed).await.expect("is closed");
}

#[tokio::test]
async fn an_old_connection_is_not_used_again() {
    let server = Server::always(OK).await;
    let egress = Egress::new(&Settings { age_ms: 0, ..opened() }).expect("sets up");
    let upstream = egress.upstream(&server.url("/").parse().expect("a URI")).expect("allowed");
    for count in 1..=3 {
        let request = get(&server.url("/")).map(Outgoing::whole);
        let answer = egress.send(&upstream, request, Limits::default()).await.expect("answers");
        assert!(answer.into_body().collect().await.is_ok());
        assert_eq!(server.connections(), count);
    }
}

#[tokio::test]
async fn lanes_keep_their_connections_apart() {
    let server = Server::always(OK).await;
    let egress = Egress::new(&Settings { lanes: 2, ..opened() }).expect("sets up");
    let upstream = egress.upstream(&server.url("/").parse().expect("a URI")).expect("allowed");
    for (lane, connections) in [(0, 1), (1, 2), (0, 2), (1, 2), (3, 2)] {
        enter_lane(lane);
        let request = get(&server.url("/")).map(Outgoing::whole);
        let answer = egress.send(&upstream, request, Limits::default()).await.expect("answers");
        assert!(answer.into_body().collect().await.is_ok());
        tokio::task::yield_now().await;
        assert_eq!(server.connections(), connections, "lane {lane}");
    }
    enter_lane(0);
}

#[tokio::test]
async fn a_broken_request_body_is_the_callers_fault() {
    let server = Server::always(OK).await;
    let body = http_body_util::StreamBody::new(Broken(false));
    let request = Request::post("/").body(Outgoing::stream(body)).expect("a request");
    let egress = egress();
    let upstream = egress.upstream(&server.url("/").parse().expect("a URI")).expect("allowed");
    let error = timeout(PATIENCE, egress.send(&upstream, request, Limits::default()))
        .await
        .expect("ends")
        .expect_err("breaks off");
    assert_eq!(
        (error.blame(), error.reason(), error.sent()),
        (Blame::Caller, Reason::BadRequest, true),
        "{error:?}"
    );
}

/// A body that breaks off after its first frame.
struct Broken(bool);

impl futures_util::Stream for Broken {
    type Item = Result<http_body::Frame<Bytes>, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let first = !std::mem::replace(&mut self.0, true);
        let frame = || http_body::Frame::data(Bytes::from_static(b"half"));
        std::task::Poll::Ready(Some(if first { Ok(frame()) } else { Err(std::io::Error::other("gone")) }))
    }
}
