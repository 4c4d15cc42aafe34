//! Guessing passwords: so many wrong ones for a name or from an address, then a pause.
//!
//! Counted for the normalised name and for the address's network (/32, /64), so that spelling a name in many
//! ways or many names from one place do not help.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use model::Timestamp;

/// Wrong guesses for one name or from one network within [`WINDOW`].
const WRONG_MAX: u32 = 10;
/// How long they count.
const WINDOW: Duration = Duration::from_secs(300);
/// Names and networks that are remembered at once; when full, the oldest half is forgotten.
const REMEMBERED_MAX: usize = 20_000;

#[derive(Default)]
struct Guesses(HashMap<String, (u32, Timestamp)>);

static GUESSES: LazyLock<Mutex<Guesses>> = LazyLock::new(Mutex::default);

impl Guesses {
    fn wait(&self, key: &str, now: Timestamp) -> Option<Duration> {
        let (wrong, since) = self.0.get(key)?;
        let passed = now.since(*since);
        (*wrong >= WRONG_MAX && passed < WINDOW).then(|| WINDOW.saturating_sub(passed))
    }

    fn wrong(&mut self, key: String, now: Timestamp) {
        if self.0.len() >= REMEMBERED_MAX {
            let mut times: Vec<Timestamp> = self.0.values().map(|(_, since)| *since).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            self.0.retain(|_, (_, since)| *since > middle);
        }
        let entry = self.0.entry(key).or_insert((0, now));
        if now.since(entry.1) >= WINDOW {
            *entry = (0, now);
        }
        entry.0 += 1;
    }
}

fn keys(name: &str, address: Option<IpAddr>) -> Vec<String> {
    let mut keys = vec![format!("name {}", name.trim().to_lowercase())];
    match address {
        Some(IpAddr::V4(v4)) => keys.push(format!("net {v4}")),
        Some(IpAddr::V6(v6)) => keys.push(format!("net {:x?}", &v6.segments()[..4])),
        None => {}
    }
    keys
}

/// How long this name or address must wait; none when it may try.
pub(crate) fn wait(name: &str, address: Option<IpAddr>, now: Timestamp) -> Option<Duration> {
    let guesses = GUESSES.lock().unwrap_or_else(PoisonError::into_inner);
    keys(name, address).iter().filter_map(|key| guesses.wait(key, now)).max()
}

/// Remembers a wrong guess.
pub(crate) fn wrong(name: &str, address: Option<IpAddr>, now: Timestamp) {
    let mut guesses = GUESSES.lock().unwrap_or_else(PoisonError::into_inner);
    keys(name, address).into_iter().for_each(|key| guesses.wrong(key, now));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_guess_waits_and_the_window_ends() {
        let mut guesses = Guesses::default();
        let start = Timestamp::from_millis(1_000_000);
        for _ in 0..WRONG_MAX {
            assert!(guesses.wait("ada", start).is_none());
            guesses.wrong("ada".to_owned(), start);
        }
        assert_eq!(guesses.wait("ada", start), Some(WINDOW));
        assert!(guesses.wait("ada", start.plus(WINDOW)).is_none());
        assert!(guesses.wait("bob", start).is_none());
    }

    #[test]
    fn a_name_is_counted_however_it_is_spelled() {
        assert_eq!(keys(" Ada ", None), keys("ada", None));
    }
}
