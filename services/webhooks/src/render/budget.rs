//! What one rendering may cost: evaluations, bytes, depth and time. The crate `liquid` has no limits of its own.
//!
//! Every block, tag and filter of the language is wrapped, so that each evaluation is counted and each value that
//! a filter returns is weighed. The counts belong to the thread, because a rendering has one to itself.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::time::Instant;

use liquid_core::model::{Value, ValueView};
use liquid_core::parser::{FilterArguments, FilterReflection, ParseFilter, ParseTag};
use liquid_core::runtime::{Renderable, Runtime};
use liquid_core::{
    BlockReflection, Error, Filter, Language, ParseBlock, Result, TagBlock, TagReflection, TagTokenIter,
};

/// Evaluations of blocks, tags and filters.
pub(crate) const EVALUATIONS_MAX: u32 = 20_000;
/// Bytes of all values that filters and captures make.
pub(crate) const MADE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the output, and of any one value.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Partials inside of partials.
pub(crate) const PARTIALS_DEPTH_MAX: u32 = 5;
/// What an element of a list weighs beside its text, in bytes.
const ELEMENT_BYTES: usize = 32;
/// What every message about a limit begins with.
pub(crate) const LIMIT: &str = "the template goes over its limit:";

#[derive(Default)]
struct Budget {
    evaluations: u32,
    made_bytes: usize,
    depth: u32,
    until: Option<Instant>,
    lenient: bool,
}

thread_local! {
    static BUDGET: RefCell<Budget> = RefCell::default();
}

/// Begins a rendering on this thread, which must end before `until`.
pub(crate) fn begin(until: Instant, lenient: bool) {
    BUDGET.with_borrow_mut(|budget| *budget = Budget { until: Some(until), lenient, ..Budget::default() });
}

/// Whether unknown variables are empty in this rendering.
pub(crate) fn is_lenient() -> bool {
    BUDGET.with_borrow(|budget| budget.lenient)
}

fn over<T>(what: &str) -> Result<T> {
    Err(Error::with_msg(format!("{LIMIT} {what}")))
}

/// Counts one evaluation, or one round of a loop.
pub(crate) fn evaluate() -> Result<()> {
    BUDGET.with_borrow_mut(|budget| {
        budget.evaluations += 1;
        if budget.evaluations > EVALUATIONS_MAX {
            return over("too much work");
        }
        if budget.until.is_some_and(|until| Instant::now() >= until) {
            return over("too much time");
        }
        Ok(())
    })
}

/// Counts bytes that are about to be made.
pub(crate) fn make(bytes: usize) -> Result<()> {
    if bytes > OUTPUT_BYTES_MAX {
        return over(&format!("a value of more than {OUTPUT_BYTES_MAX} bytes"));
    }
    BUDGET.with_borrow_mut(|budget| {
        budget.made_bytes = budget.made_bytes.saturating_add(bytes);
        if budget.made_bytes > MADE_BYTES_MAX { over("too many bytes in values") } else { Ok(()) }
    })
}

fn enter() -> Result<()> {
    BUDGET.with_borrow_mut(|budget| {
        budget.depth += 1;
        if budget.depth > PARTIALS_DEPTH_MAX { over("partials inside of partials") } else { Ok(()) }
    })
}

fn leave() {
    BUDGET.with_borrow_mut(|budget| budget.depth = budget.depth.saturating_sub(1));
}

/// What a value weighs, in bytes; stops weighing above the limit.
fn weigh(value: &Value, bytes: &mut usize) {
    *bytes += ELEMENT_BYTES;
    if *bytes > OUTPUT_BYTES_MAX * 2 {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| weigh(item, bytes)),
        Value::Object(fields) => fields.iter().for_each(|(key, item)| {
            *bytes += key.len();
            weigh(item, bytes);
        }),
        Value::Scalar(scalar) => *bytes += scalar.to_kstr().len(),
        Value::State(_) | Value::Nil => {}
    }
}

/// A writer that takes no more than its bound.
pub(crate) struct Bounded {
    kept: Vec<u8>,
}

impl Bounded {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self { kept: Vec::new() }
    }

    /// What was written. Liquid writes whole texts, so a cut inside of a character cannot happen.
    pub(crate) fn into_text(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    /// Whether a write was refused.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() > OUTPUT_BYTES_MAX
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.kept.len() + bytes.len() > OUTPUT_BYTES_MAX {
            // One byte more than allowed says why writing failed.
            self.kept.resize(OUTPUT_BYTES_MAX + 1, b' ');
            return Err(io::Error::other("the output is full"));
        }
        self.kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A block whose evaluations are counted.
#[derive(Clone)]
pub(crate) struct CountedBlock(pub(crate) Box<dyn ParseBlock>);

impl ParseBlock for CountedBlock {
    fn parse(
        &self,
        arguments: TagTokenIter<'_>,
        block: TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        Ok(Box::new(Counted { inner: self.0.parse(arguments, block, options)?, nests: false }))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self.0.reflection()
    }
}

/// A tag whose evaluations are counted; `nests` for tags that render partials.
#[derive(Clone)]
pub(crate) struct CountedTag {
    /// The tag.
    pub(crate) inner: Box<dyn ParseTag>,
    /// Whether it renders partials.
    pub(crate) nests: bool,
}

impl ParseTag for CountedTag {
    fn parse(&self, arguments: TagTokenIter<'_>, options: &Language) -> Result<Box<dyn Renderable>> {
        Ok(Box::new(Counted { inner: self.inner.parse(arguments, options)?, nests: self.nests }))
    }

    fn reflection(&self) -> &dyn TagReflection {
        self.inner.reflection()
    }
}

#[derive(Debug)]
struct Counted {
    inner: Box<dyn Renderable>,
    nests: bool,
}

impl Renderable for Counted {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        evaluate()?;
        if !self.nests {
            return self.inner.render_to(writer, runtime);
        }
        enter()?;
        let rendered = self.inner.render_to(writer, runtime);
        leave();
        rendered
    }
}

/// A filter whose evaluations are counted and whose values are weighed.
#[derive(Clone)]
pub(crate) struct CountedFilter(pub(crate) Box<dyn ParseFilter>);

impl ParseFilter for CountedFilter {
    fn parse(&self, arguments: FilterArguments<'_>) -> Result<Box<dyn Filter>> {
        Ok(Box::new(Weighed(self.0.parse(arguments)?)))
    }

    fn reflection(&self) -> &dyn FilterReflection {
        self.0.reflection()
    }
}

#[derive(Debug)]
struct Weighed(Box<dyn Filter>);

impl fmt::Display for Weighed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Filter for Weighed {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        evaluate()?;
        let value = self.0.evaluate(input, runtime)?;
        let mut bytes = 0;
        weigh(&value, &mut bytes);
        make(bytes.saturating_sub(ELEMENT_BYTES))?;
        Ok(value)
    }
}
