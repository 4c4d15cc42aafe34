//! Reads usage: totals, by name, by time, over all integrations.

use std::collections::BTreeMap;

use model::usage::Sketch;
use model::{IntegrationId, Timestamp};

use super::{Facet, Step, Totals, buckets};
use crate::db::{Row, Statement, Value};
use crate::{Error, Result, Store};

/// Names that one answer has at most; the rest is in the total.
pub const NAMES_MAX: usize = 100;
/// Points of one history at most: the minutes of the longest month.
const POINTS_MAX: u32 = 31 * 24 * 60;
/// The sums of the numbers, as both databases give them.
macro_rules! sums {
    ($($column:ident),*) => {
        concat!($("CAST(SUM(", stringify!($column), ") AS BIGINT) AS ", stringify!($column), ", ",)*)
    };
}
const SUMS: &str = super::totals::numbers!(sums);

/// What passed through an integration in a span, as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Apart {
    /// In all.
    pub total: Totals,
    /// By endpoint: most requests first, at most [`NAMES_MAX`], as each of the next.
    pub endpoints: Vec<(String, Totals)>,
    /// By caller.
    pub callers: Vec<(String, Totals)>,
    /// By language model.
    pub models: Vec<(String, Totals)>,
    /// By route.
    pub routes: Vec<(String, Totals)>,
    /// By step, oldest first; steps in which nothing passed are absent.
    pub history: Vec<(Timestamp, Totals)>,
}

impl Store {
    /// What passed from the minute of `from` to before `to`; a `to` within a minute includes that minute. Minutes are
    /// there for 2 days: a span that begins earlier should begin with an hour.
    pub async fn usage_total(&self, id: &IntegrationId, from: Timestamp, to: Timestamp) -> Result<Totals> {
        self.usage_of(id, Facet::All, "", from, to).await
    }

