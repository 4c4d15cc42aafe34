//! Where HashiCorp Vault or OpenBao is, and how we log in.

use std::time::Duration;

use model::Secret;
use url::Url;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};

use crate::Error;

/// Where HashiCorp Vault or OpenBao is, and how we log in. `Debug` shows no credential.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// Its address: `https://vault.example.com:8200`. Certificates beyond the system's come from `VAULT_CACERT`.
    pub addr: String,
    /// The mount of a KV engine, version 2. `secret` where nothing else was set up.
    pub mount: String,
    /// The first part of every path there: `signalbox` gives `signalbox/keys/<key-id>`. May hold slashes.
    pub prefix: String,
    /// How we log in.
    pub login: Login,
    /// How long one request may take, in milliseconds. At least 1.
    pub timeout_ms: u64,
}

/// How we log in.
#[derive(Clone, Debug)]
pub enum Login {
    /// With a token somebody made. It is renewed as long as its maximum allows; then a new one is needed.
    Token(Secret),
    /// With an AppRole at `auth/approle`: a new token is fetched whenever one ends.
    AppRole {
        /// The role's id.
        role_id: String,
        /// The secret that goes with it.
        secret_id: Secret,
    },
}

impl VaultSettings {
    /// Settings with the usual mount, prefix and a timeout of 5 seconds.
    pub fn new(addr: impl Into<String>, login: Login) -> Self {
        Self {
            addr: addr.into(),
            mount: "secret".to_owned(),
            prefix: "signalbox".to_owned(),
            login,
            timeout_ms: 5_000,
        }
    }

    /// Refuses what can never work, in words that name the setting.
    pub(crate) fn checked(&self) -> Result<(), Error> {
        let url = Url::parse(&self.addr).map_err(|_| Error::Setting("VAULT_ADDR is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Error::Setting("VAULT_ADDR must begin with http:// or https:// and name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(Error::Setting("VAULT_ADDR must hold no credential and no query"));
        }
        if !are_segments(&self.mount) || !are_segments(&self.prefix) {
            return Err(Error::Setting("the vault's mount and prefix must be of A-Z a-z 0-9 _ - and `/`"));
        }
        if self.timeout_ms == 0 {
            return Err(Error::Setting("the vault's timeout must be at least 1 ms"));
        }
        let token = match &self.login {
            Login::Token(token) => token.expose(),
            Login::AppRole { .. } => return Ok(()),
        };
        // The client library panics on a token that fits no header.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Setting("VAULT_TOKEN must be visible ASCII characters without spaces"));
        }
        Ok(())
    }

    /// A client with this token. Only for settings that are [`checked`](Self::checked).
    pub(crate) fn client(&self, token: &str) -> Result<VaultClient, Error> {
        let settings = VaultClientSettingsBuilder::default()
            .address(&self.addr)
            .token(token)
            .timeout(Some(Duration::from_millis(self.timeout_ms)))
            .verify(true)
            .identity(None)
            .namespace(std::env::var("VAULT_NAMESPACE").ok())
            .build()
            .map_err(|_| Error::Setting("the vault's settings cannot be used"))?;
        VaultClient::new(settings)
            .map_err(|_| Error::Setting("no connection to the vault can be prepared: look at VAULT_CACERT"))
    }
}

fn are_segments(text: &str) -> bool {
    text.split('/').all(|part| {
        !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut VaultSettings), says: &str) {
        let login = Login::Token(Secret::new("token".to_owned()));
        let mut settings = VaultSettings::new("http://127.0.0.1:8200", login);
        settings.checked().expect("they are right before the change");
        change(&mut settings);
        let text = settings.checked().unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
        assert!(!format!("{settings:?}").contains("bad token"), "Debug shows no credential");
    }

    #[test]
    fn a_wrong_setting_is_named() {
        check(|s| s.addr = "vault".to_owned(), "VAULT_ADDR is not a URL");
        check(|s| s.addr = "ftp://vault".to_owned(), "http:// or https://");
        check(|s| s.addr = "https://a:b@vault".to_owned(), "no credential");
        check(|s| s.addr = "https://vault?a=b".to_owned(), "no query");
        check(|s| s.mount = String::new(), "mount and prefix");
        check(|s| s.prefix = "a/../b".to_owned(), "mount and prefix");
        check(|s| s.timeout_ms = 0, "timeout");
        check(|s| s.login = Login::Token(Secret::new(String::new())), "VAULT_TOKEN");
        check(|s| s.login = Login::Token(Secret::new("bad token\n".to_owned())), "VAULT_TOKEN");
    }
}
