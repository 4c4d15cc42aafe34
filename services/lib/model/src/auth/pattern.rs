//! Text with placeholders, from which a configured signer makes what it signs and what it sends.
//!
//! Pure: reads patterns, fills none. A placeholder stands in braces; `{{` and `}}` are braces. A fault says at which
//! character it is.

/// The most bytes of a pattern.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// `method`: in capitals.
    Method,
    /// `path`, as it is sent.
    Path,
    /// `query`, as it is sent, without its question mark.
    Query,
    /// `path_and_query`: the question mark only before a query.
    PathAndQuery,
    /// `url`: scheme, host, path and query.
    Url,
    /// `host`, with its port unless that is the scheme's own.
    Host,
    /// `body`, byte for byte.
    Body,
    /// `body_sha256_hex`.
    BodySha256Hex,
    /// `body_sha256_base64`.
    BodySha256Base64,
    /// `body_sha512_hex`.
    BodySha512Hex,
    /// `timestamp`: whole seconds since 1970.
    Timestamp,
    /// `timestamp_ms`: milliseconds since 1970.
    TimestampMs,
    /// `timestamp_iso`: such as `2023-11-14T22:13:24.005Z`.
    TimestampIso,
    /// `nonce`: a number that grows with every request.
    Nonce,
    /// `random`: 32 hexadecimal characters.
    Random,
    /// `content_type`: the header's value, or nothing.
    ContentType,
    /// `header:<name>`: the header's value, or nothing. In lower case.
    Header(String),
    /// `field:<name>`: a field of the key.
    Field(String),
    /// `signature`: only in what is sent.
    Signature,
}

const KNOWN: [(&str, Part); 17] = [
    ("method", Part::Method),
    ("path", Part::Path),
    ("query", Part::Query),
    ("path_and_query", Part::PathAndQuery),
    ("url", Part::Url),
    ("host", Part::Host),
    ("body", Part::Body),
    ("body_sha256_hex", Part::BodySha256Hex),
    ("body_sha256_base64", Part::BodySha256Base64),
    ("body_sha512_hex", Part::BodySha512Hex),
    ("timestamp", Part::Timestamp),
    ("timestamp_ms", Part::TimestampMs),
    ("timestamp_iso", Part::TimestampIso),
    ("nonce", Part::Nonce),
    ("random", Part::Random),
    ("content_type", Part::ContentType),
    ("signature", Part::Signature),
];

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {why}")]
pub struct PatternError {
    /// The character, counted from 1.
    pub at: usize,
    /// A sentence without a full stop.
    pub why: String,
}

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError { at: 1, why: format!("longer than {PATTERN_BYTES_MAX} bytes") });
        }
        let mut parts = Vec::new();
        for token in tokens(text) {
            match token? {
                Token::Text(text) => parts.push(Part::Text(text.to_owned())),
                Token::Name(name, at) => parts.push(
                    placeholder(name)
                        .map_err(|why| PatternError { at: text[..at].chars().count() + 1, why })?,
                ),
            }
        }
        Ok(Self(parts))
    }

    /// Its pieces, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Whether it holds a piece.
    pub fn has(&self, part: &Part) -> bool {
        self.0.contains(part)
    }

    /// Whether it reads the body.
    pub fn reads_body(&self) -> bool {
        let body = |part: &Part| {
            matches!(part, Part::Body | Part::BodySha256Hex | Part::BodySha256Base64 | Part::BodySha512Hex)
        };
        self.0.iter().any(body)
    }
}

/// The names of the key's fields in a text, in order; of a broken one those before the fault.
pub(super) fn fields_of(text: &str) -> impl Iterator<Item = &str> {
    tokens(text).map_while(Result::ok).filter_map(|token| match token {
        Token::Name(name, _) => name.strip_prefix("field:"),
        Token::Text(_) => None,
    })
}

