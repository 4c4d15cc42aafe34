//! A value that must not be seen: it can be read on purpose, and in no other way.
//!
//! No `Display`, no `Serialize`, no `PartialEq`; `Debug` prints `[redacted]`; memory is wiped on drop. So a
//! secret cannot end up in a log line, an event, an error or an API answer by accident (safety rule 4).

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// A secret text.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes over a text; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The value itself. Call this only where it leaves for its provider, is sealed, or is revealed after its audit entry.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.expose().len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// What may be shown of it: the last four characters behind dots, or only dots when it has fewer than 12.
    pub fn masked(&self) -> String {
        let text = self.expose();
        let chars = text.chars().count();
        if chars < 12 {
            return "••••".to_owned();
        }
        let tail: String = text.chars().skip(chars - 4).collect();
        format!("••••{tail}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

/// The named values of one credential, in the order of their names.
pub type Fields = std::collections::BTreeMap<String, Secret>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_nothing_but_its_last_four_characters() {
        let secret = Secret::new("abcdefghijklmnop".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.masked(), "••••mnop");
        assert_eq!(Secret::new("short".to_owned()).masked(), "••••");
    }
}
