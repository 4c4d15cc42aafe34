//! Renders Liquid: the one engine of deliveries, previews, tests and `POST /templates:render`.
//!
//! A template is a user's text and its values are anybody's, so it is looked over before it is parsed (`scan`), every
//! evaluation and byte is counted (`budget`), and it runs with a known stack and a deadline, in a process of its own
//! (`helpers`, `helper`) or, where none is named, on a thread of its own. It
//! sees the alert and nothing else: no secret, no environment, no file. Strictly, an unknown name is an error with
//! its place; leniently it is empty.

pub(crate) mod budget;
pub(crate) mod fault;
pub(crate) mod filters;
pub(crate) mod frame;
pub(crate) mod helper;
pub(crate) mod helpers;
pub(crate) mod lax;
pub(crate) mod pieces;
pub(crate) mod repeat;
pub(crate) mod scan;
pub(crate) mod variables;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use liquid::ParserBuilder;
use liquid::partials::{EagerCompiler, InMemorySource};
use liquid_core::parser::{ParseFilter, ParseTag};
use liquid_core::{ObjectView, ParseBlock};
use liquid_lib::stdlib;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use budget::{Bounded, CountedBlock, CountedFilter, CountedTag};
pub(crate) use fault::Fault;
use helpers::Helpers;
pub use helpers::Renderer;

/// The stack of a rendering, in bytes: the deepest template that is let through needs a part of it.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// How much longer than its own deadline a rendering is waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Partials of one template.
pub(crate) const PARTIALS_MAX: usize = 50;

/// A template with everything that it may name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Liquid.
    pub(crate) template: String,
    /// What it may name.
    pub(crate) variables: Map<String, Value>,
    /// Other templates by name.
    pub(crate) partials: BTreeMap<String, String>,
    /// Unknown variables are empty instead of an error.
    pub(crate) lenient: bool,
}

/// The engine. Clones share its bound of renderings at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    deadline: Duration,
    free: Arc<Semaphore>,
    /// Without them templates are rendered in this process.
    helpers: Option<Arc<Helpers>>,
}

impl Engine {
    /// An engine with a deadline for each rendering, a bound of renderings at the same time, and who renders.
    pub(crate) fn new(deadline: Duration, at_once: usize, renderer: Option<Renderer>) -> Self {
        let helpers = renderer.map(|renderer| Arc::new(Helpers::new(renderer)));
        Self { deadline, free: Arc::new(Semaphore::new(at_once.max(1))), helpers }
    }

    /// Renders in a helper process, or on a thread of its own. A rendering on a thread that does not end keeps its
    /// place, so that not too many can run on.
    pub(crate) async fn render(&self, job: Job) -> Result<String, Fault> {
        let place = timeout(self.deadline, Arc::clone(&self.free).acquire_owned()).await;
        let place = place.map_err(|_| busy())?.map_err(|_| busy())?;
        match &self.helpers {
            Some(helpers) => {
                look_over(&job)?;
                let rendered = helpers.render(&job, self.deadline).await;
                drop(place);
                rendered
            }
            None => on_a_thread(job, self.deadline, place).await,
        }
    }
}

fn busy() -> Fault {
    Fault::new("busy", "too many templates are being rendered; try again")
}

async fn on_a_thread(job: Job, deadline: Duration, place: OwnedSemaphorePermit) -> Result<String, Fault> {
    let (answer, rendered) = oneshot::channel();
    std::thread::Builder::new()
        .name("template".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // Whoever asked may be gone; then nobody needs the text.
            let _ = answer.send(render_here(&job, Instant::now() + deadline));
            drop(place);
        })
        .map_err(|_| busy())?;
    match timeout(deadline + GRACE, rendered).await {
        Ok(Ok(rendered)) => rendered,
        Ok(Err(_)) => Err(Fault::new("invalid_template", "the template broke the engine")),
        Err(_) => Err(Fault::new("template_limit", format!("{} too much time", budget::LIMIT))),
    }
}

