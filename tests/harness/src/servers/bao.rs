//! OpenBao with the configuration of `deploy/openbao`: it sets itself up and unseals itself; only its storage is
//! in memory here, so that it need not elect itself first.

use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::free_port;
use crate::until;

const CONFIGURATION: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/openbao/openbao.hcl"));
const SEAL_KEY_BYTES: usize = 32;
/// As in `deploy/compose.yaml`.
const ROLE: &str = "signalbox";
const SECRET: &str = "secret-id-of-a-test-0123456789abcdef";

/// A server with a KV v2 mount, a policy and an AppRole for Signalbox.
pub struct Bao {
    child: Child,
    _home: TempDir,
    /// Its address, as `VAULT_ADDR` has it.
    pub addr: String,
}

impl Bao {
    /// Starts one and waits until its AppRole can be used.
    pub async fn start() -> Self {
        let bao = Self::spawn(CONFIGURATION);
        let http = reqwest::Client::builder().no_proxy().build().expect("a plain client");
        let login = format!("{}/v1/auth/approle/login", bao.addr);
        let body = json!({"role_id": ROLE, "secret_id": SECRET});
        until("OpenBao lets Signalbox in", || async {
            let answer = http.post(&login).json(&body).send().await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
        bao
    }

    /// Starts one that nobody has set up: it is sealed and stays so.
    pub async fn sealed() -> Self {
        let (head, rest) = CONFIGURATION.split_once("seal \"static\"").expect("it has a seal");
        assert!(rest.contains("initialize"), "what follows sets it up");
        let bao = Self::spawn(head);
        let http = reqwest::Client::builder().no_proxy().build().expect("a plain client");
        let health = format!("{}/v1/sys/health", bao.addr);
        until("OpenBao answers that it is not open", || async {
            let status = http.get(&health).send().await.ok()?.status().as_u16();
            [501, 503].contains(&status).then_some(())
        })
        .await;
        bao
    }

    fn spawn(configuration: &str) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let program = std::env::var("SIGNALBOX_TEST_BAO")
            .expect("SIGNALBOX_TEST_BAO must be the path of an OpenBao program; tests/run sets it");
        let home = tempfile::tempdir().expect("a temporary directory");
        let seal = home.path().join("seal-key");
        std::fs::write(&seal, [7; SEAL_KEY_BYTES]).expect("the key is written");
        let (port, cluster) = (free_port(), free_port());
        let mut text = in_memory(configuration);
        for (theirs, ours) in [
            ("0.0.0.0:8200", format!("127.0.0.1:{port}")),
            ("openbao:8200", format!("127.0.0.1:{port}")),
            ("openbao:8201", format!("127.0.0.1:{cluster}")),
            ("/run/secrets/openbao-seal-key", seal.display().to_string()),
        ] {
            text = text.replace(theirs, &ours);
        }
        let file = home.path().join("openbao.hcl");
        std::fs::write(&file, text).expect("the configuration is written");
        let child = Command::new(&program)
            .arg("server")
            .arg(format!("-config={}", file.display()))
            .env("HOME", home.path())
            .env("SIGNALBOX_VAULT_SECRET_ID", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        Self { child, _home: home, addr: format!("http://127.0.0.1:{port}") }
    }

    /// What a role needs in its environment to log in.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("VAULT_ADDR", self.addr.clone()),
            ("VAULT_ROLE_ID", ROLE.to_owned()),
            ("VAULT_SECRET_ID", SECRET.to_owned()),
        ]
    }
}

/// The configuration with `storage "inmem"` for `storage "raft"`.
fn in_memory(configuration: &str) -> String {
    let (before, after) = configuration.split_once("storage \"raft\" {").expect("it says where it stores");
    let (_, after) = after.split_once('}').expect("the block ends");
    format!("{before}storage \"inmem\" {{}}{after}")
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
