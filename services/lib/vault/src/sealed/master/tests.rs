//! Which master key files are made, and which are refused.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn made(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("master.key");
    MasterKey::generate().unwrap().save(&file).unwrap();
    file
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn refusal(file: &Path) -> String {
    let error = MasterKey::load(file).err().expect("it is refused");
    let text = error.to_string();
    assert!(!error.is_transient() && !text.contains('\n'), "{text}");
    assert!(text.contains(&file.display().to_string()), "{text}");
    text
}

#[test]
fn a_new_key_comes_back_and_only_its_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep").join("master.key");
    let key = MasterKey::generate().unwrap();
    key.save(&file).unwrap();
    let read = MasterKey::load(&file).unwrap().unwrap();
    assert_eq!((read.key(), read.kek_id(), read.store_id()), (key.key(), key.kek_id(), key.store_id()));
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_file_that_is_there_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    let before = std::fs::read(&file).unwrap();
    assert!(MasterKey::generate().unwrap().save(&file).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn only_modes_up_to_0600_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    for wide in [0o601, 0o604, 0o610, 0o620, 0o640, 0o644, 0o660, 0o666, 0o700, 0o777, 0o4600, 0o2600] {
        mode(&file, wide);
        assert!(refusal(&file).contains(&format!("has mode {wide:04o}: set it to 0600")));
    }
    for narrow in [0o400, 0o600] {
        mode(&file, narrow);
        assert!(MasterKey::load(&file).is_ok(), "{narrow:o}");
    }
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    for wide in [0o720, 0o702, 0o777, 0o1777] {
        mode(folder.path(), wide);
        assert!(refusal(&file).contains("folder that others can write to"));
        assert!(MasterKey::generate().unwrap().save(&folder.path().join("other")).is_err());
    }
    mode(folder.path(), 0o755);
    assert!(MasterKey::load(&file).is_ok());
}

#[test]
fn a_link_a_folder_and_a_pipe_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    let link = folder.path().join("link");
    symlink(&file, &link).unwrap();
    assert!(refusal(&link).contains("is a symbolic link"));
    assert!(refusal(folder.path()).contains("is not a file"));
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(refusal(&pipe).contains("is not a file"));
    assert!(MasterKey::load(&folder.path().join("none")).unwrap().is_none());
    assert!(refusal(&file.join("below")).contains("cannot be opened"));
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    assert_eq!(owned_by_us(7, 7), Ok(()));
    assert_eq!(owned_by_us(0, 7), Err("belongs to user 0, and we run as 7".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    // Only root can give a file away; others have shown the rule above.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
        assert!(refusal(&file).contains("belongs to user 12345"));
        std::os::unix::fs::chown(&file, Some(0), None).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
        assert!(refusal(&file).contains("is in a folder that belongs to user 12345"));
    }
}

#[test]
fn a_wrong_text_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    let good = std::fs::read_to_string(&file).unwrap();
    let key = good.trim_end().rsplit(' ').next().unwrap().to_owned();
    let wrong = [
        String::new(),
        good[..good.len() - 1].to_owned(),
        good[..good.len() / 2].to_owned(),
        format!("{good}more\n"),
        good.replacen("v1", "v2", 1),
        good.replacen("store ", "stor ", 1),
        good.replacen("kek ", "kek x", 1),
        good.replacen("key ", "key AAAA", 1),
        good.replace(&key, "AAAA"),
        good.replace(&key, "not base64!"),
        "x".repeat(FILE_BYTES_MAX * 2),
    ];
    for text in wrong {
        std::fs::write(&file, &text).unwrap();
        let refusal = refusal(&file);
        assert!(refusal.contains("is not a master key") && !refusal.contains(&key), "{refusal}");
    }
    std::fs::write(&file, b"\xff\xfe").unwrap();
    assert!(refusal(&file).contains("is not a master key"));
}
