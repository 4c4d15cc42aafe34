//! Settings in layers: flag, environment, file, default. The first that says something counts.
//!
//! The layers below the flags are turned into flags before `clap` reads them, so that types, bounds and messages are the
//! same wherever a value comes from. What nobody knows (a key, a variable) is an error with a suggestion, not a
//! value without effect. Errors name the place of a wrong value; a secret's value never stands in one, because secrets are
//! plain text to `clap` and cannot be wrong.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::exit;
use variables::Variables;

mod file;
mod variables;

/// The largest file with settings or a secret, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
const CONFIG: &str = "config";
const CONFIG_ENV: &str = "SIGNALBOX_CONFIG";
/// How alike a word must be to be suggested (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// What the program was started with.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The command line, the program's name first.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: BTreeMap<String, OsString>,
}

/// Why the settings cannot be used. Its text is one line for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Help or the version was asked for: print it and end well.
    #[error("{0}")]
    Show(String),
    /// Something is wrong.
    #[error("{0}")]
    Wrong(String),
}

/// A value of a lower layer, with the place where it stands.
#[derive(Clone, Debug)]
struct Value {
    texts: Vec<String>,
    place: String,
}

impl Given {
    /// What this process was started with.
    pub fn to_this_process() -> Self {
        let env =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        Self { args: std::env::args_os().collect(), env }
    }

    /// A variable. An empty one counts as not set, as compose files write it.
    fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }
}

/// Reads the settings of this process, or says in one line what is wrong and ends it with exit code 2.
pub fn of_process<P: clap::Parser>(also_known: &[&str]) -> P {
    match layered(&Given::to_this_process(), also_known) {
        Ok(settings) => settings,
        Err(Error::Show(text)) => {
            // A closed standard output leaves nobody to tell.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            std::process::exit(i32::from(exit::OK));
        }
        Err(Error::Wrong(text)) => {
            exit::say(&text);
            std::process::exit(i32::from(exit::USAGE));
        }
    }
}

/// Reads settings from all layers. `also_known` are variables beginning with `SIGNALBOX_` that no flag reads.
///
/// `--config FILE` (or `SIGNALBOX_CONFIG`) is added to the command; `X_FILE` gives the value of variable `X` from a file.
/// A flag that `hide_env_values` marks as secret never has its value in an error.
pub fn layered<P: clap::Parser>(given: &Given, also_known: &[&str]) -> Result<P, Error> {
    let command = with_config(P::command());
    let variables = Variables::of(&command, also_known);
    variables.check(given)?;
    let file = file::read(&command, given)?;
    let (args, places) = fill(&command, given, &variables, &file)?;
    let parsed = without_variables(command.clone()).try_get_matches_from(args);
    let matches = parsed.map_err(|error| explain(&command, &error, given, &places))?;
    P::from_arg_matches(&matches).map_err(|error| explain(&command, &error, given, &places))
}

/// Reads a part of the settings from flags alone, as tests and tools want it: `flags::<Settings>(&["--waiting-max=3"])`.
pub fn flags<A: clap::Args>(args: &[&str]) -> Result<A, Error> {
    let command = A::augment_args(Command::new("settings").no_binary_name(true));
    let wrong = |error: &clap::Error| explain(&command, error, &Given::default(), &BTreeMap::new());
    let matches =
        without_variables(command.clone()).try_get_matches_from(args).map_err(|error| wrong(&error))?;
    A::from_arg_matches(&matches).map_err(|error| wrong(&error))
}

// === steps ===

/// The command line with what lower layers say about flags that it does not hold, and the places of these values.
fn fill(
    command: &Command,
    given: &Given,
    variables: &Variables,
    file: &BTreeMap<String, Value>,
) -> Result<(Vec<OsString>, BTreeMap<String, String>), Error> {
    let chain = chain(command, given);
    let is_given = |arg: &Arg| chain.iter().any(|(_, matches)| is_given(matches, arg));
    let (mut args, mut places) = (given.args.clone(), BTreeMap::new());
    for (depth, (command, _)) in chain.iter().enumerate() {
        let place =
            Place { name: command.get_name(), is_root: depth == 0, is_last: depth + 1 == chain.len() };
        for arg in command.get_arguments().filter(|arg| is_setting(arg) && !is_given(arg)) {
            let value = match variables.value(given, arg)? {
                Some(value) => Some(value),
                None => file.get(arg.get_long().unwrap_or_default()).cloned(),
            };
            if let Some(value) = value {
                place.insert(&mut args, flags_of(arg, &value)?);
                places.insert(flag(arg), value.place);
            }
        }
    }
    Ok((args, places))
}

