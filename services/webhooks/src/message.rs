//! Renders a selected delivery: the user's template, or the kind's default, in the shape of the channel.
//!
//! An alert is never lost to a template: unknown variables are empty, and where the template fails altogether the
//! default is sent. The one path of deliveries, previews and tests.

use model::Timestamp;
use serde_json::Value;

use crate::compose::{Message, Notice, compose};
use crate::render::variables::{FollowUp, variables};
use crate::render::{Engine, Fault, Job};
use crate::select::Selected;

/// The media type of every message.
pub(crate) const CONTENT_TYPE: &str = "application/json";

/// A rendered message, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    selected: Selected,
    message: Message,
    fault: Option<Fault>,
}

/// Renders a selected delivery.
pub(crate) async fn render(
    engine: &Engine,
    selected: Selected,
    follow_up: &FollowUp,
    now: Timestamp,
) -> Rendered {
    let webhook = selected.webhook();
    let mut remark = None;
    let mut fault = None;
    let mut text = None;
    if let Some(template) = &webhook.template {
        let job = Job {
            template: template.clone(),
            variables: variables(
                webhook.id.as_str(),
                webhook.kind,
                selected.alert(),
                selected.phase(),
                follow_up,
                now,
            ),
            ..Job::default()
        };
        match engine.render(job.clone()).await {
            Ok(output) => text = Some(output),
            Err(unknown) if unknown.code == "unknown_variable" => {
                remark = Some(format!("{}{}; it is empty", unknown.detail, place(&unknown)));
                match engine.render(Job { lenient: true, ..job }).await {
                    Ok(output) => text = Some(output),
                    Err(other) => fault = Some(other),
                }
            }
            Err(other) => fault = Some(other),
        }
    }
    let notice = Notice { alert: selected.alert(), phase: selected.phase(), follow_up };
    let mut message = compose(webhook.kind, &notice, text.as_deref());
    message.warnings.extend(remark);
    if let Some(fault) = &fault {
        message.warnings.push(format!("{}{}; the default is sent", fault.detail, place(fault)));
    }
    Rendered { selected, message, fault }
}

fn place(fault: &Fault) -> String {
    match (fault.line, fault.column) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
        _ => String::new(),
    }
}

impl Rendered {
    /// What was selected.
    pub(crate) const fn selected(&self) -> &Selected {
        &self.selected
    }

    /// The body, without secrets.
    pub(crate) const fn body(&self) -> &Value {
        &self.message.body
    }

    /// The body without its layout, where there is one.
    pub(crate) const fn plainer(&self) -> Option<&Value> {
        self.message.plainer.as_ref()
    }

    /// What was cut, empty or failed, in sentences.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.message.warnings
    }

    /// Why the template gave no text.
    pub(crate) const fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }
}
