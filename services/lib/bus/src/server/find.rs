//! Finds the server's program and asks for its version.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::ServerError;

/// How long `--version` may take.
const VERSION_WAIT: Duration = Duration::from_secs(10);
/// Where `deploy/quickstart` puts one, below the data directory.
const INSTALLED: &str = "tools/nats/bin/nats-server";

/// Finds nats-server: the one named explicitly, else on the PATH, else the one that quickstart installed.
///
/// # Errors
/// [`ServerError::NotFound`] says where it was looked for and how to get one.
pub fn find_server(explicit: Option<&Path>, data_dir: &Path) -> Result<PathBuf, ServerError> {
    let found = |path: &Path| path.is_file().then(|| path.to_path_buf());
    if let Some(path) = explicit {
        return found(path).ok_or_else(|| ServerError::NotFound { looked: format!("`{}`", path.display()) });
    }
    let on_path = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).find_map(|folder| found(&folder.join("nats-server"))));
    let installed = data_dir.join(INSTALLED);
    on_path
        .or_else(|| found(&installed))
        .ok_or_else(|| ServerError::NotFound { looked: format!("the PATH and `{}`", installed.display()) })
}

/// Asks a program for its version and compares.
///
/// # Errors
/// [`ServerError::NotAServer`] and [`ServerError::TooOld`].
pub async fn server_version(binary: &Path, wanted: (u32, u32)) -> Result<String, ServerError> {
    let name = binary.display().to_string();
    let not = |detail: String| ServerError::NotAServer { binary: name.clone(), detail };
    let mut command = tokio::process::Command::new(binary);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_WAIT, command.output())
        .await
        .map_err(|_| not("it does not answer `--version`".to_owned()))?
        .map_err(|error| not(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or("").trim();
    let parsed = line.strip_prefix("nats-server: v").and_then(|version| Some((version, parse(version)?)));
    let Some((version, numbers)) = parsed else {
        let said: String = line.chars().take(120).collect();
        return Err(not(format!("`--version` says `{said}`")));
    };
    if numbers < wanted {
        let wanted = format!("{}.{}", wanted.0, wanted.1);
        return Err(ServerError::TooOld { binary: name, found: version.to_owned(), wanted });
    }
    Ok(version.to_owned())
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
