//! HTTP message signatures (RFC 9421) with the digest of the content (RFC 9530) where it is covered.
//!
//! Makes the signature base, one line for each component, and signs it. A `Date` that is covered and missing is set; a
//! `Content-Length` that is covered is the body's.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderName};
use http::request::Parts;
use model::auth::Auth;
use model::auth::check::Component;
use model::auth::signing::{DigestAlgorithm, MessageAlgorithm};
use model::secret::Fields;

use super::key::PrivateKey;
use super::mac::{self, MacKey};
use super::{Moment, SignError, field, set, set_named, target};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

pub(super) struct Message {
    label: String,
    components: Vec<Component>,
    /// The components as they stand in `Signature-Input`.
    list: String,
    algorithm: MessageAlgorithm,
    key: Key,
    key_field: String,
    key_id: String,
    created: bool,
    expires_secs: Option<u32>,
    nonce: bool,
    alg: bool,
    tag: Option<String>,
    digest: DigestAlgorithm,
}

enum Key {
    Mac(MacKey),
    Private(PrivateKey),
}

impl Message {
    pub(super) fn new(auth: &Auth, fields: &Fields) -> Result<Self, SignError> {
        auth.check().map_err(|fault| SignError::InvalidScheme(fault.to_string()))?;
        let Auth::MessageSignature {
            label,
            components,
            algorithm,
            key_id_field,
            key_field,
            key_encoding,
            created,
            expires_secs,
            nonce,
            alg,
            tag,
            digest,
        } = auth
        else {
            return Err(SignError::NotSigned);
        };
        let secret = field(fields, key_field)?;
        let key = match algorithm {
            MessageAlgorithm::HmacSha256 => Key::Mac(MacKey::read(key_field, secret, *key_encoding)?),
            _ => Key::Private(PrivateKey::read(key_field, secret)?),
        };
        let fits = match (&key, algorithm) {
            (Key::Mac(_), _) => true,
            (Key::Private(PrivateKey::Ed25519(_)), algorithm) => *algorithm == MessageAlgorithm::Ed25519,
            (Key::Private(PrivateKey::P256(_)), algorithm) => *algorithm == MessageAlgorithm::EcdsaP256Sha256,
            (Key::Private(PrivateKey::Rsa(_)), algorithm) => {
                matches!(algorithm, MessageAlgorithm::RsaV15Sha256 | MessageAlgorithm::RsaPssSha512)
            }
        };
        if !fits {
            let why = "is a private key of another kind than the algorithm";
            return Err(SignError::InvalidField { field: key_field.clone(), why });
        }
        let broken = |why| SignError::InvalidScheme(why);
        let components: Vec<Component> = components
            .iter()
            .map(|text| Component::parse(text).map_err(broken))
            .collect::<Result<_, SignError>>()?;
        let list = components.iter().map(identifier).collect::<Vec<_>>().join(" ");
        let why = "is not printable ASCII";
        let key_id = quoted(field(fields, key_id_field)?.expose())
            .ok_or_else(|| SignError::InvalidField { field: key_id_field.clone(), why })?;
        let tag = match tag {
            Some(tag) => Some(quoted(tag).ok_or_else(|| SignError::InvalidScheme("/tag".to_owned()))?),
            None => None,
        };
        Ok(Self {
            label: label.clone(),
            components,
            list,
            algorithm: *algorithm,
            key,
            key_field: key_field.clone(),
            key_id,
            created: *created,
            expires_secs: *expires_secs,
            nonce: *nonce,
            alg: *alg,
            tag,
            digest: *digest,
        })
    }

    pub(super) fn reads_body(&self) -> bool {
        self.components.iter().any(|it| {
            matches!(it, Component::Header(name) if name == CONTENT_DIGEST.as_str() || name == CONTENT_LENGTH.as_str())
        })
    }

    pub(super) fn sign(&self, head: &mut Parts, body: &Bytes, at: &Moment) -> Result<(), SignError> {
        target::drop_bare_mark(head)?;
        self.complete(head, body, at)?;
        let params = self.params(at);
        let mut base = String::with_capacity(512);
        for component in &self.components {
            let value = value(component, head, body)?;
            base.push_str(&format!("{}: {value}\n", identifier(component)));
        }
        base.push_str(&format!("\"@signature-params\": {params}"));
        let text = base.as_bytes();
        let signature = match (&self.key, self.algorithm) {
            (Key::Mac(key), _) => key.sha256_base64(&[text]),
            (Key::Private(key), MessageAlgorithm::RsaPssSha512) => {
                mac::base64(&key.sign_pss(&self.key_field, text)?)
            }
            (Key::Private(key), _) => mac::base64(&key.sign(&self.key_field, text)?),
        };
        set(head, "signature-input", &format!("{}={params}", self.label))?;
        set(head, "signature", &format!("{}=:{signature}:", self.label))
    }

