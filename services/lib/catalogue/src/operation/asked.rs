//! What is asked, in canonical words: which operation, and its parameters, checked once and for every provider.

use std::collections::BTreeMap;

use model::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The longest symbol or series id, in characters.
pub const SYMBOL_CHARS_MAX: usize = 64;
/// The most candles or observations that can be asked for.
pub const LIMIT_MAX: u32 = 10_000;
/// The most pairs of a query that are read.
const PAIRS_MAX: usize = 16;
/// Characters of a symbol besides letters and digits.
const SYMBOL_MARKS: &str = "-./:_^=+";
/// The fewest characters of the second part of a pair: `BRK-B` is a share.
const QUOTE_CHARS_MIN: usize = 3;
/// What is escaped in a URL: everything but unreserved characters (RFC 3986).
pub(super) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A canonical operation whose answer has a documented shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What something is worth now.
    Quote,
    /// Prices over time.
    Candles,
    /// A statistic over time.
    Series,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quote, Self::Candles, Self::Series];

    /// Its name, as it stands in a path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Candles => "candles",
            Self::Series => "series",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The parameters that it takes; the first is required.
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Quote => &["symbol", "currency"],
            Self::Candles => &["symbol", "interval", "from", "to", "limit", "currency"],
            Self::Series => &["series_id", "from", "to", "limit"],
        }
    }
}

/// How long a candle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(&'static str, u32);

impl Interval {
    /// All of them, the shortest first.
    pub const ALL: [Self; 8] = [
        Self("1m", 60),
        Self("5m", 300),
        Self("15m", 900),
        Self("30m", 1_800),
        Self("1h", 3_600),
        Self("4h", 14_400),
        Self::DAY,
        Self("1w", 604_800),
    ];
    /// What is meant when none is asked for.
    pub const DAY: Self = Self("1d", 86_400);

    /// Its name: `1m`, `5m`, `15m`, `30m`, `1h`, `4h`, `1d`, `1w`.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// In seconds.
    pub const fn secs(self) -> u32 {
        self.1
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.0 == name)
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub(super) kind: Kind,
    /// The symbol or series id, as it was asked.
    pub(super) subject: String,
    pub(super) interval: Interval,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    pub(super) limit: Option<u32>,
    /// In upper case; of a pair, its second part.
    pub(super) currency: Option<String>,
}

/// A parameter that is wrong, whoever would be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadParameter {
    /// It is not one of the operation's.
    #[error("`{name}` is no parameter of `{operation}`; it takes {takes}")]
    Unknown {
        /// Its name.
        name: String,
        /// The operation.
        operation: &'static str,
        /// What it takes.
        takes: String,
    },
    /// It is required and not there.
    #[error("`{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// It is there twice, or has a value that means nothing.
    #[error("`{name}` {reason}")]
    Wrong {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

impl BadParameter {
    /// The parameter's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. } | Self::Wrong { name, .. } => name,
            Self::Missing { name } => name,
        }
    }
}

