//! Writes what is asked as a provider has it: method, path and query.

use model::Timestamp;
use model::operation::Page;
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::asked::{Asked, ESCAPED, Kind};
use super::moment;
use crate::provider::placeholders;
use crate::{Case, Operation, Pair, Parameter};

/// In a path a colon may stand: `X:BTCUSD`.
const PATH: &AsciiSet = &ESCAPED.remove(b':');
/// How many candles' time is asked for when neither a beginning nor a number is, for providers that want a beginning. Where
/// there is a number it is twice that: markets are closed at times.
const SPAN: u32 = 200;

/// A request, ready for a base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// `GET` or `POST`.
    pub method: String,
    /// Below the base URL, escaped; begins with `/`.
    pub path: String,
    /// Escaped, without `?`. Absent: none.
    pub query: Option<String>,
}

/// Why a provider cannot be asked this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The provider cannot express a value.
    #[error("`{name}` cannot be `{value}` there")]
    Value {
        /// The canonical parameter.
        name: String,
        /// Its value.
        value: String,
    },
    /// The provider's own parameter has no value.
    #[error("`{name}` has no value")]
    Empty {
        /// The parameter, as the mapping names it.
        name: String,
    },
}

/// What to send so that a provider does an operation. `now` is for a time that is not given but needed.
pub fn plan(operation: &Operation, asked: &Asked, now: Timestamp) -> Result<Planned, Unfit> {
    let mapping = Mapping { operation, asked, now };
    let mut path = String::with_capacity(operation.path.len() + asked.subject.len());
    for (n, segment) in operation.path.split('/').enumerate() {
        if n > 0 {
            path.push('/');
        }
        match mapping.fill(segment, PATH, true)? {
            Some(text) => path.push_str(&text),
            None => return Err(mapping.empty(segment)),
        }
    }
    let mut query = String::new();
    for (name, template) in &operation.query {
        let Some(value) = mapping.fill(template, ESCAPED, false)? else { continue };
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(utf8_percent_encode(name, ESCAPED));
        query.push('=');
        query.push_str(&value);
    }
    for parameter in operation.parameters.iter().filter(|parameter| parameter.required) {
        if mapping.value(&parameter.name)?.is_none() {
            return Err(Unfit::Empty { name: parameter.name.clone() });
        }
    }
    let query = Some(query).filter(|query| !query.is_empty());
    Ok(Planned { method: operation.method.clone(), path, query })
}

/// What was asked, as one provider has it.
#[derive(Clone, Copy)]
pub(super) struct Mapping<'m> {
    pub(super) operation: &'m Operation,
    pub(super) asked: &'m Asked,
    pub(super) now: Timestamp,
}

