//! Tokens: `sbt_<id>_<43 characters of 256 random bits><6 characters checksum>`, stored as SHA-256.
//!
//! A fast hash is right for full entropy. The checksum lets scanners tell a real token from a random text. The
//! id finds the row, so that nothing is searched by hash. A token given by an operator (automation) may be any
//! text of 32 characters or more; it belongs to the row [`GIVEN`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Secret, TokenId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The id of the token that an operator gave at the start.
pub(crate) const GIVEN: &str = "operator-given";
const PREFIX: &str = "sbt_";
const SECRET_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;

/// Makes a token.
pub(crate) fn make(id: &TokenId) -> Secret {
    let mut bits = [0u8; 32];
    getrandom::fill(&mut bits).expect("the operating system has randomness");
    let body = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(bits));
    let check = checksum(&body);
    Secret::new(body + &check)
}

/// 256 random bits as text, for sessions.
pub(crate) fn random_text() -> Secret {
    let mut bits = [0u8; 32];
    getrandom::fill(&mut bits).expect("the operating system has randomness");
    Secret::new(URL_SAFE_NO_PAD.encode(bits))
}

fn checksum(body: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(body.as_bytes()))[..CHECK_CHARS].to_owned()
}

/// The id of the row that a token must match.
pub(crate) fn id_of(text: &str) -> &str {
    let id = || {
        let (body, check) = text.split_at_checked(text.len().checked_sub(CHECK_CHARS)?)?;
        let rest = body.strip_prefix(PREFIX)?;
        let (id, secret) = rest.split_at_checked(rest.len().checked_sub(SECRET_CHARS + 1)?)?;
        (secret.starts_with('_') && checksum(body) == check && TokenId::new(id).is_ok()).then_some(id)
    };
    id().unwrap_or(GIVEN)
}

/// The hash that is stored.
pub(crate) fn hash(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Whether the text hashes to what is stored, compared in constant time on fixed lengths.
pub(crate) fn matches(text: &str, stored: &str) -> bool {
    hash(text).as_bytes().ct_eq(stored.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_row_and_matches_its_hash_only() {
        let id = TokenId::new("ci-reader").expect("a slug");
        let token = make(&id);
        assert_eq!(id_of(token.expose()), "ci-reader");
        let stored = hash(token.expose());
        assert!(matches(token.expose(), &stored));
        let mut other = token.expose().to_owned();
        other.pop();
        assert!(!matches(&other, &stored));
        assert!(!matches("", ""));
    }

    #[test]
    fn a_text_that_is_no_token_belongs_to_the_given_one() {
        for text in ["", "sbt_", "sbt_x_y", "0123456789abcdef0123456789abcdef", "sbt_é_ééééé"] {
            assert_eq!(id_of(text), GIVEN, "{text}");
        }
    }
}
