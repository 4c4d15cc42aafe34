//! Our own filters: `json`, `slack`, `discord`, a `date` that reads RFC 3339, a `truncate` that counts as channels do,
//! and a `replace` and `join` that know their size before they make it.

use std::fmt::Write as _;

use jiff::Zoned;
use jiff::tz::TimeZone;
use liquid_core::model::{Value, ValueView};
use liquid_core::{
    Display_filter, Error, Expression, Filter, FilterParameters, FilterReflection, FromFilterParameters,
    ParseFilter, Result, Runtime,
};

use crate::compose::text;
use crate::render::budget;

/// Prints a whole JSON value, quotes included.
#[derive(Clone, ParseFilter, FilterReflection)]
#[filter(name = "json", description = "Prints a whole JSON value.", parsed(JsonFilter))]
pub(crate) struct Json;

#[derive(Debug, Default, Display_filter)]
#[name = "json"]
struct JsonFilter;

impl Filter for JsonFilter {
    fn evaluate(&self, input: &dyn ValueView, _: &dyn Runtime) -> Result<Value> {
        let value = serde_json::to_value(input.to_value())
            .map_err(|error| Error::with_msg(format!("cannot be written as JSON: {error}")))?;
        Ok(Value::scalar(sorted(value).to_string()))
    }
}

/// The same value with its keys in order, because Liquid's objects have none.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            serde_json::Value::Object(fields.into_iter().collect())
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Escapes the three characters that Slack reads as markup. What is escaped already stays.
#[derive(Clone, ParseFilter, FilterReflection)]
#[filter(name = "slack", description = "Escapes a text for Slack.", parsed(SlackFilter))]
pub(crate) struct Slack;

#[derive(Debug, Default, Display_filter)]
#[name = "slack"]
struct SlackFilter;

impl Filter for SlackFilter {
    fn evaluate(&self, input: &dyn ValueView, _: &dyn Runtime) -> Result<Value> {
        Ok(Value::scalar(text::slack(&input.to_kstr())))
    }
}

/// Escapes what Discord reads as Markdown.
#[derive(Clone, ParseFilter, FilterReflection)]
#[filter(name = "discord", description = "Escapes a text for Discord.", parsed(DiscordFilter))]
pub(crate) struct Discord;

#[derive(Debug, Default, Display_filter)]
#[name = "discord"]
struct DiscordFilter;

impl Filter for DiscordFilter {
    fn evaluate(&self, input: &dyn ValueView, _: &dyn Runtime) -> Result<Value> {
        Ok(Value::scalar(text::discord(&input.to_kstr())))
    }
}

#[derive(Debug, FilterParameters)]
struct TruncateArgs {
    #[parameter(description = "The longest text.", arg_type = "integer")]
    length: Option<Expression>,
    #[parameter(description = "What stands for the rest.", arg_type = "str")]
    rest: Option<Expression>,
}

/// Cuts a text to a length, the mark for what is cut included; counted as Slack and Discord count.
#[derive(Clone, ParseFilter, FilterReflection)]
#[filter(name = "truncate", description = "Cuts a text.", parameters(TruncateArgs), parsed(TruncateFilter))]
pub(crate) struct Truncate;

#[derive(Debug, FromFilterParameters, Display_filter)]
#[name = "truncate"]
struct TruncateFilter {
    #[parameters]
    args: TruncateArgs,
}

/// The length of `truncate` without a number, as in Shopify's Liquid.
const TRUNCATE_DEFAULT: i64 = 50;

impl Filter for TruncateFilter {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        let args = self.args.evaluate(runtime)?;
        let length = usize::try_from(args.length.unwrap_or(TRUNCATE_DEFAULT)).unwrap_or(0);
        let rest = args.rest.as_ref().map_or("...", |rest| rest.as_str());
        Ok(Value::scalar(text::cut_with(&input.to_kstr(), length, rest)))
    }
}

#[derive(Debug, FilterParameters)]
struct ReplaceArgs {
    #[parameter(description = "What to look for.", arg_type = "str")]
    search: Expression,
    #[parameter(description = "What to put there.", arg_type = "str")]
    replace: Option<Expression>,
}

/// Replaces a text everywhere.
#[derive(Clone, ParseFilter, FilterReflection)]
#[filter(name = "replace", description = "Replaces a text.", parameters(ReplaceArgs), parsed(ReplaceFilter))]
pub(crate) struct Replace;

#[derive(Debug, FromFilterParameters, Display_filter)]
#[name = "replace"]
struct ReplaceFilter {
    #[parameters]
    args: ReplaceArgs,
}

