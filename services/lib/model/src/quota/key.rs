//! Under which key of the `quota` bucket a limit's ledger lies.
//!
//! Pure. Names are chosen by people and endpoints come from callers' paths, so what is no letter, digit, `-` or `_` is
//! written as `=` and two hexadecimal digits: no two names become one key, none holds a wildcard, none makes a token of its
//! own.

use std::fmt::Write;

/// The longest key, in characters. A longer name is no limit's: callers count such endpoints as one.
pub const KEY_CHARS_MAX: usize = 400;

/// The key of a limit: what it belongs to (an integration or a credential), its name, and the caller or endpoint where
/// each has its own. Nothing when it is too long.
pub fn of(owner: &str, limit: &str, part: Option<&str>) -> Option<String> {
    let mut key = String::with_capacity(owner.len() + limit.len() + 16);
    for (place, token) in [Some(owner), Some(limit), part].into_iter().flatten().enumerate() {
        if place > 0 {
            key.push('.');
        }
        if token.is_empty() {
            key.push('=');
        }
        for byte in token.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                key.push(char::from(byte));
            } else {
                write!(key, "={byte:02x}").expect("a string takes all");
            }
        }
        if key.len() > KEY_CHARS_MAX {
            return None;
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_wildcard_or_another_name() {
        assert_eq!(of("polygon", "per minute", None).as_deref(), Some("polygon.per=20minute"));
        assert_eq!(of("a", "b", Some("GET /v1/*")).as_deref(), Some("a.b.GET=20=2fv1=2f=2a"));
        assert_eq!(of("a", "b.c", None).as_deref(), Some("a.b=2ec"));
        assert_eq!(of("a", "", Some("=")).as_deref(), Some("a.=.=3d"));
        assert_eq!(of("a", &"/".repeat(200), None), None);
    }
}
