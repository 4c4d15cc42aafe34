//! Variables of which every name is known: what is not there is missing, and of what is missing everything is missing.
//!
//! A missing value prints nothing, is false in conditions and takes a default, as in Shopify's Liquid.

use std::collections::BTreeMap;
use std::fmt;

use liquid_core::model::{
    ArrayView, DisplayCow, KStringCow, Object, ObjectView, ScalarCow, State, Value, ValueView,
};

static MISSING: Lax = Lax::Missing;

/// A value whose unknown fields are missing instead of an error.
#[derive(Clone, Debug)]
pub(crate) enum Lax {
    /// A number, a text, a truth, nothing.
    Plain(Value),
    /// A list.
    List(Vec<Lax>),
    /// Named values, in the order of their names.
    Named(BTreeMap<String, Lax>),
    /// What is not there.
    Missing,
}

impl Lax {
    /// Takes a value with everything inside of it.
    pub(crate) fn of(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::of).collect()),
            Value::Object(fields) => Self::named(fields),
            other => Self::Plain(other),
        }
    }

    /// Takes named values.
    pub(crate) fn named(fields: Object) -> Self {
        Self::Named(fields.into_iter().map(|(name, value)| (name.into_string(), Self::of(value))).collect())
    }
}

impl ValueView for Lax {
    fn as_debug(&self) -> &dyn fmt::Debug {
        self
    }

    fn render(&self) -> DisplayCow<'_> {
        match self {
            Self::Plain(value) => value.render(),
            other => DisplayCow::Owned(Box::new(other.to_value().render().to_string())),
        }
    }

    fn source(&self) -> DisplayCow<'_> {
        match self {
            Self::Plain(value) => value.source(),
            other => DisplayCow::Owned(Box::new(other.to_value().source().to_string())),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Plain(value) => value.type_name(),
            Self::List(_) => "array",
            Self::Named(_) => "object",
            Self::Missing => "nil",
        }
    }

    fn query_state(&self, state: State) -> bool {
        match self {
            Self::Plain(value) => value.query_state(state),
            Self::Missing => Value::Nil.query_state(state),
            Self::List(items) => state == State::Truthy || items.is_empty(),
            Self::Named(fields) => state == State::Truthy || fields.is_empty(),
        }
    }

    fn to_kstr(&self) -> KStringCow<'_> {
        match self {
            Self::Plain(value) => value.to_kstr(),
            other => KStringCow::from_string(other.to_value().render().to_string()),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::List(items) => Value::Array(items.iter().map(ValueView::to_value).collect()),
            Self::Named(fields) => Value::Object(
                fields.iter().map(|(name, value)| (name.clone().into(), value.to_value())).collect(),
            ),
            Self::Missing => Value::Nil,
        }
    }

    fn as_scalar(&self) -> Option<ScalarCow<'_>> {
        match self {
            Self::Plain(value) => value.as_scalar(),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&dyn ArrayView> {
        matches!(self, Self::List(_)).then_some(self as &dyn ArrayView)
    }

    fn as_object(&self) -> Option<&dyn ObjectView> {
        matches!(self, Self::Named(_) | Self::Missing).then_some(self as &dyn ObjectView)
    }

    fn as_state(&self) -> Option<State> {
        match self {
            Self::Plain(value) => value.as_state(),
            _ => None,
        }
    }

    fn is_nil(&self) -> bool {
        match self {
            Self::Plain(value) => value.is_nil(),
            other => matches!(other, Self::Missing),
        }
    }
}

impl Lax {
    fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    fn fields(&self) -> impl Iterator<Item = (&String, &Self)> {
        match self {
            Self::Named(fields) => Some(fields.iter()),
            _ => None,
        }
        .into_iter()
        .flatten()
    }
}

impl ArrayView for Lax {
    fn as_value(&self) -> &dyn ValueView {
        self
    }

    fn size(&self) -> i64 {
        i64::try_from(self.items().len()).unwrap_or(i64::MAX)
    }

    fn values<'k>(&'k self) -> Box<dyn Iterator<Item = &'k dyn ValueView> + 'k> {
        Box::new(self.items().iter().map(|item| item as &dyn ValueView))
    }

    fn contains_key(&self, index: i64) -> bool {
        ArrayView::get(self, index).is_some()
    }

    fn get(&self, index: i64) -> Option<&dyn ValueView> {
        let index = if index < 0 { index + ArrayView::size(self) } else { index };
        let item = usize::try_from(index).ok().and_then(|index| self.items().get(index));
        Some(item.unwrap_or(&MISSING))
    }
}

impl ObjectView for Lax {
    fn as_value(&self) -> &dyn ValueView {
        self
    }

    fn size(&self) -> i64 {
        i64::try_from(self.fields().count()).unwrap_or(i64::MAX)
    }

    fn keys<'k>(&'k self) -> Box<dyn Iterator<Item = KStringCow<'k>> + 'k> {
        Box::new(self.fields().map(|(name, _)| KStringCow::from_ref(name)))
    }

    fn values<'k>(&'k self) -> Box<dyn Iterator<Item = &'k dyn ValueView> + 'k> {
        Box::new(self.fields().map(|(_, value)| value as &dyn ValueView))
    }

    fn iter<'k>(&'k self) -> Box<dyn Iterator<Item = (KStringCow<'k>, &'k dyn ValueView)> + 'k> {
        Box::new(self.fields().map(|(name, value)| (KStringCow::from_ref(name), value as &dyn ValueView)))
    }

    fn contains_key(&self, _: &str) -> bool {
        true
    }

    fn get<'s>(&'s self, name: &str) -> Option<&'s dyn ValueView> {
        match self {
            // `size` is known of everything unless a field has that name.
            Self::Named(fields) if name == "size" => fields.get(name).map(|value| value as &dyn ValueView),
            Self::Named(fields) => Some(fields.get(name).unwrap_or(&MISSING)),
            _ => Some(&MISSING),
        }
    }
}
