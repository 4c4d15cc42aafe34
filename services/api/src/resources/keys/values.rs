//! The values of a key on their way in: what is refused, what is warned about, and what is remembered of them.
//!
//! A value itself is never remembered here, only its last characters and a fingerprint.

use model::Timestamp;
use model::integration::CUSTOM_PROVIDER;
use model::key::{KeyState, KeyVersion};
use model::secret::Fields;
use runtime::Problem;
use vault::Fingerprints;

use crate::resources::providers;
use crate::state::Api;

/// Fields of one key, and bytes of one value.
const FIELDS_MAX: usize = 16;
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Refuses what cannot be right; warns about what does not look right.
pub(super) fn check(api: &Api, provider: &str, fields: &Fields) -> Result<Vec<String>, Problem> {
    if fields.is_empty() || fields.len() > FIELDS_MAX {
        return Err(Problem::validation("/fields", format!("must hold 1 to {FIELDS_MAX} values")));
    }
    for (name, value) in fields {
        let pointer = format!("/fields/{}", name.replace('~', "~0").replace('/', "~1"));
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(Problem::validation(&pointer, format!("must have 1 to {VALUE_BYTES_MAX} bytes")));
        }
        if value.expose().contains('\0') {
            return Err(Problem::validation(&pointer, "must not hold a NUL"));
        }
    }
    if provider == CUSTOM_PROVIDER {
        return Ok(Vec::new());
    }
    let provider = providers::named(api, provider, "/provider")?;
    let mut warnings = Vec::new();
    for field in &provider.fields {
        match fields.get(&field.name) {
            Some(value) => warnings.extend(field.warn(value.expose())),
            None if field.required => {
                let detail = format!("{} needs it: {}", provider.name, field.label);
                return Err(Problem::validation(format!("/fields/{}", field.name), detail));
            }
            None => {}
        }
    }
    let known: Vec<&str> = provider.fields.iter().map(|field| field.name.as_str()).collect();
    if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Problem::validation(
            format!("/fields/{unknown}"),
            format!("{} has no such field; it has {}", provider.name, known.join(", ")),
        ));
    }
    Ok(warnings)
}

/// What is remembered of new values.
pub(super) fn version_of(number: u32, fields: &Fields, prints: &Fingerprints, at: Timestamp) -> KeyVersion {
    KeyVersion {
        version: number,
        state: KeyState::Active,
        created_at: at,
        revoked_at: None,
        fields: fields.iter().map(|(name, value)| (name.clone(), value.masked())).collect(),
        fingerprint: prints.make(fields),
    }
}
