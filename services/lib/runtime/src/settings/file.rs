//! Reads the file with settings: TOML whose keys are the names of flags; tables join their keys with `-`.
//!
//! An unknown key is an error. No line of the file is ever shown: it may hold a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Command;
use toml::Value as Toml;

use super::{CONFIG, CONFIG_ENV, Error, FILE_BYTES_MAX, Given, Value, is_setting, suggestion};

/// The values of the file that `--config` or `SIGNALBOX_CONFIG` names, by flag. Without a file there are none.
pub(super) fn read(command: &Command, given: &Given) -> Result<BTreeMap<String, Value>, Error> {
    let Some(path) = path(given) else {
        return Ok(BTreeMap::new());
    };
    let text = text(&path)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::Wrong(format!("{} line {line}: {}", path.display(), error.message()))
    })?;
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    let mut values = BTreeMap::new();
    flatten("", &table, &mut |key, texts| {
        if !known.contains(&key) {
            let hint = suggestion(&key, known.iter().map(String::as_str));
            return Err(Error::Wrong(format!("{}: unknown key `{key}`{hint}", path.display())));
        }
        let place = format!("`{key}` in {}", path.display());
        values.insert(key, Value { texts, place });
        Ok(())
    })?;
    Ok(values)
}

/// A small text file, its last line break taken off.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    let wrong = |why: String| Error::Wrong(format!("cannot read {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text
        .strip_suffix('\n')
        .map(|text| text.strip_suffix('\r').unwrap_or(text))
        .unwrap_or(&text)
        .to_owned())
}

fn path(given: &Given) -> Option<PathBuf> {
    let flag = format!("--{CONFIG}");
    let mut args = given.args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if *arg == *flag {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = arg.to_str().and_then(|arg| arg.strip_prefix(&flag)?.strip_prefix('=')) {
            return Some(PathBuf::from(path));
        }
    }
    given.var(CONFIG_ENV).map(PathBuf::from)
}

/// The flags of a command and of all its subcommands: one file serves them all.
fn collect(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(
        command
            .get_arguments()
            .filter(|arg| is_setting(arg))
            .filter_map(|arg| Some(arg.get_long()?.to_owned())),
    );
    command.get_subcommands().for_each(|inner| collect(inner, known));
}

fn flatten(
    before: &str,
    table: &toml::Table,
    found: &mut impl FnMut(String, Vec<String>) -> Result<(), Error>,
) -> Result<(), Error> {
    for (key, value) in table {
        let key = key.replace('_', "-");
        let key = if before.is_empty() { key } else { format!("{before}-{key}") };
        match value {
            Toml::Table(inner) => flatten(&key, inner, found)?,
            Toml::Array(items) => found(key, items.iter().map(word).collect())?,
            other => found(key, vec![word(other)])?,
        }
    }
    Ok(())
}

fn word(value: &Toml) -> String {
    match value {
        Toml::String(text) => text.clone(),
        other => other.to_string(),
    }
}
