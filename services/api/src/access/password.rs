//! Passwords: Argon2id with 19 MiB, two passes (OWASP), hashed on a blocking thread, a few at a time.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use model::Secret;
use runtime::Problem;

use crate::problems::internal;
use crate::state::Api;

/// Shortest password that is taken, in characters.
pub(crate) const CHARS_MIN: usize = 12;
const CHARS_MAX: usize = 1024;
/// A hash of nothing that anybody knows: compared with for unknown users, so that they take as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2lnbmFsYm94bm9ib2R5$zKjkJ7pCkVAAeS9KvoZ6GHvLcCZrDGG4MOgTf1Wz8bM";

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

/// Hashes a password; refuses one that is too short.
pub(crate) async fn hash(api: &Api, password: Secret) -> Result<String, Problem> {
    let chars = password.expose().chars().count();
    if chars < CHARS_MIN || password.len() > CHARS_MAX {
        return Err(Problem::validation(
            "/password",
            format!("must have {CHARS_MIN} to {CHARS_MAX} characters"),
        ));
    }
    let _turn = api.hashing.acquire().await.map_err(internal)?;
    tokio::task::spawn_blocking(move || hash_now(&password)).await.map_err(internal)?.map_err(internal)
}

/// Hashes on this thread: for the first start.
pub(crate) fn hash_now(password: &Secret) -> anyhow::Result<String> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).expect("the operating system has randomness");
    let wrong = |error| anyhow::anyhow!("hash a password: {error}");
    let salt = SaltString::encode_b64(&salt).map_err(wrong)?;
    Ok(argon2().hash_password(password.expose().as_bytes(), &salt).map_err(wrong)?.to_string())
}

/// Whether the password is the one that was hashed; takes as long when there is no hash.
pub(crate) async fn verify(api: &Api, password: Secret, hash: Option<String>) -> Result<bool, Problem> {
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
    let _turn = api.hashing.acquire().await.map_err(internal)?;
    let matched = tokio::task::spawn_blocking(move || {
        PasswordHash::new(&hash)
            .is_ok_and(|parsed| argon2().verify_password(password.expose().as_bytes(), &parsed).is_ok())
    })
    .await
    .map_err(internal)?;
    Ok(matched && known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_can_be_compared_with() {
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
