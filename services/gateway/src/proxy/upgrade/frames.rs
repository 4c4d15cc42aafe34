//! Counts the frames of a WebSocket by their heads (RFC 6455, section 5.2). Pure; content is skipped.

/// The most bytes of a head.
const HEAD_BYTES_MAX: usize = 14;
/// The opcode that closes.
const CLOSE: u8 = 8;
/// Opcodes from here on are of control frames.
const CONTROL: u8 = 8;

/// One direction of a WebSocket.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    /// Bytes of the head that are here.
    has: usize,
    /// Bytes of content that still come.
    left: u64,
    bytes_max: u64,
    /// Messages that ended.
    pub(super) messages: u64,
    /// Whether this side closed.
    pub(super) closed: bool,
}

/// A frame is larger than allowed, or its head makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge {
    /// Where it begins in the bytes that were read; nothing when its beginning has passed.
    pub(super) at: Option<usize>,
}

impl Frames {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { head: [0; HEAD_BYTES_MAX], has: 0, left: 0, bytes_max, messages: 0, closed: false }
    }

    /// Whether a frame of ours may stand here.
    pub(super) fn is_between(&self) -> bool {
        self.has == 0 && self.left == 0
    }

    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let (mut at, mut begin) = (0, None);
        while at < bytes.len() {
            if self.left > 0 {
                let skip = self.left.min((bytes.len() - at) as u64);
                self.left -= skip;
                at += usize::try_from(skip).unwrap_or(usize::MAX);
                continue;
            }
            if self.has == 0 {
                begin = Some(at);
            }
            self.head[self.has] = bytes[at];
            self.has += 1;
            at += 1;
            let Some(size) = self.size() else { continue };
            self.has = 0;
            if size > self.bytes_max {
                return Err(TooLarge { at: begin });
            }
            let opcode = self.head[0] & 0x0f;
            self.messages += u64::from(opcode < CONTROL && self.head[0] & 0x80 != 0);
            self.closed |= opcode == CLOSE;
            self.left = size;
        }
        Ok(())
    }

    /// The content's size, once the head is whole.
    fn size(&self) -> Option<u64> {
        let second = *self.head[..self.has].get(1)?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (wide, short) = match second & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, short),
        };
        if self.has < 2 + wide + mask {
            return None;
        }
        let long = self.head[2..2 + wide].iter().fold(0_u64, |size, byte| (size << 8) | u64::from(*byte));
        Some(if wide == 0 { u64::from(short) } else { long })
    }
}

/// A frame that closes for a reason; masked where it goes to the server.
pub(super) fn close(code: u16, mask: Option<[u8; 4]>) -> Vec<u8> {
    let code = code.to_be_bytes();
    match mask {
        None => vec![0x88, 2, code[0], code[1]],
        Some(m) => vec![0x88, 0x82, m[0], m[1], m[2], m[3], code[0] ^ m[0], code[1] ^ m[1]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_at_every_boundary() {
        let mut bytes = vec![0x01, 2, b'a', b'b', 0x89, 0, 0x80, 1, b'c'];
        bytes.extend([0x82, 0xfe, 1, 0, 9, 9, 9, 9]);
        bytes.extend([7; 256]);
        bytes.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend(vec![7; 65_536]);
        bytes.extend(close(1001, Some([1, 2, 3, 4])));
        for at in (0..300).chain([bytes.len() - 3]) {
            let mut frames = Frames::new(100_000);
            frames.read(&bytes[..at]).expect("small");
            frames.read(&bytes[at..]).expect("small");
            assert_eq!((frames.messages, frames.closed, frames.is_between()), (3, true, true), "at {at}");
        }
    }

    #[test]
    fn a_large_frame_is_met_where_it_begins() {
        let mut frames = Frames::new(125);
        assert_eq!(frames.read(&[0x82, 1, 0, 0x82, 126, 0, 126]), Err(TooLarge { at: Some(3) }));
        let mut frames = Frames::new(u64::MAX / 2);
        frames.read(&[0x82]).expect("a part");
        assert_eq!(frames.read(&[127, 0xff, 0, 0, 0, 0, 0, 0, 0]), Err(TooLarge { at: None }));
    }
}
