//! Processor time by what spends it, from `/proc`. Never the time of threads that have ended.

use std::fs;
use std::ops::Sub;
use std::path::Path;

/// Processor time in nanoseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    /// Threads of SQLite.
    pub(crate) sqlite: u64,
    /// All other threads of this process.
    pub(crate) rest: u64,
    /// The nats-server.
    pub(crate) server: u64,
}

impl Spent {
    /// Until now.
    pub(crate) fn now() -> Self {
        let mut spent = Self::default();
        let mut children = Vec::new();
        for task in tasks(Path::new("/proc/self")) {
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            match name.starts_with("sqlx-sqlite") {
                true => spent.sqlite += nanos(&task),
                false => spent.rest += nanos(&task),
            }
            let of = fs::read_to_string(task.join("children")).unwrap_or_default();
            children.extend(of.split_whitespace().map(str::to_owned));
        }
        for child in children {
            spent.server +=
                tasks(&Path::new("/proc").join(child)).iter().map(|task| nanos(task)).sum::<u64>();
        }
        spent
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            sqlite: self.sqlite.saturating_sub(before.sqlite),
            rest: self.rest.saturating_sub(before.rest),
            server: self.server.saturating_sub(before.server),
        }
    }
}

fn tasks(process: &Path) -> Vec<std::path::PathBuf> {
    let tasks = fs::read_dir(process.join("task")).into_iter().flatten();
    tasks.filter_map(|task| Some(task.ok()?.path())).collect()
}

/// What a thread has run: the first number of its `schedstat`.
fn nanos(task: &Path) -> u64 {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
