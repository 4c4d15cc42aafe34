//! What a type cannot say of an operation that is mapped: its fields are the document's, its places can be read, what it
//! uses is known.

use std::collections::BTreeMap;

use model::operation::{Operation, Parameter, Reading};

use super::asked::{Interval, Kind};
use super::moment;
use super::place::{Source, parameters, sources};
use crate::provider::placeholders;

/// The most operations of one integration.
pub const OPERATIONS_MAX: usize = 8;
/// The longest path or field, in characters.
const TEXT_CHARS_MAX: usize = 512;
/// The most entries of a list or table of a mapping.
const ENTRIES_MAX: usize = 256;
/// Parts of a symbol, beside what is asked.
const PARTS: [&str; 2] = ["base", "quote"];

/// What is wrong with an operation, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The way to it: names of tables and fields; places in lists as numbers.
    pub at: Vec<String>,
    /// What is wrong and what is wanted.
    pub reason: String,
}

impl Wrong {
    /// The way to it as a JSON pointer.
    pub fn pointer(&self) -> String {
        self.at.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

type Checked = Result<(), Wrong>;

/// Checks the operations that an integration brings itself: each has a canonical name and an answer that is mapped.
pub fn check_own(operations: &BTreeMap<String, Operation>) -> Checked {
    if operations.len() > OPERATIONS_MAX {
        return wrong(&[], format!("has more than {OPERATIONS_MAX} operations"));
    }
    for (name, operation) in operations {
        let kinds = Kind::ALL.map(Kind::as_str).join(", ");
        must(Kind::named(name).is_some(), &[name], || format!("`{name}` is none of {kinds}"))?;
        must(operation.answer.is_some(), &[name], || {
            "`answer` is missing: where it holds what was asked".to_owned()
        })?;
        check(name, operation).map_err(|Wrong { mut at, reason }| {
            at.insert(0, name.clone());
            Wrong { at, reason }
        })?;
    }
    Ok(())
}

/// Checks one operation whose answer is mapped; one without `answer` is right as it is.
pub fn check(name: &str, operation: &Operation) -> Checked {
    let Some(reading) = &operation.answer else { return Ok(()) };
    let Some(kind) = Kind::named(name) else {
        let kinds = Kind::ALL.map(Kind::as_str).join(", ");
        return wrong(&["answer"], format!("`{name}` has no documented answer; {kinds} have"));
    };
    must(operation.method == "GET", &["method"], || "an operation with an `answer` is a GET".to_owned())?;
    request(kind, operation)?;
    let many = operation.parameters.len() > ENTRIES_MAX;
    must(!many, &["parameters"], || format!("has more than {ENTRIES_MAX} entries"))?;
    for (n, parameter) in operation.parameters.iter().enumerate() {
        parameter_is_whole(kind, parameter).map_err(|Wrong { at, reason }| {
            let way = ["parameters".to_owned(), n.to_string()];
            Wrong { at: way.into_iter().chain(at).collect(), reason }
        })?;
    }
    answer(kind, operation, reading).map_err(|Wrong { mut at, reason }| {
        at.insert(0, "answer".to_owned());
        Wrong { at, reason }
    })
}

fn request(kind: Kind, operation: &Operation) -> Checked {
    let path = &operation.path;
    let plain = path.starts_with('/') && !path.starts_with("//") && path.len() <= TEXT_CHARS_MAX;
    let whole = plain && path.bytes().all(|b| b.is_ascii_graphic()) && !path.contains(['?', '#', '\\', '%']);
    must(whole, &["path"], || "a path begins with one `/`, is plain text and has no query".to_owned())?;
    let dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
    must(!dots, &["path"], || "a path has no `.` or `..`".to_owned())?;
    must(operation.query.len() <= ENTRIES_MAX, &["query"], || {
        format!("has more than {ENTRIES_MAX} entries")
    })?;
    let texts = std::iter::once((vec!["path"], path))
        .chain(operation.query.iter().map(|(name, text)| (vec!["query", name.as_str()], text)));
    for (at, text) in texts {
        must(text.len() <= TEXT_CHARS_MAX, &at, || format!("has more than {TEXT_CHARS_MAX} characters"))?;
        let closed = text.matches('{').count() == text.matches('}').count();
        must(closed, &at, || "has a `{` without its `}`".to_owned())?;
        for name in placeholders(text) {
            known(kind, operation, name).map_err(|reason| Wrong { at: strings(&at), reason })?;
        }
    }
    Ok(())
}

/// Whether a name in braces stands for something.
fn known(kind: Kind, operation: &Operation, name: &str) -> Result<(), String> {
    let declared = operation.parameters.iter().any(|parameter| parameter.name == name);
    let part = PARTS.contains(&name) && kind.parameters().contains(&"symbol");
    if declared || part || kind.parameters().contains(&name) {
        return Ok(());
    }
    let takes = kind.parameters().join(", ");
    Err(format!("`{{{name}}}` is neither in `parameters` nor one of {takes}"))
}

fn parameter_is_whole(kind: Kind, parameter: &Parameter) -> Checked {
    let name = parameter.of.as_deref().unwrap_or(&parameter.name);
    let asked = kind.parameters().contains(&name) || PARTS.contains(&name);
    must(parameter.of.is_none() || asked, &["of"], || {
        format!("`{name}` is none of {}", kind.parameters().join(", "))
    })?;
    let filled = asked || parameter.default.is_some();
    must(filled, &["name"], || format!("nobody asks with `{name}`: it needs a `default`"))?;
    if let Some(other) = &parameter.unless {
        must(kind.parameters().contains(&other.as_str()), &["unless"], || {
            format!("`{other}` is none of {}", kind.parameters().join(", "))
        })?;
    }
    must(parameter.values.len() <= ENTRIES_MAX, &["values"], || {
        format!("has more than {ENTRIES_MAX} entries")
    })?;
    if name == "interval"
        && let Some(word) = parameter.values.keys().find(|word| Interval::named(word).is_none())
    {
        let all = Interval::ALL.map(|interval| interval.as_str()).join(", ");
        return wrong(&["values", word], format!("`{word}` is none of {all}"));
    }
    let is_time = matches!(name, "from" | "to");
    must(parameter.time.is_none() || is_time, &["time"], || "only `from` and `to` are times".to_owned())?;
    must(parameter.pair.is_none() || name == "symbol", &["pair"], || "only `symbol` is a pair".to_owned())?;
    let renamed = parameter.pair.iter().flat_map(|pair| pair.rename.keys());
    let lower = renamed.into_iter().find(|part| part.bytes().any(|b| b.is_ascii_lowercase()));
    lower.map_or(Ok(()), |part| {
        wrong(&["pair", "rename", part], format!("`{part}` is looked up in upper case"))
    })
}

fn answer(kind: Kind, operation: &Operation, reading: &Reading) -> Checked {
    for (key, tests) in [("requires", &reading.requires), ("nothing", &reading.nothing)] {
        must(tests.len() <= ENTRIES_MAX, &[key], || format!("has more than {ENTRIES_MAX} entries"))?;
        for (place, texts) in tests {
            place_is_one(kind, operation, place).map_err(|reason| at(&[key, place], reason))?;
            must(!texts.is_empty(), &[key, place], || "holds no text".to_owned())?;
        }
    }
    if let Some(place) = &reading.rows {
        let whole = place.is_empty() || place_is_one(kind, operation, place).is_ok();
        must(whole, &["rows"], || format!("`{place}` is no place such as /result/list"))?;
    }
    let rows = kind != Kind::Quote;
    must(rows == reading.rows.is_some(), &["rows"], || match rows {
        true => "`rows` is missing: the place of the list, \"\" for the whole answer".to_owned(),
        false => "a quote has no rows".to_owned(),
    })?;
    if let Some(page) = &reading.page {
        must(rows, &["page"], || "a quote has no pages".to_owned())?;
        must(page.rows != Some(0), &["page", "rows"], || "is at least 1".to_owned())?;
        let cut = !page.refuses_more || (kind == Kind::Candles && page.rows.is_some());
        must(cut, &["page", "refuses_more"], || "needs `rows`, and is of candles".to_owned())?;
        if let Some(place) = &page.more {
            place_is_one(kind, operation, place).map_err(|reason| at(&["page", "more"], reason))?;
        }
    }
    let Reading {
        symbol,
        currency,
        price,
        timestamp,
        start,
        open,
        high,
        low,
        close,
        volume,
        date,
        value,
        ..
    } = reading;
    let (quote, candles, series) = (kind == Kind::Quote, kind == Kind::Candles, kind == Kind::Series);
    for (key, field, may, needed) in [
        ("symbol", symbol, !series, false),
        ("currency", currency, !series, false),
        ("price", price, quote, true),
        ("timestamp", timestamp, quote, false),
        ("start", start, candles, true),
        ("open", open, candles, true),
        ("high", high, candles, true),
        ("low", low, candles, true),
        ("close", close, candles, true),
        ("volume", volume, candles, false),
        ("date", date, series, true),
        ("value", value, series, true),
    ] {
        let Some(field) = field else {
            must(!(may && needed), &[], || format!("`{key}` is missing"))?;
            continue;
        };
        must(may, &[key], || format!("{} has no `{key}`", kind.as_str()))?;
        let in_row = !matches!(key, "symbol" | "currency" | "price" | "timestamp");
        field_is_one(kind, operation, field, in_row).map_err(|reason| at(&[key], reason))?;
    }
    let time = &reading.time;
    let zone = moment::zone(time.zone.as_deref()).is_some();
    must(zone, &["time", "zone"], || "is no IANA name such as America/New_York".to_owned())?;
    let clock = moment::clock(time.clock.as_deref()).is_some();
    must(clock, &["time", "clock"], || "is no time of day such as 16:00".to_owned())?;
    time.zone_at.as_deref().map_or(Ok(()), |field| {
        field_is_one(kind, operation, field, false).map_err(|reason| at(&["time", "zone_at"], reason))
    })
}

fn field_is_one(kind: Kind, operation: &Operation, field: &str, in_row: bool) -> Result<(), String> {
    if field.len() > TEXT_CHARS_MAX {
        return Err(format!("has more than {TEXT_CHARS_MAX} characters"));
    }
    for source in sources(field) {
        match source {
            Source::Place(place) => place_is_one(kind, operation, place)?,
            Source::Key if !in_row => return Err("`@key` is the name of a row".to_owned()),
            Source::Key => {}
            Source::Asked(name) => known(kind, operation, name)?,
            Source::Constant("") => return Err("is empty".to_owned()),
            Source::Constant(_) => {}
        }
    }
    Ok(())
}

fn place_is_one(kind: Kind, operation: &Operation, place: &str) -> Result<(), String> {
    if !place.starts_with('/') || place.len() > TEXT_CHARS_MAX {
        return Err(format!("`{place}` is no place: it begins with `/`"));
    }
    if let Some(segment) = place.split('/').find(|segment| segment.matches('*').count() > 1) {
        return Err(format!("`{segment}` has more than one `*`"));
    }
    parameters(place).try_for_each(|name| known(kind, operation, name))
}

fn must(holds: bool, way: &[&str], reason: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { wrong(way, reason()) }
}

fn wrong(way: &[&str], reason: String) -> Checked {
    Err(at(way, reason))
}

fn at(way: &[&str], reason: String) -> Wrong {
    Wrong { at: strings(way), reason }
}

fn strings(way: &[&str]) -> Vec<String> {
    way.iter().map(|step| (*step).to_owned()).collect()
}
