//! Says where in a template something is wrong, from what the engine says and the source. Pure.
//!
//! The parser knows its position; the renderer does not, so an unknown name is looked for in the source's code.

use std::sync::LazyLock;

use liquid_core::Error;
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};

use crate::render::budget::LIMIT;

/// Characters of a message.
const DETAIL_CHARS_MAX: usize = 300;

/// A word for programs. Named, because a bare reference would be borrowed from what it is read from.
type Code = &'static str;
/// All of them.
const CODES: [Code; 4] = ["invalid_template", "unknown_variable", "template_limit", "busy"];

/// Why a template gave no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{detail}")]
pub(crate) struct Fault {
    /// A word for programs: one of [`CODES`].
    #[serde(deserialize_with = "known")]
    pub(crate) code: Code,
    /// A sentence for people.
    pub(crate) detail: String,
    /// Where in the template, counted from 1.
    pub(crate) line: Option<u32>,
    /// Where in the line, counted from 1, in characters.
    pub(crate) column: Option<u32>,
}

static POSITION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"--> (\d+):(\d+)").expect("a constant pattern is valid"));
static CAUSE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^\s*= (.+)$").expect("a constant pattern is valid"));
static RULE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[A-Z][A-Za-z]+\b").expect("a constant pattern is valid"));
static CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)\{%.*?%\}|\{\{.*?\}\}").expect("a constant pattern is valid"));
static CONDITION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\{%-?\s*(?:if|unless|elsif)\b").expect("a constant pattern is valid"));

impl Fault {
    /// Without a place.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), line: None, column: None }
    }

    /// Reads what the engine says about a source.
    pub(crate) fn read(error: &Error, source: &str) -> Self {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("liquid:").trim();
        if first.starts_with(LIMIT) {
            return Self::new("template_limit", first);
        }
        let context = |name: &str| {
            let begin = format!("    {name}=");
            text.lines().find_map(|line| line.strip_prefix(&begin)).map(str::to_owned)
        };
        if let Some(at) = POSITION.captures(&text) {
            let number = |group: usize| at.get(group).and_then(|digits| digits.as_str().parse().ok());
            let cause = CAUSE
                .captures(&text)
                .map_or("it cannot be read", |found| found.get(1).map_or("", |m| m.as_str()));
            let mut detail = format!("the template is not valid Liquid: {}", cut(&in_words(cause)));
            if let Some(tag) = context("requested") {
                detail = format!("unknown tag `{}`", cut(&tag));
            }
            return Self { code: "invalid_template", detail, line: number(1), column: number(2) };
        }
        let unknown = match first {
            "Unknown variable" => context("requested variable").map(|name| ("variable", name)),
            "Unknown index" => context("requested index").map(|name| ("field", name)),
            "Unknown filter" => context("requested filter").map(|name| ("filter", name)),
            _ => None,
        };
        if let Some((what, name)) = unknown {
            let code = if what == "filter" { "invalid_template" } else { "unknown_variable" };
            return Self::new(code, format!("unknown {what} `{}`", cut(&name))).at(find(source, &name));
        }
        Self::new("invalid_template", format!("the template failed: {}", cut(first)))
    }

    fn at(mut self, place: Option<(u32, u32)>) -> Self {
        if let Some((line, column)) = place {
            (self.line, self.column) = (Some(line), Some(column));
        }
        self
    }
}

fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Code, D::Error> {
    let word = String::deserialize(from)?;
    let code = CODES.into_iter().find(|code| *code == word);
    code.ok_or_else(|| serde::de::Error::custom("the code is unknown"))
}

/// What the parser expected, which it names as its grammar does, in words for people who write templates.
fn in_words(cause: &str) -> String {
    if !cause.contains("expected") {
        return cause.to_owned();
    }
    let word = |rule: &regex::Captures<'_>| match &rule[0] {
        "Literal" => "a text in quotes, a number, `true`, `false` or `nil`".to_owned(),
        "StringLiteral" => "a text in quotes".to_owned(),
        "IntegerLiteral" => "a whole number".to_owned(),
        "FloatLiteral" => "a number".to_owned(),
        "BooleanLiteral" => "`true` or `false`".to_owned(),
        "Identifier" | "Variable" => "a name".to_owned(),
        "Value" | "FilterChain" | "FilterArgument" | "PositionalFilterArgument" => "a value".to_owned(),
        "KeywordFilterArgument" => "a named value".to_owned(),
        "Filter" => "a filter".to_owned(),
        "Range" => "a range such as `(1..3)`".to_owned(),
        "TagEnd" => "`%}`".to_owned(),
        "ExpressionEnd" => "`}}`".to_owned(),
        "EOI" => "the end".to_owned(),
        other => other.to_owned(),
    };
    RULE.replace_all(cause, word).into_owned()
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect()
}

/// Line and column of a name in the code of a source: outside of quotes, and rather where it is printed than asked for.
fn find(source: &str, name: &str) -> Option<(u32, u32)> {
    let pattern =
        Regex::new(&format!(r#"(?s)"[^"]*"|'[^']*'|(?P<name>\b{}\b)"#, regex::escape(name))).ok()?;
    let places = |conditions: bool| {
        CODE.find_iter(source).filter(|code| CONDITION.is_match(code.as_str()) == conditions).find_map(
            |code| {
                let found = pattern.captures_iter(code.as_str()).find_map(|found| found.name("name"))?;
                Some(code.start() + found.start())
            },
        )
    };
    let at = places(false).or_else(|| places(true))?;
    let before = &source[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
}
