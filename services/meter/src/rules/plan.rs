//! Plans what is looked at: each rule becomes one check for each thing that it is about.
//!
//! Pure. A check's key is the same for as long as its rule and what it is about are, so that what was found of it is found
//! again after a restart.

use std::collections::{BTreeMap, BTreeSet};

use model::IntegrationId;
use model::alert::Severity;
use model::budget::{Budget, Scope};
use model::id::Slug;
use model::integration::{Integration, Ratio, Window};
use model::quota::{Kind, Quota};
use model::rule::{Rule, RuleKind};
use store::Facet;

use super::book::Book;
use super::figure::Figure;
use super::judge::Terms;
use crate::forecasts::{Series, Unit};
use crate::shared::shared;

/// Whose use is added up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// Of these integrations together; of all where none is named.
    pub(crate) integrations: Vec<IntegrationId>,
    /// What of theirs.
    pub(crate) facet: Facet,
    /// Which of these; empty for all.
    pub(crate) name: String,
}

/// What an alert is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Target {
    /// `integration/polygon-main/quota/month`, `budget/llm`.
    pub(crate) key: String,
    pub(crate) integration: Option<IntegrationId>,
    pub(crate) provider: Option<String>,
    pub(crate) quota: Option<String>,
    /// The caller, token or endpoint whose part of a quota it is.
    pub(crate) part: Option<String>,
    pub(crate) budget: Option<Slug>,
    /// What it is for people: `polygon-main`, `the budget llm (integration openai)`.
    pub(crate) name: String,
    /// The whole of which a share is looked at: requests of a quota, millionths of a budget.
    pub(crate) whole: Option<u64>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// One rule, looking at one thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    pub(crate) rule: Rule,
    pub(crate) target: Target,
    pub(crate) source: Source,
    pub(crate) figure: Figure,
    pub(crate) terms: Terms,
    /// How bad each band is.
    pub(crate) severities: Vec<Severity>,
}

/// All that is looked at, in the order of rules and things.
pub(crate) fn plan(book: &Book) -> Vec<Check> {
    book.rules.values().filter(|rule| rule.enabled).flat_map(|rule| checks(book, rule)).collect()
}

/// What one rule looks at, whether it is enabled or not. A kind whose figure is not recorded looks at nothing.
pub(crate) fn checks(book: &Book, rule: &Rule) -> Vec<Check> {
    match rule.kind {
        RuleKind::Budget => budgets(book, rule),
        RuleKind::NearLimit | RuleKind::Exhausted => quotas(book, rule),
        RuleKind::ErrorRate | RuleKind::ResponseTime | RuleKind::Availability | RuleKind::Uptime => {
            selected(book, rule).map(|integration| calls(rule, integration)).collect()
        }
        RuleKind::ForecastBreach => ahead(book, rule),
        // What is unlike it ever was is looked for by `anomalies`.
        RuleKind::Anomaly => Vec::new(),
    }
}

/// Quotas of a day or longer and budgets, where they are heading: those that are named, or all.
fn ahead(book: &Book, rule: &Rule) -> Vec<Check> {
    let select = &rule.select;
    let named = !(select.integrations.is_empty() && select.routes.is_empty() && select.labels.is_empty());
    let mut checks = Vec::new();
    if named || select.budgets.is_empty() {
        checks.extend(quotas(book, rule));
    }
    if !named || !select.budgets.is_empty() {
        checks.extend(budgets(book, rule));
    }
    for check in &mut checks {
        let (limit, per, zone, unit) = match &check.figure {
            Figure::Used { limit, per, zone, .. } => (*limit, *per, zone.clone(), Unit::Requests),
            Figure::Spent { limit, per, zone } => (*limit, *per, zone.clone(), Unit::CostMicros),
            _ => continue,
        };
        check.figure = Figure::Heading { limit, per, zone, unit };
        check.terms = terms(rule, vec![rule.threshold.unwrap_or(1.0)]);
        check.severities = vec![rule.severity()];
    }
    checks.retain(|check| {
        matches!(check.figure, Figure::Heading { per: Window::Day | Window::Week | Window::Month, .. })
    });
    checks
}

/// The integrations that a rule is about. What is switched off is not called.
pub(crate) fn selected<'a>(book: &'a Book, rule: &'a Rule) -> impl Iterator<Item = &'a Integration> {
    book.integrations.values().filter(|integration| {
        let member = |route: &model::RouteId| book.is_member(&integration.id, route);
        integration.enabled && rule.select.takes(&integration.id, &integration.labels, member)
    })
}

fn of_integration(integration: &Integration) -> (Target, Source) {
    let target = Target {
        key: format!("integration/{}", integration.id),
        integration: Some(integration.id.clone()),
        provider: Some(integration.provider.to_string()),
        name: integration.id.to_string(),
        labels: integration.labels.clone(),
        ..Target::default()
    };
    (target, Source::of(vec![integration.id.clone()]))
}

