//! The block `capture` and the tag `render`, bounded: the crate's own ones write past the output limit, or take ranges.

use std::collections::BTreeMap;
use std::io::Write;

use liquid_core::error::ResultLiquidExt;
use liquid_core::model::{KString, Value, ValueView};
use liquid_core::runtime::{GlobalFrame, Renderable, Runtime, SandboxedStackFrame, Template};
use liquid_core::{
    BlockReflection, Error, Expression, Language, ParseBlock, ParseTag, Result, TagBlock, TagReflection,
    TagTokenIter,
};

use crate::render::budget::{self, Bounded, LIMIT};

/// `{% capture name %}…{% endcapture %}`
#[derive(Clone, Copy, Debug)]
pub(crate) struct CaptureBlock;

impl BlockReflection for CaptureBlock {
    fn start_tag(&self) -> &str {
        "capture"
    }

    fn end_tag(&self) -> &str {
        "endcapture"
    }

    fn description(&self) -> &str {
        "Keeps its content in a variable."
    }
}

impl ParseBlock for CaptureBlock {
    fn parse(
        &self,
        mut arguments: TagTokenIter<'_>,
        mut block: TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        let name = arguments.expect_next("a name expected")?.expect_identifier().into_result()?;
        let name = KString::from_ref(name);
        arguments.expect_nothing()?;
        let content = Template::new(block.parse_all(options)?);
        block.assert_empty();
        Ok(Box::new(Capture { name, content }))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self
    }
}

#[derive(Debug)]
struct Capture {
    name: KString,
    content: Template,
}

impl Renderable for Capture {
    fn render_to(&self, _: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let mut kept = Bounded::new();
        let rendered = self.content.render_to(&mut kept, runtime);
        if kept.is_full() {
            return Err(Error::with_msg(format!("{LIMIT} a captured text is too long")));
        }
        rendered?;
        let text = kept.into_text();
        budget::make(text.len())?;
        runtime.set_global(self.name.clone(), Value::scalar(text));
        Ok(())
    }
}

/// `{% render 'name', key: value %}`: a partial that sees only what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RenderTag;

impl TagReflection for RenderTag {
    fn tag(&self) -> &str {
        "render"
    }

    fn description(&self) -> &str {
        "Renders a partial that sees only what it is given."
    }
}

impl ParseTag for RenderTag {
    fn parse(&self, mut arguments: TagTokenIter<'_>, _: &Language) -> Result<Box<dyn Renderable>> {
        let name = arguments.expect_next("a partial's name expected")?.expect_literal().into_result()?;
        let mut given = Vec::new();
        while let Some(token) = arguments.next() {
            token.expect_str(",").into_result_custom_msg("`,` expected")?;
            let key = arguments.expect_next("a name expected")?.expect_identifier().into_result()?;
            let key = KString::from_ref(key);
            arguments.expect_next("`:` expected")?.expect_str(":").into_result_custom_msg("`:` expected")?;
            given.push((key, arguments.expect_next("a value expected")?.expect_value().into_result()?));
        }
        Ok(Box::new(Partial { name: name.to_kstr().into_string(), given }))
    }

    fn reflection(&self) -> &dyn TagReflection {
        self
    }
}

#[derive(Debug)]
struct Partial {
    name: String,
    given: Vec<(KString, Expression)>,
}

impl Renderable for Partial {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let given: Result<BTreeMap<KString, Value>> = self
            .given
            .iter()
            .map(|(name, value)| Ok((name.clone(), value.evaluate(runtime)?.into_owned())))
            .collect();
        let given = given?;
        let scope = GlobalFrame::new(SandboxedStackFrame::new(runtime, &given));
        let partial = scope.partials().get(&self.name)?;
        partial.render_to(writer, &scope).trace_with(|| format!("in partial `{}`", self.name).into())
    }
}