fn placeholder(name: &str) -> Result<Part, String> {
    let needs = |kind: &str| Err(format!("`{{{kind}:…}}` needs a name, such as `{{{kind}:x}}`"));
    let is_name = |of: &str, ok: fn(u8) -> bool| !of.is_empty() && of.bytes().all(ok);
    if let Some(of) = name.strip_prefix("field:") {
        let ok = is_name(of, |b| b.is_ascii_alphanumeric() || b == b'_');
        return if ok { Ok(Part::Field(of.to_owned())) } else { needs("field") };
    }
    if let Some(of) = name.strip_prefix("header:") {
        let ok = is_name(of, super::check::is_token_byte);
        return if ok { Ok(Part::Header(of.to_ascii_lowercase())) } else { needs("header") };
    }
    match KNOWN.iter().find(|(known, _)| *known == name) {
        Some((_, part)) => Ok(part.clone()),
        None => {
            let known = KNOWN.map(|(known, _)| known).join(", ");
            let name: String = name.chars().take(64).collect();
            Err(format!(
                "no placeholder `{}`; there are {known}, header:<name> and field:<name>",
                name.escape_debug()
            ))
        }
    }
}

/// A piece of the text: as it is, or a name in braces and the byte where its brace stands.
enum Token<'a> {
    Text(&'a str),
    Name(&'a str, usize),
}

fn tokens(text: &str) -> impl Iterator<Item = Result<Token<'_>, PatternError>> {
    let (mut at, mut broken) = (0, false);
    std::iter::from_fn(move || {
        let rest = &text[at..];
        if broken || rest.is_empty() {
            return None;
        }
        let mut fault = |why: &str| {
            broken = true;
            Some(Err(PatternError { at: text[..at].chars().count() + 1, why: why.to_owned() }))
        };
        if rest.starts_with("{{") || rest.starts_with("}}") {
            at += 2;
            return Some(Ok(Token::Text(&rest[..1])));
        }
        if rest.starts_with('}') {
            return fault("a `}` without its `{`; a brace itself is written `}}`");
        }
        if let Some(inner) = rest.strip_prefix('{') {
            let Some(end) = inner.find(['{', '}']).filter(|end| inner[*end..].starts_with('}')) else {
                return fault("a `{` without its `}`; a brace itself is written `{{`");
            };
            let token = Token::Name(&inner[..end], at);
            at += end + 2;
            return Some(Ok(token));
        }
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        at += end;
        Some(Ok(Token::Text(&rest[..end])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_placeholders_come_in_order() {
        let pattern =
            Pattern::parse("a{timestamp_ms}{{{method}}}{header:X-Ts}{field:api_key}é").expect("reads");
        let text = |text: &str| Part::Text(text.to_owned());
        let wanted = [
            text("a"),
            Part::TimestampMs,
            text("{"),
            Part::Method,
            text("}"),
            Part::Header("x-ts".to_owned()),
            Part::Field("api_key".to_owned()),
            text("é"),
        ];
        assert_eq!(pattern.parts(), wanted);
        assert!(pattern.has(&Part::Method) && !pattern.reads_body());
        assert!(Pattern::parse("{body_sha256_hex}").expect("reads").reads_body());
    }

    #[test]
    fn a_fault_says_where_it_is() {
        let at = |text: &str| Pattern::parse(text).expect_err("broken").at;
        assert_eq!(at("é{method}{nope}"), 10);
        assert_eq!(at("ab{method"), 3);
        assert_eq!(at("ab{me{thod}"), 3);
        assert_eq!(at("ab}"), 3);
        assert_eq!(at("{field:}"), 1);
        assert_eq!(at("{header:a b}"), 1);
        assert_eq!(at(&"x".repeat(PATTERN_BYTES_MAX + 1)), 1);
        let error = Pattern::parse("{tiemstamp}").expect_err("broken").to_string();
        assert!(
            error.starts_with("at character 1: no placeholder `tiemstamp`; there are method, path"),
            "{error}"
        );
    }

    #[test]
    fn fields_are_found_without_reading_the_rest() {
        let found: Vec<&str> = fields_of("{{field:no}}{field:a}{nope}{field:b}{").collect();
        assert_eq!(found, ["a", "b"]);
    }
}
