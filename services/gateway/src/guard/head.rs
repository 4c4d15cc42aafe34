//! The lines of a request's head, and of chunks: whether every reader would read them alike (RFC 9112). Pure.

use http::StatusCode;

use super::scan;

/// Bytes of a request line, and of a head with it.
const TARGET_BYTES_MAX: usize = 16 * 1024;
const HEAD_BYTES_MAX: usize = 48 * 1024;
/// Fields of a head.
const FIELDS_MAX: usize = 100;
/// Bytes of a line between chunks.
const CHUNK_LINE_BYTES_MAX: usize = 4 * 1024;
/// Digits of a length, and hexadecimal ones of a chunk's: they fit 64 bits.
const LENGTH_DIGITS_MAX: usize = 18;
const SIZE_DIGITS_MAX: usize = 15;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    RequestLine,
    BareLf,
    Control,
    Folded,
    Field,
    LengthTwice,
    Length,
    Coding,
    LengthAndChunks,
    ChunksTooEarly,
    HostTwice,
    NoHost,
    TargetTooLong,
    HeadTooLarge,
    TooManyFields,
    TooSlow,
}

/// What a line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Not all of it is here.
    Part,
    /// One of many.
    Field,
    /// The end of the head.
    End,
    /// The beginning of HTTP/2.
    Preface,
    Wrong(Wrong),
}

/// A head as far as it was read.
#[derive(Default)]
pub(super) struct Head {
    /// A line whose end has not come.
    part: Vec<u8>,
    bytes: usize,
    lines: usize,
    is_early: bool,
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
}

impl Wrong {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::TargetTooLong => "uri_too_long",
            Self::TooSlow => "head_timeout",
            Self::HeadTooLarge | Self::TooManyFields => "headers_too_large",
            Self::LengthTwice
            | Self::Length
            | Self::Coding
            | Self::LengthAndChunks
            | Self::ChunksTooEarly => "bad_framing",
            Self::RequestLine
            | Self::BareLf
            | Self::Control
            | Self::Folded
            | Self::Field
            | Self::HostTwice
            | Self::NoHost => "bad_head",
        }
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::RequestLine => "the first line is no `METHOD target HTTP/1.1`",
            Self::BareLf => "a line ends with LF alone instead of CRLF",
            Self::Control => "a line holds a control character",
            Self::Folded => "a field goes on in the next line (obs-fold)",
            Self::Field => "a line is no `name: value`",
            Self::LengthTwice => "`Content-Length` is said more than once",
            Self::Length => "`Content-Length` is no number of bytes",
            Self::Coding => "the only `Transfer-Encoding` is `chunked`, said once",
            Self::LengthAndChunks => "`Content-Length` and `Transfer-Encoding` cannot both be said",
            Self::ChunksTooEarly => "HTTP/1.0 has no `Transfer-Encoding`",
            Self::HostTwice => "`Host` is said more than once",
            Self::NoHost => "`Host` is not said",
            Self::TargetTooLong => "the target is longer than 16 KiB",
            Self::HeadTooLarge => "the head is larger than 48 KiB",
            Self::TooManyFields => "there are more than 100 headers",
            Self::TooSlow => "the head did not come in time",
        }
    }
}

impl Head {
    /// Whether nothing of it was read.
    pub(super) fn is_new(&self) -> bool {
        self.bytes == 0
    }

    /// Reads the fields that are whole and plain, as nearly all are; how many bytes of `rest` they were. It stops at
    /// all that it does not take as [`Self::line`] would, and leaves that to it.
    pub(super) fn plain(&mut self, rest: &[u8]) -> usize {
        let mut used = 0;
        if self.lines == 0 || !self.part.is_empty() {
            return 0;
        }
        while self.lines <= FIELDS_MAX {
            let line = &rest[used..];
            let name = scan::name(line);
            if name == 0 || line.get(name) != Some(&b':') {
                break;
            }
            let is_host = match name {
                4 => line[..name].eq_ignore_ascii_case(b"host"),
                // They say how long the body is.
                14 if line[..name].eq_ignore_ascii_case(b"content-length") => break,
                17 if line[..name].eq_ignore_ascii_case(b"transfer-encoding") => break,
                _ => false,
            };
            let end = name + 1 + scan::text(&line[name + 1..]);
            if line.get(end..end + 2) != Some(b"\r\n")
                || self.bytes + end + 2 > HEAD_BYTES_MAX
                || (is_host && self.hosts > 0)
            {
                break;
            }
            self.hosts += usize::from(is_host);
            self.bytes += end + 2;
            self.lines += 1;
            used += end + 2;
        }
        used
    }

    /// Reads one line; how many bytes of `rest` it used.
    pub(super) fn line(&mut self, rest: &[u8]) -> (Line, usize) {
        let end = memchr::memchr(b'\n', rest);
        let used = end.map_or(rest.len(), |end| end + 1);
        self.bytes += used;
        let first = self.lines == 0;
        if first && self.part.len() + used > TARGET_BYTES_MAX {
            return (Line::Wrong(Wrong::TargetTooLong), used);
        }
        if self.bytes > HEAD_BYTES_MAX {
            return (Line::Wrong(Wrong::HeadTooLarge), used);
        }
        if end.is_none() {
            self.part.extend_from_slice(rest);
            // What is behind us reads the first line as it comes, and would answer without a word.
            let line =
                if first && !begins(&self.part) { Line::Wrong(Wrong::RequestLine) } else { Line::Part };
            return (line, used);
        }
        if self.part.is_empty() {
            return (self.read(&rest[..used]), used);
        }
        let mut line = std::mem::take(&mut self.part);
        line.extend_from_slice(&rest[..used]);
        (self.read(&line), used)
    }

