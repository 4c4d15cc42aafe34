//! Reads a provider's answer and writes the canonical document.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use model::Timestamp;
use serde::Serialize;

use super::asked::{Asked, Kind};
use super::decimal::decimal;
use super::document::{Candle, Candles, Next, Observation, Quote, Series, TimestampSource};
use super::json::Node;
use super::moment::{self, Moment};
use super::page::{Had, Put, rest};
use super::place::{Source, find, sources};
use super::plan::Mapping;
use super::rows::{Row, Rows, Words};
use crate::{Operation, Reading};

/// From one observation to the next, at the least.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Who answered.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The provider, as the catalogue names it.
    pub provider: &'a str,
    /// The integration, if there is one.
    pub integration: Option<&'a str>,
}

/// Why an answer is not what its provider documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("the answer is no JSON")]
    NotJson,
    /// Something that must be there is not, or is not what it must be.
    #[error("the answer has no `{field}` that can be read")]
    Field {
        /// The field of the canonical document.
        field: &'static str,
    },
    /// It is well-formed and says that there is nothing of what was asked for.
    #[error("the answer has nothing of what was asked for")]
    Nothing,
    /// The operation has no answer that can be read.
    #[error("the operation says nothing of its answer")]
    NoReading,
}

impl Unreadable {
    /// Whether the provider works well, but does not have what was asked for.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// The canonical document of an answer, as JSON. `now` is when it was received.
pub fn normalise(
    operation: &Operation,
    by: By<'_>,
    asked: &Asked,
    now: Timestamp,
    body: &[u8],
) -> Result<Vec<u8>, Unreadable> {
    let reading = operation.answer.as_ref().ok_or(Unreadable::NoReading)?;
    let root = Node::read(body).ok_or(Unreadable::NotJson)?;
    let mapping = Mapping { operation, asked, now };
    let words = Words {
        sent: &|name| mapping.value(name).ok().flatten(),
        asked: &|name| asked.canonical(name).or_else(|| mapping.value(name).ok().flatten()),
    };
    let answer = Answer { root, reading, asked, by, now, words, mapping };
    if !reading.requires.iter().all(|(place, texts)| answer.holds(place, texts)) {
        return Err(Unreadable::Field { field: "status" });
    }
    let nothing = answer.hold_all(&reading.nothing);
    match asked.kind {
        Kind::Quote if nothing => Err(Unreadable::Nothing),
        Kind::Quote => write(&answer.quote()?),
        Kind::Candles => write(&answer.candles(nothing)?),
        Kind::Series => write(&answer.series(nothing)?),
    }
}

fn write<T: Serialize>(document: &T) -> Result<Vec<u8>, Unreadable> {
    // Texts and lists of texts: there is nothing in them that JSON cannot say.
    serde_json::to_vec(document).map_err(|_| Unreadable::NotJson)
}

/// An answer being read.
struct Answer<'a> {
    root: Node<'a>,
    reading: &'a Reading,
    asked: &'a Asked,
    by: By<'a>,
    now: Timestamp,
    words: Words<'a>,
    mapping: Mapping<'a>,
}

/// How times are read.
struct Clock {
    zone: TimeZone,
    clock: jiff::civil::Time,
}

