//! HMACs by configuration: what is signed and what is sent are patterns (see [`model::auth::pattern`]).
//!
//! Compiled once. What does not hold the signature is set first, so that `{query}` and `{header:…}` are what the provider
//! will see of it; then the text is signed; then what holds the signature is set.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::request::Parts;
use model::Timestamp;
use model::auth::Auth;
use model::auth::pattern::{Part, Pattern};
use model::auth::signing::{Filled, HmacAlgorithm, SignatureEncoding};
use model::secret::Fields;
use zeroize::Zeroizing;

use super::mac::{self, MacKey};
use super::target::{self, Pairs};
use super::{Moment, SignError, field, set_named};

pub(super) struct Patterned {
    algorithm: HmacAlgorithm,
    key: MacKey,
    prehash: Pattern,
    encoding: SignatureEncoding,
    headers: Vec<(HeaderName, Pattern)>,
    query: Vec<(String, Pattern)>,
    /// Those of the key that patterns name.
    fields: Fields,
}

impl Patterned {
    pub(super) fn new(auth: &Auth, fields: &Fields) -> Result<Self, SignError> {
        auth.check().map_err(|fault| SignError::InvalidScheme(fault.to_string()))?;
        let Auth::Hmac { algorithm, secret_field, secret_encoding, prehash, encoding, headers, query } = auth
        else {
            return Err(SignError::NotSigned);
        };
        let named = |it: &Filled| Ok((it.name.clone(), parse(&it.value)?));
        let header = |it: &Filled| {
            let name = HeaderName::from_bytes(it.name.as_bytes())
                .map_err(|_| SignError::InvalidScheme(it.name.clone()))?;
            Ok((name, parse(&it.value)?))
        };
        let mut kept = Fields::new();
        for name in auth.fields() {
            kept.insert(name.to_owned(), field(fields, name)?.clone());
        }
        Ok(Self {
            algorithm: *algorithm,
            key: MacKey::read(secret_field, field(fields, secret_field)?, *secret_encoding)?,
            prehash: parse(prehash)?,
            encoding: *encoding,
            headers: headers.iter().map(header).collect::<Result<_, SignError>>()?,
            query: query.iter().map(named).collect::<Result<_, SignError>>()?,
            fields: kept,
        })
    }

    pub(super) fn reads_body(&self) -> bool {
        let headers = self.headers.iter().map(|(_, pattern)| pattern);
        let query = self.query.iter().map(|(_, pattern)| pattern);
        headers.chain(query).chain([&self.prehash]).any(Pattern::reads_body)
    }

    pub(super) fn sign(&self, head: &mut Parts, body: &Bytes, at: &Moment) -> Result<(), SignError> {
        let ours: Vec<&str> = self.query.iter().map(|(name, _)| name.as_str()).collect();
        // A caller's value in a place of ours never passes, nor does it enter what is signed.
        target::set_query(head, Pairs::without(target::query(head), &ours).as_str())?;
        for (name, _) in &self.headers {
            head.headers.remove(name);
        }
        self.place(head, body, at, None)?;
        let text = self.fill(&self.prehash, head, body, at, None)?;
        let tag = self.key.sign(self.algorithm, &[&text]);
        self.place(head, body, at, Some(&mac::encode(tag.as_ref(), self.encoding)))
    }

    /// Sets headers and parameters: without a signature those that hold none, with one those that do.
    fn place(
        &self,
        head: &mut Parts,
        body: &Bytes,
        at: &Moment,
        signature: Option<&str>,
    ) -> Result<(), SignError> {
        let is_due = |pattern: &Pattern| pattern.has(&Part::Signature) == signature.is_some();
        for (name, pattern) in self.query.iter().filter(|(_, pattern)| is_due(pattern)) {
            let value = self.fill(pattern, head, body, at, signature)?;
            let mut query = Pairs::without(target::query(head), &[]);
            query.push(name, std::str::from_utf8(&value).map_err(|_| SignError::InvalidUrl)?);
            target::set_query(head, query.as_str())?;
        }
        for (name, pattern) in self.headers.iter().filter(|(_, pattern)| is_due(pattern)) {
            let value = self.fill(pattern, head, body, at, signature)?;
            let invalid = |_| SignError::InvalidHeader(name.as_str().to_owned());
            set_named(head, name.clone(), std::str::from_utf8(&value).map_err(invalid)?)?;
        }
        Ok(())
    }

    fn fill(
        &self,
        pattern: &Pattern,
        head: &Parts,
        body: &Bytes,
        at: &Moment,
        signature: Option<&str>,
    ) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let mut text = Zeroizing::new(Vec::with_capacity(256 + body.len()));
        let header = |name: &str| head.headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        for part in pattern.parts() {
            match part {
                Part::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                Part::Method => text.extend_from_slice(head.method.as_str().as_bytes()),
                Part::Path => text.extend_from_slice(head.uri.path().as_bytes()),
                Part::Query => text.extend_from_slice(target::query(head).as_bytes()),
                Part::PathAndQuery => text.extend_from_slice(target::path_and_query(head).as_bytes()),
                Part::Url => {
                    let scheme = head.uri.scheme_str().ok_or(SignError::InvalidUrl)?;
                    let url =
                        format!("{scheme}://{}{}", target::authority(head)?, target::path_and_query(head));
                    text.extend_from_slice(url.as_bytes());
                }
                Part::Host => text.extend_from_slice(target::authority(head)?.as_bytes()),
                Part::Body => text.extend_from_slice(body),
                Part::BodySha256Hex => {
                    text.extend_from_slice(mac::hex(mac::sha256(body).as_ref()).as_bytes());
                }
                Part::BodySha256Base64 => {
                    text.extend_from_slice(mac::base64(mac::sha256(body).as_ref()).as_bytes());
                }
                Part::BodySha512Hex => {
                    text.extend_from_slice(mac::hex(mac::sha512(body).as_ref()).as_bytes());
                }
                Part::Timestamp => text.extend_from_slice(at.secs().to_string().as_bytes()),
                Part::TimestampMs => text.extend_from_slice(at.now_ms.to_string().as_bytes()),
                Part::TimestampIso => {
                    let now = Timestamp::from_millis(i64::try_from(at.now_ms).unwrap_or(i64::MAX));
                    text.extend_from_slice(now.to_string().as_bytes());
                }
                Part::Nonce => text.extend_from_slice(at.nonce.to_string().as_bytes()),
                Part::Random => text.extend_from_slice(at.random_hex().as_bytes()),
                Part::ContentType => text.extend_from_slice(header(CONTENT_TYPE.as_str())),
                Part::Header(name) => text.extend_from_slice(header(name)),
                Part::Field(name) => {
                    text.extend_from_slice(field(&self.fields, name)?.expose().as_bytes());
                }
                Part::Signature => text.extend_from_slice(signature.unwrap_or_default().as_bytes()),
            }
        }
        Ok(text)
    }
}

fn parse(text: &str) -> Result<Pattern, SignError> {
    Pattern::parse(text).map_err(|error| SignError::InvalidScheme(error.to_string()))
}

#[cfg(test)]
mod tests;
