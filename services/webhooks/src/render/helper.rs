//! The helper process: renders what it is asked on its standard input, and answers on its standard output.
//!
//! A template that is let through may still overflow a stack or take all memory, which ends a process and cannot be
//! caught. So it ends this one, which holds nothing else: no secret, no door, no environment. The kernel bounds its memory
//! and its time. It ends when whoever asks is gone, also in the middle of a rendering.

use std::fs;
use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::render::frame::{self, Asked, HELLO};
use crate::render::{Job, STACK_BYTES, render_here};

/// Memory that renderings may take beyond what the helper has when it begins, in bytes.
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Address space of the helper where the kernel does not say what it has, in bytes.
const ADDRESS_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Processor time of a helper's whole life, in seconds. One that has used it up is replaced.
const PROCESSOR_SECS_MAX: u64 = 60;

/// Renders templates until standard input ends: what a helper process does instead of anything else.
///
/// # Errors
///
/// When standard input or output break, or what comes in is no question.
pub fn render_templates() -> io::Result<()> {
    serve(&mut io::stdin().lock(), io::stdout(), limit)
}

/// Reads questions here and renders them on a thread with the stack that templates need, so that the end of the
/// questions is seen at once.
pub(crate) fn serve(
    questions: &mut impl Read,
    mut answers: impl Write + Send + 'static,
    limit: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let (ask, asked) = mpsc::sync_channel::<Asked<Job>>(1);
    let (say_limited, limited) = mpsc::sync_channel::<()>(1);
    let work = move || -> io::Result<()> {
        if limited.recv().is_err() {
            return Ok(());
        }
        writeln!(answers, "{HELLO}")?;
        answers.flush()?;
        while let Ok(Asked { job, within_ms }) = asked.recv() {
            let within = Asked { job: (), within_ms }.within();
            frame::write(&mut answers, &render_here(&job, Instant::now() + within))?;
        }
        Ok(())
    };
    // The stack is taken before the limit is set, so that it is none of the memory that is left.
    let _worker = thread::Builder::new().name("template".to_owned()).stack_size(STACK_BYTES).spawn(work)?;
    limit()?;
    let ended = || io::Error::other("the rendering thread has ended");
    say_limited.send(()).map_err(|_| ended())?;
    while let Some(question) = frame::read(questions)? {
        ask.send(question).map_err(|_| ended())?;
    }
    Ok(())
}

/// Has the kernel end this process when it takes too much.
fn limit() -> io::Result<()> {
    let address_bytes = taken().map_or(ADDRESS_BYTES_MAX, |taken| taken + MEMORY_BYTES_MAX);
    lower(Resource::As, address_bytes)?;
    lower(Resource::Cpu, PROCESSOR_SECS_MAX)?;
    // What a rendering has in memory is nobody's business, also when it was ended.
    lower(Resource::Core, 0)
}

/// Address space that this process has taken, in bytes. Known on Linux only.
fn taken() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kibibytes: u64 = size.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}