impl Mapping<'_> {
    /// A template with its values; nothing when one has none.
    fn fill(&self, template: &str, set: &'static AsciiSet, is_path: bool) -> Result<Option<String>, Unfit> {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            let escape = |text: &str| utf8_percent_encode(text, set).to_string();
            text.push_str(&if is_path { before.to_owned() } else { escape(before) });
            let Some(value) = self.value(name)? else { return Ok(None) };
            if is_path && (value.contains('/') || value.chars().all(|c| c == '.')) {
                return Err(Unfit::Value { name: name.to_owned(), value });
            }
            text.push_str(&escape(&value));
            rest = after;
        }
        if is_path {
            text.push_str(rest);
        } else {
            text.extend(utf8_percent_encode(rest, set));
        }
        Ok(Some(text))
    }

    fn empty(&self, segment: &str) -> Unfit {
        let none = |name: &&str| self.value(name).is_ok_and(|value| value.is_none());
        let name = placeholders(segment).find(none).unwrap_or(segment).to_owned();
        Unfit::Empty { name }
    }

    /// A parameter as the provider writes it.
    pub(super) fn value(&self, name: &str) -> Result<Option<String>, Unfit> {
        let undeclared = Parameter { name: name.to_owned(), ..Parameter::default() };
        let declared = self.operation.parameters.iter().find(|parameter| parameter.name == name);
        let parameter = declared.unwrap_or(&undeclared);
        let of = parameter.of.as_deref().unwrap_or(name);
        let aside = parameter.unless.as_deref().is_some_and(|other| self.asked.canonical(other).is_some());
        let default = || Ok(parameter.default.clone());
        let given = if aside { None } else { self.asked.canonical(of) };
        let Some(given) = given else {
            return match self.made_up(of).filter(|_| parameter.required && !aside) {
                Some(at) => Ok(Some(moment::write(at, parameter.time.unwrap_or_default()))),
                None => default(),
            };
        };
        let unfit = || Unfit::Value { name: of.to_owned(), value: given.clone() };
        let text = match of {
            "limit" => self.limit(&given),
            "from" | "to" => {
                let from = || self.begins_at().or(self.asked.from);
                let at = if of == "from" { from() } else { self.asked.to };
                at.map_or(given.clone(), |at| moment::write(at, parameter.time.unwrap_or_default()))
            }
            "symbol" => self.symbol(parameter).ok_or_else(unfit)?,
            "base" | "quote" => self.part(&given),
            _ => given.clone(),
        };
        let text = match parameter.values.is_empty() {
            true => text,
            false => parameter.values.get(&text).cloned().ok_or_else(unfit)?,
        };
        let text = match parameter.case {
            Some(Case::Upper) => text.to_ascii_uppercase(),
            Some(Case::Lower) => text.to_ascii_lowercase(),
            None => text,
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The symbol as the provider writes it; nothing when it is a pair and the provider has none.
    fn symbol(&self, parameter: &Parameter) -> Option<String> {
        let asked = &self.asked.subject;
        let Some(pair) = &parameter.pair else {
            return (!asked.contains('/')).then(|| asked.clone());
        };
        Some(match self.asked.pair() {
            None => renamed(pair, asked),
            Some((base, quote)) => {
                format!("{}{}{}{}", pair.prefix, renamed(pair, base), pair.join, renamed(pair, quote))
            }
        })
    }

    /// A part of a pair, by the rule for symbols.
    fn part(&self, text: &str) -> String {
        let rule = self.operation.parameters.iter().find_map(|parameter| parameter.pair.as_ref());
        rule.map_or_else(|| text.to_owned(), |pair| renamed(pair, text))
    }

    /// The number of rows, as far as one answer can have them.
    fn limit(&self, given: &str) -> String {
        let most = self.page().and_then(|page| page.rows);
        let fits = |most: &u32| given.parse::<u32>().is_ok_and(|given| given > *most);
        most.filter(fits).map_or_else(|| given.to_owned(), |most| most.to_string())
    }

    fn page(&self) -> Option<&Page> {
        self.operation.answer.as_ref()?.page.as_ref()
    }

    /// Whether a parameter is sent at all.
    pub(super) fn sends(&self, name: &str) -> bool {
        let texts = std::iter::once(&self.operation.path).chain(self.operation.query.values());
        texts.into_iter().any(|text| placeholders(text).any(|known| known == name))
    }

    /// The beginning that is sent, where that is another one than what was asked for: one that is made up, or a later one
    /// because a longer span is refused.
    pub(super) fn begins_at(&self) -> Option<Timestamp> {
        let Some(from) = self.asked.from else {
            let mut parameters = self.operation.parameters.iter();
            let needed = parameters.any(|parameter| parameter.name == "from" && parameter.required);
            return self.made_up("from").filter(|_| needed);
        };
        let rows = self.page().filter(|page| page.refuses_more).and_then(|page| page.rows)?;
        let begins = self.before_end(rows.saturating_sub(1));
        (self.asked.kind == Kind::Candles && from < begins).then_some(begins)
    }

    /// So many candles before the end.
    fn before_end(&self, candles: u32) -> Timestamp {
        let secs = u64::from(candles) * u64::from(self.asked.interval.secs());
        self.asked.to.unwrap_or(self.now).minus(std::time::Duration::from_secs(secs))
    }

    /// A beginning or an end that is needed and was not asked for.
    fn made_up(&self, name: &str) -> Option<Timestamp> {
        if self.asked.kind != Kind::Candles {
            return None;
        }
        match name {
            "to" => Some(self.asked.to.unwrap_or(self.now)),
            "from" => {
                let candles = self.asked.limit.map_or(SPAN, |limit| limit.saturating_mul(2));
                let most = self.page().filter(|page| page.refuses_more).and_then(|page| page.rows);
                Some(self.before_end(candles.min(most.map_or(u32::MAX, |rows| rows.saturating_sub(1)))))
            }
            _ => None,
        }
    }
}

fn renamed(pair: &Pair, part: &str) -> String {
    pair.rename.get(&part.to_ascii_uppercase()).cloned().unwrap_or_else(|| part.to_owned())
}
