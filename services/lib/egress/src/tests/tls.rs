//! TLS: names are verified, further authorities can be given, HTTP/2 is chosen where the target speaks it.

use std::convert::Infallible;
use std::io::Write;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use http_body_util::Full;

use super::*;

/// A server with a certificate of its own authority, and the file that makes it known.
struct Secure {
    port: u16,
    roots: tempfile::NamedTempFile,
    connections: Arc<AtomicUsize>,
}

impl Secure {
    async fn start(alpn: &[&str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("params");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"))
            .expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["secure.example.com".to_owned()]).expect("params");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let mut roots = tempfile::NamedTempFile::new().expect("a file");
        roots.write_all(authority.pem().as_bytes()).expect("writes");

        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .expect("a config");
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                        let host = request.uri().host().map(str::to_owned);
                        let said = format!("{:?} {} {host:?}", request.version(), request.uri().path());
                        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(said))))
                    });
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(tls), service)
                        .await;
                });
            }
        });
        Self { port, roots, connections }
    }

    fn egress(&self) -> Egress {
        let settings = Settings { extra_roots: Some(self.roots.path().to_owned()), ..opened() };
        scripted(&settings, &[&["127.0.0.1"]])
    }

    fn request(&self, host: &str) -> Request<Bytes> {
        get(&format!("https://{host}:{}/path", self.port))
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_the_target_speaks_it() {
    let server = Secure::start(&["h2", "http/1.1"]).await;
    let egress = server.egress();
    let answer =
        egress.fetch(server.request("secure.example.com"), FetchLimits::default()).await.expect("answers");
    assert_eq!(answer.body, "HTTP/2.0 /path Some(\"secure.example.com\")");
    assert!(answer.phases.tls_ms.is_some());
    let upstream = egress.upstream(server.request("secure.example.com").uri()).expect("allowed");
    for _ in 0..5 {
        let request = server.request("secure.example.com").map(Outgoing::whole);
        let answer = egress.send(&upstream, request, Limits::default()).await.expect("answers");
        assert_eq!(answer.version(), http::Version::HTTP_2);
        assert!(answer.into_body().collect().await.is_ok());
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn http_1_is_spoken_otherwise() {
    for alpn in [&["http/1.1"][..], &[]] {
        let server = Secure::start(alpn).await;
        let answer =
            server.egress().fetch(server.request("secure.example.com"), FetchLimits::default()).await;
        assert_eq!(answer.expect("answers").body, "HTTP/1.1 /path None");
        let answer = send(&server.egress(), server.request("secure.example.com")).await;
        assert_eq!(answer.expect("answers").version(), http::Version::HTTP_11);
    }
}

#[tokio::test]
async fn a_wrong_name_and_an_unknown_authority_are_refused() {
    let server = Secure::start(&["h2"]).await;
    let wrong_name = server.egress().fetch(server.request("other.example.com"), FetchLimits::default()).await;
    let unknown = scripted(&opened(), &[&["127.0.0.1"]]);
    let unknown = unknown.fetch(server.request("secure.example.com"), FetchLimits::default()).await;
    for failure in [wrong_name.expect_err("is refused"), unknown.expect_err("is refused")] {
        assert!(matches!(failure.error, Error::Tls { .. }), "{failure:?}");
        assert_eq!((failure.error.reason(), failure.error.sent()), (Reason::Unreachable, false));
    }
}

#[tokio::test]
async fn a_target_that_never_shakes_hands_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("https://127.0.0.1:{}/", listener.local_addr().expect("has an address").port());
    let failure = egress().fetch(get(&url), quick()).await.expect_err("is cut");
    assert!(matches!(failure.error, Error::Timeout { phase: Phase::Tls, sent: false, .. }), "{failure:?}");
    assert_eq!(failure.error.reason(), Reason::Unreachable);
}

#[test]
fn a_file_without_certificates_is_an_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let settings = Settings { extra_roots: Some(file.path().to_owned()), ..Settings::default() };
    let error = Egress::new(&settings).expect_err("holds none");
    assert!(error.to_string().contains("holds no certificate"), "{error}");
}
