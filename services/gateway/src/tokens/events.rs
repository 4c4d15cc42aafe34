//! Splits a stream into what its events carry: the `data` of server-sent events, or lines of their own.
//!
//! Pure, and bounded: an event that is larger than the bound is left out, not cut. Any chunking gives the same events, and
//! so do all three ways to end a line.

use memchr::memchr2;

/// The largest event that is looked at, in bytes.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// A stream of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// What came of the line that has not ended.
    line: Vec<u8>,
    /// What the event carries so far.
    data: Vec<u8>,
    has_data: bool,
    /// Whether this event is too large.
    skips: bool,
    /// Whether the last byte was a CR, so that an LF belongs to it.
    after_cr: bool,
    /// Whether each line is an event.
    by_line: bool,
}

impl Events {
    /// Each line is an event.
    pub(super) fn lines() -> Self {
        Self { by_line: true, ..Self::default() }
    }

    /// Reads on, and gives each event that is whole.
    pub(super) fn read(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        if std::mem::take(&mut self.after_cr) && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        while let Some(at) = memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            if self.line.is_empty() {
                self.line(line, each);
            } else {
                self.keep(line);
                let whole = std::mem::take(&mut self.line);
                self.line(&whole, each);
                self.line = whole;
                self.line.clear();
            }
            let is_cr = bytes[at] == b'\r';
            bytes = rest;
            if is_cr {
                match rest.first() {
                    Some(b'\n') => bytes = &rest[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        self.keep(bytes);
    }

    /// The stream is over: what it left unended counts, too.
    pub(super) fn end(&mut self, each: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.line(&line, each);
        }
        self.line(b"", each);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > EVENT_BYTES_MAX {
            self.skips = true;
        }
        if !self.skips {
            self.line.extend_from_slice(bytes);
        } else if self.line.is_empty() && !bytes.is_empty() {
            // Not empty, so that its end is not taken for an empty line.
            self.line.push(b':');
        }
    }

    fn line(&mut self, line: &[u8], each: &mut impl FnMut(&[u8])) {
        if self.by_line {
            if !std::mem::take(&mut self.skips) && !line.is_empty() {
                each(line);
            }
            return;
        }
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) && !self.skips {
                each(&self.data);
            }
            self.data.clear();
            self.skips = false;
            return;
        }
        let Some(data) = line.strip_prefix(b"data") else { return };
        let data = match data.split_first() {
            None => data,
            Some((b':', data)) => data.strip_prefix(b" ").unwrap_or(data),
            Some(_) => return,
        };
        if self.data.len() + data.len() > EVENT_BYTES_MAX {
            self.skips = true;
        }
        if !self.skips {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let (mut events, mut found) = (Events::default(), Vec::new());
        let mut each = |data: &[u8]| found.push(String::from_utf8_lossy(data).into_owned());
        for chunk in chunks {
            events.read(chunk, &mut each);
        }
        events.end(&mut each);
        found
    }

    #[test]
    fn every_way_to_end_a_line_at_every_boundary_gives_the_same() {
        let text = ": hello\nevent: a\ndata: one\ndata:two\nid: 3\n\ndata\n\n\ndatum: no\n\ndata: last";
        for end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end);
            for at in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(at);
                assert_eq!(read(&[a, b]), ["one\ntwo", "", "last"], "{end:?} at {at}");
            }
        }
    }

    #[test]
    fn a_large_event_is_left_out_and_the_next_is_read() {
        let large = format!("data: {}\n\n", "x".repeat(EVENT_BYTES_MAX + 1));
        let halves = large.as_bytes().split_at(EVENT_BYTES_MAX / 2);
        assert_eq!(read(&[halves.0, halves.1, b"data: next\n\n"]), ["next"]);
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(text in "(data: ?[a-z]{0,4}|[a-z:]{0,5}|\r|\n|\r\n){0,30}", size in 1_usize..7) {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(read(&chunks), read(&[text.as_bytes()]));
        }
    }
}
