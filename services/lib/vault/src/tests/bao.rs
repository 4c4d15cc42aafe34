//! A real OpenBao in development mode, and a stand-in for what a real one does not do on demand.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::CANARY;
use crate::{Login, VaultSettings};

/// How long the server may take to come up.
const START_MAX: Duration = Duration::from_secs(30);
const POLICY: &str = r#"
path "secret/data/signalbox/*" { capabilities = ["create", "update", "read"] }
path "secret/destroy/signalbox/*" { capabilities = ["update"] }
path "secret/metadata/signalbox/*" { capabilities = ["list", "read", "delete"] }
"#;

/// A server, killed on drop.
pub(super) struct Bao {
    child: Child,
    pub(super) addr: String,
    http: reqwest::Client,
    _home: TempDir,
}

impl Bao {
    /// Starts a server on a free port and waits until it answers.
    #[expect(clippy::disallowed_methods, reason = "the operator of the test's own server is not the house")]
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let program = std::env::var("SIGNALBOX_TEST_BAO")
            .expect("SIGNALBOX_TEST_BAO must be the path of an OpenBao program; tests/run sets it");
        let home = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let child = Command::new(&program)
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={CANARY}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let bao = Self {
            child,
            addr: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::new(),
            _home: home,
        };
        let begin = Instant::now();
        while !bao.is_ready().await {
            assert!(begin.elapsed() < START_MAX, "OpenBao is not ready after {START_MAX:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bao
    }

    async fn is_ready(&self) -> bool {
        let health = self.http.get(format!("{}/v1/sys/health", self.addr)).send().await;
        health.is_ok_and(|answer| answer.status() == 200)
    }

    /// Asks as its operator. Fails on an answer that is an error.
    pub(super) async fn operate(&self, method: &str, path: &str, body: Value) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}/v1/{path}", self.addr));
        let answer = request.header("x-vault-token", CANARY).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Settings with a token.
    pub(super) fn with_token(&self, token: &str) -> VaultSettings {
        VaultSettings::new(&self.addr, Login::Token(Secret::new(token.to_owned())))
    }

    /// Settings with an AppRole that may do what the store needs, and whose tokens live so long, in seconds.
    pub(super) async fn with_role(&self, ttl_secs: u64, max_secs: u64) -> VaultSettings {
        let mounted = self.operate("GET", "sys/auth", Value::Null).await;
        if mounted["data"].get("approle/").is_none() {
            self.operate("POST", "sys/auth/approle", json!({"type": "approle"})).await;
        }
        self.operate("POST", "sys/policies/acl/signalbox", json!({"policy": POLICY})).await;
        let role = json!({"token_policies": ["signalbox"], "token_ttl": ttl_secs, "token_max_ttl": max_secs});
        self.operate("POST", "auth/approle/role/signalbox", role).await;
        let id = self.operate("GET", "auth/approle/role/signalbox/role-id", Value::Null).await;
        let secret = self.operate("POST", "auth/approle/role/signalbox/secret-id", json!({})).await;
        let login = Login::AppRole {
            role_id: id["data"]["role_id"].as_str().unwrap().to_owned(),
            secret_id: Secret::new(secret["data"]["secret_id"].as_str().unwrap().to_owned()),
        };
        VaultSettings::new(&self.addr, login)
    }

    /// The accessors of all tokens but the operator's.
    pub(super) async fn tokens(&self) -> Vec<String> {
        let own = self.operate("GET", "auth/token/lookup-self", Value::Null).await;
        let listed = self.operate("LIST", "auth/token/accessors", Value::Null).await;
        let listed = listed["data"]["keys"].as_array().unwrap().iter();
        listed
            .filter(|accessor| **accessor != own["data"]["accessor"])
            .map(|accessor| accessor.as_str().unwrap().to_owned())
            .collect()
    }

    /// Revokes all tokens but the operator's.
    pub(super) async fn revoke_tokens(&self) {
        for accessor in self.tokens().await {
            self.operate("POST", "auth/token/revoke-accessor", json!({"accessor": accessor})).await;
        }
    }

    /// Freezes the server, or lets it go on.
    pub(super) fn freeze(&self, frozen: bool) {
        let signal = if frozen { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills the server and waits for its end.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A vault that takes any token and gives one answer to everything else, with the canary in its body.
pub(super) async fn stand_in(status: u16, body: Value) -> VaultSettings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut chunk = [0; 1024];
                match stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => head.extend(&chunk[..read]),
                }
            }
            let looked_up = String::from_utf8_lossy(&head).contains("/lookup-self");
            let (status, body) = if looked_up { (200, looked_up_body()) } else { (status, body.to_string()) };
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    VaultSettings::new(addr, Login::Token(Secret::new(CANARY.to_owned())))
}

fn looked_up_body() -> String {
    let data = json!({
        "accessor": "a", "creation_time": 1, "creation_ttl": 0, "display_name": "root", "entity_id": "",
        "expire_time": null, "explicit_max_ttl": 0, "id": CANARY, "meta": null, "num_uses": 0, "orphan": true,
        "path": "auth/token/root", "policies": ["root"], "renewable": false, "ttl": 0
    });
    answer(&data).to_string()
}

/// The frame of an answer.
pub(super) fn answer(data: &Value) -> Value {
    json!({
        "request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data,
        "wrap_info": null, "warnings": null, "auth": null
    })
}
