//! How far bytes are what they should be: one look at each, eight at a time where that can be. Pure.

/// The bytes that names are made of (RFC 9110, section 5.6.2).
const OF_A_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let (mut byte, others) = (0, b"!#$%&'*+-.^_`|~");
    while byte < 128_u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};
/// Every byte of a word.
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// How many bytes at the beginning can be a name's.
pub(super) fn name(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !OF_A_NAME[usize::from(*byte)]).unwrap_or(bytes.len())
}

/// How many bytes stand before the first control character (a tab is one).
pub(super) fn text(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest byte that is marked is right; those above it may be marked by a borrow.
        let low = word.wrapping_sub(ONES * 0x20) & !word;
        let delete = word ^ (ONES * 0x7f);
        let delete = delete.wrapping_sub(ONES) & !delete;
        let found = (low | delete) & TOPS;
        if found != 0 {
            return number * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let here = rest.iter().position(|byte| *byte < b' ' || *byte == 0x7f).unwrap_or(rest.len());
    words.len() * 8 + here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_known_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[place] = byte;
                let others = b"!#$%&'*+-.^_`|~";
                let of_a_name = byte.is_ascii_alphanumeric() || others.contains(&byte);
                assert_eq!(name(&bytes), if of_a_name { 20 } else { place }, "{byte} at {place}");
                assert_eq!(
                    text(&bytes),
                    if byte.is_ascii_control() { place } else { 20 },
                    "{byte} at {place}"
                );
                bytes[place..].fill(byte);
                assert_eq!(
                    text(&bytes),
                    if byte.is_ascii_control() { place } else { 20 },
                    "{byte} from {place}"
                );
            }
        }
        assert_eq!((name(b""), text(b"")), (0, 0));
    }
}
