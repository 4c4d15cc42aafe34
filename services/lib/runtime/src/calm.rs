//! Gives memory back when the process has become calm: pages of the program's own file that only its start, or a
//! burst, needed.
//!
//! The kernel maps sixteen pages around each one that runs, and takes none back before memory is short. A start runs much that never
//! runs again: clap, TOML, the catalogue's checks. What is given back stays in the kernel's page cache; what runs again is
//! mapped again within microseconds, without a disk. Memory that can be written, and what the program made itself, is
//! never touched: that is the allocator's business.

use std::ops::Range;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the process is calm, in seconds.
const LOOK_EVERY_SECS: u64 = 15;
/// A process is calm that used no more of one core than this since the last look, in parts of a thousand.
const CALM_PERMILLE: u128 = 5;
/// A step of the times that Linux tells programs, in milliseconds: the same on all machines (`USER_HZ`).
const TICK_MS: u64 = 10;

/// Gives back once after the start and once after each busy time, until the process stops.
pub async fn run(stopping: CancellationToken) -> anyhow::Result<()> {
    let mut tick = interval(Duration::from_secs(LOOK_EVERY_SECS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let (mut used, mut was_busy) = (processor_time(), true);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopping.cancelled() => return Ok(()),
        }
        let now = processor_time();
        let is_busy = !is_calm(now.saturating_sub(used));
        used = now;
        if was_busy && !is_busy {
            // About a millisecond, at a moment when nobody asks for anything.
            match give_back() {
                Ok(bytes) => {
                    tracing::debug!(bytes, "Pages that only the start or a burst needed were given back.");
                }
                // The process is as good with them.
                Err(error) => tracing::debug!(%error, "Pages could not be given back: {error}."),
            }
        }
        was_busy = is_busy;
    }
}

fn is_calm(used: Duration) -> bool {
    used.as_millis() * 1_000 <= CALM_PERMILLE * u128::from(LOOK_EVERY_SECS) * 1_000
}

/// What all threads of this process used so far, in steps of 10 ms; nothing where the system does not say.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Duration::from_millis(ticks(&stat).unwrap_or_default().saturating_mul(TICK_MS))
}

/// User and system time in `/proc/self/stat`. The program's name, which may hold anything, stands in brackets before them.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Gives back what it may, and says how many bytes of the address space that was.
#[cfg(target_os = "linux")]
fn give_back() -> std::io::Result<usize> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let mappings = std::fs::read_to_string("/proc/self/smaps")?;
    let ranges = unwritten(&mappings, &program.to_string_lossy());
    for range in &ranges {
        drop_pages(range)?;
    }
    Ok(ranges.iter().map(ExactSizeIterator::len).sum())
}

/// Elsewhere nothing is given back.
#[cfg(not(target_os = "linux"))]
fn give_back() -> std::io::Result<usize> {
    Ok(0)
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "no safe function takes address ranges; these hold nothing that is not in their file"
)]
fn drop_pages(range: &Range<usize>) -> std::io::Result<()> {
    let start = std::ptr::without_provenance_mut(range.start);
    // SAFETY: the range is a mapping of a file, private, not writable, and without a page that differs from the file
    // (`unwritten`); no mapping of this kind is changed or removed while the program runs. Whoever reads or runs a page of
    // it afterwards sees the file's bytes, the same as before.
    unsafe { rustix::mm::madvise(start, range.len(), rustix::mm::Advice::LinuxDontNeed)? };
    Ok(())
}

/// The mappings (`/proc/self/smaps`) that hold nothing but a file's bytes: what runs, of the program and its libraries, and what
/// is only read, of the program. Read-only parts of a library are left alone: one that is being loaded just now may
/// still be written. The program's own were made before its first line ran.
fn unwritten(mappings: &str, program: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in mappings.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            // Pages that the program made its own by writing, such as addresses that were filled in when it was loaded.
            Some("Anonymous:") => {
                let clean = words.next() == Some("0");
                found.extend(candidate.take().filter(|_| clean));
            }
            Some(name) if name.ends_with(':') => {}
            Some(addresses) => {
                let (rights, file) = (words.next(), words.nth(3));
                let suits = match rights {
                    Some("r-xp") => file.is_some_and(|file| file.starts_with('/')),
                    Some("r--p") => file == Some(program),
                    _ => false,
                };
                candidate = if suits { range(addresses) } else { None };
            }
            None => {}
        }
    }
    found
}

fn range(addresses: &str) -> Option<Range<usize>> {
    let (start, end) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_given_back() {
        let mapping = |line: &str, anonymous: u32| {
            format!("{line}\nRss:  8 kB\nAnonymous:  {anonymous} kB\nVmFlags: rd mr\n")
        };
        let text = [
            mapping("1000-2000 r--p 00000000 fe:00 7                   /opt/program", 0),
            mapping("2000-5000 r-xp 00001000 fe:00 7                   /opt/program", 0),
            mapping("5000-6000 r--p 00004000 fe:00 7                   /opt/program", 4),
            mapping("6000-7000 rw-p 00005000 fe:00 7                   /opt/program", 0),
            mapping("7000-8000 rw-p 00000000 00:00 0                   [heap]", 0),
            mapping("8000-9000 r--p 00000000 fe:00 8                   /lib/libc.so.6", 0),
            mapping("9000-a000 r-xp 00001000 fe:00 8                   /lib/libc.so.6", 0),
            mapping("a000-b000 r-xp 00001000 fe:00 9                   /lib/patched.so", 4),
            mapping("b000-c000 r-xp 00000000 00:00 0                   [vdso]", 0),
            mapping("c000-d000 r-xp 00000000 00:00 0", 0),
        ];
        assert_eq!(
            unwritten(&text.concat(), "/opt/program"),
            [0x1000..0x2000, 0x2000..0x5000, 0x9000..0xa000]
        );
    }

    #[test]
    fn a_program_goes_on_after_its_pages_were_given_back() {
        let resident = || -> usize {
            let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
            text.split(' ').nth(2).and_then(|pages| pages.parse().ok()).expect("pages of files")
        };
        let before = resident();
        assert!(give_back().expect("its own mappings") > 0);
        assert!(resident() < before);
        assert_eq!(format!("{:?}", range("1f-2a")), "Some(31..42)");
    }

    #[test]
    fn processor_time_stands_behind_the_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 1 0 0 0 120 34 0 0 20 0 3 0 9 9 9";
        assert_eq!((ticks(stat), ticks("")), (Some(154), None));
        assert!(processor_time() < Duration::from_secs(3_600));
    }

    #[test]
    fn calm_is_less_than_half_a_hundredth_of_a_core() {
        assert!(is_calm(Duration::from_millis(75)));
        assert!(!is_calm(Duration::from_millis(76)));
    }
}
