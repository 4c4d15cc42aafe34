//! What an error of the client library means.
//!
//! Only its status and whether something answered are looked at. Its texts carry answers' bodies and go nowhere.

use rustify::errors::ClientError as RestError;
use vaultrs::error::ClientError;

use crate::Error;

/// What was attempted, and where.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// A verb.
    pub(crate) doing: &'static str,
    /// The place as the house names it.
    pub(crate) path: &'a str,
}

/// The status of an answer that was an error. `None`: no answer, or one that is not an error.
pub(crate) fn status(error: &ClientError) -> Option<u16> {
    match error {
        ClientError::APIError { code, .. } => Some(*code),
        // A version that was deleted or destroyed: its answer is 404 with a body of another shape.
        ClientError::RestClientError { source: RestError::ServerResponseError { code, .. } } => Some(*code),
        _ => None,
    }
}

/// The house's error for it.
pub(crate) fn error(attempt: Attempt<'_>, error: &ClientError) -> Error {
    let Attempt { doing, path } = attempt;
    let away = |why: String| Error::Away { doing, path: path.to_owned(), why };
    match status(error) {
        Some(404) => Error::Missing { path: path.to_owned() },
        Some(403) => Error::Denied { doing, path: path.to_owned() },
        Some(400) if is_check_and_set(error) => Error::Conflict { path: path.to_owned() },
        Some(503) => Error::Sealed,
        Some(408 | 412 | 429 | 472 | 473) => away("asks to come back later".to_owned()),
        Some(status @ 500..) => away(format!("refuses requests (status {status})")),
        Some(status) => Error::Refused { doing, path: path.to_owned(), status },
        None => match error {
            ClientError::RestClientError {
                source: RestError::RequestError { .. } | RestError::ResponseError { .. },
            } => away("does not answer".to_owned()),
            _ => away("gives answers that are not those of a vault".to_owned()),
        },
    }
}

/// Of the errors with status 400 only this one is a lost race. The text is Vault's and OpenBao's.
fn is_check_and_set(error: &ClientError) -> bool {
    match error {
        ClientError::APIError { errors, .. } => errors.iter().any(|text| text.contains("check-and-set")),
        _ => false,
    }
}
