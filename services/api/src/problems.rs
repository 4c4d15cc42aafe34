//! What the doors' errors become for callers.

use model::config::Kind;
use runtime::Problem;

/// Seconds after which something that is away is worth another try.
pub(crate) const RETRY_SECS: u32 = 2;

/// A fault of ours: logged with its source, shown without.
pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Problem {
    Problem::internal(error)
}

/// What an error of the database becomes.
pub(crate) fn of_store(error: store::Error) -> Problem {
    match error {
        store::Error::Exists { kind, id } => exists(kind, &id),
        store::Error::Missing { kind, id } => Problem::not_found(kind, &id, [] as [&str; 0]),
        store::Error::Stale { .. } => Problem::stale(),
        error if error.is_transient() => {
            Problem::unavailable("the database does not answer; try again", RETRY_SECS)
        }
        error => internal(error),
    }
}

/// What an error of the key store becomes.
pub(crate) fn of_vault(error: vault::Error) -> Problem {
    if error.is_transient() {
        return Problem::unavailable(format!("the key store does not answer: {error}"), RETRY_SECS);
    }
    internal(error)
}

/// An id that is taken.
pub(crate) fn exists(kind: impl std::fmt::Display, id: &str) -> Problem {
    Problem::conflict(format!(
        "{kind} `{id}` is there already; choose another id, or change that one with PUT or PATCH"
    ))
}

/// Nothing of that id; those that look alike are suggested.
pub(crate) fn missing<'a>(kind: Kind, id: &str, there: impl Iterator<Item = &'a str>) -> Problem {
    Problem::not_found(kind.as_str(), id, there)
}
