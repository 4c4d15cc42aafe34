//! The lock on the data directory. The child inherits it as its standard input, so a server that outlives its
//! parent for a moment still holds it, and no second server can open the same store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::ServerError;

/// How long a predecessor that is just ending is waited for.
const WAIT: Duration = Duration::from_secs(2);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Takes the lock and writes this process's id into it.
pub(super) async fn take(path: &Path, data_dir: &Path) -> Result<File, ServerError> {
    let failed = |error: std::io::Error| ServerError::File {
        action: "lock",
        path: path.display().to_string(),
        detail: error.to_string(),
    };
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = opened.map_err(failed)?;
    let deadline = Instant::now() + WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let said = file.read_to_string(&mut holder).is_ok();
                let digits = !holder.is_empty() && holder.bytes().all(|c| c.is_ascii_digit());
                let holder = (said && digits).then_some(holder);
                return Err(ServerError::InUse { data_dir: data_dir.display().to_string(), holder });
            }
        }
    }
    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())
    };
    note(&mut file).map_err(failed)?;
    Ok(file)
}
