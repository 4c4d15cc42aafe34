//! Splits a stream of server-sent events, however its bytes are cut.
//!
//! Lines end with CRLF, LF or CR, and an event with an empty line, by the HTML standard's reading. Comments are passed
//! over. An event that is too large ends the reading.

/// The largest event, in bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; empty when it has none.
    pub(crate) name: String,
    /// Its data lines, joined by LF.
    pub(crate) data: String,
}

/// A stream of which a part was read.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a CR: an LF after it belongs to it.
    after_cr: bool,
    begun: bool,
}

/// An event has more bytes than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Splitter {
    /// Takes more bytes, and gives the events that they end.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(Event)) -> Result<(), TooLarge> {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &rest[..end.unwrap_or(rest.len())];
            if self.line.len() + self.event.data.len() + part.len() > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if let Some(event) = self.line() {
                out(event);
            }
        }
        Ok(())
    }

    /// A line is whole.
    fn line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = if std::mem::replace(&mut self.begun, true) {
            &line
        } else {
            line.trim_start_matches('\u{feff}')
        };
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'b>(parts: impl IntoIterator<Item = &'b [u8]>) -> Vec<(String, String)> {
        let (mut splitter, mut all) = (Splitter::default(), Vec::new());
        for part in parts {
            splitter.feed(part, |event| all.push((event.name, event.data))).expect("small");
        }
        all
    }

    #[test]
    fn every_end_of_line_ends_one() {
        let wanted = vec![("a".to_owned(), "1\n2".to_owned()), (String::new(), "{ }".to_owned())];
        for end in ["\n", "\r\n", "\r"] {
            let text = "\u{feff}event: a\ndata: 1\ndata:2\nid: 7\n\n: a comment\n\nevent: without data\n\ndata: { }\n\ndata: cut";
            let text = text.replace('\n', end);
            assert_eq!(split([text.as_bytes()]), wanted, "{end:?}");
            for at in 0..text.len() {
                let (a, b) = text.as_bytes().split_at(at);
                assert_eq!(split([a, b]), wanted, "{end:?} cut at {at}");
            }
            assert_eq!(split(text.as_bytes().chunks(1)), wanted, "{end:?} byte by byte");
        }
    }

    #[test]
    fn an_endless_event_ends_the_reading() {
        let mut splitter = Splitter::default();
        let line = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxx\n";
        let refused = (0..EVENT_BYTES_MAX / 16).any(|_| splitter.feed(line, |_| {}).is_err());
        assert!(refused);
    }

    proptest! {
        #[test]
        fn no_bytes_stop_it_and_no_cut_matters(bytes in proptest::collection::vec(prop_oneof![
            Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), Just(b' '), any::<u8>()], 0..200), cut in 1_usize..50) {
            let all = split([&bytes[..]]);
            prop_assert_eq!(all, split(bytes.chunks(cut)));
        }
    }
}