impl Answer<'_> {
    fn holds(&self, place: &str, texts: &[String]) -> bool {
        let found = find(self.root, place, self.words.sent).and_then(Node::scalar);
        found.is_some_and(|found| texts.iter().any(|text| same_scalar(text, &found)))
    }

    fn hold_all(&self, tests: &BTreeMap<String, Vec<String>>) -> bool {
        !tests.is_empty() && tests.iter().all(|(place, texts)| self.holds(place, texts))
    }

    /// A field of the whole answer.
    fn text(&self, field: &Option<String>) -> Option<String> {
        sources(field.as_deref()?).find_map(|source| match source {
            Source::Place(place) => {
                let node = find(self.root, place, self.words.sent).filter(|node| !node.is_null())?;
                let text = node.scalar()?;
                let missing = text.is_empty() || self.reading.missing.iter().any(|word| *word == text);
                (!missing).then(|| text.into_owned())
            }
            Source::Asked(name) => (self.words.asked)(name),
            Source::Constant(text) => Some(text.to_owned()),
            Source::Key => None,
        })
    }

    fn quote(&self) -> Result<Quote, Unreadable> {
        let price = self.text(&self.reading.price);
        let price = price.as_deref().and_then(decimal).ok_or(Unreadable::Field { field: "price" })?;
        let (timestamp, timestamp_source) = match &self.reading.timestamp {
            None => (self.now.to_string(), TimestampSource::Received),
            field => {
                let told = self.text(field).and_then(|text| self.moment(&text, &self.clock()?));
                let told = told.ok_or(Unreadable::Field { field: "timestamp" })?;
                let source = if told.is_day { TimestampSource::Day } else { TimestampSource::Provider };
                (told.at.to_string(), source)
            }
        };
        Ok(Quote {
            symbol: self.symbol(),
            price,
            currency: self.currency()?,
            timestamp,
            timestamp_source,
            provider: self.by.provider.to_owned(),
            integration: self.by.integration.map(str::to_owned),
        })
    }

    fn candles(&self, nothing: bool) -> Result<Candles, Unreadable> {
        let clock = self.clock().ok_or(Unreadable::Field { field: "start" })?;
        let mut candles = self.kept(nothing, "candles", |row| {
            let start = self.cell(row, &self.reading.start).and_then(|text| self.moment(&text, &clock));
            let start = start.ok_or(Unreadable::Field { field: "start" })?.at;
            let number = |name: &'static str, field: &Option<String>| {
                let text = self.cell(row, field);
                text.as_deref().and_then(decimal).ok_or(Unreadable::Field { field: name })
            };
            let volume = self.cell(row, &self.reading.volume).filter(|text| !text.is_empty());
            let volume = volume.map(|text| decimal(&text).ok_or(Unreadable::Field { field: "volume" }));
            let candle = Candle {
                start: start.to_string(),
                open: number("open", &self.reading.open)?,
                high: number("high", &self.reading.high)?,
                low: number("low", &self.reading.low)?,
                close: number("close", &self.reading.close)?,
                volume: volume.transpose()?,
            };
            Ok((start, candle))
        })?;
        let had = had(&candles, |start| Timestamp::from_millis(start.as_millisecond()));
        let (from, to) = (self.asked.from.map(Timestamp::to_jiff), self.asked.to.map(Timestamp::to_jiff));
        candles
            .retain(|(start, _)| from.is_none_or(|from| from <= *start) && to.is_none_or(|to| *start <= to));
        let step = Duration::from_secs(self.asked.interval.secs().into());
        let rest = self.rest(Had { fitting: candles.len(), ..had }, step, Duration::from_secs(1));
        Ok(Candles {
            truncated: rest.is_some(),
            next: rest.flatten(),
            symbol: self.symbol(),
            interval: self.asked.interval.as_str().to_owned(),
            currency: self.currency()?,
            candles: self.newest(candles),
            provider: self.by.provider.to_owned(),
            integration: self.by.integration.map(str::to_owned),
        })
    }

    fn series(&self, nothing: bool) -> Result<Series, Unreadable> {
        let mut observations = self.kept(nothing, "observations", |row| {
            let date = self.cell(row, &self.reading.date).and_then(|text| moment::day(&text));
            let date = date.ok_or(Unreadable::Field { field: "date" })?;
            let value = self.cell(row, &self.reading.value).filter(|text| !text.is_empty());
            let value =
                value.map(|text| decimal(&text).ok_or(Unreadable::Field { field: "value" })).transpose()?;
            Ok((date, Observation { date: date.to_string(), value }))
        })?;
        let begins = |date: &jiff::civil::Date| {
            let midnight = date.to_zoned(TimeZone::UTC).map(|at| at.timestamp().as_millisecond());
            Timestamp::from_millis(midnight.unwrap_or_default())
        };
        let had = had(&observations, begins);
        let day = |at: Timestamp| at.to_jiff().to_zoned(TimeZone::UTC).date();
        let (from, to) = (self.asked.from.map(day), self.asked.to.map(day));
        observations
            .retain(|(date, _)| from.is_none_or(|from| from <= *date) && to.is_none_or(|to| *date <= to));
        let rest = self.rest(Had { fitting: observations.len(), ..had }, DAY, DAY);
        Ok(Series {
            truncated: rest.is_some(),
            next: rest.flatten(),
            series_id: self.asked.subject.clone(),
            observations: self.newest(observations),
            provider: self.by.provider.to_owned(),
            integration: self.by.integration.map(str::to_owned),
        })
    }

    /// The rows, each read, the oldest first.
    fn kept<K: Ord, T>(
        &self,
        nothing: bool,
        field: &'static str,
        read: impl Fn(&Row<'_, '_>) -> Result<(K, T), Unreadable>,
    ) -> Result<Vec<(K, T)>, Unreadable> {
        if nothing {
            return Ok(Vec::new());
        }
        let rows = Rows::find(self.root, self.reading, &self.words).ok_or(Unreadable::Field { field })?;
        let mut kept = rows.each().map(|row| read(&row)).collect::<Result<Vec<_>, _>>()?;
        kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(kept)
    }

    /// Whether more was asked for than the answer has, and what gets it.
    fn rest(&self, had: Had, step: Duration, past: Duration) -> Option<Option<Next>> {
        let page = self.reading.page.as_ref()?;
        let limit = Some("limit").filter(|name| self.mapping.sends(name)).and_then(self.words.sent);
        let more = page.more.as_deref().and_then(|place| find(self.root, place, self.words.sent));
        let more = more.filter(|node| !node.is_null()).and_then(Node::scalar);
        let says_more = more.is_some_and(|text| !matches!(&*text, "" | "0" | "false"));
        let put = Put {
            limit: limit.and_then(|limit| limit.parse().ok()),
            from: self.mapping.begins_at(),
            has_to: self.mapping.sends("to"),
            step,
            past,
        };
        rest(page, self.asked, put, Had { says_more, ..had }, self.now)
    }

    /// The newest, as many as were asked for.
    fn newest<K, T>(&self, mut rows: Vec<(K, T)>) -> Vec<T> {
        let limit = self.asked.limit.map_or(usize::MAX, |limit| limit as usize);
        let skipped = rows.len().saturating_sub(limit);
        rows.drain(..skipped);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn cell(&self, row: &Row<'_, '_>, field: &Option<String>) -> Option<String> {
        row.text(field.as_deref()?, &self.reading.missing, &self.words).map(std::borrow::Cow::into_owned)
    }

    /// As it was asked, unless the provider says clearly that it is something else.
    fn symbol(&self) -> String {
        let sent = self.words.sent;
        match self.text(&self.reading.symbol) {
            Some(told)
                if !same_letters(&told, &self.asked.subject)
                    && !sent("symbol").is_some_and(|sent| same_letters(&told, &sent)) =>
            {
                told
            }
            _ => self.asked.subject.clone(),
        }
    }

    /// The currency; one that is not what was asked for is no answer.
    fn currency(&self) -> Result<Option<String>, Unreadable> {
        let told = self.text(&self.reading.currency).map(|text| text.to_ascii_uppercase());
        match (&told, &self.asked.currency) {
            (Some(told), Some(asked)) if told != asked => Err(Unreadable::Nothing),
            _ => Ok(told),
        }
    }

    fn clock(&self) -> Option<Clock> {
        let time = &self.reading.time;
        let told = self.text(&time.zone_at);
        let named = told.as_deref().and_then(|name| moment::zone(Some(name)));
        let zone = named.or_else(|| moment::zone(time.zone.as_deref()))?;
        Some(Clock { zone, clock: moment::clock(time.clock.as_deref())? })
    }

    fn moment(&self, text: &str, clock: &Clock) -> Option<Moment> {
        moment::read(text, self.reading.time.unit, &clock.zone, clock.clock)
    }
}

/// What rows, the oldest first, say of an answer.
fn had<K, T>(rows: &[(K, T)], begins: impl Fn(&K) -> Timestamp) -> Had {
    let span = rows.first().zip(rows.last());
    Had {
        rows: rows.len(),
        span: span.map(|((first, _), (last, _))| (begins(first), begins(last))),
        ..Had::default()
    }
}

/// Texts that are equal, or numbers that are: `0`, `0.0`.
fn same_scalar(wanted: &str, found: &str) -> bool {
    let plain = |text: &str| {
        let number = decimal(text)?;
        let short =
            if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
        Some(short.to_owned())
    };
    wanted == found || plain(wanted).is_some_and(|wanted| plain(found) == Some(wanted))
}

/// Whether two symbols have the same letters and digits: `BTC-USD`, `btcusd`.
fn same_letters(a: &str, b: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    letters(a) == letters(b)
}
