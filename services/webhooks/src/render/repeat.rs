//! The block `for`, bounded: the crate's own one makes the whole range before it looks at `limit`, and walks through
//! objects in another order each time.
//!
//! Lists are walked in their order, objects by name as pairs, a text as one item. Each round is counted.

use std::collections::BTreeMap;
use std::io::Write;

use liquid_core::model::{KString, Object, Value, ValueCow, ValueView};
use liquid_core::parser::{BlockElement, TryMatchToken};
use liquid_core::runtime::{Interrupt, InterruptRegister, Renderable, Runtime, StackFrame, Template};
use liquid_core::{BlockReflection, Error, Expression, Language, ParseBlock, Result, TagBlock, TagTokenIter};

use crate::render::budget::{self, LIMIT};
use crate::render::lax::Lax;

/// The longest range.
pub(crate) const RANGE_MAX: i64 = 1_000;

/// `{% for item in list limit:2 offset:1 reversed %}…{% else %}…{% endfor %}`
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForBlock;

impl BlockReflection for ForBlock {
    fn start_tag(&self) -> &str {
        "for"
    }

    fn end_tag(&self) -> &str {
        "endfor"
    }

    fn description(&self) -> &str {
        "Repeats its content for each item."
    }
}

impl ParseBlock for ForBlock {
    fn parse(
        &self,
        mut arguments: TagTokenIter<'_>,
        mut block: TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        let name = arguments.expect_next("a name expected")?.expect_identifier().into_result()?;
        let name = KString::from_ref(name);
        arguments.expect_next("`in` expected")?.expect_str("in").into_result_custom_msg("`in` expected")?;
        let over = match arguments.expect_next("a list or range expected")?.expect_value() {
            TryMatchToken::Matches(list) => Over::List(list),
            TryMatchToken::Fails(token) => {
                let (first, last) = token.expect_range().into_result()?;
                Over::Range(first, last)
            }
        };
        let (mut limit, mut offset, mut reversed) = (None, None, false);
        while let Some(token) = arguments.next() {
            match token.as_str() {
                "limit" => limit = Some(attribute(&mut arguments)?),
                "offset" => offset = Some(attribute(&mut arguments)?),
                "reversed" => reversed = true,
                _ => return Err(token.raise_custom_error("`limit`, `offset` or `reversed` expected")),
            }
        }
        let (mut each, mut none) = (Vec::new(), None);
        while let Some(element) = block.next()? {
            match element {
                BlockElement::Tag(mut tag) if tag.name() == "else" => {
                    tag.tokens().expect_nothing()?;
                    none = Some(Template::new(block.parse_all(options)?));
                    break;
                }
                element => each.push(element.parse(&mut block, options)?),
            }
        }
        block.assert_empty();
        Ok(Box::new(For { name, over, limit, offset, reversed, each: Template::new(each), none }))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self
    }
}

fn attribute(arguments: &mut TagTokenIter<'_>) -> Result<Expression> {
    arguments.expect_next("`:` expected")?.expect_str(":").into_result_custom_msg("`:` expected")?;
    arguments.expect_next("a value expected")?.expect_value().into_result()
}

#[derive(Debug)]
enum Over {
    List(Expression),
    Range(Expression, Expression),
}

#[derive(Debug)]
struct For {
    name: KString,
    over: Over,
    limit: Option<Expression>,
    offset: Option<Expression>,
    reversed: bool,
    each: Template,
    none: Option<Template>,
}

impl Renderable for For {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let skip = number(self.offset.as_ref(), runtime)?.unwrap_or(0);
        let take = number(self.limit.as_ref(), runtime)?.unwrap_or(usize::MAX);
        let mut items: Vec<Value> = self.over.items(runtime)?.into_iter().skip(skip).take(take).collect();
        if self.reversed {
            items.reverse();
        }
        if items.is_empty() {
            return self.none.as_ref().map_or(Ok(()), |none| none.render_to(writer, runtime));
        }
        let parent = runtime.try_get(&["forloop".into()]).map(ValueCow::into_owned);
        let length = items.len();
        for (index, item) in items.into_iter().enumerate() {
            budget::evaluate()?;
            let position = position(index, length, parent.clone());
            if budget::is_lenient() {
                let names = BTreeMap::from([
                    (self.name.clone(), Lax::of(item)),
                    (KString::from_static("forloop"), Lax::of(position)),
                ]);
                self.each.render_to(writer, &StackFrame::new(runtime, &names))?;
            } else {
                let names = Object::from_iter([
                    (self.name.clone(), item),
                    (KString::from_static("forloop"), position),
                ]);
                self.each.render_to(writer, &StackFrame::new(runtime, &names))?;
            }
            if let Some(Interrupt::Break) = runtime.registers().get_mut::<InterruptRegister>().reset() {
                break;
            }
        }
        Ok(())
    }
}

impl Over {
    fn items(&self, runtime: &dyn Runtime) -> Result<Vec<Value>> {
        match self {
            Self::List(list) => Ok(items(&list.evaluate(runtime)?)),
            Self::Range(first, last) => {
                let end = |end: &Expression| {
                    let value = end.evaluate(runtime)?;
                    let number = value.as_scalar().and_then(|scalar| scalar.to_integer());
                    number.ok_or_else(|| Error::with_msg("the ends of a range must be whole numbers"))
                };
                let (first, last) = (end(first)?, end(last)?);
                if last.saturating_sub(first) >= RANGE_MAX {
                    return Err(Error::with_msg(format!("{LIMIT} a range of more than {RANGE_MAX} numbers")));
                }
                Ok((first..=last).map(Value::scalar).collect())
            }
        }
    }
}

fn items(value: &ValueCow<'_>) -> Vec<Value> {
    let view = value.as_view();
    if let Some(list) = view.as_array() {
        return list.values().map(ValueView::to_value).collect();
    }
    if view.is_nil() {
        return Vec::new();
    }
    if let Some(object) = view.as_object() {
        let sorted: BTreeMap<String, Value> =
            object.iter().map(|(name, value)| (name.into_string(), value.to_value())).collect();
        return sorted
            .into_iter()
            .map(|(name, value)| Value::Array(vec![Value::scalar(name), value]))
            .collect();
    }
    let text = view.to_kstr();
    if text.is_empty() { Vec::new() } else { vec![view.to_value()] }
}

fn number(attribute: Option<&Expression>, runtime: &dyn Runtime) -> Result<Option<usize>> {
    let Some(attribute) = attribute else { return Ok(None) };
    let value = attribute.evaluate(runtime)?;
    if value.is_nil() {
        return Ok(None);
    }
    let number = value.as_scalar().and_then(|scalar| scalar.to_integer());
    let number = number.ok_or_else(|| Error::with_msg("`limit` and `offset` must be whole numbers"))?;
    Ok(Some(usize::try_from(number).unwrap_or(0)))
}

fn position(index: usize, length: usize, parent: Option<Value>) -> Value {
    let number = |n: usize| Value::scalar(i64::try_from(n).unwrap_or(i64::MAX));
    let fields = [
        ("length", number(length)),
        ("index", number(index + 1)),
        ("index0", number(index)),
        ("rindex", number(length - index)),
        ("rindex0", number(length - index - 1)),
        ("first", Value::scalar(index == 0)),
        ("last", Value::scalar(index + 1 == length)),
        ("parentloop", parent.unwrap_or(Value::Nil)),
    ];
    Value::Object(fields.into_iter().map(|(name, value)| (KString::from_static(name), value)).collect())
}
