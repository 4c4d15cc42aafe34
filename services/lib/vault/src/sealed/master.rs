//! The master key and the file that holds it.
//!
//! The file is made once, whole and on disk before it is used, and never written again. It is refused when
//! anybody but its owner could have read or replaced it. Losing it loses every key: it belongs into another
//! backup than the database.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::Error;

const MAGIC: &str = "signalbox-master-key-v1";
/// Longer than any master key file, in bytes.
const FILE_BYTES_MAX: usize = 512;
/// Read and write for the owner: the widest mode that is accepted.
const MODE_MAX: u32 = 0o600;

/// The key that wraps data keys, with its own id and that of the store it was made for.
pub(crate) struct MasterKey {
    store_id: [u8; 16],
    kek_id: [u8; 16],
    key: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    /// A new key for a new store.
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut made = Self { store_id: [0; 16], kek_id: [0; 16], key: Zeroizing::new([0; 32]) };
        for bytes in [&mut made.store_id[..], &mut made.kek_id[..], &mut made.key[..]] {
            getrandom::fill(bytes).map_err(|_| Error::Random)?;
        }
        Ok(made)
    }

    /// Reads the file. `None`: there is none.
    pub(crate) fn load(file: &Path) -> Result<Option<Self>, Error> {
        let refuse = |why: String| Error::KeyFile { file: file.to_owned(), why };
        // Without following a link, and without waiting for a pipe's other end.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
        let mut opened = match OpenOptions::new().read(true).custom_flags(flags).open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(refuse("is a symbolic link: give the file itself".to_owned()));
            }
            Err(error) => return Err(refuse(format!("cannot be opened: {error}"))),
        };
        let meta = opened.metadata().map_err(|error| refuse(format!("cannot be examined: {error}")))?;
        if !meta.is_file() {
            return Err(refuse("is not a file".to_owned()));
        }
        owned_by_us(meta.uid(), rustix::process::geteuid().as_raw()).map_err(refuse)?;
        let mode = meta.mode() & 0o7777;
        if mode & !MODE_MAX != 0 {
            return Err(refuse(format!("has mode {mode:04o}: set it to 0600 (chmod 600)")));
        }
        guarded_folder(file)?;

        let mut text = Zeroizing::new(vec![0; FILE_BYTES_MAX]);
        let mut filled = 0;
        while filled < text.len() {
            match opened.read(&mut text[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(refuse(format!("cannot be read: {error}"))),
            }
        }
        let parsed = std::str::from_utf8(&text[..filled]).ok().and_then(Self::parse);
        parsed.map(Some).ok_or_else(|| refuse("is not a master key: restore it from its backup".to_owned()))
    }

    /// Writes the file, with its folder if there is none. It appears whole or not at all, and is on disk then.
    pub(crate) fn save(&self, file: &Path) -> Result<(), Error> {
        let refuse = |doing: &str, error: &std::io::Error| Error::KeyFile {
            file: file.to_owned(),
            why: format!("cannot be {doing}: {error}"),
        };
        let folder = folder_of(file);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| refuse("made, nor its folder", &error))?;
        guarded_folder(file)?;

        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| Error::Random)?;
        let beside = folder.join(format!(".master-key-{}", hex::encode(random)));
        let written = self.write(&beside);
        // A link, because a rename would replace a file that another process has just made.
        let made = written.and_then(|()| std::fs::hard_link(&beside, file));
        // Left behind only if it was never made; then there is nothing to remove.
        let _ = std::fs::remove_file(&beside);
        made.map_err(|error| refuse("made", &error))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| refuse("brought to disk", &error))
    }

    fn write(&self, file: &Path) -> std::io::Result<()> {
        let mut made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE_MAX)
            .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed())
            .open(file)?;
        made.write_all(self.text().as_bytes())?;
        made.sync_all()
    }

    fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
        let (store, kek) = (hex::encode(self.store_id), hex::encode(self.kek_id));
        for part in [MAGIC, "\nstore ", &store, "\nkek ", &kek, "\nkey "] {
            text.push_str(part);
        }
        BASE64.encode_string(&self.key[..], &mut text);
        text.push('\n');
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != MAGIC {
            return None;
        }
        let mut made = Self { store_id: [0; 16], kek_id: [0; 16], key: Zeroizing::new([0; 32]) };
        hex::decode_to_slice(lines.next()?.strip_prefix("store ")?, &mut made.store_id).ok()?;
        hex::decode_to_slice(lines.next()?.strip_prefix("kek ")?, &mut made.kek_id).ok()?;
        // The decoder wants room for whole groups of three.
        let mut key = Zeroizing::new([0; 33]);
        let decoded = BASE64.decode_slice(lines.next()?.strip_prefix("key ")?, &mut key[..]).ok()?;
        if decoded != made.key.len() || lines.next().is_some() {
            return None;
        }
        made.key.copy_from_slice(key.get(..decoded)?);
        Some(made)
    }

    pub(crate) fn store_id(&self) -> &[u8; 16] {
        &self.store_id
    }

    pub(crate) fn kek_id(&self) -> &[u8; 16] {
        &self.kek_id
    }

    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses a folder in which somebody else could replace the file.
fn guarded_folder(file: &Path) -> Result<(), Error> {
    let refuse = |why: String| Error::KeyFile { file: file.to_owned(), why };
    let meta = std::fs::metadata(folder_of(file))
        .map_err(|error| refuse(format!("is in a folder that cannot be examined: {error}")))?;
    let mode = meta.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(refuse(format!(
            "is in a folder that others can write to (mode {mode:04o}): chmod go-w it"
        )));
    }
    match meta.uid() {
        0 => Ok(()),
        uid => owned_by_us(uid, rustix::process::geteuid().as_raw())
            .map_err(|why| refuse(format!("is in a folder that {why}"))),
    }
}

fn owned_by_us(owner: u32, us: u32) -> Result<(), String> {
    if owner == us {
        return Ok(());
    }
    Err(format!("belongs to user {owner}, and we run as {us}"))
}

#[cfg(test)]
mod tests;