/// The command and the subcommands that the command line names, each with what it holds for it.
fn chain<'c>(command: &'c Command, given: &Given) -> Vec<(&'c Command, ArgMatches)> {
    let lenient = without_variables(command.clone()).ignore_errors(true);
    let mut next = lenient.try_get_matches_from(&given.args).ok().map(|matches| (command, matches));
    let mut chain = Vec::new();
    while let Some((command, matches)) = next {
        next = matches
            .subcommand()
            .and_then(|(name, inner)| Some((command.find_subcommand(name)?, inner.clone())));
        chain.push((command, matches));
    }
    if chain.is_empty() {
        chain.push((command, ArgMatches::default()));
    }
    chain
}

fn is_given(matches: &ArgMatches, arg: &Arg) -> bool {
    let is_there = matches.ids().any(|id| id == arg.get_id());
    is_there && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

/// Whether lower layers may say something about it: it has a long name and is not help, version or the file itself.
fn is_setting(arg: &Arg) -> bool {
    let shows = matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    arg.get_long().is_some_and(|long| long != CONFIG) && !shows
}

fn flag(arg: &Arg) -> String {
    format!("--{}", arg.get_long().unwrap_or_default())
}

/// A value as flags: `--name=value`, several of them for a list, none for a switch that is off.
fn flags_of(arg: &Arg, value: &Value) -> Result<Vec<OsString>, Error> {
    let flag = flag(arg);
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return Ok(match arg.get_value_delimiter() {
            Some(delimiter) => vec![format!("{flag}={}", value.texts.join(&delimiter.to_string())).into()],
            None => value.texts.iter().map(|text| format!("{flag}={text}").into()).collect(),
        });
    }
    match value.texts.first().map(|text| text.to_ascii_lowercase()).as_deref() {
        Some("true" | "yes" | "on" | "1") => Ok(vec![flag.into()]),
        None | Some("false" | "no" | "off" | "0") => Ok(Vec::new()),
        Some(_) => Err(Error::Wrong(format!("{} must be true or false", value.place))),
    }
}

/// Where the flags of one command go on the command line.
struct Place<'c> {
    name: &'c str,
    is_root: bool,
    is_last: bool,
}

impl Place<'_> {
    fn insert(&self, args: &mut Vec<OsString>, flags: Vec<OsString>) {
        let after = |index: usize| (index + 1).min(args.len());
        let at = match (self.is_last, self.is_root) {
            (true, _) => args.iter().position(|arg| arg == "--").unwrap_or(args.len()),
            (false, true) => after(0),
            (false, false) => args.iter().position(|arg| arg == self.name).map_or(args.len(), after),
        };
        args.splice(at..at, flags);
    }
}

/// The command with `--config`, unless it has its own.
fn with_config(command: Command) -> Command {
    if command.get_arguments().any(|arg| arg.get_long() == Some(CONFIG)) {
        return command;
    }
    let help = "File with settings (TOML). Its keys are the names of the flags";
    command.arg(Arg::new(CONFIG).long(CONFIG).env(CONFIG_ENV).value_name("FILE").global(true).help(help))
}

/// The command as it reads flags only; its help still names the variables, never their values.
fn without_variables(command: Command) -> Command {
    let command =
        command.mut_args(|arg| match arg.get_env().map(|name| name.to_string_lossy().into_owned()) {
            Some(name) => {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                arg.env(clap::builder::Resettable::Reset)
                    .help(format!("{help} [env: {name}]").trim().to_owned())
            }
            None => arg,
        });
    command.mut_subcommands(without_variables)
}

/// What clap says, in one line, with the place of the value it speaks of.
fn explain(
    command: &Command,
    error: &clap::Error,
    given: &Given,
    places: &BTreeMap<String, String>,
) -> Error {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return Error::Show(shown(command, error, given));
    }
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.split([' ', '=']).next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let place = places.get(&flag).map(|place| format!(" (from {place})")).unwrap_or_default();
    if is_secret(command, &flag) && error.get(ContextKind::InvalidValue).is_some() {
        return Error::Wrong(format!("the value of {flag} is not valid{place}"));
    }
    let rendered = error.render().to_string();
    let noise = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more information");
    let lines: Vec<&str> = rendered.lines().map(str::trim).filter(noise).collect();
    let line = exit::one_line(&lines.join("\n"));
    Error::Wrong(format!("{}{place}", line.trim_start_matches("error: ")))
}

/// Help is rendered anew from the command line alone, so that no value of a lower layer is in it.
fn shown(command: &Command, error: &clap::Error, given: &Given) -> String {
    match without_variables(command.clone()).try_get_matches_from(&given.args) {
        Err(own) if own.kind() == error.kind() => own.render().to_string(),
        _ => error.render().to_string(),
    }
}

fn is_secret(command: &Command, flag: &str) -> bool {
    let here = command.get_arguments().any(|arg| self::flag(arg) == flag && arg.is_hide_env_values_set());
    here || command.get_subcommands().any(|inner| is_secret(inner, flag))
}

/// The known word that is most like an unknown one, as the end of a sentence.
fn suggestion<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> String {
    let alike =
        known.map(|known| (strsim::jaro_winkler(word, known), known)).filter(|(score, _)| *score >= ALIKE);
    let best = alike.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
