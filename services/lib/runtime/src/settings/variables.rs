//! Reads the environment: the variables that flags name, and files that hold their values.
//!
//! A variable that begins as ours and is not known is an error: it would look set and have no effect.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Arg, Command};

use super::{CONFIG_ENV, Error, Given, Value, file, suggestion};

/// Variables with this beginning are ours.
const PREFIX: &str = "SIGNALBOX_";
/// Variables with this beginning belong to the tests.
const TEST_PREFIX: &str = "SIGNALBOX_TEST_";
/// The end of a variable that names a file with the value.
const FILE: &str = "_FILE";

/// The variables that somebody reads.
pub(super) struct Variables(BTreeSet<String>);

impl Variables {
    pub(super) fn of(command: &Command, also_known: &[&str]) -> Self {
        let mut known: BTreeSet<String> = also_known.iter().map(ToString::to_string).collect();
        known.insert(CONFIG_ENV.to_owned());
        collect(command, &mut known);
        Self(known)
    }

    /// Refuses unknown variables that begin as ours.
    pub(super) fn check(&self, given: &Given) -> Result<(), Error> {
        let ours = given.env.keys().filter(|name| name.starts_with(PREFIX) && !name.starts_with(TEST_PREFIX));
        for name in ours {
            let base = name.strip_suffix(FILE).unwrap_or(name);
            if !self.0.contains(name) && !self.0.contains(base) {
                let hint = suggestion(name, self.0.iter().map(String::as_str));
                return Err(Error::Wrong(format!("unknown environment variable {name}{hint}")));
            }
        }
        Ok(())
    }

    /// What the environment says about a flag, by its variable or by the file that `X_FILE` names.
    pub(super) fn value(&self, given: &Given, arg: &Arg) -> Result<Option<Value>, Error> {
        let Some(name) = arg.get_env().and_then(|name| name.to_str()) else {
            return Ok(None);
        };
        let by_file = format!("{name}{FILE}");
        // `X_FILE` may be a variable of its own, which another flag reads.
        let path = if self.0.contains(&by_file) { None } else { given.var(&by_file) };
        match (given.var(name), path) {
            (Some(_), Some(_)) => Err(Error::Wrong(format!("{name} and {by_file} are both set; keep one"))),
            (Some(value), None) => {
                let text =
                    value.to_str().ok_or_else(|| Error::Wrong(format!("{name} is not UTF-8")))?.to_owned();
                Ok(Some(Value { texts: vec![text], place: name.to_owned() }))
            }
            (None, Some(path)) => {
                let text = file::text(Path::new(path))
                    .map_err(|error| Error::Wrong(format!("{by_file}: {error}")))?;
                Ok(Some(Value { texts: vec![text], place: by_file }))
            }
            (None, None) => Ok(None),
        }
    }
}

fn collect(command: &Command, known: &mut BTreeSet<String>) {
    let names = command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()));
    known.extend(names);
    command.get_subcommands().for_each(|inner| collect(inner, known));
}