impl Filter for ReplaceFilter {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        let args = self.args.evaluate(runtime)?;
        let (input, search) = (input.to_kstr(), args.search.as_str());
        let replace = args.replace.as_ref().map_or("", |replace| replace.as_str());
        let found = input.matches(search).count();
        budget::make(input.len().saturating_add(found.saturating_mul(replace.len())))?;
        Ok(Value::scalar(input.replace(search, replace)))
    }
}

#[derive(Debug, FilterParameters)]
struct JoinArgs {
    #[parameter(description = "What stands between.", arg_type = "str")]
    separator: Option<Expression>,
}

/// Joins the items of a list.
#[derive(Clone, ParseFilter, FilterReflection)]
#[filter(name = "join", description = "Joins a list.", parameters(JoinArgs), parsed(JoinFilter))]
pub(crate) struct Join;

#[derive(Debug, FromFilterParameters, Display_filter)]
#[name = "join"]
struct JoinFilter {
    #[parameters]
    args: JoinArgs,
}

impl Filter for JoinFilter {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        let args = self.args.evaluate(runtime)?;
        let separator = args.separator.as_ref().map_or(" ", |separator| separator.as_str());
        let Some(list) = input.as_array() else {
            return Ok(Value::scalar(input.to_kstr().into_string()));
        };
        let mut joined = String::new();
        for (index, item) in list.values().enumerate() {
            if index > 0 {
                joined.push_str(separator);
            }
            // A text never fails to be written to.
            let _ = write!(joined, "{}", item.render());
            if joined.len() > budget::OUTPUT_BYTES_MAX {
                break;
            }
        }
        budget::make(joined.len())?;
        Ok(Value::scalar(joined))
    }
}

#[derive(Debug, FilterParameters)]
struct DateArgs {
    #[parameter(description = "The format, as strftime has it.", arg_type = "str")]
    format: Expression,
    #[parameter(description = "An IANA zone; UTC, or the offset of the text, without it.", arg_type = "str")]
    zone: Option<Expression>,
}

/// Writes a moment in a format: of RFC 3339, seconds since 1970, `now`, or what the crate reads.
#[derive(Clone, ParseFilter, FilterReflection)]
#[filter(name = "date", description = "Writes a moment.", parameters(DateArgs), parsed(DateFilter))]
pub(crate) struct Date;

#[derive(Debug, FromFilterParameters, Display_filter)]
#[name = "date"]
struct DateFilter {
    #[parameters]
    args: DateArgs,
}

impl Filter for DateFilter {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        let args = self.args.evaluate(runtime)?;
        if args.format.is_empty() {
            return Ok(input.to_value());
        }
        let Some(moment) = moment(input) else { return Ok(input.to_value()) };
        let moment = match &args.zone {
            None => moment,
            Some(zone) => moment
                .in_tz(zone.as_str())
                .map_err(|_| Error::with_msg(format!("`{}` is not an IANA time zone", zone.as_str())))?,
        };
        let mut written = String::new();
        let wrong = |_| Error::with_msg(format!("`{}` is not a format of a date", args.format.as_str()));
        jiff::fmt::strtime::BrokenDownTime::from(&moment)
            .format(args.format.as_str(), jiff::fmt::StdFmtWrite(&mut written))
            .map_err(wrong)?;
        Ok(Value::scalar(written))
    }
}

fn moment(input: &dyn ValueView) -> Option<Zoned> {
    let scalar = input.as_scalar()?;
    if let Some(seconds) = scalar.to_integer() {
        return jiff::Timestamp::from_second(seconds).ok().map(|at| at.to_zoned(TimeZone::UTC));
    }
    let text = scalar.to_kstr();
    let text = text.trim();
    if text == "now" || text == "today" {
        return Some(model::Timestamp::now().to_jiff().to_zoned(TimeZone::UTC));
    }
    if let Ok(moment) = jiff::fmt::temporal::DateTimeParser::new().parse_timestamp(text) {
        let offset = offset_of(text).unwrap_or(jiff::tz::Offset::UTC);
        return Some(moment.to_zoned(TimeZone::fixed(offset)));
    }
    let read = scalar.to_date_time()?;
    let seconds = read.unix_timestamp();
    let offset = jiff::tz::Offset::from_seconds(read.offset().whole_seconds()).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(|at| at.to_zoned(TimeZone::fixed(offset)))
}

/// The offset at the end of an RFC 3339 text.
fn offset_of(text: &str) -> Option<jiff::tz::Offset> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    pieces.to_numeric_offset()
}
