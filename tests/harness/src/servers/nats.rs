//! A nats-server as an operator would run one: JetStream on disk, TLS of an authority of its own, and clients that
//! must log in.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bus::Login;
use model::Secret;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as TlsKey};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{free_port, nats_jwt};
use crate::until;

/// A snapshot of the configuration must fit.
const MAX_PAYLOAD: &str = "8MB";
const TOKEN: &str = "token-of-a-test-0123456789abcdef";

/// Whom the server lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// One nkey.
    Nkey,
    /// One token.
    Token,
    /// Users of an account of an operator, by their credentials files.
    Creds,
    /// Whoever has a certificate of the authority.
    Certificate,
}

/// A running server.
pub struct Nats {
    child: Child,
    home: TempDir,
    gate: Gate,
    nkey: KeyPair,
    /// Its address, as `NATS_URL` has it.
    pub url: String,
}

impl Nats {
    /// Starts one and waits until it takes connections.
    pub async fn start(gate: Gate) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let program = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER")
            .expect("SIGNALBOX_TEST_NATS_SERVER names a nats-server; ./tests/run sets it");
        let home = tempfile::tempdir().expect("a temporary directory");
        let (port, nkey) = (free_port(), KeyPair::new_user());
        certificates(home.path());
        let file = home.path().join("nats.conf");
        std::fs::write(&file, configuration(gate, port, home.path(), &nkey)).expect("it is written");
        let child = Command::new(program)
            .arg("--config")
            .arg(&file)
            .arg("--log")
            .arg(home.path().join("log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        let nats = Self { child, home, gate, nkey, url: format!("tls://127.0.0.1:{port}") };
        until("nats-server takes connections", || async {
            TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
        nats
    }

    /// A file of its directory: `ca.pem`, `client.pem`, `client.key`, `user.creds`, `log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn seed(&self) -> String {
        self.nkey.seed().expect("a key that was made has its seed")
    }

    /// What a role needs in its environment to log in.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.file(name).display().to_string();
        let mut environment = vec![("NATS_URL", self.url.clone()), ("NATS_CA", file("ca.pem"))];
        match self.gate {
            Gate::Nkey => environment.push(("NATS_NKEY_SEED", self.seed())),
            Gate::Token => environment.push(("NATS_TOKEN", TOKEN.to_owned())),
            Gate::Creds => environment.push(("NATS_CREDS", file("user.creds"))),
            Gate::Certificate => {
                environment.extend([("NATS_CERT", file("client.pem")), ("NATS_KEY", file("client.key"))]);
            }
        }
        environment
    }

    /// How this process reaches it.
    pub fn settings(&self) -> bus::Settings {
        let cert =
            (self.gate == Gate::Certificate).then(|| (self.file("client.pem"), self.file("client.key")));
        bus::Settings {
            url: self.url.clone(),
            login: match self.gate {
                Gate::Nkey => Login::Nkey(Secret::new(self.seed())),
                Gate::Token => Login::Token(Secret::new(TOKEN.to_owned())),
                Gate::Creds => Login::Creds(self.file("user.creds")),
                Gate::Certificate => Login::None,
            },
            ca: Some(self.file("ca.pem")),
            cert,
            name: "tests/1".to_owned(),
            replicas: 1,
        }
    }
}

fn configuration(gate: Gate, port: u16, home: &Path, nkey: &KeyPair) -> String {
    let file = |name: &str| home.join(name).display().to_string();
    let logins = match gate {
        Gate::Nkey => format!("authorization {{ users: [ {{ nkey: {} }} ] }}", nkey.public_key()),
        Gate::Token => format!("authorization {{ token: \"{TOKEN}\" }}"),
        Gate::Creds => nats_jwt::operator(&home.join("user.creds"), nkey),
        Gate::Certificate => String::new(),
    };
    format!(
        "server_name: test\nlisten: \"127.0.0.1:{port}\"\nmax_payload: {MAX_PAYLOAD}\n\
         jetstream {{ store_dir: \"{}\" }}\n\
         tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: {} }}\n{logins}\n",
        file("store"),
        file("server.pem"),
        file("server.key"),
        file("ca.pem"),
        gate == Gate::Certificate,
    )
}

/// An authority, and certificates of it for the server and for a client.
fn certificates(home: &Path) {
    let write = |name: &str, text: String| std::fs::write(home.join(name), text).expect("it is written");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, TlsKey::generate().expect("a key")).expect("an authority");
    write("ca.pem", authority.pem());
    for name in ["server", "client"] {
        let key = TlsKey::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let parameters = CertificateParams::new(names).expect("parameters");
        let certificate = parameters.signed_by(&key, &authority).expect("a certificate");
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
