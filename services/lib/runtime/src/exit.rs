//! How the program ends: its exit codes, and the one line that says why.

use std::io::Write;
use std::process::ExitCode;

/// Everything went well.
pub const OK: u8 = 0;
/// Something failed.
pub const FAILURE: u8 = 1;
/// The command line, the environment or the file with settings is wrong.
pub const USAGE: u8 = 2;

/// Writes one line to standard error, whatever the text holds.
pub fn say(text: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "signalbox: {}", one_line(text));
}

/// Says why a command failed and gives its exit code. The error's sources follow its text.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    say(&chain(error.as_ref()));
    ExitCode::from(FAILURE)
}

/// An error's text and those of its sources, without what was said already: some libraries' texts hold their sources'.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

/// A text without line breaks and control characters.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let innermost = anyhow::anyhow!("no route");
        let error = innermost.context("io: no route").context("connect to x");
        assert_eq!(chain(error.as_ref()), "connect to x: io: no route");
    }

    #[test]
    fn a_text_becomes_one_line() {
        assert_eq!(one_line("error: a\n\n  b\tc\u{1b}[31m\n"), "error: a b c [31m");
    }
}