    /// Sets the headers that are covered and ours to say.
    fn complete(&self, head: &mut Parts, body: &Bytes, at: &Moment) -> Result<(), SignError> {
        let covers = |name: &HeaderName| {
            self.components
                .iter()
                .any(|it| matches!(it, Component::Header(header) if header == name.as_str()))
        };
        if covers(&CONTENT_DIGEST) {
            let digest = match self.digest {
                DigestAlgorithm::Sha256 => format!("sha-256=:{}:", mac::base64(mac::sha256(body).as_ref())),
                DigestAlgorithm::Sha512 => format!("sha-512=:{}:", mac::base64(mac::sha512(body).as_ref())),
            };
            set_named(head, CONTENT_DIGEST, &digest)?;
        }
        if covers(&DATE) && !head.headers.contains_key(DATE) {
            let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at.secs());
            set_named(head, DATE, &httpdate::fmt_http_date(now))?;
        }
        Ok(())
    }

    fn params(&self, at: &Moment) -> String {
        let mut params = format!("({})", self.list);
        if self.created {
            params.push_str(&format!(";created={}", at.secs()));
        }
        if let Some(secs) = self.expires_secs {
            params.push_str(&format!(";expires={}", at.secs().saturating_add(secs.into())));
        }
        params.push_str(&format!(";keyid={}", self.key_id));
        if self.nonce {
            params.push_str(&format!(";nonce=\"{}\"", at.random_hex()));
        }
        if self.alg {
            params.push_str(&format!(";alg=\"{}\"", self.algorithm.as_str()));
        }
        if let Some(tag) = &self.tag {
            params.push_str(&format!(";tag={tag}"));
        }
        params
    }
}

/// A component's name as both the base and `Signature-Input` have it.
fn identifier(component: &Component) -> String {
    match component {
        Component::Derived(name) | Component::Header(name) => format!("\"{name}\""),
        Component::QueryParam(name) => format!("\"@query-param\";name=\"{name}\""),
    }
}

/// A component's value (RFC 9421, sections 2.1 and 2.2).
fn value(component: &Component, head: &Parts, body: &Bytes) -> Result<String, SignError> {
    match component {
        Component::Derived(name) => Ok(match name.as_str() {
            "@method" => head.method.as_str().to_owned(),
            "@authority" => target::authority(head)?,
            "@scheme" => head.uri.scheme_str().ok_or(SignError::InvalidUrl)?.to_ascii_lowercase(),
            "@path" => head.uri.path().to_owned(),
            "@query" => format!("?{}", target::query(head)),
            "@request-target" => target::path_and_query(head).to_owned(),
            _ => {
                let scheme = head.uri.scheme_str().ok_or(SignError::InvalidUrl)?.to_ascii_lowercase();
                format!("{scheme}://{}{}", target::authority(head)?, target::path_and_query(head))
            }
        }),
        Component::QueryParam(name) => {
            let pairs = target::query(head).split('&').filter(|pair| !pair.is_empty());
            let mut found = pairs.filter_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (target::encode(&target::decode(key)) == *name)
                    .then(|| target::encode(&target::decode(value)))
            });
            match (found.next(), found.next()) {
                (Some(value), None) => Ok(value),
                _ => Err(SignError::MissingPart(format!("one query parameter {name}"))),
            }
        }
        Component::Header(name) => {
            let lines: Vec<&str> = head
                .headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().map(str::trim))
                .collect::<Result<_, _>>()
                .map_err(|_| SignError::InvalidHeader(name.clone()))?;
            if name == CONTENT_LENGTH.as_str() {
                return Ok(body.len().to_string());
            }
            if lines.is_empty() { Err(SignError::MissingPart(name.clone())) } else { Ok(lines.join(", ")) }
        }
    }
}

/// A string of structured fields (RFC 9651, section 4.1.6).
fn quoted(text: &str) -> Option<String> {
    let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    printable.then(|| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests;