    /// The same of one endpoint, caller, model or route.
    pub async fn usage_of(
        &self,
        id: &IntegrationId,
        facet: Facet,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Totals> {
        let Some(select) = within(id, facet, Some(name), from, to) else { return Ok(Totals::default()) };
        total(&self.db().select(select).await?)
    }

    /// What counts against a limit's window that lies around `now`: exact while its minutes are kept, later on from the
    /// full hour in which it begins. These differ only where a zone is not whole hours from UTC.
    pub async fn usage_in_window(
        &self,
        id: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Result<Totals> {
        let is_kept = from.as_millis() > now.minus(Step::Minute.kept()).as_millis();
        let from = if is_kept { from } else { Step::Hour.floor(from) };
        self.usage_total(id, from, to).await
    }

    /// By endpoint, caller, model or route: most requests first, at most 100.
    pub async fn usage_by(
        &self,
        id: &IntegrationId,
        facet: Facet,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(String, Totals)>> {
        let Some(select) = within(id, facet, None, from, to) else { return Ok(Vec::new()) };
        by_name(&self.db().select(select).await?)
    }

    /// Counts by step, oldest first, from the step of `from` to before `to`. Steps in which nothing passed are absent.
    /// At most 44,640: the oldest.
    pub async fn usage_history(
        &self,
        id: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Result<Vec<(Timestamp, Totals)>> {
        self.usage_history_of(id, Facet::All, "", from, to, step).await
    }

    /// The same of one endpoint, caller, model or route.
    pub async fn usage_history_of(
        &self,
        id: &IntegrationId,
        facet: Facet,
        name: &str,
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Result<Vec<(Timestamp, Totals)>> {
        history(&self.db().select(by_step(id, facet, name, from, to, step)).await?)
    }

    /// The total of a span, its parts by each facet and its history, all as of one moment, so that the parts of what is told
    /// apart are what the whole is while others count. Each part as [`Store::usage_by`] and [`Store::usage_history`] have it.
    pub async fn usage_apart(
        &self,
        id: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Result<Apart> {
        let mut tx = self.db().snapshot().await?;
        let mut rows = async |select: Option<Statement>| match select.map(Statement::finish) {
            Some((sql, values)) => tx.all(sql, &values).await,
            None => Ok(Vec::new()),
        };
        let by = |facet| within(id, facet, None, from, to);
        Ok(Apart {
            total: total(&rows(within(id, Facet::All, Some(""), from, to)).await?)?,
            endpoints: by_name(&rows(by(Facet::Endpoint)).await?)?,
            callers: by_name(&rows(by(Facet::Caller)).await?)?,
            models: by_name(&rows(by(Facet::Model)).await?)?,
            routes: by_name(&rows(by(Facet::Route)).await?)?,
            history: history(&rows(Some(by_step(id, Facet::All, "", from, to, step))).await?)?,
        })
    }

    /// Counts of all these integrations together by step, oldest first, from the step of `from` to before `to`. Numbers only:
    /// neither latencies nor reasons. At most 44,640 steps: the oldest.
    pub async fn usage_history_of_all(
        &self,
        ids: &[IntegrationId],
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Result<Vec<(Timestamp, Totals)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut select = wanted(ids);
        select.push(") SELECT start_at, ").push(SUMS).push("0 AS none FROM (");
        let piece = buckets::Piece { step, from: step.floor(from), to };
        select.push(
            "SELECT u.* FROM wanted JOIN usage_rollups AS u ON u.integration = wanted.id AND u.facet = ",
        );
        select.bind(Facet::All.number());
        covered(&mut select, &piece);
        select.push(" AND u.name = ''");
        select.push(") AS rows GROUP BY start_at ORDER BY start_at LIMIT ").bind(POINTS_MAX);
        let mut history = Vec::new();
        for row in self.db().select(select).await? {
            let mut totals = Totals::default();
            totals.add_numbers(&row)?;
            history.push((row.time("start_at")?, totals));
        }
        Ok(history)
    }

    /// What passed of one facet's name (of all, with [`Facet::All`] and an empty name) through each of these integrations,
    /// those without anything left out. Latencies are there, reasons are not.
    pub async fn usage_of_each(
        &self,
        ids: &[IntegrationId],
        facet: Facet,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(IntegrationId, Totals)>> {
        let pieces = buckets::cover(from, to);
        if pieces.is_empty() || ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut select = Statement::new("");
        for (index, piece) in pieces.iter().enumerate() {
            // Each integration and piece of the span is one walk in the table, in order; the database adds up.
            select.push(if index == 0 { "SELECT integration, " } else { " UNION ALL SELECT integration, " });
            select.push(SUMS);
            select.push(match self.kind() {
                "sqlite" => "CAST(group_concat(latency, ",
                _ => "string_agg(latency, ",
            });
            select.bind(Sketch::BETWEEN.as_slice());
            select.push(match self.kind() {
                "sqlite" => ") AS BLOB) AS latency",
                _ => ") AS latency",
            });
            select.push(" FROM usage_rollups WHERE integration IN ");
            select.bind_all(ids.iter().map(Value::from));
            select.push(" AND facet = ").bind(facet.number());
            covered(&mut select, piece);
            select.push(" AND name = ").bind(name).push(" GROUP BY integration");
        }
        let mut each: BTreeMap<IntegrationId, Totals> = BTreeMap::new();
        for row in self.db().select(select).await? {
            let totals = each.entry(row.word("integration")?).or_default();
            totals.add_numbers(&row)?;
            if !totals.latency.merge_bytes(&row.bytes("latency")?) {
                return Err(Error::corrupt("column `latency`", "it is no sketch"));
            }
        }
        Ok(each.into_iter().collect())
    }
}

/// Rows added up.
fn total(rows: &[Row]) -> Result<Totals> {
    let mut total = Totals::default();
    rows.iter().try_for_each(|row| total.add_row(row))?;
    Ok(total)
}

/// Rows added up by name: most requests first, at most [`NAMES_MAX`].
fn by_name(rows: &[Row]) -> Result<Vec<(String, Totals)>> {
    let mut names: BTreeMap<String, Totals> = BTreeMap::new();
    for row in rows {
        names.entry(row.text("name")?).or_default().add_row(row)?;
    }
    let mut names: Vec<(String, Totals)> = names.into_iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.1.requests));
    names.truncate(NAMES_MAX);
    Ok(names)
}

/// Rows with the beginnings of their steps.
fn history(rows: &[Row]) -> Result<Vec<(Timestamp, Totals)>> {
    rows.iter().map(|row| Ok((row.time("start_at")?, total(std::slice::from_ref(row))?))).collect()
}

/// Selects the rows of one step and name, oldest first.
fn by_step(
    id: &IntegrationId,
    facet: Facet,
    name: &str,
    from: Timestamp,
    to: Timestamp,
    step: Step,
) -> Statement {
    let mut select = Statement::new("SELECT * FROM usage_rollups");
    select.filter("integration = ", id).filter("facet = ", facet.number());
    select.filter("step = ", step.number());
    select.filter("start_at >= ", step.floor(from)).filter("start_at < ", to);
    select.filter("name = ", name).push(" ORDER BY start_at LIMIT ").bind(POINTS_MAX);
    select
}

/// Begins to name integrations; what follows closes the parenthesis.
fn wanted(ids: &[IntegrationId]) -> Statement {
    let mut select = Statement::new("WITH wanted (id) AS (VALUES ");
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            select.push(", ");
        }
        select.bind_all([id.into()]);
    }
    select
}

/// Selects the rows that cover a span, of one name or of all; nothing when the span is empty.
fn within(
    id: &IntegrationId,
    facet: Facet,
    name: Option<&str>,
    from: Timestamp,
    to: Timestamp,
) -> Option<Statement> {
    let pieces = buckets::cover(from, to);
    let mut select = Statement::new("");
    for (index, piece) in pieces.iter().enumerate() {
        // Each piece is one walk in the table; with OR it would be up to the planner.
        select.push(if index == 0 { "SELECT * " } else { " UNION ALL SELECT * " });
        select.push("FROM usage_rollups WHERE integration = ").bind(id);
        select.push(" AND facet = ").bind(facet.number());
        covered(&mut select, piece);
        if let Some(name) = name {
            select.push(" AND name = ").bind(name);
        }
    }
    (!pieces.is_empty()).then_some(select)
}

/// Asks for the rows of a piece.
fn covered(select: &mut Statement, piece: &buckets::Piece) {
    select.push(" AND step = ").bind(piece.step.number());
    select.push(" AND start_at >= ").bind(piece.from).push(" AND start_at < ").bind(piece.to);
}