/// Limits whose use is counted, of the integrations that a rule is about. One that several share is looked at once.
fn quotas(book: &Book, rule: &Rule) -> Vec<Check> {
    let mut seen = BTreeSet::new();
    let all = selected(book, rule).flat_map(|integration| {
        let counted = integration.quotas.iter().filter(|quota| is_counted(quota));
        counted.filter_map(move |quota| Some((integration, quota, quota.per?)))
    });
    let checks = all.filter_map(|(integration, quota, per)| {
        let with = integration.key.as_ref();
        let shared = shared(book.integrations.values(), &integration.id, with, quota)?;
        if !seen.insert(shared.ledger.clone()) {
            return None;
        }
        let (target, _) = of_integration(integration);
        let near = rule.threshold.unwrap_or_else(|| share(quota.near));
        let threshold = if rule.kind == RuleKind::Exhausted { 1.0 } else { near };
        let (limit, ledger, zone) = (shared.requests, shared.ledger, quota.zone().to_owned());
        Some(Check {
            rule: rule.clone(),
            target: Target {
                key: format!("{}/quota/{}", target.key, quota.name),
                quota: Some(quota.name.clone()),
                whole: Some(limit),
                ..target
            },
            source: Source::of(shared.integrations),
            figure: Figure::Used { limit, per, zone, ledger },
            terms: terms(rule, vec![threshold]),
            severities: vec![rule.severity()],
        })
    });
    checks.collect()
}

/// Whether counted calls say how far a limit is used. Of the others not every call counts, or not as one; a second is
/// shorter than what is recorded; and of a bucket more than a window's worth can go in one.
pub(super) fn is_counted(quota: &Quota) -> bool {
    quota.per.is_some_and(|per| per != Window::Second)
        && quota.counts_calls()
        && quota.kind != Some(Kind::Bucket)
}

fn calls(rule: &Rule, integration: &Integration) -> Check {
    let (target, source) = of_integration(integration);
    let (window, min_requests) = (rule.window.unwrap_or_default(), rule.min_requests.unwrap_or_default());
    let threshold = rule.threshold.unwrap_or_default();
    let (figure, band) = match rule.kind {
        RuleKind::ErrorRate => (Figure::ErrorRate { window, min_requests }, threshold),
        RuleKind::ResponseTime => (Figure::ResponseTime { window, min_requests }, threshold),
        RuleKind::Uptime => (Figure::Up { window }, threshold),
        _ => {
            let allowed = 1.0 - threshold;
            (Figure::Burn { window, allowed, min_requests }, rule.burn.unwrap_or_default())
        }
    };
    let (terms, severities) = (terms(rule, vec![band]), vec![rule.severity()]);
    Check { rule: rule.clone(), target, source, figure, terms, severities }
}

fn budgets(book: &Book, rule: &Rule) -> Vec<Check> {
    let named = &rule.select.budgets;
    let told = |budget: &Budget| rule.kind == RuleKind::Budget || budget.forecast;
    let wanted = book.budgets.values().filter(|budget| named.is_empty() || named.contains(&budget.id));
    let wanted = wanted.filter(|budget| told(budget));
    let checks = wanted.map(|budget| {
        let bands = match rule.threshold {
            Some(threshold) => vec![threshold],
            None => budget.thresholds.iter().map(|ratio| share(*ratio)).collect(),
        };
        let severities = bands
            .iter()
            .map(|band| if *band < 1.0 { rule.severity().min(Severity::Warning) } else { rule.severity() })
            .collect();
        Check {
            rule: rule.clone(),
            target: target_of(budget),
            source: source_of(&budget.scope),
            figure: spent(budget),
            terms: terms(rule, bands),
            severities,
        }
    });
    checks.collect()
}

fn target_of(budget: &Budget) -> Target {
    let integration = match &budget.scope {
        Scope::Integration(id) => Some(id.clone()),
        Scope::Route(_) | Scope::Caller(_) => None,
    };
    Target {
        key: format!("budget/{}", budget.id),
        integration,
        budget: Some(budget.id.clone()),
        name: format!("the budget `{}` ({})", budget.id, budget.scope.describe()),
        whole: Some(budget.amount_micros),
        ..Target::default()
    }
}

impl Source {
    /// All calls of these integrations.
    pub(super) fn of(integrations: Vec<IntegrationId>) -> Self {
        Self { integrations, facet: Facet::All, name: String::new() }
    }

    /// Whose they are; `all` are the integrations that there are.
    pub(crate) fn among<'a>(&'a self, all: &'a [IntegrationId]) -> &'a [IntegrationId] {
        if self.integrations.is_empty() { all } else { &self.integrations }
    }

    /// The hours that are looked at for a forecast; `all` are the integrations that there are.
    pub(crate) fn series(&self, all: &[IntegrationId], unit: Unit) -> Series {
        Series { integrations: self.among(all).to_vec(), facet: self.facet, name: self.name.clone(), unit }
    }
}

/// The figure of a budget.
pub(crate) fn spent(budget: &Budget) -> Figure {
    Figure::Spent { limit: budget.amount_micros, per: budget.per, zone: budget.timezone.clone() }
}

/// Whose cost a budget is about.
pub(crate) fn source_of(scope: &Scope) -> Source {
    match scope {
        Scope::Integration(id) => Source::of(vec![id.clone()]),
        Scope::Route(id) => Source { facet: Facet::Route, name: id.to_string(), ..Source::of(Vec::new()) },
        Scope::Caller(actor) => {
            Source { facet: Facet::Caller, name: actor.to_string(), ..Source::of(Vec::new()) }
        }
    }
}

pub(super) fn terms(rule: &Rule, bands: Vec<f64>) -> Terms {
    let first = bands.first().copied().unwrap_or(1.0);
    Terms {
        resolve_at: rule.resolve_at.unwrap_or(first),
        bands,
        above: rule.kind != RuleKind::Uptime,
        wait: rule.wait.unwrap_or_default().length(),
        keep: rule.resolve_after.unwrap_or_default().length(),
    }
}

pub(super) fn share(ratio: Ratio) -> f64 {
    f64::from(ratio.millionths()) / 1e6
}
