//! One suite of behaviours for both stores, and what is each store's own.

mod bao;
pub(crate) mod double;
mod remote;
mod sealed;
mod suite;

use model::Secret;
use model::secret::Fields;

/// The text that must be seen nowhere.
const CANARY: &str = "canary-7f3a-never-shown";

/// Fields with one value.
fn fields(value: &str) -> Fields {
    Fields::from([("api_key".to_owned(), Secret::new(value.to_owned()))])
}

/// The value that [`fields`] put in.
fn value(fields: &Fields) -> &str {
    fields["api_key"].expose()
}

/// Fails when an error, printed in any way and down to its last source, shows the canary.
fn shows_nothing(error: &crate::Error) {
    let mut printed = format!("{error} {error:?} {error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        printed += &format!(" {next} {next:?}");
        source = next.source();
    }
    assert!(!printed.contains(CANARY), "{printed}");
    assert!(!error.to_string().contains('\n'), "{error}");
}
