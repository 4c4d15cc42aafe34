//! The files of the supervised server: its configuration, password, store, log.
//!
//! Everything is below `<data-dir>/nats` with modes that only this user can read. The password is made once
//! and kept, so that whoever was connected can connect again after a restart.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::Secret;
use rand::RngCore;

use super::ServerError;
use super::guest::{GUEST, permissions};

/// The user of the supervised server that may do everything.
pub(super) const USER: &str = "signalbox";
/// Length of the password in random bytes; it is written in hexadecimal digits.
const PASSWORD_BYTES: usize = 32;
/// The largest message: a snapshot of the configuration must fit.
const MAX_PAYLOAD: &str = "8MB";
/// When the log begins anew, and how many old ones are kept.
const LOG_LIMIT: &str = "10MB";
const LOG_FILES: u32 = 3;

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// Held while a server or its supervisor lives.
    pub lock: PathBuf,
    /// What the server reads.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// What it says before it has a log.
    pub stderr: PathBuf,
    /// Where it writes its ports.
    pub ports: PathBuf,
    store: PathBuf,
    password: PathBuf,
}

impl Files {
    /// Makes the directories.
    pub(super) fn prepare(data_dir: &Path) -> Result<Self, ServerError> {
        let make = |path: &Path| {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed("create", path, &e))
        };
        make(data_dir)?;
        // The server's configuration wants paths that do not depend on where it was started.
        let base = data_dir.canonicalize().map_err(|e| failed("read", data_dir, &e))?.join("nats");
        let files = Self {
            lock: base.join("lock"),
            config: base.join("nats-server.conf"),
            log: base.join("nats-server.log"),
            stderr: base.join("nats-server.err"),
            ports: base.join("ports"),
            store: base.join("store"),
            password: base.join("password"),
        };
        make(&base)?;
        make(&files.store)?;
        make(&files.ports)?;
        Ok(files)
    }

    /// The password: the one of last time, or a new one.
    pub(super) fn password(&self) -> Result<Secret, ServerError> {
        if let Ok(text) = std::fs::read_to_string(&self.password) {
            let good = text.len() == 2 * PASSWORD_BYTES && text.bytes().all(|c| c.is_ascii_hexdigit());
            if good {
                return Ok(Secret::new(text));
            }
        }
        let mut bytes = [0_u8; PASSWORD_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(&self.password, &text)?;
        Ok(Secret::new(text))
    }

    /// Writes the configuration. Port 0 lets the server choose.
    pub(super) fn write_config(&self, port: u16, password: &Secret, guests: bool) -> Result<(), ServerError> {
        let port = if port == 0 { "-1".to_owned() } else { port.to_string() };
        // A guest has a password that nobody knows: only clients that name nobody become one.
        let guest = format!(
            ", {{ user: {GUEST}, password: \"{}\", permissions: {{ {} }} }}",
            password.expose(),
            permissions()
        );
        let (guest, open) =
            if guests { (guest, format!("no_auth_user: {GUEST}\n")) } else { Default::default() };
        let (store, log, ports) = (quoted(&self.store)?, quoted(&self.log)?, quoted(&self.ports)?);
        let text = format!(
            "# Written by signalbox at every start; changes are lost.\n\
             server_name: signalbox\n\
             listen: \"127.0.0.1:{port}\"\n\
             http: \"127.0.0.1:-1\"\n\
             ports_file_dir: {ports}\n\
             max_payload: {MAX_PAYLOAD}\n\
             log_file: {log}\n\
             logfile_size_limit: {LOG_LIMIT}\n\
             logfile_max_num: {LOG_FILES}\n\
             authorization {{ users: [ {{ user: {USER}, password: \"{0}\" }}{guest} ] }}\n\
             {open}\
             jetstream {{ store_dir: {store}, sync_interval: always }}\n",
            password.expose()
        );
        write_private(&self.config, &text)
    }

    /// The last lines that say why the server ended, from its log and what it said before it had one.
    pub(super) fn last_words(&self) -> String {
        let fatal = |path: &Path| {
            let text = tail(path);
            let line = text.lines().rev().find(|line| line.contains("[FTL]"));
            line.and_then(|line| line.split_once("[FTL]")).map(|(_, words)| words.trim().to_owned())
        };
        let plain =
            || tail(&self.stderr).lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
        fatal(&self.log)
            .or_else(|| fatal(&self.stderr))
            .or_else(plain)
            .unwrap_or_else(|| format!("it says nothing; its log is `{}`", self.log.display()))
    }

    /// Forgets what a run before this one said.
    pub(super) fn forget_last_words(&self) {
        // What cannot be removed was never there, or is written over.
        let _ = std::fs::remove_file(&self.log);
        let _ = std::fs::remove_file(&self.stderr);
    }
}

/// The end of a file, at most 16 KiB of it.
fn tail(path: &Path) -> String {
    const TAIL_BYTES: usize = 16 * 1024;
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned()
}

/// A path as the configuration's strings have it.
fn quoted(path: &Path) -> Result<String, ServerError> {
    let refused = |detail: &str| ServerError::File {
        action: "use",
        path: path.display().to_string(),
        detail: detail.to_owned(),
    };
    let text = path.to_str().ok_or_else(|| refused("the path is not UTF-8"))?;
    if text.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(refused("the path has quotes, backslashes or control characters"));
    }
    Ok(format!("\"{text}\""))
}

/// Writes a file that only this user can read, as a whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<(), ServerError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|error| failed("write", path, &error))
}

pub(super) fn failed(action: &'static str, path: &Path, error: &std::io::Error) -> ServerError {
    ServerError::File { action, path: path.display().to_string(), detail: error.to_string() }
}
