//! Reads the repository's text files, as they are on disk. Never runs git and never writes.
//!
//! What is built, installed or made by a run is left out, as in `.gitignore`; a file that is no UTF-8 is no text.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const OUTSIDE: &[&str] = &[".git", "target", "node_modules", ".venv", "__pycache__"];
/// How deep folders may be nested before reading stops with a panic: a link that leads back would never end.
const DEPTH_MAX: usize = 16;

/// A text file.
#[derive(Clone, Debug)]
pub struct File {
    /// Below the repository's root, with `/` between names.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// A file that is not on disk: a sample.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The file's name without its folders.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Where the repository begins.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("this crate lies two folders deep")
}

/// Every text file, sorted by path.
pub fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    walk(&root, &root, 0, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// One file's text. Panics when it is not there.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn walk(root: &Path, folder: &Path, depth: usize, files: &mut Vec<File>) {
    assert!(depth < DEPTH_MAX, "folders are nested deeper than {DEPTH_MAX} at {}", folder.display());
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("list {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("an entry of a folder that can be listed");
        let path = entry.path();
        let name = entry.file_name();
        let kind = entry.file_type().expect("the entry's kind");
        let made_by_a_run = depth == 0 && name == "data";
        if kind.is_dir() && !made_by_a_run && !OUTSIDE.iter().any(|outside| name == *outside) {
            walk(root, &path, depth + 1, files);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_read_and_what_is_built_is_not() {
        let files = files();
        let has = |path: &str| files.iter().any(|file| file.path == path);
        assert!(has("Cargo.toml") && has(".clippy.toml") && has("services/lib/model/src/lib.rs"));
        assert!(!files.iter().any(|file| file.path.starts_with("target/") || file.path.starts_with(".git/")));
    }
}