    /// Reads a line between chunks; how many bytes of `rest` it used.
    pub(super) fn chunk_line(&mut self, rest: &[u8]) -> (ChunkLine, usize) {
        let end = memchr::memchr(b'\n', rest);
        let used = end.map_or(rest.len(), |end| end + 1);
        if self.part.len() + used > CHUNK_LINE_BYTES_MAX {
            return (ChunkLine::Wrong, used);
        }
        self.part.extend_from_slice(&rest[..used]);
        if end.is_none() {
            return (ChunkLine::Part, used);
        }
        let line = std::mem::take(&mut self.part);
        let read = match line.strip_suffix(b"\r\n") {
            None => ChunkLine::Wrong,
            Some([]) => ChunkLine::Empty,
            Some(line) => ChunkLine::Text(size(line)),
        };
        (read, used)
    }

    /// The length of the body behind a whole head; none: it comes in chunks. The next head begins anew.
    pub(super) fn end(&mut self) -> Result<Option<u64>, Wrong> {
        let Self { is_early, length, chunked, hosts, .. } = std::mem::take(self);
        if hosts == 0 && !is_early {
            return Err(Wrong::NoHost);
        }
        match (chunked, length) {
            (true, Some(_)) => Err(Wrong::LengthAndChunks),
            (true, None) if is_early => Err(Wrong::ChunksTooEarly),
            (true, None) => Ok(None),
            (false, length) => Ok(Some(length.unwrap_or_default())),
        }
    }

    fn read(&mut self, line: &[u8]) -> Line {
        let Some(line) = line.strip_suffix(b"\r\n") else { return Line::Wrong(Wrong::BareLf) };
        let text = scan::text(line);
        if line[text..].iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Line::Wrong(Wrong::Control);
        }
        if self.lines == 0 {
            return self.request_line(line);
        }
        if line.is_empty() {
            return Line::End;
        }
        self.lines += 1;
        if self.lines > FIELDS_MAX + 1 {
            return Line::Wrong(Wrong::TooManyFields);
        }
        self.field(line).map_or_else(Line::Wrong, |()| Line::Field)
    }

    fn request_line(&mut self, line: &[u8]) -> Line {
        // Empty lines before a request are passed over (RFC 9112, section 2.2).
        if line.is_empty() {
            self.bytes = 0;
            return Line::Field;
        }
        if line == b"PRI * HTTP/2.0" {
            return Line::Preface;
        }
        self.lines = 1;
        let parts = line.iter().filter(|byte| **byte == b' ').count();
        self.is_early = line.ends_with(b" HTTP/1.0");
        let is_read = parts == 2 && (self.is_early || line.ends_with(b" HTTP/1.1")) && begins(line);
        if !is_read || line.contains(&b'\t') {
            return Line::Wrong(Wrong::RequestLine);
        }
        Line::Field
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Wrong> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Wrong::Folded);
        }
        let colon = memchr::memchr(b':', line).ok_or(Wrong::Field)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || scan::name(name) < name.len() {
            return Err(Wrong::Field);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = length(value.trim_ascii()).ok_or(Wrong::Length)?;
            return self.length.replace(length).map_or(Ok(()), |_| Err(Wrong::LengthTwice));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_known = value.trim_ascii().eq_ignore_ascii_case(b"chunked") && !self.chunked;
            self.chunked = true;
            return if is_known { Ok(()) } else { Err(Wrong::Coding) };
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            return if self.hosts == 1 { Ok(()) } else { Err(Wrong::HostTwice) };
        }
        Ok(())
    }
}

/// Whether a request line may begin so: a method, a target and a version, as far as they are here.
fn begins(line: &[u8]) -> bool {
    let mut parts = line.split(|byte| *byte == b' ');
    let is_method = parts.next().is_some_and(|method| scan::name(method) == method.len() || line == b"\r");
    let Some(target) = parts.next() else { return is_method };
    // Rarely a byte that is not in every target; then it is read as those behind us read it.
    let is_plain = |byte: &u8| matches!(byte, b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~');
    let is_target = target.iter().all(is_plain) || http::Uri::try_from(target).is_ok();
    let Some(version) = parts.next() else { return is_method && is_target };
    let version = version.strip_suffix(b"\r").unwrap_or(version);
    let is_version = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"].iter().any(|known| known.starts_with(version));
    is_method && is_target && is_version && parts.next().is_none()
}

/// A line between chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkLine {
    /// Not all of it is here.
    Part,
    Empty,
    /// A chunk's size, if it can be one; else a trailer.
    Text(Option<u64>),
    Wrong,
}

fn length(text: &[u8]) -> Option<u64> {
    let fits = (1..=LENGTH_DIGITS_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    fits.then(|| text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// A chunk's size, its extensions aside.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let text = std::str::from_utf8(digits).ok().filter(|text| (1..=SIZE_DIGITS_MAX).contains(&text.len()))?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok())?
}
