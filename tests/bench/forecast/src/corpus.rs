//! The given part of the Numenta Anomaly Benchmark: rows and labelled windows.

use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Share of a file's rows at its start that is not scored, and the most rows that is.
const PROBATION_SHARE: f64 = 0.15;
const PROBATION_ROWS_MAX: usize = 750;

/// One series with its labels.
pub(crate) struct File {
    /// `<family>/<file>.csv`.
    pub(crate) name: String,
    pub(crate) rows: Vec<(Timestamp, f64)>,
    /// First and last row of each window.
    pub(crate) windows: Vec<(usize, usize)>,
}

impl File {
    pub(crate) fn family(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Rows at the start that are not scored.
    pub(crate) fn probation(&self) -> usize {
        ((self.rows.len() as f64 * PROBATION_SHARE) as usize).min(PROBATION_ROWS_MAX)
    }
}

/// Reads what `windows.json` names and the directory has: only part of the benchmark may be given.
pub(crate) fn read(directory: &Path) -> anyhow::Result<Vec<File>> {
    let text = std::fs::read_to_string(directory.join("windows.json")).context("read windows.json")?;
    let windows: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).context("parse windows.json")?;
    let mut files = Vec::new();
    for (name, windows) in windows.iter().filter(|(name, _)| directory.join(name).is_file()) {
        files.push(file(directory, name, windows).with_context(|| format!("read {name}"))?);
    }
    anyhow::ensure!(!files.is_empty(), "no file of windows.json is in {}", directory.display());
    Ok(files)
}

fn file(directory: &Path, name: &str, windows: &serde_json::Value) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(directory.join(name))?;
    let mut rows = Vec::new();
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        let (when, value) = line.split_once(',').with_context(|| format!("a row without a comma: {line}"))?;
        rows.push((time(when)?, value.trim().parse()?));
    }
    let row = |text: &serde_json::Value| -> anyhow::Result<usize> {
        let at = time(text.as_str().context("a window's end is no text")?)?;
        rows.iter().position(|(when, _)| *when == at).with_context(|| format!("no row at {at}"))
    };
    let windows = windows.as_array().context("windows are no list")?;
    let windows =
        windows.iter().map(|pair| Ok((row(&pair[0])?, row(&pair[1])?))).collect::<anyhow::Result<_>>()?;
    Ok(File { name: name.to_owned(), rows, windows })
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    let civil: DateTime = text.trim().replace(' ', "T").parse().with_context(|| format!("a time: {text}"))?;
    Ok(TimeZone::UTC.to_timestamp(civil)?)
}