impl Asked {
    /// Reads a query as it stands in a URL.
    pub fn read(kind: Kind, query: &str) -> Result<Self, BadParameter> {
        let mut given = BTreeMap::new();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        for (n, pair) in pairs.enumerate() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), decoded(value));
            let short: String = name.chars().take(SYMBOL_CHARS_MAX).collect();
            if n >= PAIRS_MAX || !kind.parameters().contains(&name.as_str()) {
                let takes = kind.parameters().join(", ");
                return Err(BadParameter::Unknown { name: short, operation: kind.as_str(), takes });
            }
            if given.insert(name, value).is_some() {
                return Err(wrong(&short, "is there twice"));
            }
        }
        Self::of(kind, &given)
    }

    /// Reads parameters by their names. An empty value is none.
    pub fn of(kind: Kind, given: &BTreeMap<String, String>) -> Result<Self, BadParameter> {
        let get = |name: &str| given.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let first = kind.parameters()[0];
        let subject = subject(first, get(first).ok_or(BadParameter::Missing { name: first })?)?;
        let interval = get("interval").map_or(Ok(Interval::DAY), |text| {
            Interval::named(text)
                .ok_or_else(|| wrong("interval", "is one of 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w"))
        })?;
        let from = get("from").map(|text| moment("from", text, false)).transpose()?;
        let to = get("to").map(|text| moment("to", text, true)).transpose()?;
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(wrong("from", "is after `to`"));
        }
        let limit = get("limit").map(limit).transpose()?;
        let asked = get("currency").map(currency).transpose()?;
        let mut all = Self { kind, subject, interval, from, to, limit, currency: None };
        let second = all.pair().map(|(_, quote)| quote.to_ascii_uppercase());
        if asked.as_ref().zip(second.as_ref()).is_some_and(|(asked, second)| asked != second) {
            return Err(wrong("currency", "is another one than the symbol's"));
        }
        all.currency = asked.or(second);
        Ok(all)
    }

    /// Which operation.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same as a query, each time written in the same way.
    pub fn to_query(&self) -> String {
        let mut query = String::new();
        for name in self.kind.parameters() {
            if let Some(value) = self.canonical(name) {
                let sign = if query.is_empty() { "" } else { "&" };
                query.push_str(&format!("{sign}{name}={}", utf8_percent_encode(&value, ESCAPED)));
            }
        }
        query
    }

    /// A parameter as it was asked, in its canonical form.
    pub(super) fn canonical(&self, name: &str) -> Option<String> {
        let part = matches!(name, "base" | "quote") && self.kind != Kind::Series;
        if !part && !self.kind.parameters().contains(&name) {
            return None;
        }
        match name {
            "symbol" | "series_id" => Some(self.subject.clone()),
            "interval" => Some(self.interval.as_str().to_owned()),
            "from" => self.from.map(|at| at.to_string()),
            "to" => self.to.map(|at| at.to_string()),
            "limit" => self.limit.map(|limit| limit.to_string()),
            "currency" => self.currency.clone(),
            "base" => Some(self.pair().map_or(self.subject.as_str(), |(base, _)| base).to_owned()),
            "quote" => self.pair().map(|(_, quote)| quote.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// The parts of a symbol such as `BTC-USD` or `BTC/USD`.
    pub(super) fn pair(&self) -> Option<(&str, &str)> {
        let sign = if self.subject.contains('/') { '/' } else { '-' };
        let (base, quote) = self.subject.split_once(sign)?;
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        (word(base) && word(quote) && quote.len() >= QUOTE_CHARS_MIN).then_some((base, quote))
    }
}

fn subject(name: &str, text: &str) -> Result<String, BadParameter> {
    let known = |c: char| c.is_ascii_alphanumeric() || SYMBOL_MARKS.contains(c);
    if text.chars().count() > SYMBOL_CHARS_MAX {
        return Err(wrong(name, &format!("has more than {SYMBOL_CHARS_MAX} characters")));
    }
    if !text.chars().all(known) || !text.chars().any(|c| c.is_ascii_alphanumeric()) {
        return Err(wrong(name, &format!("holds letters, digits and {SYMBOL_MARKS}")));
    }
    Ok(text.to_owned())
}

/// A moment, or a day: its first moment, or as an end its last one.
fn moment(name: &str, text: &str, is_end: bool) -> Result<Timestamp, BadParameter> {
    let is_day = text.len() == 10 && text.is_ascii();
    let whole = match (is_day, is_end) {
        (true, false) => format!("{text}T00:00:00Z"),
        (true, true) => format!("{text}T23:59:59.999Z"),
        (false, _) => text.to_owned(),
    };
    Timestamp::parse(&whole)
        .map_err(|_| wrong(name, "is a day such as 2026-11-21, or a time such as 2026-11-21T09:30:00Z"))
}

fn limit(text: &str) -> Result<u32, BadParameter> {
    let number = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    number.ok_or_else(|| wrong("limit", &format!("is 1 to {LIMIT_MAX}")))
}

fn currency(text: &str) -> Result<String, BadParameter> {
    let word = (3..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if word { Ok(text.to_ascii_uppercase()) } else { Err(wrong("currency", "is a code such as USD")) }
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn wrong(name: &str, reason: &str) -> BadParameter {
    BadParameter::Wrong { name: name.to_owned(), reason: reason.to_owned() }
}
