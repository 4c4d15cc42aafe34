//! What a scheme must be, beyond its type: names that can be sent, patterns that can be filled.
//!
//! Pure. Says where a fault is, so that the API and the catalogue can point at it.

use super::pattern::{Part, Pattern};
use super::signing::Filled;
use super::{Auth, HeaderField};

/// The most headers, or query parameters, that a scheme sets.
pub const FILLED_MAX: usize = 16;
/// The most components that a message signature covers.
pub const COMPONENTS_MAX: usize = 32;
/// The longest life of a message signature, in seconds.
pub const EXPIRES_SECS_MAX: u32 = 86_400;
/// The longest text of a label, a tag, a name or a component, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Headers that belong to a connection, whatever a configuration says.
const NEVER: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "upgrade"];
/// Parts of a message that have no header (RFC 9421, section 2.2), as far as a request has them.
const DERIVED: [&str; 7] =
    ["@method", "@authority", "@scheme", "@target-uri", "@request-target", "@path", "@query"];

/// Why a scheme cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {why}")]
pub struct AuthFault {
    /// Where, as a JSON pointer inside of the scheme.
    pub pointer: String,
    /// A sentence without a full stop.
    pub why: String,
}

/// A part of a message that a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// One of the parts that begin with `@`.
    Derived(String),
    /// `@query-param;name="…"`: one parameter of the query, by its encoded name.
    QueryParam(String),
    /// A header, in lower case.
    Header(String),
}

impl Component {
    /// Reads what a configuration says: `@path`, `content-type`, `@query-param;name="symbol"`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > NAME_BYTES_MAX {
            return Err(format!("longer than {NAME_BYTES_MAX} bytes"));
        }
        if let Some(name) = text.strip_prefix("@query-param") {
            let name = name.strip_prefix(";name=\"").and_then(|name| name.strip_suffix('"'));
            return match name {
                Some(name) if !name.is_empty() && name.bytes().all(is_name_byte) => {
                    Ok(Self::QueryParam(name.to_owned()))
                }
                _ => Err("a parameter is written `@query-param;name=\"symbol\"`, its name percent-encoded"
                    .to_owned()),
            };
        }
        if text.starts_with('@') {
            return if DERIVED.contains(&text) {
                Ok(Self::Derived(text.to_owned()))
            } else {
                Err(format!("a request has no `{}`; it has {}", text.escape_debug(), DERIVED.join(", ")))
            };
        }
        if matches!(text, "signature" | "signature-input") {
            return Err("a signature does not cover itself".to_owned());
        }
        if is_header_name(text) && !text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Ok(Self::Header(text.to_owned()));
        }
        Err(format!(
            "`{}` is neither a header's name in lower case nor one of {}",
            text.escape_debug(),
            DERIVED.join(", ")
        ))
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'&' | b'=')
}

/// Whether a byte can stand in a header's name (RFC 9110, section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_token_byte)
}

impl Auth {
    /// Whether requests must be signed: with their final path, query and body, and the time.
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Signed { .. } | Self::Hmac { .. } | Self::MessageSignature { .. })
    }

    /// Checks names, patterns and bounds.
    pub fn check(&self) -> Result<(), AuthFault> {
        match self {
            Self::Header { name, prefix, .. } => {
                header("/name", name)?;
                must(
                    "/prefix",
                    prefix.bytes().all(|b| (b' '..=b'~').contains(&b)),
                    "cannot stand in a header",
                )
            }
            Self::Headers { headers } => {
                count("/headers", headers.len(), 1, FILLED_MAX)?;
                let one = |(i, it): (usize, &HeaderField)| header(&format!("/headers/{i}/name"), &it.name);
                headers.iter().enumerate().try_for_each(one)
            }
            Self::Query { name, .. } => must("/name", !name.is_empty(), "a parameter has a name"),
            Self::Hmac { prehash, headers, query, .. } => {
                let pattern = pattern("/prehash", prehash)?;
                must("/prehash", !pattern.parts().is_empty(), "there must be something to sign")?;
                must("/prehash", !pattern.has(&Part::Signature), "what is signed cannot hold the signature")?;
                filled("/headers", headers, true)?;
                filled("/query", query, false)?;
                let signs = headers.iter().chain(query).any(|it| it.value.contains("{signature}"));
                must("/headers", signs, "no header or query parameter holds `{signature}`")
            }
            Self::MessageSignature { label, components, expires_secs, tag, .. } => {
                let key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
                let is_label = label.len() <= NAME_BYTES_MAX
                    && label.bytes().all(key)
                    && label.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
                must("/label", is_label, "a label is lower-case letters, digits and `_-.*`, a letter first")?;
                count("/components", components.len(), 0, COMPONENTS_MAX)?;
                for (i, text) in components.iter().enumerate() {
                    let pointer = format!("/components/{i}");
                    Component::parse(text).map_err(|why| AuthFault { pointer: pointer.clone(), why })?;
                    must(&pointer, !components[..i].contains(text), "stands there twice")?;
                }
                let life = expires_secs.is_none_or(|secs| (1..=EXPIRES_SECS_MAX).contains(&secs));
                must("/expires_secs", life, &format!("must be 1 to {EXPIRES_SECS_MAX}"))?;
                let printable = |tag: &String| {
                    tag.len() <= NAME_BYTES_MAX && tag.bytes().all(|b| (b' '..=b'~').contains(&b))
                };
                must("/tag", tag.as_ref().is_none_or(printable), "must be printable ASCII")
            }
            Self::None {} | Self::Bearer { .. } | Self::Basic { .. } | Self::Signed { .. } => Ok(()),
        }
    }
}

fn must(pointer: &str, holds: bool, why: &str) -> Result<(), AuthFault> {
    if holds { Ok(()) } else { Err(AuthFault { pointer: pointer.to_owned(), why: why.to_owned() }) }
}

fn count(pointer: &str, count: usize, min: usize, max: usize) -> Result<(), AuthFault> {
    must(pointer, (min..=max).contains(&count), &format!("must be {min} to {max}, not {count}"))
}

fn header(pointer: &str, name: &str) -> Result<(), AuthFault> {
    must(pointer, is_header_name(name), &format!("`{}` is not a header name", name.escape_debug()))?;
    let theirs = NEVER.iter().any(|never| name.eq_ignore_ascii_case(never));
    must(pointer, !theirs, &format!("`{name}` belongs to the connection"))
}

fn pattern(pointer: &str, text: &str) -> Result<Pattern, AuthFault> {
    Pattern::parse(text).map_err(|error| AuthFault { pointer: pointer.to_owned(), why: error.to_string() })
}

fn filled(pointer: &str, all: &[Filled], are_headers: bool) -> Result<(), AuthFault> {
    count(pointer, all.len(), 0, FILLED_MAX)?;
    for (i, it) in all.iter().enumerate() {
        let name = format!("{pointer}/{i}/name");
        if are_headers {
            header(&name, &it.name)?;
        }
        let ok = !it.name.is_empty() && it.name.len() <= NAME_BYTES_MAX;
        must(&name, ok, &format!("must be 1 to {NAME_BYTES_MAX} bytes"))?;
        let again = all[..i].iter().any(|other| other.name.eq_ignore_ascii_case(&it.name));
        must(&name, !again, "stands there twice")?;
        pattern(&format!("{pointer}/{i}/value"), &it.value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
