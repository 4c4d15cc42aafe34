//! Answers questions: render a template, preview and test a webhook, admit an address. The code of deliveries; nothing is
//! stored, and no answer holds a secret.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use model::alert::{AlertRaised, Severity};
use model::ask::{
    Admit, Admitted, Answer, Preview, Previewed, Refused, Render, Rendered, TestWebhook, Tested,
};
use model::webhook::{Webhook, WebhookKind};
use model::{DeliveryId, Timestamp, WebhookId, subject};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::attempt::attempt;
use crate::classify::Meaning;
use crate::desk::Desk;
use crate::examples;
use crate::message::{CONTENT_TYPE, render};
use crate::render::variables::FollowUp;
use crate::render::{Fault, Job};
use crate::select::trial;

/// Service and group of those who answer.
const SERVICE: &str = "webhooks";
/// What stands for PagerDuty's routing key in a preview.
const ROUTING_KEY_SHOWN: &str = "(routing key)";

/// Answers until the token is cancelled.
pub(crate) async fn answer(desk: Arc<Desk>, stopping: CancellationToken) -> anyhow::Result<()> {
    tokio::try_join!(
        serve(
            &desk,
            "render",
            &stopping,
            |desk, question| async move { answer_render(&desk, question).await }
        ),
        serve(
            &desk,
            "preview",
            &stopping,
            |desk, question| async move { answer_preview(&desk, question).await }
        ),
        serve(&desk, "test", &stopping, |desk, question| async move { answer_test(&desk, question).await }),
        serve(&desk, "admit", &stopping, |desk, question| async move { answer_admit(&desk, question).await }),
    )?;
    Ok(())
}

async fn serve<Q, A, F>(
    desk: &Arc<Desk>,
    question: &'static str,
    stopping: &CancellationToken,
    handle: impl Fn(Arc<Desk>, Q) -> F + Send + Sync,
) -> anyhow::Result<()>
where
    Q: DeserializeOwned + Send,
    A: Serialize + Send,
    F: Future<Output = Result<A, Refused>> + Send,
{
    let answers = desk.bus.answer(&subject::ask(SERVICE, question), SERVICE, |asked: Q| {
        let answered = handle(Arc::clone(desk), asked);
        async move {
            match answered.await {
                Ok(answer) => Answer::Ok(answer),
                Err(refused) => Answer::Refused(refused),
            }
        }
    });
    answers.until(stopping.clone()).await.with_context(|| format!("answer {question}"))
}

fn refused(code: &str, detail: impl Into<String>) -> Refused {
    Refused { code: code.to_owned(), detail: detail.into(), line: None, column: None, near: Vec::new() }
}

fn faulty(fault: &Fault) -> Refused {
    Refused { line: fault.line, column: fault.column, ..refused(fault.code, fault.detail.as_str()) }
}

async fn answer_render(desk: &Desk, asked: Render) -> Result<Rendered, Refused> {
    let partials: Option<BTreeMap<String, String>> = asked
        .partials
        .into_iter()
        .map(|(name, source)| source.as_str().map(|source| (name, source.to_owned())))
        .collect();
    let partials = partials.ok_or_else(|| refused("invalid_template", "every partial must be a text"))?;
    let job = Job { template: asked.template, variables: asked.variables, partials, lenient: asked.lenient };
    match desk.engine.render(job).await {
        Ok(output) => Ok(Rendered { output }),
        Err(fault) => Err(faulty(&fault)),
    }
}

async fn answer_preview(desk: &Desk, asked: Preview) -> Result<Previewed, Refused> {
    let alert: AlertRaised = match asked.alert {
        None => examples::price(),
        Some(alert) => serde_json::from_value(alert).map_err(|error| {
            refused("invalid_alert", format!("the alert is not as `alert.raised` has it: {error}"))
        })?,
    };
    let id = WebhookId::new("preview").map_err(|error| refused("invalid_alert", error.to_string()))?;
    let webhook = Webhook {
        id,
        kind: asked.kind,
        url: String::new(),
        enabled: true,
        disabled_reason: None,
        template: asked.template,
        filter: model::webhook::Filter::default(),
        schedule: None,
        rate: None,
    };
    let now = Timestamp::now();
    let selected = trial(webhook, alert, DeliveryId::make(now, rand::random()));
    let rendered = render(&desk.engine, selected, &FollowUp::default(), now).await;
    if let Some(fault) = rendered.fault() {
        return Err(faulty(fault));
    }
    let mut body = rendered.body().clone();
    if asked.kind == WebhookKind::Pagerduty {
        body["routing_key"] = Value::String(ROUTING_KEY_SHOWN.to_owned());
    }
    Ok(Previewed {
        body: body.to_string(),
        content_type: CONTENT_TYPE.to_owned(),
        warnings: rendered.warnings().to_vec(),
    })
}

async fn answer_test(desk: &Desk, asked: TestWebhook) -> Result<Tested, Refused> {
    let page =
        desk.book.page(&desk.store).await.map_err(|error| refused("unavailable", error.to_string()))?;
    let Some(webhook) = page.webhooks.get(&asked.webhook) else {
        return Err(refused("unknown_webhook", format!("there is no webhook `{}`", asked.webhook)));
    };
    let read = desk.vault.read(&vault::Path::webhook(&asked.webhook), None).await;
    let fields = read.map_err(|error| refused("unavailable", error.to_string()))?.fields;
    let now = Timestamp::now();
    let delivery = DeliveryId::make(now, rand::random());
    // Each test is an alert of its own, so that no incident of PagerDuty takes it in.
    let alert = AlertRaised {
        severity: Severity::Info,
        alert_type: "test".to_owned(),
        title: "Test message from Signalbox".to_owned(),
        fingerprint: format!("test/{delivery}"),
        at: now,
        ..examples::price()
    };
    let selected = trial(webhook.clone(), alert, delivery);
    let rendered = render(&desk.engine, selected, &FollowUp::default(), now).await;
    let attempted = attempt(&desk.egress, rendered, &fields, desk.settings.deadline()).await;
    Ok(Tested {
        delivered: attempted.verdict.meaning == Meaning::Delivered,
        outcome: attempted.verdict.meaning.as_str().to_owned(),
        status_code: attempted.status_code,
        duration_ms: u32::try_from(attempted.duration.as_millis()).unwrap_or(u32::MAX),
        detail: attempted.verdict.detail,
    })
}

async fn answer_admit(desk: &Desk, asked: Admit) -> Result<Admitted, Refused> {
    let id = asked.trial.strip_prefix("trials/").unwrap_or(&asked.trial);
    let path = vault::Path::trial(id).map_err(|error| refused("invalid_trial", error.to_string()))?;
    let read = desk.vault.read(&path, None).await;
    let fields = read.map_err(|error| refused("unavailable", error.to_string()))?.fields;
    let Some(url) = fields.get("url") else {
        return Err(refused("invalid_trial", "the trial has no field `url`"));
    };
    match desk.egress.guard().check_url(url.expose()) {
        Ok(_) => Ok(Admitted {}),
        Err(refusal) => Err(refused("target_refused", refusal.to_string())),
    }
}
