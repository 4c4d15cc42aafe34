//! What a helper process is asked and what it answers: a length of four bytes, the low one first, then that much JSON. Pure
//! but for the reader and writer that it is given.
//!
//! Both ends refuse a longer frame than agreed before they make room for it.

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::render::{Fault, Job};

/// The longest question, in bytes: a template with its partials and an alert of the largest message, twice.
pub(crate) const ASKED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest answer, in bytes: the longest output with every character escaped.
pub(crate) const ANSWERED_BYTES_MAX: usize = 512 * 1024;
/// What a helper says first, once it can work. What stands before it is not from the helper and is skipped.
pub(crate) const HELLO: &str = "signalbox-renders-templates-1";
/// The bytes of a frame's length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked<J> {
    /// What to render.
    pub(crate) job: J,
    /// How long it may take, in milliseconds.
    pub(crate) within_ms: u64,
}

impl<J> Asked<J> {
    /// How long it may take.
    pub(crate) const fn within(&self) -> Duration {
        Duration::from_millis(self.within_ms)
    }
}

/// An answer.
pub(crate) type Answered = Result<String, Fault>;

/// The frame of a message; absent when it would be longer than `most`.
pub(crate) fn frame<T: Serialize>(message: &T, most: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut bytes, message).ok()?;
    let length = bytes.len() - LENGTH_BYTES;
    if length > most {
        return None;
    }
    bytes[..LENGTH_BYTES].copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    Some(bytes)
}

/// How long the frame is that begins so; absent when it is longer than `most`.
pub(crate) fn length(head: [u8; LENGTH_BYTES], most: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(head)).ok().filter(|length| *length <= most)
}

/// Reads one question; none when whoever asks is gone.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Asked<Job>>> {
    let mut head = [0; LENGTH_BYTES];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = length(head, ASKED_BYTES_MAX).ok_or_else(|| io::Error::other("the question is too long"))?;
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    parse(&bytes).map(Some)
}

/// Writes one answer.
pub(crate) fn write(to: &mut impl Write, answered: &Answered) -> io::Result<()> {
    let bytes =
        frame(answered, ANSWERED_BYTES_MAX).ok_or_else(|| io::Error::other("the answer is too long"))?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads a frame's JSON.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_arrive_as_they_were_sent() {
        let job = Job { template: "{{ a }}".to_owned(), lenient: true, ..Job::default() };
        let sent = frame(&Asked { job: &job, within_ms: 5 }, ASKED_BYTES_MAX).expect("short");
        let read_again = read(&mut sent.as_slice()).expect("a frame").expect("a question");
        assert_eq!((read_again.job, read_again.within_ms), (job, 5));

        for answered in [Ok("text\n".to_owned()), Err(Fault { line: Some(2), ..Fault::new("busy", "b") })] {
            let mut sent = Vec::new();
            write(&mut sent, &answered).expect("it fits");
            assert_eq!(parse::<Answered>(&sent[LENGTH_BYTES..]).expect("JSON"), answered);
        }
    }

    #[test]
    fn the_end_is_no_question_and_what_is_too_long_or_broken_is_an_error() {
        assert!(read(&mut [].as_slice()).expect("an end").is_none());
        for broken in [&[255, 255, 255, 255][..], &[9, 0, 0, 0, b'{'], &[2, 0, 0, 0, b'{', b'}']] {
            assert!(read(&mut &*broken).is_err(), "{broken:?}");
        }
        assert!(frame(&"four", 6).is_some() && frame(&"fours", 6).is_none());
        assert_eq!((length([1, 1, 0, 0], 257), length([2, 1, 0, 0], 257)), (Some(257), None));
    }

    #[test]
    fn the_longest_output_fits_an_answer() {
        let worst = "\u{1}".repeat(crate::render::budget::OUTPUT_BYTES_MAX);
        assert!(frame(&Answered::Ok(worst), ANSWERED_BYTES_MAX).is_some());
    }
}