/// Refuses what must not even be parsed.
fn look_over(job: &Job) -> Result<(), Fault> {
    if job.partials.len() > PARTIALS_MAX {
        return Err(Fault::new("template_limit", format!("there are more than {PARTIALS_MAX} partials")));
    }
    let sources = std::iter::once(&job.template).chain(job.partials.values()).map(String::as_str);
    scan::scan(sources).map_err(|refused| Fault::new("template_limit", refused.to_string()))
}

/// Renders on this thread. Panics of the engine are caught; its stack must be large.
pub(crate) fn render_here(job: &Job, until: Instant) -> Result<String, Fault> {
    look_over(job)?;
    budget::begin(until, job.lenient);
    catch_unwind(AssertUnwindSafe(|| rendered(job)))
        .unwrap_or_else(|_| Err(Fault::new("invalid_template", "the template broke the engine")))
}

fn rendered(job: &Job) -> Result<String, Fault> {
    let fault = |error: liquid_core::Error| Fault::read(&error, &job.template);
    let mut partials = InMemorySource::new();
    for (name, source) in &job.partials {
        partials.add(name, source);
    }
    let parser = language().partials(EagerCompiler::new(partials)).build().map_err(fault)?;
    let template = parser.parse(&job.template).map_err(fault)?;
    let variables = liquid::to_object(&job.variables).map_err(fault)?;
    let mut written = Bounded::new();
    let outcome = if job.lenient {
        template.render_to(&mut written, &lax::Lax::named(variables) as &dyn ObjectView)
    } else {
        template.render_to(&mut written, &variables)
    };
    if written.is_full() {
        let detail = format!("{} an output of more than {} bytes", budget::LIMIT, budget::OUTPUT_BYTES_MAX);
        return Err(Fault::new("template_limit", detail));
    }
    outcome.map_err(fault)?;
    Ok(written.into_text())
}

/// The language that templates may use. `tablerow` and `ifchanged` are left out: nothing bounds what they keep.
fn language() -> ParserBuilder {
    let mut builder = ParserBuilder::new();
    for block in blocks() {
        builder = builder.block(CountedBlock(block));
    }
    for (inner, nests) in tags() {
        builder = builder.tag(CountedTag { inner, nests });
    }
    for filter in standard_filters().into_iter().chain(own_filters()) {
        builder = builder.filter(CountedFilter(filter));
    }
    builder
}

fn blocks() -> [Box<dyn ParseBlock>; 7] {
    [
        stdlib::RawBlock.into(),
        stdlib::IfBlock.into(),
        stdlib::UnlessBlock.into(),
        stdlib::CommentBlock.into(),
        stdlib::CaseBlock.into(),
        repeat::ForBlock.into(),
        pieces::CaptureBlock.into(),
    ]
}

fn tags() -> [(Box<dyn ParseTag>, bool); 8] {
    [
        (stdlib::AssignTag.into(), false),
        (stdlib::BreakTag.into(), false),
        (stdlib::ContinueTag.into(), false),
        (stdlib::CycleTag.into(), false),
        (stdlib::IncrementTag.into(), false),
        (stdlib::DecrementTag.into(), false),
        (stdlib::IncludeTag.into(), true),
        (pieces::RenderTag.into(), true),
    ]
}

macro_rules! filters {
    ($($name:ident)*) => {
        vec![$(Box::<dyn ParseFilter>::from(stdlib::$name)),*]
    };
}

fn standard_filters() -> Vec<Box<dyn ParseFilter>> {
    filters![
        Abs Append AtLeast AtMost Capitalize Ceil Compact Concat Default DividedBy Downcase Escape EscapeOnce First
        Floor Last Lstrip Map Minus Modulo NewlineToBr Plus Prepend Remove RemoveFirst ReplaceFirst Reverse Round
        Rstrip Size Slice Sort SortNatural Split Strip StripHtml StripNewlines Times TruncateWords Uniq Upcase
        UrlDecode UrlEncode Where
    ]
}

fn own_filters() -> Vec<Box<dyn ParseFilter>> {
    vec![
        filters::Json.into(),
        filters::Slack.into(),
        filters::Discord.into(),
        filters::Truncate.into(),
        filters::Date.into(),
        filters::Replace.into(),
        filters::Join.into(),
    ]
}

#[cfg(test)]
mod tests;
